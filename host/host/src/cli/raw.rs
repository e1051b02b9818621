//! `busbar raw`: registers as they are, with every plausible meaning.

use std::path::Path;

use busbar_ledger::codec::{Decoded, decode};
use busbar_ledger::model::{Order, Register, Scale, ValueType};
use busbar_ledger::span::{Function, Span};
use busbar_ledger::value::Value;
use busbar_wire::{Link, Priority, ReadPlan};
use serde::{Deserialize, Serialize};

use super::args::{FunctionArg, RawArgs};
use super::endpoint;
use super::output::{Output, number};
use crate::control::RawCall;
use crate::error::{HostError, Result};
use crate::format::{self, visible};

/// The types that can be asked for by name, with their length in words.
const TYPES: [(&str, ValueType, u16); 10] = [
    ("u16", ValueType::U16, 1),
    ("i16", ValueType::I16, 1),
    ("bcd", ValueType::Bcd, 1),
    ("u32", ValueType::U32, 2),
    ("i32", ValueType::I32, 2),
    ("u24", ValueType::U24, 2),
    ("f32", ValueType::F32, 2),
    ("u64", ValueType::U64, 4),
    ("i64", ValueType::I64, 4),
    ("f64", ValueType::F64, 4),
];

/// The types of several words that people look for first.
const SHOWN_TYPES: [&str; 3] = ["u32", "i32", "f32"];

/// The document that `busbar raw --json` prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RawReport {
    /// Where it was read.
    pub connection: String,
    /// The Modbus unit.
    pub unit_id: u8,
    /// The address space.
    pub function: String,
    /// The first address.
    pub at: u16,
    /// The words, or the bits as 0 and 1.
    pub words: Vec<u16>,
    /// The same bytes as text, where they look like one.
    pub text: Option<String>,
    /// What they could mean.
    pub interpretations: Vec<Interpretation>,
}

/// One plausible meaning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interpretation {
    /// The first address of the value.
    pub at: u16,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: String,
    /// Byte and word order; `None` where it makes no difference.
    pub order: Option<Order>,
    /// The value.
    pub value: Value,
}

/// What to read, checked.
///
/// # Errors
/// A usage error for a length that Modbus cannot read, or a type that does not exist or does not fit.
pub fn checked(args: &RawArgs) -> Result<Span> {
    let function = match args.function {
        FunctionArg::Coils => Function::Coils,
        FunctionArg::Discrete => Function::Discrete,
        FunctionArg::Holding => Function::Holding,
        FunctionArg::Input => Function::Input,
    };
    let span = Span {
        function,
        at: args.at,
        count: args.count,
    };
    let most = if function.is_bit() { 2000 } else { 125 };
    if args.count > most {
        return Err(HostError::usage(
            format!("--count {} is more than one read can carry", args.count),
            format!("Write at most {most} for {function} registers."),
        ));
    }
    if span.end() > 0x1_0000 {
        return Err(HostError::usage(
            format!(
                "{} registers from {} run past 65535, the last address",
                args.count, args.at
            ),
            "Begin earlier or read fewer.",
        ));
    }
    if let Some(name) = &args.ty
        && name != "text"
        && !TYPES.iter().any(|(n, _, _)| n == name)
    {
        let known: Vec<&str> = TYPES.iter().map(|(n, _, _)| *n).chain(["text"]).collect();
        return Err(HostError::usage(
            format!("--type {name} is no type"),
            format!("Types are {}.", known.join(", ")),
        ));
    }
    Ok(span)
}

/// Runs the command: through the running host where it owns the endpoint.
pub async fn run(args: &RawArgs, data_dir: &Path, output: Output) -> Result<()> {
    let endpoint = endpoint::parse(&args.url)?;
    let span = checked(args)?;
    let url = endpoint.to_string();
    let ty = args.ty.as_deref();
    let found = match endpoint::owner(data_dir, &url).await? {
        Some(mut host) => {
            let call = RawCall {
                url,
                unit: args.unit,
                span,
                ty: args.ty.clone(),
            };
            host.post("/control/raw", &call).await?
        }
        None => {
            let link = Link::open(endpoint, endpoint::one_shot(args.timeout));
            report(&link, args.unit, span, ty).await?
        }
    };
    show(&found, ty, output)
}

/// Reads and interprets.
///
/// # Errors
/// The wire's.
pub async fn report(link: &Link, unit: u8, span: Span, ty: Option<&str>) -> Result<RawReport> {
    let words = link
        .read(ReadPlan {
            unit,
            span,
            priority: Priority::Poll,
        })
        .await?;
    Ok(RawReport {
        connection: link.endpoint().to_string(),
        unit_id: unit,
        function: span.function.name().to_owned(),
        at: span.at,
        text: text_of(&words, span.function),
        interpretations: interpret(span, &words, ty),
        words,
    })
}

/// Every plausible meaning of a block. Pure.
///
/// A floating-point number is plausible when its size is one that a meter could mean; an integer always is.
pub fn interpret(span: Span, words: &[u16], only: Option<&str>) -> Vec<Interpretation> {
    if span.function.is_bit() {
        return Vec::new();
    }
    let mut all = Vec::new();
    for (name, ty, count) in TYPES {
        if only.is_some_and(|o| o != name) {
            continue;
        }
        let orders: &[Order] = match (count, ty) {
            (1, ValueType::Bcd) => &[Order::Abcd],
            (1, _) => &[Order::Abcd, Order::Badc],
            _ => &[Order::Abcd, Order::Cdab, Order::Badc, Order::Dcba],
        };
        // Without --type, wide values are shown where they would lie if the block began with one.
        let step = if only.is_some() { 1 } else { usize::from(count) };
        for start in (0..words.len()).step_by(step) {
            let Some(own) = words.get(start..start + usize::from(count)) else {
                break;
            };
            for &order in orders {
                let at = span.at.saturating_add(u16::try_from(start).unwrap_or(u16::MAX));
                let register = register(Span { at, count, ..span }, ty, order);
                let Decoded::Value(value) = decode(&register, own, None) else {
                    continue;
                };
                if only.is_none() && !plausible(&value, ty) {
                    continue;
                }
                all.push(Interpretation {
                    at,
                    ty: name.to_owned(),
                    order: (count > 1 || order != Order::Abcd).then_some(order),
                    value,
                });
            }
        }
    }
    all.sort_by_key(|i| i.at);
    all
}

fn register(span: Span, ty: ValueType, order: Order) -> Register {
    Register {
        span,
        ty,
        order,
        scale: Scale::ONE,
        offset: 0.0,
        scale_point: None,
        invalid: Vec::new(),
        preferred_when_it_fits: false,
    }
}

fn plausible(value: &Value, ty: ValueType) -> bool {
    let Some(size) = value.as_f64().map(f64::abs) else {
        return true;
    };
    match ty {
        ValueType::F32 | ValueType::F64 => size == 0.0 || (1e-4..1e9).contains(&size),
        ValueType::U64 | ValueType::I64 => size < 1e15,
        _ => true,
    }
}

/// The words as text, when every character can be printed.
fn text_of(words: &[u16], function: Function) -> Option<String> {
    if function.is_bit() {
        return None;
    }
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    (text.len() >= 2 && bytes[end..].iter().all(|b| *b == 0) && text.chars().all(|c| !c.is_control()))
        .then(|| text.to_owned())
}

/// Shows the report.
pub fn show(report: &RawReport, only: Option<&str>, output: Output) -> Result<()> {
    if output.is_json() {
        return output.document(report);
    }
    let mut table = output.table(["address", "hex", "unsigned", "signed", "bits"]);
    for (i, word) in report.words.iter().enumerate() {
        let at = report.at.saturating_add(u16::try_from(i).unwrap_or(u16::MAX));
        table.add_row(vec![
            address(at).into(),
            format!("{word:04X}").into(),
            number(word),
            number(word.cast_signed()),
            format!("{:08b} {:08b}", word >> 8, word & 0xFF).into(),
        ]);
    }
    output.line(&format!(
        "{}  unit {}, {} registers",
        output.bold(&report.connection),
        report.unit_id,
        report.function
    ));
    output.table_lines(&table);
    if let Some(text) = report.text.as_ref().filter(|_| only.is_none_or(|o| o == "text")) {
        output.line(&format!("\nas text: \"{}\"", visible(text)));
    }
    show_longer(report, only, output);
    Ok(())
}

/// Values of more than one word: a row for each place and order, a column for each type.
fn show_longer(report: &RawReport, only: Option<&str>, output: Output) {
    let types: Vec<&str> = match only {
        Some(only) if only != "text" => vec![only],
        Some(_) => return,
        None => SHOWN_TYPES.to_vec(),
    };
    let mut rows: Vec<(u16, Option<Order>)> = Vec::new();
    for i in report
        .interpretations
        .iter()
        .filter(|i| types.contains(&i.ty.as_str()))
    {
        if !rows.contains(&(i.at, i.order)) {
            rows.push((i.at, i.order));
        }
    }
    if rows.is_empty() {
        return;
    }
    output.line(&format!("\n{}", output.bold("What longer values could mean")));
    let mut headings = vec!["address", "order"];
    headings.extend(&types);
    let mut table = output.table_of(&headings);
    for (at, order) in rows {
        let mut cells = vec![address(at).into(), order.map_or("", order_name).into()];
        for ty in &types {
            let meant = report
                .interpretations
                .iter()
                .find(|i| i.at == at && i.order == order && i.ty == *ty);
            cells.push(number(meant.map_or_else(String::new, |i| {
                format::value(Some(&i.value), None, None, busbar_ledger::value::Quality::Good)
            })));
        }
        table.add_row(cells);
    }
    output.table_lines(&table);
    if only.is_none() {
        output.line(&output.dim("--type u64, i64, f64, u24 or bcd shows those."));
    }
}

fn address(at: u16) -> String {
    format!("{at} (0x{at:04X})")
}

fn order_name(order: Order) -> &'static str {
    match order {
        Order::Abcd => "ABCD (usual)",
        Order::Cdab => "CDAB (words swapped)",
        Order::Badc => "BADC (bytes swapped)",
        Order::Dcba => "DCBA (both)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_shows_in_the_order_in_which_it_makes_sense() {
        // 230.5 as f32 is 0x43668000; the words stand swapped here.
        let found = interpret(Span::holding(10, 2), &[0x8000, 0x4366], None);
        let floats: Vec<_> = found.iter().filter(|i| i.ty == "f32").collect();
        assert!(
            floats
                .iter()
                .any(|i| i.order == Some(Order::Cdab) && i.value == Value::Number(230.5)),
            "{floats:?}"
        );
    }

    #[test]
    fn a_type_asked_for_is_shown_at_every_address() {
        let found = interpret(Span::holding(0, 3), &[1, 2, 3], Some("u32"));
        assert_eq!(found.iter().filter(|i| i.order == Some(Order::Abcd)).count(), 2);
    }
}
