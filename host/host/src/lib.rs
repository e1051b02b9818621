//! An energy-device host: finds, reads and looks after solar systems, batteries and meters.
