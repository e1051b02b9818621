//! What can go wrong before a simulated site stands.

use std::fmt;

/// Why a site could not be simulated.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// The site file contradicts itself, or the ledgers.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The address is taken, or not one of this machine.
    #[error("cannot listen on {url}: {source}; choose another port, or 0 for any free one")]
    Listen {
        /// Where the device should have listened.
        url: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A fault in a site file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteError {
    /// The file's name, as given by the caller.
    pub file: String,
    /// The line, from 1; 0 where no line is to blame.
    pub line: usize,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl fmt::Display for SiteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message),
            line => write!(f, "{}:{line}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for SiteError {}
