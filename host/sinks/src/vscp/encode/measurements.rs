//! Which values become events: name, quantity, id, note, and where the value is found. "Out" is what is drawn from the
//! grid and "in" what is fed into it: as the grid sees it, and as those who listen know it.

use busbar_ledger::model::{Class, Ledger, Point};
use serde::Deserialize;

/// What is measured: decides the type of the event and its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    Energy,
    ReactiveEnergy,
    Power,
    ReactivePower,
    Voltage,
    Current,
    PowerFactor,
    Frequency,
    Volume,
}

/// Events that are switched on and off together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Counters of active and reactive energy.
    Energy,
    /// Active power, in all and of each phase.
    ActiveEffect,
    /// Reactive power, in all and of each phase.
    ReactiveEffect,
    /// The voltage of each phase.
    Voltage,
    /// The current of each phase.
    Current,
    /// The power factor, in all and of each phase.
    PowerFactor,
    /// The frequency of the grid.
    Frequency,
    /// Counters of gas and water.
    Volume,
}

impl Group {
    /// All of them.
    pub const ALL: [Group; 8] = [
        Group::Energy,
        Group::ActiveEffect,
        Group::ReactiveEffect,
        Group::Voltage,
        Group::Current,
        Group::PowerFactor,
        Group::Frequency,
        Group::Volume,
    ];

    /// Whether it is sent where nobody says otherwise: what the old tool sent, and no more.
    pub fn usually(self) -> bool {
        !matches!(self, Group::PowerFactor | Group::Frequency | Group::Volume)
    }
}

/// One value that becomes events.
#[derive(Debug)]
pub struct Measurement {
    /// Its name among the settings.
    pub key: &'static str,
    /// Its line in a telegram.
    pub obis: &'static str,
    /// The keys under which ledgers have it, the best first, and which part of such a value it is.
    sources: &'static [(&'static str, Part)],
    /// What it is.
    pub quantity: Quantity,
    /// With what it is switched.
    pub group: Group,
    /// The usual id of its sensor, and the usual sensor index.
    pub id: u8,
    /// What it is called when nobody calls it otherwise.
    pub note: &'static str,
}

/// Which part of a value is meant: a meter with one signed power has what is drawn above 0 and what is fed in below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// What is above 0.
    Above,
    /// What is below 0, without its sign.
    Below,
}

/// A measurement and the point of a device that brings it.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// What it becomes.
    pub measurement: &'static Measurement,
    /// The point's place in the ledger.
    pub index: usize,
    /// Which part of its value.
    pub part: Part,
}

use Group as G;
use Part::{Above, Below, Whole};
use Quantity as Q;

type Row = (
    &'static str,
    &'static str,
    &'static [(&'static str, Part)],
    Quantity,
    Group,
    u8,
    &'static str,
);

const fn row((key, obis, sources, quantity, group, id, note): Row) -> Measurement {
    Measurement {
        key,
        obis,
        sources,
        quantity,
        group,
        id,
        note,
    }
}

/// All of them, by id.
#[rustfmt::skip]
pub static ALL: [Measurement; 32] = [
    row(("sum_active_energy_out", "1-0:1.8.0", &[("energy_import", Whole), ("energy_forward", Whole)], Q::Energy, G::Energy, 1, "Meter reading active energy out")),
    row(("sum_active_energy_in", "1-0:2.8.0", &[("energy_export", Whole), ("energy_reverse", Whole)], Q::Energy, G::Energy, 2, "Meter reading active energy in")),
    row(("sum_reactive_energy_out", "1-0:3.8.0", &[("reactive_energy_import", Whole), ("reactive_energy_forward", Whole)], Q::ReactiveEnergy, G::Energy, 3, "Meter reading reactive energy out")),
    row(("sum_reactive_energy_in", "1-0:4.8.0", &[("reactive_energy_export", Whole), ("reactive_energy_reverse", Whole)], Q::ReactiveEnergy, G::Energy, 4, "Meter reading reactive energy in")),
    row(("momentan_active_effect_out", "1-0:1.7.0", &[("power_import", Whole), ("power_total", Above)], Q::Power, G::ActiveEffect, 5, "Active effect out")),
    row(("momentan_active_effect_in", "1-0:2.7.0", &[("power_export", Whole), ("power_total", Below)], Q::Power, G::ActiveEffect, 6, "Active effect in")),
    row(("momentan_reactive_effect_out", "1-0:3.7.0", &[("reactive_power_import", Whole), ("reactive_power_total", Above)], Q::ReactivePower, G::ReactiveEffect, 7, "Reactive effect out")),
    row(("momentan_reactive_effect_in", "1-0:4.7.0", &[("reactive_power_export", Whole), ("reactive_power_total", Below)], Q::ReactivePower, G::ReactiveEffect, 8, "Reactive effect in")),
    row(("momentan_active_effect_l1_out", "1-0:21.7.0", &[("power_import_l1", Whole), ("power_l1", Above)], Q::Power, G::ActiveEffect, 9, "Active effect L1 out")),
    row(("momentan_active_effect_l1_in", "1-0:22.7.0", &[("power_export_l1", Whole), ("power_l1", Below)], Q::Power, G::ActiveEffect, 10, "Active effect L1 in")),
    row(("momentan_active_effect_l2_out", "1-0:41.7.0", &[("power_import_l2", Whole), ("power_l2", Above)], Q::Power, G::ActiveEffect, 11, "Active effect L2 out")),
    row(("momentan_active_effect_l2_in", "1-0:42.7.0", &[("power_export_l2", Whole), ("power_l2", Below)], Q::Power, G::ActiveEffect, 12, "Active effect L2 in")),
    row(("momentan_active_effect_l3_out", "1-0:61.7.0", &[("power_import_l3", Whole), ("power_l3", Above)], Q::Power, G::ActiveEffect, 13, "Active effect L3 out")),
    row(("momentan_active_effect_l3_in", "1-0:62.7.0", &[("power_export_l3", Whole), ("power_l3", Below)], Q::Power, G::ActiveEffect, 14, "Active effect L3 in")),
    row(("momentan_reactive_effect_l1_out", "1-0:23.7.0", &[("reactive_power_import_l1", Whole), ("reactive_power_l1", Above)], Q::ReactivePower, G::ReactiveEffect, 15, "Reactive effect L1 out")),
    row(("momentan_reactive_effect_l1_in", "1-0:24.7.0", &[("reactive_power_export_l1", Whole), ("reactive_power_l1", Below)], Q::ReactivePower, G::ReactiveEffect, 16, "Reactive effect L1 in")),
    row(("momentan_reactive_effect_l2_out", "1-0:43.7.0", &[("reactive_power_import_l2", Whole), ("reactive_power_l2", Above)], Q::ReactivePower, G::ReactiveEffect, 17, "Reactive effect L2 out")),
    row(("momentan_reactive_effect_l2_in", "1-0:44.7.0", &[("reactive_power_export_l2", Whole), ("reactive_power_l2", Below)], Q::ReactivePower, G::ReactiveEffect, 18, "Reactive effect L2 in")),
    row(("momentan_reactive_effect_l3_out", "1-0:63.7.0", &[("reactive_power_import_l3", Whole), ("reactive_power_l3", Above)], Q::ReactivePower, G::ReactiveEffect, 19, "Reactive effect L3 out")),
    row(("momentan_reactive_effect_l3_in", "1-0:64.7.0", &[("reactive_power_export_l3", Whole), ("reactive_power_l3", Below)], Q::ReactivePower, G::ReactiveEffect, 20, "Reactive effect L3 in")),
    row(("voltage_l1", "1-0:32.7.0", &[("voltage_l1", Whole)], Q::Voltage, G::Voltage, 21, "Voltage L1")),
    row(("voltage_l2", "1-0:52.7.0", &[("voltage_l2", Whole)], Q::Voltage, G::Voltage, 22, "Voltage L2")),
    row(("voltage_l3", "1-0:72.7.0", &[("voltage_l3", Whole)], Q::Voltage, G::Voltage, 23, "Voltage L3")),
    row(("current_l1", "1-0:31.7.0", &[("current_l1", Whole)], Q::Current, G::Current, 24, "Current L1")),
    row(("current_l2", "1-0:51.7.0", &[("current_l2", Whole)], Q::Current, G::Current, 25, "Current L2")),
    row(("current_l3", "1-0:71.7.0", &[("current_l3", Whole)], Q::Current, G::Current, 26, "Current L3")),
    row(("power_factor", "1-0:13.7.0", &[("power_factor", Whole), ("power_factor_total", Whole)], Q::PowerFactor, G::PowerFactor, 27, "Power factor")),
    row(("power_factor_l1", "1-0:33.7.0", &[("power_factor_l1", Whole)], Q::PowerFactor, G::PowerFactor, 28, "Power factor L1")),
    row(("power_factor_l2", "1-0:53.7.0", &[("power_factor_l2", Whole)], Q::PowerFactor, G::PowerFactor, 29, "Power factor L2")),
    row(("power_factor_l3", "1-0:73.7.0", &[("power_factor_l3", Whole)], Q::PowerFactor, G::PowerFactor, 30, "Power factor L3")),
    row(("frequency", "1-0:14.7.0", &[("frequency", Whole)], Q::Frequency, G::Frequency, 31, "Frequency")),
    row(("volume", "0-n:24.2.1", &[("reading", Whole), ("volume", Whole)], Q::Volume, G::Volume, 32, "Meter reading volume")),
];

/// The measurement of this name.
pub fn named(key: &str) -> Option<&'static Measurement> {
    ALL.iter().find(|m| m.key == key)
}

impl Quantity {
    /// The type of its events, the same in all classes of measurements.
    pub fn event_type(self) -> u16 {
        match self {
            Quantity::Current => 5,
            Quantity::Frequency => 9,
            Quantity::Energy => 13,
            Quantity::Power => 14,
            Quantity::Voltage => 16,
            Quantity::Volume => 28,
            Quantity::PowerFactor => 63,
            Quantity::ReactivePower => 64,
            Quantity::ReactiveEnergy => 65,
        }
    }

    /// The number of the unit in which it is sent: the type's default, but for energy, whose default is the joule, the
    /// kilowatt-hour.
    pub fn unit(self) -> u8 {
        match self {
            Quantity::Energy => 1,
            _ => 0,
        }
    }

    /// So many of the type's default unit make one of the unit in which it is sent.
    pub fn in_default_unit(self) -> i64 {
        match self {
            Quantity::Energy => 3_600_000,
            _ => 1,
        }
    }

    /// To which power of ten times a value in this unit it is one in the unit in which it is sent. `None`: no unit of this
    /// quantity.
    fn power(self, unit: Option<&str>) -> Option<i32> {
        let base = match self {
            Quantity::Energy => "kWh",
            Quantity::ReactiveEnergy => "kvarh",
            Quantity::Power => "W",
            Quantity::ReactivePower => "var",
            Quantity::Voltage => "V",
            Quantity::Current => "A",
            Quantity::Frequency => "Hz",
            Quantity::Volume => {
                return match unit? {
                    "m³" | "m3" => Some(0),
                    "L" | "l" => Some(-3),
                    _ => None,
                };
            }
            Quantity::PowerFactor => {
                return match unit {
                    None | Some("") => Some(0),
                    Some("%") => Some(-2),
                    Some(_) => None,
                };
            }
        };
        let prefix = |unit: &str| -> Option<(i32, String)> {
            const PREFIXES: [(&str, i32); 4] = [("m", -3), ("k", 3), ("M", 6), ("G", 9)];
            let with = PREFIXES
                .into_iter()
                .find_map(|(prefix, power)| Some((power, unit.strip_prefix(prefix)?.to_owned())));
            with.or_else(|| Some((0, unit.to_owned())))
        };
        let (own, bare) = prefix(unit?)?;
        let (wanted, base) = prefix(base)?;
        (bare == base).then_some(own - wanted)
    }

    fn is(self, class: Option<Class>) -> bool {
        matches!(
            (self, class),
            (_, None)
                | (Quantity::Energy, Some(Class::Energy))
                | (Quantity::ReactiveEnergy, Some(Class::ReactiveEnergy))
                | (Quantity::Power, Some(Class::Power))
                | (Quantity::ReactivePower, Some(Class::ReactivePower))
                | (Quantity::Voltage, Some(Class::Voltage))
                | (Quantity::Current, Some(Class::Current))
                | (Quantity::PowerFactor, Some(Class::PowerFactor))
                | (Quantity::Frequency, Some(Class::Frequency))
                | (Quantity::Volume, Some(Class::Gas | Class::Water | Class::Volume))
        )
    }
}

impl Measurement {
    /// The power of ten that turns a value of this point into one of the unit in which it is sent; `None` where the point
    /// is of another quantity.
    pub fn power(&self, point: &Point) -> Option<i32> {
        self.quantity.is(point.class).then_some(())?;
        self.quantity.power(point.unit.as_deref())
    }

    /// How good a source a point is, 0 the best; `None` where it is none.
    fn rank(&self, point: &Point) -> Option<(usize, Part)> {
        self.power(point)?;
        let places = self.sources.iter().enumerate();
        let named = places.filter(|(_, (key, _))| *key == point.key);
        named.map(|(rank, (_, part))| (rank + 1, *part)).next()
    }
}

/// Where a device's measurements are found: for each at most one point, the best of those that it has.
pub fn sources(ledger: &Ledger, has: impl Fn(usize) -> bool) -> Vec<Source> {
    let best = |measurement: &'static Measurement| {
        let points = ledger.points.iter().enumerate();
        let there = points.filter(|(index, point)| has(*index) && !point.internal);
        let ranked = there.filter_map(|(index, point)| {
            let (rank, part) = measurement.rank(point)?;
            Some((
                rank,
                Source {
                    measurement,
                    index,
                    part,
                },
            ))
        });
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, source)| source)
    };
    ALL.iter().filter_map(best).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_names_and_lines_differ_and_count_from_one() {
        let mut obis: Vec<&str> = ALL.iter().map(|m| m.obis).collect();
        let mut keys: Vec<&str> = ALL.iter().map(|m| m.key).collect();
        for (place, measurement) in ALL.iter().enumerate() {
            assert_eq!(usize::from(measurement.id), place + 1, "{}", measurement.key);
            assert_eq!(named(measurement.key).map(|m| m.id), Some(measurement.id));
        }
        obis.sort_unstable();
        obis.dedup();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!((obis.len(), keys.len()), (ALL.len(), ALL.len()));
        // What the old tool sent is what is sent where nobody says otherwise.
        let usual = ALL.iter().filter(|m| m.group.usually());
        assert_eq!(
            usual.map(|m| m.id).collect::<Vec<_>>(),
            (1..=26).collect::<Vec<_>>()
        );
    }

    #[test]
    fn units_are_turned_into_those_of_events() {
        for (quantity, unit, power) in [
            (Quantity::Power, "W", Some(0)),
            (Quantity::Power, "kW", Some(3)),
            (Quantity::Power, "mW", Some(-3)),
            (Quantity::Power, "VA", None),
            (Quantity::Energy, "kWh", Some(0)),
            (Quantity::Energy, "Wh", Some(-3)),
            (Quantity::Energy, "MWh", Some(3)),
            (Quantity::ReactiveEnergy, "varh", Some(-3)),
            (Quantity::ReactivePower, "kvar", Some(3)),
            (Quantity::Voltage, "mV", Some(-3)),
            (Quantity::Volume, "m³", Some(0)),
            (Quantity::Volume, "L", Some(-3)),
            (Quantity::PowerFactor, "%", Some(-2)),
            (Quantity::PowerFactor, "W", None),
        ] {
            assert_eq!(quantity.power(Some(unit)), power, "{quantity:?} {unit}");
        }
        assert_eq!(Quantity::PowerFactor.power(None), Some(0));
        assert_eq!(Quantity::Power.power(None), None);
    }

    #[test]
    fn a_meter_with_one_signed_power_has_both_and_what_it_lacks_is_none() {
        let text = "ledger = \"test/one\"\ntitle = \"One\"\n[points]\n\
            power_total = { at = 0, type = \"i32\", unit = \"W\", class = \"power\" }\n\
            energy_forward = { at = 2, type = \"u32\", unit = \"Wh\", class = \"energy\", total = \"increasing\" }\n\
            voltage_l1 = { at = 4, type = \"u16\", unit = \"V\", class = \"voltage\" }\n\
            current_l1 = { at = 5, type = \"u16\", unit = \"°C\", class = \"temperature\" }\n";
        let ledger = busbar_ledger::parse("one", text).unwrap();
        let found = sources(&ledger, |index| ledger.points[index].key != "voltage_l1");
        let found: Vec<_> = found
            .iter()
            .map(|s| (s.measurement.id, ledger.points[s.index].key.as_str(), s.part))
            .collect();
        assert_eq!(
            found,
            [
                (1, "energy_forward", Whole),
                (5, "power_total", Above),
                (6, "power_total", Below)
            ]
        );
    }
}
