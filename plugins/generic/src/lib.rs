//! Meters that need no code for Busbar: ledgers only.
