//! A conversation with a plugin for its author, who wants to see how it ends: where everything is answered alike, or by a
//! device that is simulated.

use busbar_ledger::evidence::Outcome as Answered;
use busbar_loader::{PluginError, Plugins};
use busbar_plugin_sdk::{Conversation, Found, Mode, Outcome};
use busbar_wire::Link;

use super::ask::ask;
use super::caps::Caps;
use super::converse::span_of;

/// How every probe is answered.
#[derive(Clone, Copy)]
pub enum Answer<'a> {
    /// Not at all.
    Silence,
    /// With this exception.
    Exception(u8),
    /// With registers that all hold this.
    Words(u16),
    /// By whoever is there.
    Device(&'a Link),
}

/// What came of a rehearsal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// All that the plugin asked for, and what became of it.
    pub talk: Conversation,
    /// The devices of its last word.
    pub devices: Vec<Found>,
}

/// Holds the conversation, within the bounds of a scan.
///
/// # Errors
/// Why the plugin failed, that it went beyond those bounds, or that the device could not be talked to.
pub async fn rehearse(
    plugins: &Plugins,
    plugin: &str,
    mode: Mode,
    units: &[u8],
    answer: Answer<'_>,
) -> Result<Heard, String> {
    let mut talk = Conversation::new(mode, units.to_vec());
    let mut caps = Caps::new();
    loop {
        let step = plugins
            .discover(plugin, &talk)
            .await
            .map_err(|error| match error {
                // Its author builds it anew and checks again; no host has to be started for that.
                PluginError::SetAside { reason } => reason,
                other => other.to_string(),
            })?;
        if step.probes.is_empty() {
            return Ok(Heard {
                talk,
                devices: step.verdict.unwrap_or_default().devices,
            });
        }
        caps.batch(&step.probes).map_err(|what| format!("it {what}"))?;
        let told = talk.words.len();
        for probe in step.probes {
            match answer {
                Answer::Silence => talk.record(probe, Outcome::Silent),
                Answer::Exception(code) => talk.record(probe, Outcome::Exception(code)),
                Answer::Words(word) => {
                    talk.record(probe, Outcome::Words(&vec![word; usize::from(probe.count)]));
                }
                Answer::Device(link) => {
                    let Some(span) = span_of(probe) else {
                        talk.record(probe, Outcome::Broken);
                        continue;
                    };
                    let answer = ask(link, probe.unit, span).await;
                    match answer.map_err(|error| error.to_string())? {
                        Answered::Words(words) => talk.record(probe, Outcome::Words(&words)),
                        Answered::Exception(code) => talk.record(probe, Outcome::Exception(code)),
                        Answered::Silent => talk.record(probe, Outcome::Silent),
                        Answered::Broken => talk.record(probe, Outcome::Broken),
                    }
                }
            }
        }
        caps.answer(talk.words.len() - told)
            .map_err(|what| format!("it {what}"))?;
    }
}
