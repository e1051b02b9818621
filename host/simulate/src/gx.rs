//! The personality of a Victron GX: how its Modbus TCP server finds a register and what it says of it.
//!
//! Every rule here was measured on the vendor's own server. One space of addresses holds the registers of all
//! services; the unit says which device of that service is meant.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use busbar_ledger::model::{Ledger, Register, ValueType};
use busbar_ledger::span::Span;
use busbar_ledger::value::Value;
use serde::Deserialize;

use crate::device::Moment;
use crate::error::SiteError;
use crate::house::Now;
use crate::onwrite::{OnWrite, lease};
use crate::options::Options;
use crate::pdu::exception;
use crate::sheet::{Put, Sheet};
use crate::site::{Cell, PartSpec};
use crate::words::{self, spread};

/// The vendor's map from units to device instances, with more that only discovery needs.
const PORTS: &str = include_str!("../../../ledgers/victron/gx-ports.toml");

/// What the names of all GX ledgers begin with.
const FAMILY: &str = "victron/gx-";

/// Registers that the server fills by rules of its own.
const DATE_AND_TIME: (&str, u16) = ("system", 830);
const FIRMWARE: (&str, u16) = ("system", 834);
const PV_CURRENT: (&str, u16) = ("solarcharger", 777);

#[derive(Debug)]
pub(crate) struct Gx {
    /// All registers of all services, by address.
    map: Vec<Item>,
    /// The ledgers, one a service.
    kinds: Vec<Arc<Ledger>>,
    /// Device instances of mapped units.
    units: BTreeMap<u8, u16>,
    /// Which sheet belongs to a service (place in `kinds`) at a device instance.
    services: BTreeMap<(usize, u16), usize>,
    sheets: Mutex<Vec<Sheet>>,
}

/// A register, or a reserved run.
#[derive(Clone, Copy, Debug)]
struct Item {
    at: u16,
    count: u16,
    kind: usize,
    place: Option<Place>,
}

/// Where the value of a register is.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The point, and which of its registers this is.
    point: usize,
    register: usize,
    /// The point that keeps the value: the first with the same path.
    home: usize,
}

/// A part of a request that lies within one item.
struct Piece {
    item: Item,
    sheet: usize,
    offset: usize,
    count: usize,
}

impl Gx {
    pub(crate) fn new(file: &str, parts: &[PartSpec], ledgers: &[Arc<Ledger>]) -> Result<Gx, SiteError> {
        let kinds: Vec<_> = ledgers
            .iter()
            .filter(|ledger| service_of(ledger).is_some())
            .cloned()
            .collect();
        let mut map: Vec<Item> = kinds
            .iter()
            .enumerate()
            .flat_map(|(kind, ledger)| items(kind, ledger))
            .collect();
        map.sort_by_key(|item| item.at);
        let mut services = BTreeMap::new();
        let mut sheets = Vec::with_capacity(parts.len());
        for part in parts {
            let wrong = |message| SiteError {
                file: file.to_owned(),
                line: part.line,
                message,
            };
            let kind = kinds
                .iter()
                .position(|ledger| ledger.name == part.ledger)
                .ok_or_else(|| {
                    wrong(format!(
                        "there is no ledger `{}`; see `busbar ledger list`",
                        part.ledger
                    ))
                })?;
            services.insert((kind, part.number), sheets.len());
            sheets.push(Sheet::bind(file, &kinds[kind], part, |point| {
                home(&kinds[kind], point)
            })?);
        }
        let units = instances(PORTS).map_err(|message| SiteError {
            file: "gx-ports.toml".to_owned(),
            line: 0,
            message,
        })?;
        Ok(Gx {
            map,
            kinds,
            units,
            services,
            sheets: Mutex::new(sheets),
        })
    }

    /// Answers a read of functions 3 and 4, which are the same; an error is an exception code.
    pub(crate) fn read(
        &self,
        unit: u8,
        span: Span,
        options: &Options,
        now: &Now<'_>,
        moment: Moment,
    ) -> Result<Vec<u16>, u8> {
        if span.function.is_bit() {
            return Err(exception::FUNCTION);
        }
        let pieces = self.pieces(unit, span.at, span.count, options)?;
        let mut sheets = self.sheets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut words = Vec::with_capacity(span.count.into());
        for Piece {
            item,
            sheet,
            offset,
            count,
        } in pieces
        {
            sheets[sheet].pass(moment.elapsed);
            let item_words = self.words(item, &sheets[sheet], now, moment);
            words.extend_from_slice(&item_words[offset..offset + count]);
        }
        Ok(words)
    }

    /// Takes a write, item by item: those before a refused one stay written. An error is an exception code.
    pub(crate) fn write(
        &self,
        unit: u8,
        at: u16,
        words: &[u16],
        options: &Options,
        now: &Now<'_>,
        moment: Moment,
    ) -> Result<(), u8> {
        let pieces = self.pieces(unit, at, words.len() as u16, options)?;
        let writable = |item: Item| match item.place {
            Some(place) => self.kinds[item.kind].points[place.point].writable,
            None => false,
        };
        if !options.writes || !pieces.iter().all(|piece| writable(piece.item)) {
            return Err(exception::ADDRESS);
        }
        let mut sheets = self.sheets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = words;
        for Piece {
            item,
            sheet,
            offset,
            count,
        } in pieces
        {
            let (part, behind) = rest.split_at(count);
            rest = behind;
            let (Some(place), sheet) = (item.place, &mut sheets[sheet]) else {
                continue;
            };
            sheet.pass(moment.elapsed);
            if let Some(code) = sheet.refuses(place.home) {
                return Err(code);
            }
            let Some(cell) = sheet.cell(place.home) else {
                return Err(exception::PATH);
            };
            let whole = !matches!(cell, Cell::Fixed(Value::Integer(_)));
            let mut merged = self.words(item, sheet, now, moment);
            merged[offset..offset + count].copy_from_slice(part);
            let value = value_of(self.register(item.kind, place), &merged, whole);
            let timeout = self.timeout(item.kind, place);
            sheet.take(place.home, Cell::Fixed(value), timeout, moment.elapsed);
        }
        Ok(())
    }

    /// Gives a point of the service at this unit another value; `false` where there is no such service.
    pub(crate) fn set(&self, unit: u8, service: &str, point: usize, put: Put) -> bool {
        let kind = self.kinds.iter().position(|ledger| ledger.name == service);
        let Some((kind, sheet)) = kind.and_then(|kind| Some((kind, self.find(kind, unit)?))) else {
            return false;
        };
        let mut sheets = self.sheets.lock().unwrap_or_else(PoisonError::into_inner);
        sheets[sheet].set(home(&self.kinds[kind], point), put);
        true
    }

    /// How the point of the service at this unit takes writes from now on; `false` where there is no such service.
    pub(crate) fn on_write(&self, unit: u8, service: &str, point: usize, on: OnWrite) -> bool {
        let kind = self.kinds.iter().position(|ledger| ledger.name == service);
        let Some((kind, sheet)) = kind.and_then(|kind| Some((kind, self.find(kind, unit)?))) else {
            return false;
        };
        let mut sheets = self.sheets.lock().unwrap_or_else(PoisonError::into_inner);
        sheets[sheet].on_write(home(&self.kinds[kind], point), on);
        true
    }

    /// After how long a written value lapses, as the ledger has it: of this register, or of the one that keeps it.
    fn timeout(&self, kind: usize, place: Place) -> Option<Duration> {
        let points = &self.kinds[kind].points;
        lease(&points[place.point]).or_else(|| lease(&points[place.home]))
    }

    /// Cuts a request into items. Only where it starts may it begin within an item, so only there the service
    /// decides between exception 2 and 10.
    fn pieces(&self, unit: u8, at: u16, count: u16, options: &Options) -> Result<Vec<Piece>, u8> {
        let end = u32::from(at) + u32::from(count);
        let mut address = u32::from(at);
        let mut pieces = Vec::new();
        let mut service = None;
        while address < end {
            let above = self.map.partition_point(|item| u32::from(item.at) <= address);
            let item = above.checked_sub(1).map(|below| self.map[below]);
            let item = item.filter(|item| {
                address < u32::from(item.at) + u32::from(item.count) && !options.drops(item.at)
            });
            let item = item.ok_or(exception::ADDRESS)?;
            let sheet = match service {
                Some((kind, sheet)) if kind == item.kind => sheet,
                _ => {
                    let name = service_of(&self.kinds[item.kind]).unwrap_or_default();
                    let found = self.find(item.kind, unit).filter(|_| !options.hides(name, unit));
                    let absent = if pieces.is_empty() {
                        exception::PATH
                    } else {
                        exception::ADDRESS
                    };
                    found.ok_or(absent)?
                }
            };
            service = Some((item.kind, sheet));
            let offset = address - u32::from(item.at);
            let count = (u32::from(item.count) - offset).min(end - address);
            pieces.push(Piece {
                item,
                sheet,
                offset: offset as usize,
                count: count as usize,
            });
            address += count;
        }
        Ok(pieces)
    }

    /// The sheet of a service at a unit: the unit as a device instance first, then through the map.
    fn find(&self, kind: usize, unit: u8) -> Option<usize> {
        let direct = self.services.get(&(kind, u16::from(unit)));
        direct
            .or_else(|| self.services.get(&(kind, *self.units.get(&unit)?)))
            .copied()
    }

    fn register(&self, kind: usize, place: Place) -> &Register {
        &self.kinds[kind].points[place.point].registers()[place.register]
    }

    /// The words of a whole item. What has no value reads 0, a reserved run reads ones.
    fn words(&self, item: Item, sheet: &Sheet, now: &Now<'_>, moment: Moment) -> Vec<u16> {
        let Some(place) = item.place else {
            return vec![0xFFFF; item.count.into()];
        };
        if let Some(words) = sheet.words(place.home, item.count, now) {
            return words.to_vec();
        }
        let value = |key: &str| {
            let point = *sheet.ledger.index.get(key)?;
            sheet.value(home(&sheet.ledger, point), now)?.as_f64()
        };
        match (service_of(&sheet.ledger).unwrap_or_default(), item.at) {
            DATE_AND_TIME => return spread(moment.unix.into(), 4),
            FIRMWARE => {
                let version = sheet
                    .value(place.home, now)
                    .and_then(|value| value.as_f64())
                    .unwrap_or(0.0) as u32;
                return spread((((version << 8) & 0xFFFF_0000) + (version & 0xFF)).into(), 2);
            }
            PV_CURRENT => {
                let amperes = match (value("yield_power"), value("pv_v")) {
                    (Some(watts), Some(volts)) if volts != 0.0 => watts / volts,
                    _ => 0.0,
                };
                return spread((amperes * 10.0).round_ties_even() as i128, 1);
            }
            _ => {}
        }
        words_of(self.register(item.kind, place), sheet.value(place.home, now))
    }
}

/// The service that a ledger describes, when it is one of a GX.
pub(crate) fn service_of(ledger: &Ledger) -> Option<&str> {
    ledger.name.strip_prefix(FAMILY)
}

/// The device instance that a unit stands for.
pub(crate) fn instance_of(unit: u8) -> u16 {
    instances(PORTS)
        .ok()
        .and_then(|units| units.get(&unit).copied())
        .unwrap_or(unit.into())
}

/// The point that keeps the value of this one: values belong to paths, and several registers may show one path.
pub(crate) fn home(ledger: &Ledger, point: usize) -> usize {
    let origin = &ledger.points[point].origin;
    let first = ledger
        .points
        .iter()
        .position(|other| origin.is_some() && other.origin == *origin);
    first.unwrap_or(point)
}

/// The registers and reserved runs of one service.
fn items(kind: usize, ledger: &Ledger) -> Vec<Item> {
    let mut items: Vec<Item> = ledger
        .reserved
        .iter()
        .map(|run| Item {
            at: run.at,
            count: run.count,
            kind,
            place: None,
        })
        .collect();
    for (point, described) in ledger.points.iter().enumerate() {
        let home = home(ledger, point);
        for (register, lies) in described.registers().iter().enumerate() {
            let place = Some(Place {
                point,
                register,
                home,
            });
            items.push(Item {
                at: lies.span.at,
                count: lies.span.count,
                kind,
                place,
            });
        }
    }
    items
}

/// A value as the server puts it into a register: fractions wrap when they do not fit, whole numbers stop one
/// short of the type's end.
fn words_of(register: &Register, value: Option<Value>) -> Vec<u16> {
    let count = usize::from(register.span.count);
    let step = register.scale.den as f64 / register.scale.num as f64;
    let raw = match value {
        Some(Value::Text(text)) if register.ty == ValueType::Text => return words::text(&text, count),
        Some(Value::Number(number)) if number.is_finite() => {
            let raw = (number - register.offset) * step;
            ((raw.abs() + 0.5).floor() * raw.signum()) as i128
        }
        Some(Value::Integer(number)) => {
            let raw = ((number as f64 - register.offset) * step).round_ties_even() as i128;
            let bits = 16 * count as u32;
            let (least, most) = match register.ty {
                ValueType::I16 | ValueType::I32 | ValueType::I64 => {
                    (-(1i128 << (bits - 1)), 1i128 << (bits - 1))
                }
                _ => (0, 1i128 << bits),
            };
            raw.clamp(least, most - 2)
        }
        _ => 0,
    };
    spread(raw, count)
}

/// What was written, as the value of the path.
fn value_of(register: &Register, words: &[u16], fraction: bool) -> Value {
    if register.ty == ValueType::Text {
        let bytes = words
            .iter()
            .flat_map(|word| word.to_be_bytes())
            .take_while(|&byte| byte != 0);
        return Value::Text(String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned());
    }
    let raw = words
        .iter()
        .fold(0i64, |raw, &word| (raw << 16) | i64::from(word));
    let bits = 16 * words.len().min(4) as u32;
    let signed = matches!(register.ty, ValueType::I16 | ValueType::I32 | ValueType::I64);
    let raw = if signed {
        (raw << (64 - bits)) >> (64 - bits)
    } else {
        raw
    };
    let value = raw as f64 * register.scale.num as f64 / register.scale.den as f64 + register.offset;
    if fraction {
        Value::Number(value)
    } else {
        Value::Integer(value.round() as i64)
    }
}

/// Unit to device instance, from the data that ships beside the ledgers.
fn instances(text: &str) -> Result<BTreeMap<u8, u16>, String> {
    #[derive(Deserialize)]
    struct Ports {
        units: BTreeMap<String, Port>,
    }
    #[derive(Deserialize)]
    struct Port {
        instance: u16,
    }
    let ports: Ports = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let unit = |unit: &str| unit.parse::<u8>().map_err(|_| format!("`{unit}` is not a unit"));
    ports
        .units
        .iter()
        .map(|(key, port)| Ok((unit(key)?, port.instance)))
        .collect()
}
