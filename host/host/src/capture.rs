//! Captures what goes over a wire: a scan, then the polls of what it found, until the time is over. Serial numbers,
//! names and places are taken out before anybody sees it.

use std::sync::Arc;
use std::time::Duration;

use busbar_ledger::model::{Class, IdentityFormat, Ledger, Point, ValueType};
use busbar_ledger::plan::{PlanRules, plan, wants};
use busbar_ledger::readings::Facts;
use busbar_ledger::span::Span;
use busbar_simulate::capture::{Capture, Frame, Head, Hex, Line, MAX_FRAMES, Redaction, Seen};
use busbar_wire::{Direction, Link, Priority, ReadPlan, Seen as OnWire, Traffic};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::clock;
use crate::discover::progress::Progress;
use crate::discover::{self, FoundDevice, Request};
use crate::error::{HostError, Result};

/// Longer noise is cut: it is told from a frame by its first bytes.
const MAX_NOISE: usize = 64;

/// What to capture.
pub struct Wanted<'a> {
    /// What the scan looks for.
    pub request: &'a Request,
    /// For how long, the scan included.
    pub duration: Duration,
    /// How often what was found is polled.
    pub interval: Duration,
    /// Whether texts that no ledger describes stay as they are.
    pub keep_texts: bool,
    /// What else is known to be on this wire, by unit: a running host reads it meanwhile.
    pub others: Vec<(u8, Arc<Ledger>)>,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Captured {
    /// The capture, redacted.
    pub capture: Capture,
    /// What the scan found, as `ledger at unit N`.
    pub found: Vec<String>,
    /// What the owner should know.
    pub notes: Vec<String>,
}

/// Captures. A device in which nothing is recognised is captured as well: that is what its file is for.
///
/// # Errors
/// The wire's, when nothing was heard at all.
pub async fn capture(
    link: &Link,
    catalog: &Catalog,
    wanted: &Wanted<'_>,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Captured> {
    let began = Instant::now();
    let scheme = link.endpoint().split("://").next().unwrap_or_default();
    let head = Head::new(scheme, clock::now_ms(), env!("CARGO_PKG_VERSION"));
    let enough = CancellationToken::new();
    // However this ends, nothing is noted any more.
    let _enough = enough.clone().drop_guard();
    let full = CancellationToken::new();
    let recorder = tokio::spawn(record(link.tap(), began, enough.clone(), full.clone()));
    let until = began + wanted.duration;
    let mut notes = Vec::new();
    let scanned = discover::scan(link, catalog, wanted.request, progress, cancel).await;
    let devices = match scanned {
        Ok(scan) => scan.devices,
        Err(error @ HostError::NothingFound { .. }) => {
            notes.push(format!("{error}; what was asked and answered is in the file"));
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    tokio::select! {
        () = full.cancelled() => {}
        () = poll(link, &devices, wanted.interval, until, cancel) => {}
    }
    enough.cancel();
    let recorded = recorder.await;
    let (frames, missed) = recorded.map_err(internal)?;
    if missed > 0 {
        notes.push(format!("{missed} frames came faster than they could be noted"));
    }
    if frames.len() == MAX_FRAMES {
        notes.push(format!(
            "it ends early: {MAX_FRAMES} frames is the most that a file holds"
        ));
    }
    let mut capture = Capture { head, frames };
    capture.head.missed = missed;
    let redaction = redaction(&devices, wanted, catalog);
    let redacted = tokio::task::spawn_blocking(move || {
        redaction.apply(&mut capture);
        capture
    });
    let capture = redacted.await.map_err(internal)?;
    let found = devices
        .iter()
        .map(|d| format!("{} at unit {}", d.report.ledger, d.report.unit_id))
        .collect();
    Ok(Captured {
        capture,
        found,
        notes,
    })
}

fn internal(error: tokio::task::JoinError) -> HostError {
    HostError::failed("internal", error.to_string(), "Please report this.")
}

/// Notes what goes over the wire until it is enough, or there is no more room; also how much came too fast.
async fn record(
    mut tap: Receiver<Traffic>,
    began: Instant,
    enough: CancellationToken,
    full: CancellationToken,
) -> (Vec<Line>, u64) {
    let _full = full.drop_guard();
    let (mut lines, mut missed) = (Vec::new(), 0);
    while lines.len() < MAX_FRAMES {
        let traffic = tokio::select! {
            biased;
            traffic = tap.recv() => traffic,
            () = enough.cancelled() => break,
        };
        match traffic {
            Ok(traffic) => lines.push(line(&traffic, began)),
            Err(RecvError::Lagged(frames)) => missed += frames,
            Err(RecvError::Closed) => break,
        }
    }
    (lines, missed)
}

fn line(traffic: &Traffic, began: Instant) -> Line {
    let us = traffic.at.saturating_duration_since(began).as_micros();
    let seen = match (&traffic.seen, traffic.direction) {
        (OnWire::Frame { id, unit, pdu }, direction) => {
            let frame = Frame {
                id: Some(*id),
                unit: *unit,
                pdu: Hex(pdu.to_vec()),
            };
            match direction {
                Direction::Sent => Seen::Sent(frame),
                Direction::Received => Seen::Got(frame),
            }
        }
        (OnWire::Noise(bytes), _) => Seen::Noise(Hex(bytes.iter().copied().take(MAX_NOISE).collect())),
    };
    Line {
        us: u64::try_from(us).unwrap_or(u64::MAX),
        seen,
    }
}

/// Polls what was found until the time is over.
async fn poll(
    link: &Link,
    devices: &[FoundDevice],
    interval: Duration,
    until: Instant,
    cancel: &CancellationToken,
) {
    let blocks: Vec<(u8, Span)> = devices.iter().flat_map(blocks).collect();
    let mut timer = tokio::time::interval(interval);
    timer.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep_until(until) => return,
            _ = timer.tick() => {}
        }
        let reads = blocks.iter().map(|(unit, span)| {
            link.read(ReadPlan {
                unit: *unit,
                span: *span,
                priority: Priority::Scan,
            })
        });
        tokio::select! {
            () = cancel.cancelled() => return,
            // What is not answered is a part of the capture, too.
            _ = join_all(reads) => {}
        }
    }
}

/// What one poll of a device reads.
fn blocks(device: &FoundDevice) -> Vec<(u8, Span)> {
    let ledger = &device.ledger;
    let facts = Facts {
        firmware: device.report.firmware.as_deref(),
        model: device.report.model.as_deref(),
        readable: Some(&device.readable),
        ..Facts::default()
    };
    let wants = wants(ledger, 0..ledger.points.len(), &facts);
    let rules = PlanRules {
        max_words: device.max_words.min(ledger.read.max_words),
        bridge: ledger.read.bridge,
    };
    let unit = device.report.unit_id;
    plan(&wants, &device.readable, &rules)
        .into_iter()
        .map(|span| (unit, span))
        .collect()
}

/// What of these devices is private.
fn redaction(devices: &[FoundDevice], wanted: &Wanted<'_>, catalog: &Catalog) -> Redaction {
    let mut redaction = Redaction {
        keep_texts: wanted.keep_texts,
        ..Redaction::default()
    };
    let found = devices.iter().map(|d| (d.report.unit_id, &d.ledger));
    let others = wanted.others.iter().map(|(unit, ledger)| (*unit, ledger));
    for (unit, ledger) in found.chain(others) {
        sort(ledger, unit, &mut redaction);
    }
    // A scan that was stopped has read what it had not yet named.
    let all = catalog.ledger_names();
    for ledger in all.iter().filter_map(|name| catalog.ledger(name).ok()) {
        let places = ledger.points.iter().filter(|p| p.class == Some(Class::Location));
        redaction
            .places
            .extend(places.flat_map(|p| p.registers().iter().map(|r| r.span)));
    }
    redaction
}

fn sort(ledger: &Ledger, unit: u8, redaction: &mut Redaction) {
    for point in &ledger.points {
        for register in point.registers() {
            let of = match privacy(point, register.ty == ValueType::Text) {
                Privacy::Text => &mut redaction.texts,
                Privacy::Digits => &mut redaction.digits,
                Privacy::Place => &mut redaction.numbers,
                Privacy::None => &mut redaction.public,
            };
            of.push((unit, register.span));
        }
    }
    let Some(identify) = &ledger.identify else { return };
    if let Some(serial) = &identify.serial {
        let of = match serial.format {
            IdentityFormat::Text => &mut redaction.texts,
            _ => &mut redaction.digits,
        };
        of.push((unit, serial.span));
    }
    let public = [&identify.model, &identify.firmware];
    redaction
        .public
        .extend(public.into_iter().flatten().map(|field| (unit, field.span)));
    redaction
        .public
        .extend(identify.probe.iter().map(|probe| (unit, probe.span)));
}

enum Privacy {
    None,
    Text,
    Digits,
    Place,
}

/// Texts that tell what a device is, and not which one or whose; all others are private.
const PUBLIC: [&str; 9] = [
    "model",
    "firmware",
    "version",
    "manufacturer",
    "vendor",
    "hardware",
    "error",
    "alarm",
    "device_type",
];

/// Whether a text of this key tells what a device is, and not which one or whose.
pub(crate) fn is_public(key: &str) -> bool {
    PUBLIC.iter().any(|word| key.contains(word)) && !key.contains("serial")
}

/// What a stranger need not know: who owns it, which one it is, where it stands.
fn privacy(point: &Point, text: bool) -> Privacy {
    let has = |word: &str| point.key.contains(word);
    match (point.class, text) {
        (Some(Class::Location), _) => Privacy::Place,
        (_, false) if has("serial") => Privacy::Digits,
        (_, true) if !is_public(&point.key) => Privacy::Text,
        _ => Privacy::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_private_is_known_by_its_meaning() {
        let text = "ledger = \"test/one\"\ntitle = \"One\"\n[identify]\nserial = { at = 0, type = \"text\", words = 4 }\n\
            firmware = { at = 4, type = \"text\", words = 2 }\n[points]\n\
            system_name = { at = 10, type = \"text\", words = 8 }\nmodel = { at = 20, type = \"text\", words = 8 }\n\
            serial_number = { at = 40, type = \"u32\" }\nserial_port_errors = { at = 50, type = \"text\", words = 2 }\n\
            latitude = { at = 30, type = \"i32\", class = \"location\", unit = \"°\" }\n";
        let ledger = busbar_ledger::parse("one", text).unwrap();
        let mut redaction = Redaction::default();
        sort(&ledger, 3, &mut redaction);
        let at = |all: &[(u8, Span)]| all.iter().map(|(_, span)| span.at).collect::<Vec<_>>();
        assert_eq!(at(&redaction.texts), [10, 50, 0]);
        assert_eq!(at(&redaction.digits), [40]);
        assert_eq!(at(&redaction.numbers), [30]);
        assert_eq!(at(&redaction.public), [20, 4]);
    }
}
