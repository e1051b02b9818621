//! Trying serial ports: one setting after the other, until one is answered.

use std::time::Duration;

use busbar_ledger::span::Span;
use busbar_wire::{Endpoint, Link, Options, Priority, ReadPlan, TelegramLine, WireError};
use tokio_util::sync::CancellationToken;

use super::progress::{Event, Progress};
use super::serial::{Setting, by_port};
use super::{Confidence, Found, Lead, Plan, Via, bare, verdict};
use crate::catalog::Catalog;
use crate::discover::{glance, glance_by_ear};
use crate::profile::Profile;
use crate::registry::UNSAVED;
use crate::telegrams::keys::Keys;
use crate::telegrams::way::Way;

/// A link of a command gives up after ten seconds without an answer; units are asked in portions that take less.
const PORTION: Duration = Duration::from_secs(8);

/// Tries every port of the plan. A port that another program uses is told of and left alone.
pub(super) async fn search(
    plan: &Plan,
    catalog: &Catalog,
    notes: &mut Vec<String>,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Vec<Found> {
    let mut found = Vec::new();
    for settings in by_port(&plan.serial) {
        let of = settings.iter().map(|s| s.units.len()).sum::<usize>();
        let of = u32::try_from(of).unwrap_or(u32::MAX);
        let mut done = 0;
        let mut noise = false;
        for setting in settings {
            if cancel.is_cancelled() {
                return found;
            }
            let port = setting.line.path.display().to_string();
            let mut told = |units: usize| {
                done += u32::try_from(units).unwrap_or(u32::MAX);
                let port = port.clone();
                progress.event(Event::Trying { port, done, of });
            };
            let outcome = tokio::select! {
                biased;
                () = cancel.cancelled() => return found,
                outcome = answering(setting, &mut told) => outcome,
            };
            match outcome {
                Ok(Answering { units, noise: heard }) if units.is_empty() => noise |= heard,
                Ok(Answering { units, .. }) => {
                    found.extend(identify(setting, &units, catalog, cancel).await);
                    // A line has one setting.
                    break;
                }
                Err(error) => {
                    notes.push(format!("{error}; {}.", error.hint()));
                    break;
                }
            }
        }
        if noise
            && found.is_empty()
            && let Some(setting) = settings.first()
        {
            // Whoever speaks without being asked may be a meter that only speaks.
            found.extend(listen(setting, catalog, cancel).await);
        }
        if noise && found.is_empty() {
            let port = settings.first().map(|s| s.line.path.display().to_string());
            notes.push(format!(
                "{}: bytes arrive, but no frame with any of these settings: check the wiring (A and B), or try --full.",
                port.unwrap_or_default()
            ));
        }
    }
    found
}

/// Listens for the telegrams of a smart meter.
async fn listen(setting: &Setting, catalog: &Catalog, cancel: &CancellationToken) -> Vec<Found> {
    let endpoint = Endpoint::P1(TelegramLine {
        path: setting.line.path.clone(),
        setting: None,
    });
    let url = endpoint.to_string();
    let lead = Lead {
        endpoints: vec![endpoint.clone()],
        via: Via::Serial,
        name: None,
    };
    let way = Way::open(
        endpoint,
        Options::one_shot(),
        Keys::default(),
        &Profile::default(),
    );
    let Way::Heard(ear) = &way else {
        return Vec::new();
    };
    let glanced = glance_by_ear(ear, catalog, UNSAVED, cancel).await;
    way.close().await;
    match glanced {
        Ok(glance) if !glance.seen.is_empty() => verdict(&lead, &url, catalog, glance),
        _ => Vec::new(),
    }
}

/// What one setting brings.
#[derive(Default)]
struct Answering {
    /// The units that answer, be it with an exception.
    units: Vec<u8>,
    /// Whether there were bytes without a frame. A line that nobody drives makes some by itself, so that is the next
    /// unit's chance and not the setting's end.
    noise: bool,
}

/// Asks all units of one setting.
async fn answering(setting: &Setting, told: &mut impl FnMut(usize)) -> Result<Answering, WireError> {
    let mut answering = Answering::default();
    let most = (PORTION.as_millis() / setting.patience().as_millis().max(1)).max(1);
    for units in setting.units.chunks(usize::try_from(most).unwrap_or(1)) {
        let options = Options {
            timeout: Some(setting.patience()),
            ..Options::one_shot()
        };
        let link = Link::open(Endpoint::Rtu(setting.line.clone()), options);
        let mut broken = None;
        for &unit in units {
            let span = Span::holding(0, 1);
            let priority = Priority::Scan;
            match link.read(ReadPlan { unit, span, priority }).await {
                Ok(_) | Err(WireError::Exception { .. }) => answering.units.push(unit),
                Err(WireError::NoFrame { .. }) => answering.noise = true,
                Err(
                    WireError::Silent { .. }
                    | WireError::NothingHeard { .. }
                    | WireError::UnitResting { .. }
                    | WireError::BadAnswer { .. },
                ) => {}
                Err(error) => {
                    broken = Some(error);
                    break;
                }
            }
            told(1);
        }
        // The next setting needs the port, which is locked until then.
        link.close().await;
        if let Some(error) = broken.filter(|_| answering.units.is_empty()) {
            return Err(error);
        }
    }
    Ok(answering)
}

/// Asks units that answer what they are.
async fn identify(
    setting: &Setting,
    units: &[u8],
    catalog: &Catalog,
    cancel: &CancellationToken,
) -> Vec<Found> {
    let endpoint = Endpoint::Rtu(setting.line.clone());
    let url = endpoint.to_string();
    let lead = Lead {
        endpoints: vec![endpoint.clone()],
        via: Via::Serial,
        name: None,
    };
    let link = Link::open(endpoint, Options::one_shot());
    let glanced = glance(&link, catalog, UNSAVED, units, cancel).await;
    link.close().await;
    let mut found = match glanced {
        Ok(glance) if !glance.seen.is_empty() => verdict(&lead, &url, catalog, glance),
        _ => Vec::new(),
    };
    for &unit in units {
        if found.iter().all(|f| f.unit_id != Some(unit)) {
            found.push(Found {
                unit_id: Some(unit),
                ..bare(&lead, url.clone(), Confidence::Unknown)
            });
        }
    }
    found
}
