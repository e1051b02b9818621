//! Units of measurement, as meters write them and as ledgers do, and the exact factor from one to the other.

use crate::model::Scale;

/// What is measured: only units of one kind can be turned into each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Energy,
    ReactiveEnergy,
    ApparentEnergy,
    Power,
    ReactivePower,
    ApparentPower,
    Voltage,
    Current,
    Frequency,
    Duration,
    Volume,
    Temperature,
}

/// Name, kind, and the factor to the smallest unit of the kind.
const UNITS: [(&str, Kind, i64, i64); 36] = [
    ("Wh", Kind::Energy, 1, 1),
    ("kWh", Kind::Energy, 1_000, 1),
    ("MWh", Kind::Energy, 1_000_000, 1),
    ("J", Kind::Energy, 1, 3_600),
    ("kJ", Kind::Energy, 5, 18),
    ("MJ", Kind::Energy, 2_500, 9),
    ("GJ", Kind::Energy, 2_500_000, 9),
    ("varh", Kind::ReactiveEnergy, 1, 1),
    ("kvarh", Kind::ReactiveEnergy, 1_000, 1),
    ("Mvarh", Kind::ReactiveEnergy, 1_000_000, 1),
    ("VAh", Kind::ApparentEnergy, 1, 1),
    ("kVAh", Kind::ApparentEnergy, 1_000, 1),
    ("W", Kind::Power, 1, 1),
    ("kW", Kind::Power, 1_000, 1),
    ("MW", Kind::Power, 1_000_000, 1),
    ("var", Kind::ReactivePower, 1, 1),
    ("kvar", Kind::ReactivePower, 1_000, 1),
    ("Mvar", Kind::ReactivePower, 1_000_000, 1),
    ("VA", Kind::ApparentPower, 1, 1),
    ("kVA", Kind::ApparentPower, 1_000, 1),
    ("mV", Kind::Voltage, 1, 1),
    ("V", Kind::Voltage, 1_000, 1),
    ("kV", Kind::Voltage, 1_000_000, 1),
    ("mA", Kind::Current, 1, 1),
    ("A", Kind::Current, 1_000, 1),
    ("Hz", Kind::Frequency, 1, 1),
    ("s", Kind::Duration, 1, 1),
    ("min", Kind::Duration, 60, 1),
    ("h", Kind::Duration, 3_600, 1),
    ("L", Kind::Volume, 1, 1),
    ("dm3", Kind::Volume, 1, 1),
    ("dm³", Kind::Volume, 1, 1),
    ("m3", Kind::Volume, 1_000, 1),
    ("m³", Kind::Volume, 1_000, 1),
    ("°C", Kind::Temperature, 1, 1),
    ("C", Kind::Temperature, 1, 1),
];

fn unit(name: &str) -> Option<(Kind, i64, i64)> {
    let exact = UNITS.iter().find(|(known, ..)| *known == name);
    // Where capitals alone tell milli from mega there is no second guess.
    let clear = |known: &str| !known.starts_with(['m', 'M']) || known.starts_with("m3");
    let alike = || {
        UNITS
            .iter()
            .find(|(known, ..)| clear(known) && known.eq_ignore_ascii_case(name))
    };
    exact
        .or_else(alike)
        .map(|(_, kind, num, den)| (*kind, *num, *den))
}

/// Whether values can be turned into this unit.
pub(crate) fn is_known(name: &str) -> bool {
    unit(name).is_some()
}

/// The factor from one unit to another; none where they measure different things, or are not known.
pub(crate) fn factor(from: &str, to: &str) -> Option<Scale> {
    if from == to {
        return Some(Scale::ONE);
    }
    let ((kind, num, den), (wanted, over, under)) = (unit(from)?, unit(to)?);
    (kind == wanted).then_some(Scale {
        num: num * under,
        den: den * over,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_turned_by_unit() {
        let by = |from, to| factor(from, to).map(Scale::as_f64);
        assert_eq!(by("kW", "W"), Some(1000.0));
        assert_eq!(by("Wh", "kWh"), Some(0.001));
        assert_eq!(by("MJ", "kWh"), Some(2500.0 / 9000.0));
        assert_eq!(by("GJ", "GJ"), Some(1.0));
        assert_eq!(by("M3", "m³"), Some(1.0));
        assert_eq!(by("dm3", "m³"), Some(0.001));
        assert_eq!(by("KWH", "kWh"), Some(1.0));
        assert_eq!(by("kvarh", "kWh"), None);
        assert_eq!(by("furlong", "kWh"), None);
    }

    #[test]
    fn milli_is_never_taken_for_mega() {
        for name in ["mW", "mj", "mwh", "ma", "MA", "MV", "mvar"] {
            assert_eq!(unit(name), None, "{name}");
        }
    }
}
