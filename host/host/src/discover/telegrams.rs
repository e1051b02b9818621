//! A scan where a meter speaks by itself: it listens until a telegram is whole, and that says what there is.

use std::sync::Arc;
use std::time::Duration;

use busbar_ledger::evidence::Outcome;
use busbar_ledger::model::{Ledger, PointSource};
use busbar_ledger::ranges::Ranges;
use busbar_ledger::span::Span;
use busbar_ledger::telegram::{self, Line, Said};
use busbar_plugin_sdk::{Found, Mode};
use busbar_wire::{LinkState, WireError};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::candidates::{Candidate, Recognition, candidate};
use super::glance::{Glance, Seen};
use super::judge::{Identified, assess_said};
use super::progress::{Event, Progress, Quiet};
use super::report::{Coverage, ScanReport};
use super::{
    Asked, FoundDevice, Identity, Request, Scan, again, identity, is_narrow, mode_name, passing_name,
};
use crate::catalog::Catalog;
use crate::clock;
use crate::error::{HostError, Result};
use crate::telegrams::hear::{Hearing, Whole};
use crate::telegrams::way::Ear;

/// The longest wait for a whole telegram: the slowest meters speak every ten seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same on a line whose setting has to be found: three are tried, each for 25 s.
const SEARCH_PATIENCE: Duration = Duration::from_secs(90);
/// Attempts to connect that failed in a row, after which nobody waits any longer.
const ATTEMPTS: u32 = 3;
/// How often it is told that it still listens.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// The meter and its channels: a telegram says of each whether it is there.
const UNITS: std::ops::RangeInclusive<u8> = 0..=4;

/// Listens for the first whole telegram; `None` when it was stopped.
///
/// # Errors
/// The wire's where nobody can be listened to; that nothing whole came, with what came instead.
pub async fn first_telegram(
    ear: &Ear,
    catalog: &Catalog,
    plugin: Option<&str>,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Option<Whole>> {
    let mut hearing = Hearing::new(ear, catalog, plugin)?;
    let mut state = ear.stream.state();
    let began = Instant::now();
    let searches = ear.stream.setting().is_some();
    let until = began + if searches { SEARCH_PATIENCE } else { PATIENCE };
    let mut tell_at = began + TELL_EVERY;
    let mut note = None;
    let mut tried = None;
    'listening: loop {
        let heard = hearing.bytes();
        let next = hearing.next(catalog);
        tokio::pin!(next);
        loop {
            let setting = ear.stream.setting();
            if setting != tried
                && let Some(now) = setting
            {
                let text = format!("listening at {}", now.short());
                progress.event(Event::Note { text });
                tried = setting;
            }
            if let LinkState::Down { cause, attempts, .. } = &*state.borrow_and_update()
                && (*attempts >= ATTEMPTS || is_final(cause))
            {
                return Err(HostError::Wire(cause.clone()));
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(None),
                batch = &mut next => {
                    let Some(batch) = batch? else {
                        return Err(HostError::Wire(WireError::Closed { endpoint: ear.stream.endpoint().into() }));
                    };
                    note = batch.note.or(note);
                    if let Some(whole) = batch.telegrams.into_iter().next_back() {
                        return Ok(Some(whole));
                    }
                    continue 'listening;
                }
                _ = state.changed() => {}
                () = sleep_until(tell_at) => {
                    tell_at += TELL_EVERY;
                    let text = format!("{heard} bytes came, and no whole telegram yet");
                    progress.event(Event::Note { text });
                }
                () = sleep_until(until) => return Err(nothing_whole(ear, heard, note)),
            }
        }
    }
}

/// What speaks there, found out by one telegram.
///
/// # Errors
/// As [`first_telegram`], and a plugin's.
pub async fn glance_by_ear(
    ear: &Ear,
    catalog: &Catalog,
    connection_id: &str,
    cancel: &CancellationToken,
) -> Result<Glance> {
    let Some(whole) = first_telegram(ear, catalog, None, &Quiet, cancel).await? else {
        return Ok(Glance::default());
    };
    let request = Request {
        connection: ear.stream.endpoint().to_owned(),
        connection_id: connection_id.to_owned(),
        plugin: None,
        ledger: None,
        mode: Mode::Quick,
        units: Vec::new(),
        known: Vec::new(),
    };
    let mut recognition = Recognition::default();
    recognise(catalog, &request, &whole, &mut recognition).await?;
    let ids: Vec<String> = recognition
        .candidates
        .iter()
        .map(|c| c.found.id.clone())
        .collect();
    // Of all that speaks in it, the first: the meter itself.
    let seen = recognition.candidates.into_iter().next().map(|candidate| Seen {
        identified: candidate.found.serial.is_some(),
        found: candidate.found,
        ledger: candidate.ledger,
        plugin: Some(whole.plugin.clone()),
        ids,
    });
    Ok(Glance {
        answered: true,
        seen: seen.into_iter().collect(),
    })
}

/// What no patience mends.
fn is_final(cause: &WireError) -> bool {
    matches!(cause, WireError::UnknownHost { .. } | WireError::Port { .. })
}

fn nothing_whole(ear: &Ear, bytes: u64, note: Option<String>) -> HostError {
    let endpoint = ear.stream.endpoint();
    match (bytes, note) {
        (0, _) => {
            let quiet = WireError::Quiet {
                endpoint: endpoint.into(),
                after: PATIENCE,
            };
            HostError::Wire(quiet)
        }
        (_, Some(note)) => HostError::nothing_found(
            format!("{endpoint}: {bytes} bytes came, and no whole telegram: {note}"),
            "`busbar scan -v` shows more; a meter that speaks HDLC or M-Bus needs another plugin.",
        ),
        (_, None) => HostError::nothing_found(
            format!("{endpoint}: {bytes} bytes came, and no whole telegram"),
            "Baud rate and parity may be others (?baud=9600&parity=even), or the adapter does not invert the line, as the \
             port of a meter needs it.",
        ),
    }
}

/// Scans by listening.
pub(super) async fn scan(
    ear: &Ear,
    catalog: &Catalog,
    request: &Request,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Scan> {
    let began = Instant::now();
    let plugin = request
        .plugin
        .as_deref()
        .map(|name| catalog.usable_plugin(name))
        .transpose()?;
    let Some(whole) = first_telegram(ear, catalog, plugin.as_deref(), progress, cancel).await? else {
        return Ok(stopped(request, began));
    };
    let lines = telegram::lines(&whole.telegram.lines);
    let mut recognition = Recognition {
        plugin: Some(whole.plugin.clone()),
        ..Recognition::default()
    };
    match &request.ledger {
        Some(ledger) if !is_brought(catalog, &whole.plugin, ledger) => {
            let units = if request.units.is_empty() {
                vec![0]
            } else {
                request.units.clone()
            };
            recognition.candidates.extend(
                units
                    .into_iter()
                    .map(|unit| candidate(request, unit, Arc::clone(ledger), Identity::default())),
            );
        }
        _ => recognise(catalog, request, &whole, &mut recognition).await?,
    }
    again::put_in_place(&request.known, &mut recognition);
    let listed = |c: &Candidate| request.mode != Mode::Listed || request.units.contains(&c.found.unit);
    recognition.candidates.retain(listed);
    let mut devices: Vec<FoundDevice> = recognition
        .candidates
        .iter()
        .map(|c| judge(&c.found, &c.ledger, &lines, ear.keys.standard_offset))
        .filter(says_anything)
        .collect();
    let mut warnings = recognition.notes;
    warnings.extend(identity::one_of_each(&mut devices));
    warnings.extend(passing_name(ear.stream.endpoint()));
    if devices.is_empty() {
        let what = match &request.ledger {
            Some(ledger) => format!("the ledger {} knows nothing of it", ledger.name),
            None => "no device speaks in it that is looked for".to_owned(),
        };
        return Err(HostError::nothing_found(
            format!("{}: a telegram came, but {what}", ear.stream.endpoint()),
            "Leave out --ledger and --units: what there is says so itself.",
        ));
    }
    Ok(Scan {
        report: ScanReport {
            devices: devices.iter().map(|d| d.report.clone()).collect(),
            warnings,
            ..report(request, recognition.plugin, began)
        },
        devices,
        evidence: evidence(&lines),
        cancelled: false,
        units: (request.mode == Mode::Listed).then(|| request.units.clone()),
        unread: Vec::new(),
        narrow: is_narrow(catalog, request),
    })
}

/// Whether the plugin brings this ledger: then it is the plugin that says where it fits.
fn is_brought(catalog: &Catalog, plugin: &str, ledger: &Ledger) -> bool {
    catalog.own_text(&ledger.name).is_none() && catalog.plugin_of(&ledger.name).as_deref() == Some(plugin)
}

/// Lets the plugin say who speaks.
async fn recognise(catalog: &Catalog, request: &Request, whole: &Whole, all: &mut Recognition) -> Result<()> {
    let verdict = catalog.recognise(&whole.plugin, &whole.telegram).await?;
    for mut found in verdict.devices {
        if request
            .ledger
            .as_ref()
            .is_some_and(|wanted| wanted.name != found.ledger)
        {
            continue;
        }
        let ledger = catalog.ledger_found(&whole.plugin, &found).await?;
        if found.serial.is_none() || found.id.is_empty() {
            // What the same place had before, where nothing tells them apart.
            let known = request.known.iter().map(|known| &known.found);
            let mut same =
                known.filter(|k| k.unit == found.unit && k.ledger == found.ledger && k.serial.is_none());
            found.id = match same.next() {
                Some(known) => known.id.clone(),
                None => identity::device_id(&request.connection_id, found.unit, &ledger, None),
            };
        }
        all.candidates.push(Candidate { found, ledger });
    }
    if !verdict.note.is_empty() {
        all.notes.push(verdict.note);
    }
    Ok(())
}

/// What the telegram says of one device.
fn judge(found: &Found, ledger: &Arc<Ledger>, lines: &[Line], offset: Option<i16>) -> FoundDevice {
    let said = Said::of(ledger, found.unit, lines, offset);
    let device = Identified {
        id: &found.id,
        unit: found.unit,
        name: found.name.as_deref(),
        model: found.model.as_deref(),
        serial: found.serial.as_deref(),
        firmware: found.firmware.as_deref(),
    };
    FoundDevice {
        report: assess_said(device, ledger, &said),
        ledger: Arc::clone(ledger),
        ledger_text: found.ledger_text.clone(),
        readable: std::iter::once(spoken()).collect::<Ranges>(),
        max_words: 125,
        complete: true,
    }
}

fn says_anything(device: &FoundDevice) -> bool {
    let spoken = device.ledger.points.iter().zip(0..);
    let mut spoken = spoken.filter(|(point, _): &(_, usize)| matches!(point.source, PointSource::Obis(_)));
    spoken.any(|(point, _)| {
        let entity = device.report.entities.iter().find(|e| e.key == point.key);
        entity.is_some_and(|e| e.status == busbar_ledger::presence::Status::Present)
    })
}

/// Stands in the registry for what a unit says by itself, where other devices have the registers that they answer. So
/// what a telegram does not bring any more is known to be gone.
fn spoken() -> Span {
    Span::holding(0, 1)
}

/// A telegram says of the meter and of each channel how many lines it has for it.
fn evidence(lines: &[Line]) -> Vec<Asked> {
    let at_ms = clock::now_ms();
    let of = |unit: u8| {
        let mine = |line: &&Line| {
            let channel = if line.code.medium == 0 {
                line.code.channel
            } else {
                0
            };
            channel == unit
        };
        u16::try_from(lines.iter().filter(mine).count()).unwrap_or(u16::MAX)
    };
    UNITS
        .map(|unit| Asked {
            unit,
            span: spoken(),
            outcome: Outcome::Words(vec![of(unit)]),
            at_ms,
        })
        .collect()
}

fn report(request: &Request, plugin: Option<String>, began: Instant) -> ScanReport {
    ScanReport {
        connection: request.connection.clone(),
        plugin,
        mode: mode_name(request.mode).to_owned(),
        coverage: Coverage {
            probed: 1,
            possible: 1,
        },
        elapsed_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        ..ScanReport::default()
    }
}

/// It was stopped before anything was heard.
fn stopped(request: &Request, began: Instant) -> Scan {
    Scan {
        report: ScanReport {
            warnings: vec!["It was stopped before a whole telegram came.".to_owned()],
            ..report(request, None, began)
        },
        devices: Vec::new(),
        evidence: Vec::new(),
        cancelled: true,
        units: None,
        unread: Vec::new(),
        narrow: true,
    }
}
