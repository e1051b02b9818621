//! What came back from one read. Every outcome says something; none of them is an error of Busbar's.

use serde::{Deserialize, Serialize};

/// The outcome of one read, as the wire saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The words that were asked for, in the order of their addresses.
    Words(Vec<u16>),
    /// The device refused, with this Modbus exception code (1 to 255).
    Exception(u8),
    /// No answer in time.
    Silent,
    /// An answer came, but it was not one to this request: wrong length, wrong function, broken framing.
    Broken,
}
