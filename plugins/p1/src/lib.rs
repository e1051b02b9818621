//! Smart meters by their customer port (P1) for Busbar: DSMR 2.2 to 5, e-MUCS, and their likes in Sweden, Finland,
//! Luxembourg, Austria, Hungary and Ireland, and meters that say the like on their D0 port.
//!
//! A stream is taken apart into telegrams ([`stream`]: text in [`frame`], encrypted ones in [`cipher`]), each telegram into
//! lines ([`lines`]), and one telegram says which devices there are ([`recognise`]). What the lines mean is in the ledgers
//! ([`ledgers`], [`compose`]).
//!
//! Invariant: no clock, no I/O, no state. A telegram whose sum is wrong is never given out, whatever a stream holds the
//! answer comes, and what was not consumed is never longer than the longest telegram.

#![forbid(unsafe_code)]

mod cipher;
mod compose;
mod crc;
mod frame;
mod ledgers;
mod lines;
mod noise;
mod recognise;
mod stream;
mod variant;

use busbar_plugin_sdk::{Description, Feed, Heard, Plugin, Telegram, Verdict};

/// The plugin.
#[derive(Debug, Default)]
pub struct P1;

impl Plugin for P1 {
    const NAME: &'static str = "p1";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn describe(&self) -> Description {
        Description {
            title: "Smart meters (P1)",
            summary: "Reads the telegrams of a smart meter's customer port: DSMR, e-MUCS and their likes, with the gas, water \
                      and heat meters behind it",
            licence: env!("CARGO_PKG_LICENSE"),
            ledgers: ledgers::ALL
                .iter()
                .map(|shipped| (shipped.file, shipped.text))
                .collect(),
            telegrams: true,
            ..Description::default()
        }
    }

    fn telegram(&self, feed: &Feed<'_>) -> Heard {
        stream::hear(feed)
    }

    fn recognise(&self, telegram: &Telegram) -> Verdict {
        recognise::recognise(telegram)
    }
}

busbar_plugin_sdk::export!(P1);
