//! Between what a scan finds, what the registry holds and what is polled.

pub mod change;
mod load;
mod moved;
mod save;
mod words;

pub use change::kept;
pub use load::{adopt_ledgers, devices_of, known_devices, stored_views};
pub use moved::{Home, home, relocate};
pub use save::{Saved, UNSAVED, connection, connection_name, found_device, known, preview, save};
pub use words::status;
