//! Registers and what they could mean, for people.

use busbar_ledger::model::Order;
use busbar_ledger::value::Quality;

use super::RawReport;
use crate::cli::output::{Output, number};
use crate::error::Result;
use crate::format::{self, visible};
use crate::interpret::Interpretation;

/// As many meanings of one address are shown as a person wants to read; --type and --json have all.
const MEANINGS: usize = 4;

/// Shows the report.
pub(super) fn show(report: &RawReport, only: Option<&str>, output: Output) -> Result<()> {
    if output.is_json() {
        return output.document(report);
    }
    output.line(&format!(
        "{}  unit {}, {} registers",
        output.bold(&visible(&report.connection)),
        report.unit_id,
        visible(&report.function)
    ));
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
    output.table_lines(&table);
    if let Some(at) = report.sunspec_at {
        output.line(&format!(
            "\nSunS at {at}: a SunSpec device. `busbar scan {}` reads its models.",
            visible(&report.connection)
        ));
    }
    if let Some(text) = report.text.as_ref().filter(|_| only.is_none_or(|o| o == "text")) {
        output.line(&format!("\nas text: \"{}\"", visible(text)));
    }
    meanings(report, only, output);
    Ok(())
}

/// A row for each meaning; those of one address stand together, the likeliest first.
fn meanings(report: &RawReport, only: Option<&str>, output: Output) {
    let shown = worth_reading(&report.interpretations, only);
    if shown.is_empty() {
        if report.words.iter().all(|word| *word == 0) {
            output.line("\nNothing but zeros: 0 in every type.");
        }
        return;
    }
    output.line(&format!(
        "\n{}",
        output.bold("What they could mean, by address, at each the likeliest first")
    ));
    let mut table = output.table(["address", "type", "order", "value", ""]);
    let mut last = None;
    for meaning in &shown {
        let own = (last != Some(meaning.at)).then(|| address(meaning.at));
        last = Some(meaning.at);
        table.add_row(vec![
            own.unwrap_or_default().into(),
            meaning.ty.as_str().into(),
            meaning.order.map_or("", order_name).into(),
            number(format::value(Some(&meaning.value), None, None, Quality::Good)),
            output.dim_cell(&meaning.hint.as_deref().map(visible).unwrap_or_default()),
        ]);
    }
    output.table_lines(&table);
    if only.is_none() && shown.len() < report.interpretations.len() {
        output.line(&output.dim("--type shows every meaning of one type, --json all of them."));
    }
}

/// Leaves out what the table above shows already, and all but the best few of each address.
fn worth_reading<'a>(all: &'a [Interpretation], only: Option<&str>) -> Vec<&'a Interpretation> {
    let mut shown: Vec<&Interpretation> = Vec::new();
    for meaning in all {
        // Zeros are zeros in every type, and stand in the table above.
        if only.is_none() && meaning.value.as_f64() == Some(0.0) {
            continue;
        }
        let plain = meaning.words == 1 && meaning.order.is_none() && meaning.hint.is_none();
        let of_this = shown
            .iter()
            .rev()
            .take_while(|other| other.at == meaning.at)
            .count();
        if only.is_some() || (!(plain && meaning.ty != "bcd") && of_this < MEANINGS) {
            shown.push(meaning);
        }
    }
    shown
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
