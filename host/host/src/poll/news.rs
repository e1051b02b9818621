//! What polling learns that the registry should keep.

use crate::discover::FoundDevice;

/// Something worth keeping.
#[derive(Clone, Debug)]
pub enum News {
    /// Entities that showed for the first time that they exist.
    Promoted(Vec<Promotion>),
    /// Blocks over holes were compared with single reads.
    Compared {
        /// The connection, by name.
        connection: String,
        /// The unit.
        unit: u8,
        /// Whether they agree, so that a block may run across a hole.
        spans_holes: bool,
    },
    /// A device answers other registers than it used to.
    Learned {
        /// The connection it is on, by name.
        connection: String,
        /// What it has now.
        device: Box<FoundDevice>,
    },
}

/// An entity that is proven from now on.
#[derive(Clone, Debug)]
pub struct Promotion {
    /// Its device.
    pub device: String,
    /// Its key.
    pub key: String,
    /// Why.
    pub proof: String,
}
