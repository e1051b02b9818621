//! A conversation with a plugin and no device: everything is answered alike. For its author, who wants to see it end.

use busbar_loader::Plugins;
use busbar_plugin_sdk::{Conversation, Mode, Outcome};

use super::converse::{MAX_BATCH, MAX_PROBES, MAX_ROUNDS};

/// How every probe is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Not at all.
    Silence,
    /// With this exception.
    Exception(u8),
    /// With registers that all hold this.
    Words(u16),
}

/// What came of a rehearsal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Probes that the plugin asked for.
    pub probes: usize,
    /// Devices in its last word.
    pub devices: usize,
}

/// Holds the conversation, within the bounds of a scan.
///
/// # Errors
/// Why the plugin failed, or that it went beyond those bounds.
pub async fn rehearse(
    plugins: &Plugins,
    plugin: &str,
    mode: Mode,
    units: &[u8],
    answer: Answer,
) -> Result<Heard, String> {
    let mut talk = Conversation::new(mode, units.to_vec());
    for _ in 0..MAX_ROUNDS {
        let step = plugins
            .discover(plugin, &talk)
            .await
            .map_err(|error| error.to_string())?;
        if step.probes.is_empty() {
            return Ok(Heard {
                probes: talk.evidence.len(),
                devices: step.verdict.map_or(0, |verdict| verdict.devices.len()),
            });
        }
        if step.probes.len() > MAX_BATCH || talk.evidence.len() + step.probes.len() > MAX_PROBES {
            return Err(format!("it asks for more than the {MAX_PROBES} probes of a scan"));
        }
        for probe in step.probes {
            match answer {
                Answer::Silence => talk.record(probe, Outcome::Silent),
                Answer::Exception(code) => talk.record(probe, Outcome::Exception(code)),
                Answer::Words(word) => {
                    talk.record(probe, Outcome::Words(&vec![word; usize::from(probe.count)]));
                }
            }
        }
    }
    Err(format!("it does not come to an end within {MAX_ROUNDS} steps"))
}
