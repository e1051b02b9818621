//! To which family of metrics a point belongs. Pure.
//!
//! One family for each quantity, unit and way of running, so that no two kinds of values ever share a name:
//!
//! - a measurement is a gauge: `busbar_power_watts`, `busbar_temperature_celsius`;
//! - a counter that only runs upwards is one, too, by Prometheus' rules also where it begins again at 0:
//!   `busbar_energy_joules_total`;
//! - a counter that runs both ways is a gauge: `busbar_energy_net_joules`;
//! - a gauge of a quantity that is usually counted: `busbar_volume_level_cubic_meters` (what is in a tank);
//! - a counter of a quantity that is usually measured: `busbar_power_sum_watts_total`;
//! - a state is a number, `busbar_state_number`, and what it means is `busbar_state_info`;
//! - a value with a unit that Busbar does not know stands in `busbar_other` as it is, with its unit as a label.

use busbar_ledger::model::{Class, Point, Total};

use super::text::Kind;
use super::units::{Base, base};
use crate::samples::class_name;

/// A family of metrics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Family {
    /// Its name, for a counter without `_total`.
    pub name: String,
    /// What kind it is.
    pub kind: Kind,
    /// The unit, as the name ends.
    pub unit: &'static str,
    /// One line about it.
    pub help: String,
}

/// Where the value of a point goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The family.
    pub family: Family,
    /// What a value is multiplied with.
    pub factor: f64,
}

/// The family of values whose unit is not known; it stands in a label.
pub const OTHER: &str = "busbar_other";
/// The family of the numbers of states.
pub const STATE: &str = "busbar_state_number";
/// The family of what those mean, without `_info`.
pub const STATE_INFO: &str = "busbar_state";

/// Where the value of a point goes.
pub fn place(point: &Point) -> Place {
    let is_state = matches!(point.class, Some(Class::Enum | Class::State)) || !point.labels.is_empty();
    if is_state {
        let family = Family {
            name: STATE.to_owned(),
            kind: Kind::Gauge,
            unit: "",
            help: "A state, as the number that the device gives; busbar_state_info says what it means."
                .to_owned(),
        };
        return plain(family);
    }
    let known = point.unit.as_deref().map(base);
    let Some(Base {
        word,
        quantity,
        factor,
    }) = known.flatten().or_else(|| without_unit(point))
    else {
        let family = Family {
            name: OTHER.to_owned(),
            kind: Kind::Gauge,
            unit: "",
            help: "A value as it is, with its unit as a label where it has one.".to_owned(),
        };
        return plain(family);
    };
    let class = point.class.map(class_name);
    let quantity = class.as_deref().unwrap_or(quantity);
    let counted = matches!(
        quantity,
        "apparent_energy" | "duration" | "energy" | "gas" | "reactive_energy" | "volume" | "water"
    );
    let (kind, way) = match point.total {
        Some(Total::Increasing | Total::Wrapping | Total::Resetting) => {
            (Kind::Counter, if counted { "" } else { "_sum" })
        }
        Some(Total::Net) => (Kind::Gauge, "_net"),
        None => (Kind::Gauge, if counted { "_level" } else { "" }),
    };
    let words = quantity.replace('_', " ");
    let what = match (kind, point.total) {
        (Kind::Counter, _) => format!("{words}, counted upwards"),
        (_, Some(_)) => format!("{words}, counted up and down"),
        _ => words,
    };
    let mut help = format!("{what}, in {}.", word.replace('_', " "));
    if let Some(first) = help.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Place {
        family: Family {
            name: format!("busbar_{quantity}{way}_{word}"),
            kind,
            unit: word,
            help,
        },
        factor,
    }
}

/// A power factor has no unit, and is one all the same.
fn without_unit(point: &Point) -> Option<Base> {
    let ratio = point.unit.is_none() && point.class == Some(Class::PowerFactor);
    ratio.then_some(Base {
        word: "ratio",
        quantity: "power_factor",
        factor: 1.0,
    })
}

fn plain(family: Family) -> Place {
    Place { family, factor: 1.0 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn of(point: &str) -> Place {
        let text = format!("ledger = \"test/one\"\ntitle = \"One\"\n[points]\na = {{ at = 0, {point} }}\n");
        place(&busbar_ledger::parse("one", &text).unwrap().points[0])
    }

    fn name(point: &str) -> String {
        let place = of(point);
        format!("{} {:?} {}", place.family.name, place.family.kind, place.factor)
    }

    #[test]
    fn names_have_base_units_and_counters_are_counters() {
        for (point, expected) in [
            (
                "type = \"i16\", unit = \"kW\", class = \"power\"",
                "busbar_power_watts Gauge 1000",
            ),
            (
                "type = \"u32\", unit = \"kWh\", class = \"energy\", total = \"increasing\"",
                "busbar_energy_joules Counter 3600000",
            ),
            (
                "type = \"i32\", unit = \"kWh\", class = \"energy\", total = \"net\"",
                "busbar_energy_net_joules Gauge 3600000",
            ),
            (
                "type = \"u32\", unit = \"kWh\", class = \"energy\"",
                "busbar_energy_level_joules Gauge 3600000",
            ),
            (
                "type = \"u16\", unit = \"%\", class = \"battery\"",
                "busbar_battery_ratio Gauge 0.01",
            ),
            (
                "type = \"u16\", class = \"power_factor\"",
                "busbar_power_factor_ratio Gauge 1",
            ),
            ("type = \"u16\", unit = \"V\"", "busbar_voltage_volts Gauge 1"),
            (
                "type = \"u16\", class = \"enum\", labels = { 0 = \"Off\" }",
                "busbar_state_number Gauge 1",
            ),
            ("type = \"u16\"", "busbar_other Gauge 1"),
        ] {
            assert_eq!(name(point), expected, "{point}");
        }
        assert_eq!(of("type = \"u16\", unit = \"furlong\"").family.name, OTHER);
    }

    #[test]
    fn no_two_kinds_of_values_share_a_name() {
        let mut seen: BTreeMap<String, Family> = BTreeMap::new();
        let classes = ["energy", "volume", "power", "duration", "capacity", "gas"];
        let units = ["kWh", "m³", "W", "s", "Ah", "m³"];
        for (class, unit) in classes.iter().zip(units) {
            for total in [
                "",
                ", total = \"increasing\"",
                ", total = \"net\"",
                ", total = \"resetting\"",
            ] {
                let text = format!("type = \"i32\", unit = \"{unit}\", class = \"{class}\"{total}");
                let ledger =
                    format!("ledger = \"test/one\"\ntitle = \"One\"\n[points]\na = {{ at = 0, {text} }}\n");
                let Ok(ledger) = busbar_ledger::parse("one", &ledger) else {
                    continue;
                };
                let family = place(&ledger.points[0]).family;
                let other = seen.entry(family.name.clone()).or_insert_with(|| family.clone());
                assert_eq!(*other, family, "{text}");
            }
        }
        assert!(seen.len() > 12, "{seen:?}");
    }
}
