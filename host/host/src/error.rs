//! What can go wrong in the program as a whole, and what a person does next.

use std::path::PathBuf;
use std::process::ExitCode;

use busbar_loader::{LoaderError, PluginError};
use busbar_store::StoreError;
use busbar_wire::WireError;

/// The exit codes of the outward contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Tried and failed.
    Failed = 1,
    /// Asked for in a way that cannot be carried out.
    Usage = 2,
    /// Nothing was found.
    NothingFound = 3,
    /// Refused by a guard.
    Refused = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Every way in which a command of Busbar can fail.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The wire said no.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The registry or the history said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A library is no plugin that may be loaded.
    #[error("{}: {error}", path.display())]
    Library {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: LoaderError,
    },
    /// A plugin could not answer.
    #[error("plugin {plugin}: {error}")]
    Plugin {
        /// Its name.
        plugin: String,
        /// Why not.
        error: PluginError,
    },
    /// The command cannot be carried out as it was given.
    #[error("{message}")]
    Usage {
        /// What is wrong with it.
        message: String,
        /// What to write instead.
        hint: String,
    },
    /// The target speaks Modbus, but nothing in it was recognised; or the registry is missing or empty.
    #[error("{message}")]
    NothingFound {
        /// What was looked for, and where.
        message: String,
        /// What to try.
        hint: String,
    },
    /// Ledger files with faults.
    #[error("{message}")]
    Ledger {
        /// Which, and how many; the faults of a single one in full.
        message: String,
        /// What to do.
        hint: String,
        /// For each file its faults, for programs.
        files: Vec<serde_json::Value>,
    },
    /// Anything else, with its cause in words.
    #[error("{message}")]
    Failed {
        /// Stable word for programs.
        code: &'static str,
        /// What happened.
        message: String,
        /// What to do next.
        hint: String,
    },
    /// Something failed whose report is printed already: with `--json` it is the one document.
    #[error("{message}")]
    Reported {
        /// In a few words.
        message: String,
        /// What to do next.
        hint: String,
    },
    /// What was done did not end as it should, in one word and more.
    #[error("{message}")]
    Outcome {
        /// The word.
        code: &'static str,
        /// What happened.
        message: String,
        /// What to do next.
        hint: String,
        /// Whether its report is printed already.
        reported: bool,
    },
    /// A guard said no: nothing was written.
    #[error("refused: {message}")]
    Refused {
        /// What is in the way.
        message: String,
        /// What to do next.
        hint: String,
        /// Whether its report is printed already.
        reported: bool,
    },
    /// An error of a running host, handed on as it said it.
    #[error("{message}")]
    Remote {
        /// The host's own word for it.
        code: String,
        /// What happened.
        message: String,
        /// What to do next.
        hint: String,
        /// The exit code that goes with it.
        exit: u8,
    },
}

impl HostError {
    /// A usage error.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        HostError::Usage {
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// A failure with a stable code.
    pub fn failed(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        HostError::Failed {
            code,
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// The way to an endpoint stands, and nothing answers there. Only a TCP endpoint accepts a connection; the hint
    /// is for one.
    pub fn no_answer(endpoint: &str, nobody: &str, hint: &str) -> Self {
        if endpoint.starts_with("modbus+udp:") {
            HostError::failed(
                "no_answer",
                format!("{endpoint}: {nobody}"),
                "Check the address and the UDP port (502 as a rule), the unit id (1 as a rule), that no other client such \
                 as the maker's app is connected, and that no firewall drops UDP.",
            )
        } else if endpoint.contains("tcp:") {
            let message = format!("{endpoint} accepts the connection, but {nobody}");
            HostError::failed("no_answer", message, hint)
        } else {
            HostError::failed("no_answer", format!("{endpoint}: {nobody}"), hint)
        }
    }

    /// A refusal of the guard.
    pub fn refused(refusal: &busbar_guard::Refusal) -> Self {
        HostError::Refused {
            message: refusal.reason.clone(),
            hint: refusal.hint.clone(),
            reported: false,
        }
    }

    /// Something that did not end as it should; `reported` tells that its document is printed already.
    pub fn outcome(code: &'static str, message: String, hint: impl Into<String>, reported: bool) -> Self {
        HostError::Outcome {
            code,
            message,
            hint: hint.into(),
            reported,
        }
    }

    /// Whether its report is printed already: with `--json` it is the one document.
    pub fn is_reported(&self) -> bool {
        matches!(
            self,
            HostError::Reported { .. }
                | HostError::Refused { reported: true, .. }
                | HostError::Outcome { reported: true, .. }
        )
    }

    /// An input or output operation on a file or socket that went wrong.
    pub fn io(doing: impl std::fmt::Display, error: &std::io::Error, hint: impl Into<String>) -> Self {
        HostError::Failed {
            code: "io",
            message: format!("{doing}: {error}"),
            hint: hint.into(),
        }
    }

    /// A ledger with faults, shown with its lines.
    pub fn ledger(name: &str, faults: &busbar_ledger::Diagnostics) -> Self {
        HostError::Ledger {
            message: format!(
                "the ledger {name} has faults\n{}",
                crate::diagnostics::render(faults, false)
            ),
            hint: "Mend what is underlined; `busbar ledger check FILE` shows it again.".to_owned(),
            files: Vec::new(),
        }
    }

    /// Nothing was found.
    pub fn nothing_found(message: impl Into<String>, hint: impl Into<String>) -> Self {
        HostError::NothingFound {
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// The stable word of the JSON error.
    pub fn code(&self) -> &str {
        match self {
            HostError::Wire(e) => e.code(),
            HostError::Store(e) => e.code(),
            HostError::Library { .. } | HostError::Plugin { .. } => "plugin",
            HostError::Ledger { .. } => "ledger",
            HostError::Usage { .. } => "usage",
            HostError::NothingFound { .. } => "nothing_found",
            HostError::Failed { code, .. } | HostError::Outcome { code, .. } => code,
            HostError::Reported { .. } => "reported",
            HostError::Refused { .. } => "refused",
            HostError::Remote { code, .. } => code,
        }
    }

    /// What to do next, in one sentence or more.
    pub fn hint(&self) -> String {
        match self {
            HostError::Wire(e) => e.hint(),
            HostError::Store(e) => e.hint(),
            HostError::Library { .. } | HostError::Plugin { .. } => {
                "`busbar plugin list` shows what is loaded and what is refused.".to_owned()
            }
            HostError::Usage { hint, .. }
            | HostError::NothingFound { hint, .. }
            | HostError::Ledger { hint, .. }
            | HostError::Failed { hint, .. }
            | HostError::Reported { hint, .. }
            | HostError::Refused { hint, .. }
            | HostError::Outcome { hint, .. }
            | HostError::Remote { hint, .. } => hint.clone(),
        }
    }

    /// The exit code of the contract.
    pub fn exit(&self) -> Exit {
        match self {
            HostError::Usage { .. } => Exit::Usage,
            HostError::NothingFound { .. } | HostError::Store(StoreError::Missing { .. }) => {
                Exit::NothingFound
            }
            HostError::Refused { .. } => Exit::Refused,
            HostError::Remote { exit: 2, .. } => Exit::Usage,
            HostError::Remote { exit: 3, .. } => Exit::NothingFound,
            HostError::Remote { exit: 4, .. } => Exit::Refused,
            _ => Exit::Failed,
        }
    }

    /// The JSON form of the contract: `{"error": {"code", "message", "hint"}}`.
    pub fn to_json(&self) -> serde_json::Value {
        let mut json = serde_json::json!({
            "error": { "code": self.code(), "message": self.to_string(), "hint": self.hint() }
        });
        if let HostError::Ledger { files, .. } = self
            && !files.is_empty()
        {
            json["files"] = files.clone().into();
        }
        json
    }
}

/// A result of the program.
pub type Result<T, E = HostError> = std::result::Result<T, E>;
