//! Which order a device sends its values in: what each would give, side by side.

use busbar_ledger::codec::{Decoded, decode};
use busbar_ledger::map::{Endian, Map};
use busbar_ledger::model::{Ledger, Order, Point, Register, ValueType};
use busbar_ledger::value::{Quality, Value};
use serde_json::{Map as JsonMap, json};

use super::Listed;
use crate::cli::output::{Output, number};
use crate::error::{HostError, Result};
use crate::format::{self, visible};
use crate::interpret::plausible;
use crate::one_device::ReadReport;

/// What each order would give for each register of a list.
pub(crate) struct Orders {
    orders: Vec<(Endian, Endian)>,
    rows: Vec<Row>,
}

struct Row {
    key: String,
    unit: Option<String>,
    ty: ValueType,
    raw: Vec<u16>,
    values: Vec<Option<Value>>,
    /// How well each order suits it; empty where the order makes no difference.
    suits: Vec<u8>,
}

impl Orders {
    /// Decodes what was read in each of the orders.
    pub(crate) fn of(map: &Map, ledger: &Ledger, report: &ReadReport, orders: &[(Endian, Endian)]) -> Self {
        let rows = map.entries.iter().filter_map(|entry| {
            let register = ledger.point(&entry.key).and_then(Point::register)?;
            let read = report.points.get(&entry.key)?;
            let raw: Vec<u16> = serde_json::from_value(read["raw"].clone()).ok()?;
            let values: Vec<Option<Value>> = orders
                .iter()
                .map(|(bytes, words)| {
                    let order = if entry.own_order {
                        entry.order
                    } else {
                        Order::of(*bytes, *words)
                    };
                    value(
                        &Register {
                            order,
                            ..register.clone()
                        },
                        &raw,
                    )
                })
                .collect();
            let judge = |value: &Option<Value>| {
                value.as_ref().map_or(0, |value| {
                    plausible::suits(value, register.ty, entry.unit.as_deref())
                })
            };
            let differs = values.windows(2).any(|pair| pair[0] != pair[1]);
            Some(Row {
                key: entry.key.clone(),
                unit: entry.unit.clone(),
                suits: if differs {
                    values.iter().map(judge).collect()
                } else {
                    Vec::new()
                },
                ty: register.ty,
                raw,
                values,
            })
        });
        Orders {
            rows: rows.collect(),
            orders: orders.to_vec(),
        }
    }

    /// The order that suits the values best; `None` when no value tells them apart.
    pub(crate) fn likeliest(&self) -> Option<(Endian, Endian)> {
        let score = |i: usize| -> u32 {
            let of_row = |row: &Row| row.suits.get(i).copied().unwrap_or(0);
            self.rows.iter().map(|row| u32::from(of_row(row))).sum()
        };
        let mut scores: Vec<(u32, usize)> = (0..self.orders.len()).map(|i| (score(i), i)).collect();
        scores.sort_by_key(|(score, i)| (std::cmp::Reverse(*score), *i));
        match scores.as_slice() {
            [(best, i), (second, _), ..] if best > second => self.orders.get(*i).copied(),
            _ => None,
        }
    }
}

/// A value that suits its unit or type no better than this is nothing that a device means.
const IMPLAUSIBLE: u8 = 2;
/// An order that suits a value better by so much is likelier for it.
const LIKELIER: u8 = 30;

impl Orders {
    /// The values that another order than the chosen one suits better, or that look wrong in it.
    pub(crate) fn notes(&self, chosen: (Endian, Endian)) -> Vec<String> {
        let Some(own) = self.orders.iter().position(|order| *order == chosen) else {
            return Vec::new();
        };
        let notes = self.rows.iter().filter_map(|row| {
            let judged = match row.suits.get(own) {
                Some(suits) => *suits,
                None => plausible::suits(row.values.get(own)?.as_ref()?, row.ty, row.unit.as_deref()),
            };
            if let Some(order) = self.likelier(row, own) {
                let name = order.name();
                return Some(format!(
                    "{} looks likelier as {name}: give it its own order in the list (a column `order` with {name})",
                    row.key
                ));
            }
            let doubtful = judged <= IMPLAUSIBLE && !matches!(row.values.get(own)?, Some(Value::Text(_)));
            doubtful.then(|| format!("{} looks wrong: check its address, type and order", row.key))
        });
        notes.collect()
    }

    /// An order that suits a row clearly better than that of all.
    fn likelier(&self, row: &Row, own: usize) -> Option<Order> {
        let here = *row.suits.get(own)?;
        let best = *row.suits.iter().max()?;
        let at = row.suits.iter().position(|suits| *suits == best)?;
        let (bytes, words) = self.orders.get(at)?;
        (best >= here.saturating_add(LIKELIER)).then(|| Order::of(*bytes, *words))
    }
}

/// What to try where most values of a list look like nothing that a device means.
pub(crate) fn doubt(listed: &Listed, report: &ReadReport) -> Option<&'static str> {
    let (mut judged, mut wrong) = (0, 0);
    for entry in &listed.map.entries {
        let Some(register) = listed.ledger.point(&entry.key).and_then(Point::register) else {
            continue;
        };
        let said = report.points.get(&entry.key).map(|point| point["value"].clone());
        let value: Option<Value> = said.and_then(|said| serde_json::from_value(said).ok());
        let Some(value) = value.filter(|value| value.as_f64().is_some_and(|n| n != 0.0)) else {
            continue;
        };
        judged += 1;
        wrong += usize::from(plausible::suits(&value, register.ty, entry.unit.as_deref()) <= IMPLAUSIBLE);
    }
    let most = wrong >= 2 && 2 * wrong > judged;
    most.then_some(if listed.map.index_shift == 0 {
        "Most of these look wrong. Many manuals count from 1: try --index-shift -1; or the order is another: try --wordorder auto."
    } else {
        "Most of these look wrong: check --index-shift, and try --wordorder auto."
    })
}

fn value(register: &Register, raw: &[u16]) -> Option<Value> {
    match decode(register, raw, None) {
        Decoded::Value(value) => Some(value),
        Decoded::Invalid(_) => None,
    }
}

/// The order to go on with.
///
/// # Errors
/// When the values do not tell.
pub(crate) fn pick(orders: &Orders) -> Result<(Endian, Endian)> {
    orders.likeliest().ok_or_else(|| {
        HostError::failed(
            "undecided",
            "the values do not tell which order is right",
            "Leave --pick out to see what each gives, then name one with --wordorder and --byteorder.",
        )
    })
}

/// Shows what each order gives, and chooses none.
pub(crate) fn show(orders: &Orders, report: &ReadReport, output: Output) -> Result<()> {
    let names: Vec<&str> = orders
        .orders
        .iter()
        .map(|(b, w)| Order::of(*b, *w).name())
        .collect();
    let likeliest = orders.likeliest();
    if output.is_json() {
        let points: JsonMap<_, _> = orders
            .rows
            .iter()
            .map(|row| {
                let values: JsonMap<_, _> = names
                    .iter()
                    .zip(&row.values)
                    .map(|(name, value)| ((*name).to_owned(), json!(value)))
                    .collect();
                let likelier = likeliest
                    .and_then(|order| orders.orders.iter().position(|other| *other == order))
                    .and_then(|own| orders.likelier(row, own))
                    .map(Order::name);
                let mut point = json!({ "raw": row.raw, "unit": row.unit, "values": values });
                if let Some(likelier) = likelier {
                    point["likelier"] = likelier.into();
                }
                (row.key.clone(), point)
            })
            .collect();
        return output.document(&json!({
            "device": report.device, "orders": names,
            "likeliest": likeliest.map(|(b, w)| Order::of(b, w).name()), "points": points,
        }));
    }
    let mut all = vec!["point"];
    all.extend(&names);
    all.push("registers");
    let mut table = output.table_of(&all);
    for row in &orders.rows {
        let mut cells = vec![row.key.as_str().into()];
        for value in &row.values {
            let unit = row.unit.as_deref();
            cells.push(number(format::value(
                value.as_ref(),
                None,
                unit,
                Quality::Invalid,
            )));
        }
        let raw: Vec<String> = row.raw.iter().take(4).map(|w| format!("{w:04X}")).collect();
        cells.push(output.dim_cell(&raw.join(" ")));
        table.add_row(cells);
    }
    output.line(&output.bold(&visible(report.device["name"].as_str().unwrap_or_default())));
    output.table_lines(&table);
    output.line("");
    for (bytes, words) in &orders.orders {
        let name = Order::of(*bytes, *words).name();
        output.line(&output.dim(&format!("{name}  {}", flags(*bytes, *words))));
    }
    match likeliest {
        Some((bytes, words)) => {
            output.line(&format!(
                "{} looks likeliest: read it with {}, or let --pick choose.",
                Order::of(bytes, words).name(),
                flags(bytes, words)
            ));
            for note in orders.notes((bytes, words)) {
                output.line(&output.yellow(&note));
            }
        }
        None => {
            output.line("These values do not tell which order is right: try again while the device is busy.")
        }
    }
    Ok(())
}

/// The flags that ask for an order.
pub(crate) fn flags(bytes: Endian, words: Endian) -> String {
    format!("--byteorder {} --wordorder {}", name(bytes), name(words))
}

fn name(endian: Endian) -> &'static str {
    match endian {
        Endian::Big => "big",
        Endian::Little => "little",
    }
}
