//! A conversation with a plugin: it says what to probe, the wire probes, it judges.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use busbar_ledger::evidence::Outcome;
use busbar_ledger::span::{Function, Span};
use busbar_plugin_sdk as sdk;
use busbar_wire::WireError;
use futures_util::stream::{self, StreamExt};

use super::Search;
use super::ask::in_turn;
use super::caps::Caps;
use super::progress::Event;
use crate::error::{HostError, Result};

/// Reads handed to the wire at once; the wire itself decides how many are in flight.
const AHEAD: usize = 256;
/// Words of an answer that are shown in its line.
const SHOWN_WORDS: usize = 12;
/// How often the progress is told, in probes.
const TELL_EVERY: u32 = 16;

/// What came of a conversation.
pub struct Conversed {
    /// The plugin's last word.
    pub verdict: sdk::Verdict,
    /// Probes made.
    pub probes: u32,
    /// Probes that a full coverage would have taken.
    pub possible: u32,
    /// Whether it was stopped before its end.
    pub cancelled: bool,
}

/// Talks with one plugin until it has judged, or until the owner stops the scan: then what it knew counts.
///
/// # Errors
/// The plugin's or the wire's.
pub async fn converse(search: &Search<'_>, plugin: &str) -> Result<Conversed> {
    let &Search {
        link,
        catalog,
        request,
        tally,
        progress,
        cancel,
    } = search;
    let mut talk = sdk::Conversation::new(request.mode, request.units.clone());
    let mut probes = 0u32;
    let mut known = sdk::Verdict::default();
    let mut possible = 0;
    // A unit that was silent once is not asked again in this scan: each further question would cost a whole time-out.
    let silent: Mutex<HashSet<u8>> = Mutex::default();
    let mut caps = Caps::new();
    let out_of_hand = |what: String| out_of_hand(plugin, &what);
    for round in 0_usize.. {
        let step = catalog.discover(plugin, &talk).await?;
        possible = step.forecast.possible.max(possible);
        if let Some(verdict) = step.verdict {
            known = verdict;
        }
        if step.probes.is_empty() {
            return Ok(Conversed {
                verdict: known,
                probes,
                possible,
                cancelled: false,
            });
        }
        caps.batch(&step.probes).map_err(out_of_hand)?;
        // The first batch only recognises; the forecast is worth telling once there is something to scan.
        if round == 1 {
            progress.event(Event::Forecast {
                requests: probes + step.forecast.remaining,
                exceptions: tally.exceptions() + step.forecast.expected_exceptions,
            });
        }
        let mut remaining = step.forecast.remaining;
        let mut answers = stream::iter(step.probes)
            .map(|probe| {
                let silent = &silent;
                async move {
                    if silent
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .contains(&probe.unit)
                    {
                        return (probe, None);
                    }
                    let Some(span) = span_of(probe) else {
                        return (probe, Some(Ok(Outcome::Broken)));
                    };
                    let answer = in_turn(link, probe.unit, span, tally).await;
                    if let Ok(outcome) = &answer {
                        tally.note(probe.unit, span, outcome);
                        if matches!(outcome, Outcome::Silent) {
                            silent
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .insert(probe.unit);
                        }
                    }
                    (probe, Some(answer))
                }
            })
            .buffered(AHEAD);
        loop {
            let next = tokio::select! {
                biased;
                () = cancel.cancelled() => None,
                next = answers.next() => match next {
                    Some(answer) => Some(answer),
                    None => break,
                },
            };
            if let Some((probe, answer)) = &next {
                tell(plugin, *probe, answer.as_ref());
            }
            let Some((probe, answer)) = next else {
                drop(answers);
                let last = catalog.discover(plugin, &talk).await?;
                let verdict = last.verdict.unwrap_or(known);
                return Ok(Conversed {
                    verdict,
                    probes,
                    possible,
                    cancelled: true,
                });
            };
            match answer {
                None => talk.record(probe, sdk::Outcome::Silent),
                Some(answer) => {
                    match &answer? {
                        Outcome::Words(words) => {
                            caps.answer(words.len()).map_err(out_of_hand)?;
                            talk.record(probe, sdk::Outcome::Words(words));
                        }
                        Outcome::Exception(code) => talk.record(probe, sdk::Outcome::Exception(*code)),
                        Outcome::Silent => talk.record(probe, sdk::Outcome::Silent),
                        Outcome::Broken => talk.record(probe, sdk::Outcome::Broken),
                    }
                    probes += 1;
                }
            }
            remaining = remaining.saturating_sub(1);
            if probes.is_multiple_of(TELL_EVERY) {
                progress.event(Event::Probing {
                    done: probes,
                    remaining,
                });
            }
        }
        drop(answers);
        progress.event(Event::Probing {
            done: probes,
            remaining,
        });
    }
    Err(out_of_hand("does not come to an end".to_owned()))
}

/// One line for each probe, for whoever wants to see more (`-v`).
fn tell(plugin: &str, probe: sdk::Probe, answer: Option<&std::result::Result<Outcome, WireError>>) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let sdk::Probe {
        unit,
        function,
        at,
        count,
    } = probe;
    let said = match answer {
        None => "not asked, for the unit was silent before".to_owned(),
        Some(Err(error)) => error.to_string(),
        Some(Ok(Outcome::Exception(code))) => format!("exception {code}"),
        Some(Ok(Outcome::Silent)) => "silent".to_owned(),
        Some(Ok(Outcome::Broken)) => "broken".to_owned(),
        Some(Ok(Outcome::Words(words))) => {
            let shown = words.iter().take(SHOWN_WORDS).map(|word| format!("{word:04X}"));
            let shown: Vec<String> = shown.collect();
            let more = if words.len() > SHOWN_WORDS { " …" } else { "" };
            format!("{}{more}", shown.join(" "))
        }
    };
    tracing::debug!("{plugin} asked unit {unit}, function {function}, address {at}, count {count}: {said}");
}

pub(super) fn span_of(probe: sdk::Probe) -> Option<Span> {
    let function = Function::from_code(probe.function)?;
    let span = Span {
        function,
        at: probe.at,
        count: probe.count,
    };
    (probe.count >= 1 && probe.count <= 125 && span.end() <= 0x1_0000).then_some(span)
}

fn out_of_hand(plugin: &str, what: &str) -> HostError {
    HostError::failed(
        "plugin",
        format!("the discovery of plugin {plugin} {what}"),
        "Scan with --units to narrow it down, and report this to the plugin's author.",
    )
}
