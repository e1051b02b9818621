//! The ledger of one device: the one that ships, with what is known of this very device.
//!
//! Tariffs are called what they are in the country, whose standard time is kept, too; what a meter says under a code that the ledger does not know is a point
//! of its own, as it stands.

use std::collections::BTreeSet;
use std::fmt::Write;

use busbar_ledger::model::Ledger;
use busbar_ledger::obis::Obis;
use busbar_ledger::telegram::Line;

use crate::ledgers::{METER, Shipped};
use crate::recognise::CHANNELS;
use crate::variant::Variant;

/// The most points under codes that are not known.
const MAX_RAW: usize = 256;

/// What the two tariffs of a country are.
const LOW_HIGH: [&str; 2] = ["low", "normal"];
const DAY_NIGHT: [&str; 2] = ["day", "night"];

/// What a Hungarian meter keeps of the end of the last month, in the order of its brackets from the second on: how it calls
/// itself in a key, its label, unit, and class.
const MONTH_END: [(&str, &str, &str, &str); 19] = [
    ("energy_forward", "energy imported", "kWh", "energy"),
    ("energy_forward_t1", "energy imported, tariff 1", "kWh", "energy"),
    ("energy_forward_t2", "energy imported, tariff 2", "kWh", "energy"),
    ("energy_reverse", "energy exported", "kWh", "energy"),
    ("energy_reverse_t1", "energy exported, tariff 1", "kWh", "energy"),
    ("energy_reverse_t2", "energy exported, tariff 2", "kWh", "energy"),
    (
        "reactive_energy_forward",
        "reactive energy imported",
        "kvarh",
        "reactive_energy",
    ),
    (
        "reactive_energy_reverse",
        "reactive energy exported",
        "kvarh",
        "reactive_energy",
    ),
    (
        "reactive_energy_q1",
        "reactive energy quadrant 1",
        "kvarh",
        "reactive_energy",
    ),
    (
        "reactive_energy_q2",
        "reactive energy quadrant 2",
        "kvarh",
        "reactive_energy",
    ),
    (
        "reactive_energy_q3",
        "reactive energy quadrant 3",
        "kvarh",
        "reactive_energy",
    ),
    (
        "reactive_energy_q4",
        "reactive energy quadrant 4",
        "kvarh",
        "reactive_energy",
    ),
    (
        "energy_gross",
        "energy imported and exported together",
        "kWh",
        "energy",
    ),
    ("power_import_max", "highest power imported", "W", "power"),
    (
        "power_import_max_t1",
        "highest power imported, tariff 1",
        "W",
        "power",
    ),
    (
        "power_import_max_t2",
        "highest power imported, tariff 2",
        "W",
        "power",
    ),
    ("power_export_max", "highest power exported", "W", "power"),
    (
        "power_export_max_t1",
        "highest power exported, tariff 1",
        "W",
        "power",
    ),
    (
        "power_export_max_t2",
        "highest power exported, tariff 2",
        "W",
        "power",
    ),
];

/// The text, where there is more to say than the shipped one does.
pub(crate) fn text(
    shipped: &Shipped,
    ledger: &Ledger,
    unit: u8,
    lines: &[Line],
    variant: Variant,
) -> Option<String> {
    let mut text = shipped.text.to_owned();
    if unit == 0 && shipped.file == METER.file {
        match variant {
            Variant::Nl3 | Variant::Nl4 | Variant::Nl5 => text = with_tariffs(&text, LOW_HIGH),
            Variant::Be => text = with_tariffs(&text, DAY_NIGHT),
            Variant::Hu => month_end(&mut text, lines),
            Variant::Ie => text.push_str("\n[read]\nstandard_offset = \"+00:00\"\n"),
            _ => {}
        }
    }
    let known: BTreeSet<Obis> = ledger
        .points
        .iter()
        .filter_map(|point| point.spoken())
        .flat_map(|spoken| spoken.codes.iter().map(|code| code.at(unit)))
        .collect();
    let unknown: BTreeSet<Obis> = lines
        .iter()
        .map(|line| line.code)
        .filter(|code| owner(*code) == unit && !known.contains(code))
        .collect();
    for code in unknown.into_iter().take(MAX_RAW) {
        raw(&mut text, code, unit);
    }
    (text != shipped.text).then_some(text)
}

/// Whose a code is: the device's on a channel, or the meter's.
fn owner(code: Obis) -> u8 {
    match code.medium {
        0 if CHANNELS.contains(&code.channel) => code.channel,
        _ => 0,
    }
}

/// Calls tariff 1 and 2 what they are.
fn with_tariffs(text: &str, [one, two]: [&str; 2]) -> String {
    let first_letter_up = |name: &str| {
        let mut letters = name.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    text.replace("tariff 1\"", &format!("tariff 1 ({one})\""))
        .replace("tariff 2\"", &format!("tariff 2 ({two})\""))
        .replace("\"Tariff 1\"", &format!("\"{}\"", first_letter_up(one)))
        .replace("\"Tariff 2\"", &format!("\"{}\"", first_letter_up(two)))
}

/// Adds what the meter keeps of the end of the last month, where it has the layout that is known.
fn month_end(text: &mut String, lines: &[Line]) {
    let dump = lines.iter().find(|line| line.code.to_string() == "0-0:98.1.0");
    let fits = dump.is_some_and(|line| {
        let units = line.groups.iter().skip(1).map(|group| group.unit.as_deref());
        let expected = MONTH_END.iter().map(|(_, _, unit, _)| match *unit {
            "W" => Some("kW"),
            unit => Some(unit),
        });
        units.eq(expected)
    });
    if !fits {
        return;
    }
    let place = "obis = \"0-0:98.1.0\"";
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "\n[points.month_end]\n{place}\nbracket = 1\ntype = \"timestamp\"\nclass = \"timestamp\"\nrate = \"slow\"\n\
         label = \"End of the last month\""
    );
    for (at, (key, label, unit, class)) in MONTH_END.iter().enumerate() {
        let _ = writeln!(
            text,
            "\n[points.month_end_{key}]\n{place}\nbracket = {}\nunit = \"{unit}\"\nclass = \"{class}\"\nrate = \"slow\"\n\
             label = \"Last month's end: {label}\"",
            at + 2
        );
    }
}

/// Adds a point for a code that is not known.
fn raw(text: &mut String, code: Obis, unit: u8) {
    let written = match unit {
        0 => code.to_string(),
        _ => code.to_string().replacen(&format!("0-{unit}:"), "0-n:", 1),
    };
    let key: String = written
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let _ = writeln!(
        text,
        "\n[points.raw_{key}]\nobis = \"{written}\"\ntype = \"raw\"\nrate = \"slow\"\nlabel = \"{written}\""
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composed(texts: &[&str], variant: Variant) -> Ledger {
        let lines = busbar_ledger::telegram::lines(texts);
        let ledger = METER.ledger().unwrap();
        let text = text(&METER, &ledger, 0, &lines, variant).unwrap();
        busbar_ledger::parse("made.toml", &text).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn tariffs_are_called_what_they_are_in_the_country() {
        for (variant, one, two) in [
            (Variant::Nl5, "low", "normal"),
            (Variant::Nl3, "low", "normal"),
            (Variant::Be, "day", "night"),
        ] {
            let ledger = composed(&[], variant);
            let label = |key: &str| ledger.point(key).unwrap().label.clone();
            assert_eq!(
                label("energy_forward_t1"),
                format!("Energy imported, tariff 1 ({one})")
            );
            assert_eq!(
                label("energy_reverse_t2"),
                format!("Energy exported, tariff 2 ({two})")
            );
            let tariff = &ledger.point("tariff").unwrap().labels;
            assert_eq!(tariff[&1].to_lowercase(), one);
            assert_eq!(tariff[&2].to_lowercase(), two);
            assert_eq!(tariff[&3], "Tariff 3");
        }
    }

    #[test]
    fn a_code_that_is_not_known_is_a_point_as_it_stands() {
        let ledger = composed(
            &[
                "1-0:99.1.0(5)(6*kWh)",
                "1-0:1.8.0*96(1*kWh)",
                "0-1:24.9.9(1)",
                "1-0:1.7.0(1*kW)",
            ],
            Variant::Other,
        );
        let raw: Vec<&str> = ledger
            .points
            .iter()
            .map(|point| point.key.as_str())
            .filter(|key| key.starts_with("raw_"))
            .collect();
        assert_eq!(raw, ["raw_1_0_1_8_0_96", "raw_1_0_99_1_0"]);
        let lines = busbar_ledger::telegram::lines(&["1-0:99.1.0(5)(6*kWh)"]);
        let readings = busbar_ledger::telegram::readings(&ledger, 0, &lines);
        let value = readings[ledger.index["raw_1_0_99_1_0"]].value.clone();
        assert_eq!(value.unwrap().to_string(), "(5)(6*kWh)");
    }

    #[test]
    fn a_country_of_another_standard_time_is_kept() {
        let ledger = composed(&[], Variant::Ie);
        assert_eq!(ledger.read.standard_offset, Variant::Ie.standard_offset());
    }

    #[test]
    fn where_nothing_is_to_be_added_the_shipped_one_will_do() {
        let lines = busbar_ledger::telegram::lines(&["1-0:1.7.0(1*kW)"]);
        let ledger = METER.ledger().unwrap();
        assert_eq!(text(&METER, &ledger, 0, &lines, Variant::Se), None);
    }
}
