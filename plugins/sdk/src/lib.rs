//! The ABI between Busbar and its plugins, and the safe trait that plugin authors implement.

mod description;
mod discovery;

pub use description::Description;
pub use discovery::{Ask, Conversation, Evidence, Forecast, Found, Mode, Outcome, Probe, Step, Verdict};

/// A plugin. It is made anew for each call, and everything that it needs is in the arguments: it opens no socket and
/// no file, and it keeps nothing.
pub trait Plugin: Default {
    /// Its name: `[a-z0-9-]`, at most 32 bytes.
    const NAME: &'static str;
    /// Its version, at most 16 bytes: `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;

    /// What it is and what it brings.
    fn describe(&self) -> Description;

    /// The next step of a discovery. Called again with the outcomes of the probes that it asked for, until it asks for
    /// none.
    fn discover(&self, ask: &Ask<'_>) -> Step {
        let _ = ask;
        Step::nothing()
    }
}
