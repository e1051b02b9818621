//! What tests of sinks share.

pub mod server;

use std::path::Path;
use std::sync::Arc;

use crate::bus::Bus;
use crate::door::Closed;
use crate::sinks::Site;

/// A site with this bus.
pub fn site(bus: &Arc<Bus>, data_dir: &Path) -> Site {
    Site {
        bus: Arc::clone(bus),
        door: Arc::new(Closed),
        data_dir: data_dir.to_owned(),
        host_id: "test".to_owned(),
        version: "0",
    }
}
