//! The devices that speak in a telegram: the meter, and what hangs on its channels.

use busbar_ledger::model::Ledger;
use busbar_ledger::obis::Obis;
use busbar_ledger::telegram::{self, Line, time};
use busbar_plugin_sdk::{Found, Telegram, Verdict};

use crate::compose;
use crate::ledgers::{self, Shipped};
use crate::variant::Variant;

/// The channels of a meter.
pub(crate) const CHANNELS: std::ops::RangeInclusive<u8> = 1..=4;
/// The longest serial number that an id is made of.
const MAX_SERIAL: usize = 64;

/// Who speaks.
pub(crate) fn recognise(telegram: &Telegram) -> Verdict {
    let lines = telegram::lines(&telegram.lines);
    let variant = Variant::of(&telegram.variant);
    let channels = CHANNELS.filter_map(|unit| channel(unit, &lines));
    let meter = device(0, &ledgers::METER, &lines, variant);
    let devices = meter
        .map(|meter| Found {
            model: Some(telegram.ident.clone()).filter(|ident| !ident.is_empty()),
            ..meter
        })
        .into_iter()
        .chain(channels.filter_map(|(unit, shipped)| device(unit, shipped, &lines, variant)));
    Verdict {
        devices: devices.collect(),
        note: String::new(),
    }
}

/// The device of this unit; none where its ledger has faults, which a test rules out.
fn device(unit: u8, shipped: &Shipped, lines: &[Line], variant: Variant) -> Option<Found> {
    let ledger = shipped.ledger()?;
    let serial = serial(&ledger, unit, lines);
    Some(Found {
        unit,
        id: serial
            .as_deref()
            .map_or_else(String::new, |serial| id(&ledger.model, serial)),
        serial,
        ledger_text: compose::text(shipped, &ledger, unit, lines, variant),
        ledger: ledger.name,
        ..Found::default()
    })
}

/// What the device says of itself; none for an empty one, and for zeros, which stand for one that was never set.
fn serial(ledger: &Ledger, unit: u8, lines: &[Line]) -> Option<String> {
    let codes = &ledger.point("serial")?.spoken()?.codes;
    let said = codes.iter().filter_map(|code| line(lines, code.at(unit)));
    let texts = said.map(|line| {
        line.groups
            .first()
            .map_or_else(String::new, |group| telegram::octets(&group.value))
    });
    let mut real = texts.filter(|text| {
        text.len() <= MAX_SERIAL && text.bytes().any(|b| b.is_ascii_alphanumeric() && b != b'0')
    });
    real.next()
}

/// `p1` and `E001-23` to `p1_e001_23`.
fn id(model: &str, serial: &str) -> String {
    let mut id = format!("{model}_");
    for c in serial.chars() {
        id.push(if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        });
    }
    id
}

/// What hangs on a channel, by its kind. A meter that was replaced leaves a dead channel behind: without an identity, and
/// without a reading that ever was.
fn channel(unit: u8, lines: &[Line]) -> Option<(u8, &'static Shipped)> {
    let at = |code: &str| Obis::parse(&format!("0-{unit}:{code}")).and_then(|code| line(lines, code));
    let kind = at("24.1.0").and_then(|line| line.groups.first()?.value.parse::<u8>().ok());
    let reading = ["24.2.1", "24.2.3", "24.3.0"].into_iter().find_map(at);
    let unit_of_reading = reading
        .and_then(|line| line.groups.iter().rev().find_map(|group| group.unit.as_deref()))
        .map(str::to_ascii_lowercase);
    let named = ["96.1.0", "96.1.1"].into_iter().filter_map(at).any(|line| {
        let text = line.groups.first().map_or("", |group| group.value.as_str());
        text.bytes().any(|b| b != b'0')
    });
    // A time with a letter that is none, or that of the first day of all.
    let never = reading.is_some_and(|line| {
        let first = line.groups.first().map_or("", |group| group.value.as_str());
        first.ends_with(['W', 'S']) && time::parse(first, time::CENTRAL_EUROPE).is_none()
    });
    let alive = unit_of_reading.is_some() && !never;
    if !named && !alive {
        return None;
    }
    let shipped = match (kind, unit_of_reading.as_deref()) {
        (Some(2), _) => &ledgers::ELECTRICITY,
        (Some(3), _) => &ledgers::GAS,
        (Some(4 | 10..=12), _) => &ledgers::HEAT,
        (Some(6 | 7), _) => &ledgers::WATER,
        (None, Some("m3")) if at("24.3.0").is_some() => &ledgers::GAS,
        (None, Some("gj" | "mj")) => &ledgers::HEAT,
        _ => &ledgers::OTHER,
    };
    Some((unit, shipped))
}

fn line(lines: &[Line], code: Obis) -> Option<&Line> {
    lines.iter().rfind(|line| line.code == code)
}
