//! Victron GX devices (Cerbo, Ekrano, Venus, CCGX, MultiPlus-II GX) for Busbar.
//!
//! A GX cannot be asked what it has: each pair of unit and service has to be tried with a read of one register, and each
//! miss is a line in its log. This plugin decides which pairs to try, and in which order. It keeps nothing between two
//! calls: all evidence so far is laid out anew ([`site`]), the target is recognised ([`recognise`]), what is left is put
//! in order of likelihood ([`plan`]), and what was found becomes devices ([`verdict`]).
//!
//! Invariant: no clock, no I/O, no state; the same evidence gives the same step.

#![forbid(unsafe_code)]

mod ledgers;
mod plan;
mod recognise;
mod site;
mod table;
mod unit;
mod verdict;

use busbar_plugin_sdk::{Ask, Description, Forecast, Plugin, Probe, Step, Verdict};

use ledgers::LEDGERS;
use plan::Plan;
use recognise::Target;
use site::{SERIAL, Site};
use table::Table;

/// The plugin.
#[derive(Debug, Default)]
pub struct VictronGx;

impl Plugin for VictronGx {
    const NAME: &'static str = "victron-gx";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn describe(&self) -> Description {
        Description {
            title: "Victron GX",
            summary: "Finds everything that a Victron GX offers over Modbus TCP, and knows the registers of its 33 services",
            licence: env!("CARGO_PKG_LICENSE"),
            ledgers: LEDGERS.to_vec(),
            discovers: true,
            ..Description::default()
        }
    }

    fn discover(&self, ask: &Ask<'_>) -> Step {
        match Table::get() {
            Ok(table) => step(table, ask),
            Err(why) => Step {
                verdict: Some(nothing(why)),
                ..Step::default()
            },
        }
    }
}

busbar_plugin_sdk::export!(VictronGx);

fn step(table: &Table, ask: &Ask<'_>) -> Step {
    let site = Site::new(table, ask);
    let plan = Plan::new(&site, ask);
    let (probes, verdict) = match recognise::recognise(&site, &plan) {
        Target::Unknown(probes) => (probes, None),
        Target::PerhapsGx => (plan.gx_batch(), None),
        Target::ProbablyGx => (plan.first_batch(), None),
        Target::Gx => (
            batch(&site, &plan),
            Some(verdict::verdict(&site, &plan, ask.mode)),
        ),
        Target::Other(why) => {
            return Step {
                forecast: Forecast {
                    possible: site.asked,
                    ..Forecast::default()
                },
                verdict: Some(nothing(why)),
                ..Step::default()
            };
        }
    };
    let forecast = match probes.is_empty() {
        true => Forecast {
            remaining: 0,
            expected_exceptions: 0,
            ..plan.forecast()
        },
        false => plan.forecast(),
    };
    Step {
        probes,
        forecast,
        verdict,
    }
}

/// The next batch; at the very end the serial number once more, where its answer got lost: every id hangs on it.
fn batch(site: &Site<'_>, plan: &Plan<'_, '_>) -> Vec<Probe> {
    let probes = plan.batch();
    if probes.is_empty() && site.lacks_serial() {
        return vec![SERIAL];
    }
    probes
}

fn nothing(note: &str) -> Verdict {
    Verdict {
        devices: Vec::new(),
        note: note.to_owned(),
    }
}
