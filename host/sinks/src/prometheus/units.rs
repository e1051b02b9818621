//! Units of measurement in Prometheus' base units. Pure.

/// What a unit is called in a metric's name, and what brings a value to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Base {
    /// As in `busbar_power_watts`.
    pub word: &'static str,
    /// What is measured in it, where the ledger does not say.
    pub quantity: &'static str,
    /// What a value is multiplied with.
    pub factor: f64,
}

/// Hours, kilo and per cent become seconds, one and parts of one.
const BASES: &[(&str, &str, &str, f64)] = &[
    ("%", "ratio", "share", 0.01),
    ("ppm", "ratio", "share", 1e-6),
    ("A", "amperes", "current", 1.0),
    ("mA", "amperes", "current", 1e-3),
    ("Ah", "coulombs", "capacity", 3600.0),
    ("Hz", "hertz", "frequency", 1.0),
    ("J", "joules", "energy", 1.0),
    ("Wh", "joules", "energy", 3600.0),
    ("kWh", "joules", "energy", 3.6e6),
    ("MWh", "joules", "energy", 3.6e9),
    ("V", "volts", "voltage", 1.0),
    ("mV", "volts", "voltage", 1e-3),
    ("kV", "volts", "voltage", 1e3),
    ("VA", "voltamperes", "apparent_power", 1.0),
    ("kVA", "voltamperes", "apparent_power", 1e3),
    ("VAh", "voltampere_seconds", "apparent_energy", 3600.0),
    ("kVAh", "voltampere_seconds", "apparent_energy", 3.6e6),
    ("W", "watts", "power", 1.0),
    ("kW", "watts", "power", 1e3),
    ("MW", "watts", "power", 1e6),
    ("W/m²", "watts_per_square_meter", "irradiance", 1.0),
    ("var", "vars", "reactive_power", 1.0),
    ("kvar", "vars", "reactive_power", 1e3),
    ("varh", "var_seconds", "reactive_energy", 3600.0),
    ("kvarh", "var_seconds", "reactive_energy", 3.6e6),
    ("Ω", "ohms", "resistance", 1.0),
    ("kΩ", "ohms", "resistance", 1e3),
    ("MΩ", "ohms", "resistance", 1e6),
    ("°C", "celsius", "temperature", 1.0),
    ("°", "degrees", "direction", 1.0),
    ("Pa", "pascals", "pressure", 1.0),
    ("hPa", "pascals", "pressure", 100.0),
    ("kPa", "pascals", "pressure", 1e3),
    ("mbar", "pascals", "pressure", 100.0),
    ("bar", "pascals", "pressure", 1e5),
    ("m", "meters", "distance", 1.0),
    ("mm", "meters", "distance", 1e-3),
    ("m/s", "meters_per_second", "speed", 1.0),
    ("rpm", "revolutions_per_minute", "speed", 1.0),
    ("m³", "cubic_meters", "volume", 1.0),
    ("L", "cubic_meters", "volume", 1e-3),
    (
        "m³/h",
        "cubic_meters_per_second",
        "volume_flow_rate",
        1.0 / 3600.0,
    ),
    (
        "L/min",
        "cubic_meters_per_second",
        "volume_flow_rate",
        1.0 / 60_000.0,
    ),
    ("kg", "grams", "mass", 1e3),
    ("µg/m³", "grams_per_cubic_meter", "concentration", 1e-6),
    ("lx", "lux", "illuminance", 1.0),
    ("ms", "seconds", "duration", 1e-3),
    ("s", "seconds", "duration", 1.0),
    ("min", "seconds", "duration", 60.0),
    ("h", "seconds", "duration", 3600.0),
    ("d", "seconds", "duration", 86_400.0),
];

/// The base of a unit; `None` for one that is not known.
pub fn base(unit: &str) -> Option<Base> {
    let found = BASES.iter().find(|(known, ..)| *known == unit);
    found.map(|&(_, word, quantity, factor)| Base {
        word,
        quantity,
        factor,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_stands_once_and_has_a_plain_word() {
        for (i, (unit, word, quantity, factor)) in BASES.iter().enumerate() {
            assert!(BASES[..i].iter().all(|(other, ..)| other != unit), "{unit}");
            assert!(
                word.chars()
                    .chain(quantity.chars())
                    .all(|c| c.is_ascii_lowercase() || c == '_'),
                "{word}"
            );
            assert!(*factor > 0.0, "{unit}");
        }
        assert_eq!(base("kWh").unwrap().factor, 3.6e6);
        assert_eq!(base("furlong"), None);
    }
}
