//! What a plugin said about itself, as the host keeps it.

use serde::{Deserialize, Serialize};

/// A ledger that a plugin brings. Its text is not checked yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BroughtLedger {
    /// File name, for diagnostics.
    pub file: String,
    /// TOML.
    pub text: String,
}

/// What a plugin said about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// One line for people.
    pub title: String,
    /// A sentence or two.
    pub summary: String,
    /// An SPDX expression.
    pub licence: String,
    /// Whether it takes part in discovery.
    pub discovers: bool,
    /// Whether it finds telegrams in streams.
    pub telegrams: bool,
    /// The ledgers that it brings.
    #[serde(deserialize_with = "crate::bounded::list::<_, _, { crate::check::MAX_LEDGERS }>")]
    pub ledgers: Vec<BroughtLedger>,
}
