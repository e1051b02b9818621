//! SunSpec devices for Busbar: inverters, meters, batteries and weather stations of any maker.
//!
//! A SunSpec device lists the models that it implements; where its registers lie follows from that list. This plugin
//! walks the list ([`walk`]), looks up each model in the definitions, which are data ([`models`]), and makes a ledger for
//! that one device ([`compose`]). It keeps nothing between two calls: the list is walked anew over all evidence.
//!
//! Invariant: no clock, no I/O, no state; whatever a device answers, the walk ends and the ledger is a valid one.

#![forbid(unsafe_code)]

mod compose;
mod device;
mod models;
mod points;
mod text;
mod walk;

use busbar_plugin_sdk::{Ask, Description, Forecast, Found, Mode, Plugin, Step, Verdict};

use walk::{Look, Unit};

/// Where an inverter or a meter of its own usually is.
const FIRST_UNIT: u8 = 1;
/// Where others are when nobody is at the first: 126 SMA, 71 Kostal.
const OTHER_UNITS: [u8; 2] = [126, 71];
/// Meters behind a Fronius: of a GEN24 or Verto, and of a Datamanager.
const FRONIUS_METERS: [u8; 2] = [200, 240];

/// The plugin.
#[derive(Debug, Default)]
pub struct SunSpec;

impl Plugin for SunSpec {
    const NAME: &'static str = "sunspec";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn describe(&self) -> Description {
        Description {
            title: "SunSpec",
            summary: "Reads any SunSpec inverter, meter or battery by the list of models that the device gives",
            licence: env!("CARGO_PKG_LICENSE"),
            ledgers: Vec::new(),
            discovers: true,
            ..Description::default()
        }
    }

    fn discover(&self, ask: &Ask<'_>) -> Step {
        let mut probes = Vec::new();
        let mut devices: Vec<Found> = Vec::new();
        let mut notes = Vec::new();
        let units = units(ask);
        for &number in &units {
            let unit = Unit::new(ask, number);
            match unit.look() {
                Look::Ask(more) => probes.extend(more),
                Look::None | Look::Silent => {}
                Look::List(list) => {
                    for device in device::devices(number, &list, unit.words()) {
                        // Some answer at every unit.
                        let twice =
                            |other: &Found| other.id == device.id && other.ledger_text == device.ledger_text;
                        if !devices.iter().any(twice) {
                            devices.push(device);
                        }
                    }
                    notes.extend(device::note(number, &list));
                }
            }
        }
        let asked = count(ask.evidence.len());
        let remaining = count(probes.len());
        let expected_exceptions = count(
            units
                .iter()
                .filter(|unit| !Unit::new(ask, **unit).is_known())
                .count(),
        );
        let note = notes.join(" ").chars().take(MAX_NOTE).collect();
        Step {
            probes,
            forecast: Forecast {
                remaining,
                expected_exceptions: expected_exceptions.min(remaining),
                possible: asked + remaining,
            },
            verdict: Some(Verdict { devices, note }),
        }
    }
}

busbar_plugin_sdk::export!(SunSpec);

/// The longest note, in characters; the rest of it would only be more of the same.
const MAX_NOTE: usize = 900;

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The units to look at, as far as it is known by now which.
fn units(ask: &Ask<'_>) -> Vec<u8> {
    match ask.mode {
        Mode::Listed => ask.units.to_vec(),
        Mode::Full => (1..=247).collect(),
        Mode::Quick => {
            let mut units = vec![FIRST_UNIT];
            match Unit::new(ask, FIRST_UNIT).look() {
                Look::Silent => units.extend(OTHER_UNITS),
                Look::List(list) if device::is_fronius(&list, Unit::new(ask, FIRST_UNIT).words()) => {
                    units.extend(FRONIUS_METERS);
                }
                _ => {}
            }
            units
        }
    }
}
