//! Inspects and loads Busbar's plugins, in worker processes.
//!
//! A plugin's library is judged from its file ([`inspect`], [`search`]): nothing of it has run by then. [`Plugins`] loads
//! those that pass into **workers**, this same program started once more ([`worker_main`]) and stripped of nearly all that
//! a process may do, so that a plugin that panics, crashes, hangs or eats memory costs its own answers and nothing else.
//!
//! The host's promises to a plugin's owner: what is loaded is byte for byte what was inspected; a call has a deadline, and
//! all that it gives back is bounded and checked; a plugin that fails three times in a row is set aside, with the reason.

mod bounded;
mod check;
mod described;
mod elf;
mod error;
mod feed;
mod group;
mod image;
mod inspect;
mod line;
mod place;
mod plugins;
mod private;
mod process;
mod protocol;
mod record;
mod search;
mod stderr;
mod worker;

pub use described::{BroughtLedger, Described};
pub use error::LoaderError;
pub use inspect::{Inspected, MAX_SIZE, inspect};
pub use plugins::{Options, PluginError, PluginInfo, PluginLedger, PluginState, Plugins};
pub use process::{Deadlines, WORKER_COMMAND, WorkerProgram};
pub use record::Language;
pub use search::{Candidate, PluginDir, SYSTEM_DIR, is_plugin_name, plugin_dirs, search};
pub use worker::{Protection, Shield, worker_main};
