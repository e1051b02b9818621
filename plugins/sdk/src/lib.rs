//! The ABI between Busbar and its plugins, and the safe trait that plugin authors implement.
//!
//! A plugin teaches Busbar a kind of device. It brings **ledgers** (TOML files that describe registers), and, where
//! data is not enough, **discovery**: a pure function that turns what is known so far into what to read next. It never
//! opens a socket, a file or a clock; the host does all that, and runs the plugin in a process of its own that could
//! not do it either.
//!
//! # Writing one
//!
//! `busbar plugin new NAME` makes a project that builds, tests and loads as it is, with these sources in `sdk/`;
//! `docs/plugins.md` in Busbar's repository goes on from there. For a plugin in C there is `include/busbar_plugin.h`
//! (`busbar plugin new NAME --lang c`).
//!
//! By hand, `Cargo.toml`:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! busbar-plugin-sdk = { path = "sdk" }
//! ```
//!
//! Keep `panic = "unwind"` (the default): the host refuses a plugin whose panics cannot be caught. Name the crate
//! `busbar-plugin-…`, so that the library is called `libbusbar_plugin_….so`; the host looks at no others.
//!
//! `src/lib.rs`, complete: a meter that tells who it is in register 0, at some unit from 1 to 3.
//!
//! ```
//! #![forbid(unsafe_code)]
//! use busbar_plugin_sdk::{Ask, Description, Forecast, Found, Outcome, Plugin, Probe, Step, Verdict};
//!
//! const METER: &str = r#"
//! ledger = "acme/one"
//! title  = "Acme One"
//! [points]
//! power = { at = 1, type = "i16", unit = "W", class = "power" }
//! "#;
//!
//! #[derive(Default)]
//! struct Acme;
//!
//! impl Plugin for Acme {
//!     const NAME: &'static str = "acme";
//!     const VERSION: &'static str = "1.0.0";
//!
//!     fn describe(&self) -> Description {
//!         Description {
//!             title: "Acme meters",
//!             summary: "Recognises an Acme One by its signature",
//!             licence: "MIT",
//!             ledgers: vec![("acme/one.toml", METER)],
//!             discovers: true,
//!             ..Description::default()
//!         }
//!     }
//!
//!     fn discover(&self, ask: &Ask<'_>) -> Step {
//!         if ask.evidence.is_empty() {
//!             let probes: Vec<_> = (1..=3).map(|unit| Probe { unit, function: 3, at: 0, count: 1 }).collect();
//!             return Step { probes, forecast: Forecast { remaining: 3, expected_exceptions: 2, possible: 3 }, verdict: None };
//!         }
//!         let devices = ask
//!             .outcomes()
//!             .filter(|(_, outcome)| *outcome == Outcome::Words(&[0xACE1]))
//!             .map(|(probe, _)| Found {
//!                 unit: probe.unit,
//!                 ledger: "acme/one".into(),
//!                 id: format!("acme_one_u{}", probe.unit),
//!                 ..Found::default()
//!             })
//!             .collect();
//!         Step { verdict: Some(Verdict { devices, note: String::new() }), ..Step::default() }
//!     }
//! }
//!
//! busbar_plugin_sdk::export!(Acme);
//!
//! // What a test of it looks like: a conversation without a device.
//! # fn main() {
//! use busbar_plugin_sdk::{Conversation, Mode};
//! let mut talk = Conversation::new(Mode::Quick, vec![]);
//! for probe in Acme.discover(&talk.ask()).probes {
//!     let outcome = if probe.unit == 2 { Outcome::Words(&[0xACE1]) } else { Outcome::Silent };
//!     talk.record(probe, outcome);
//! }
//! let verdict = Acme.discover(&talk.ask()).verdict.unwrap();
//! assert_eq!(verdict.devices[0].id, "acme_one_u2");
//! # }
//! ```
//!
//! # What holds
//!
//! - A meter that speaks by itself is heard by [`Plugin::telegram`] and [`Plugin::recognise`], in the same way.
//! - [`Plugin::discover`] is called again and again with all evidence so far; nothing is kept in between.
//! - A panic is an error of that call, shown with its message. Three failures in a row set the plugin aside.
//! - A call has one second of processor time and may sleep for at most another; its process has bounded memory and
//!   output, and no files and threads. A discovery is bounded in questions, answers and time.
//! - `busbar plugin check FILE` shows what is wrong with a library that was built.

pub mod abi;
mod description;
mod discovery;
mod export;
mod record;
mod shim;
mod telegram;

pub use description::Description;
pub use discovery::{Ask, Conversation, Evidence, Forecast, Found, Mode, Outcome, Probe, Step, Verdict};
pub use record::{is_name, is_version};
pub use telegram::{Checked, Feed, Heard, MAX_FEED, Telegram};

/// What [`export!`] expands to; not for other use.
#[doc(hidden)]
pub mod private {
    pub use crate::record::record;
    pub use crate::shim::Shim;
}

/// A plugin. It is made anew for each call, and everything that it needs is in the arguments: it opens no socket and
/// no file, and it keeps nothing.
pub trait Plugin: Default {
    /// Its name: 1 to 32 of `a-z`, `0-9` and `-`.
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

    /// Finds telegrams in a stream; for plugins whose [`Description::telegrams`] is set. Called again with what was not
    /// consumed and what follows it, until the stream ends.
    fn telegram(&self, feed: &Feed<'_>) -> Heard {
        Heard::nothing(feed)
    }

    /// The devices that speak in a telegram: [`Found::unit`] is 0 for the meter itself, and the number of the channel
    /// for what is behind it. An empty [`Found::id`] leaves the id to the host, for a device that does not say who it is.
    fn recognise(&self, telegram: &Telegram) -> Verdict {
        let _ = telegram;
        Verdict::default()
    }
}
