//! The limits of a site, as its owner knows them, and what follows from them.
//!
//! What is derived is never rounded up: a product of the owner's own numbers is the bound, and the steps of a register are
//! counted down from it.

use busbar_ledger::write::SiteLimit;

use crate::refusal::Amount;

/// What the owner said of the site. What is not set refuses whatever needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Site {
    /// Volts of one phase against neutral.
    pub ac_voltage: Option<Voltage>,
    /// The phases.
    pub phases: Option<Phases>,
    /// Amps of one phase: the breaker, or less.
    pub ac_current: Option<f64>,
    /// Amps of the battery side.
    pub dc_current: Option<f64>,
    /// The battery.
    pub battery: Option<Battery>,
}

/// Volts of one phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Voltage {
    /// So many.
    Volts(f64),
    /// It varies: currents can be bounded, powers cannot.
    Any,
}

/// The phases of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phases {
    /// One.
    Single,
    /// Two halves of a split phase, as in North America.
    Split,
    /// Three.
    Three,
}

impl Phases {
    fn count(self) -> f64 {
        match self {
            Phases::Single => 1.0,
            Phases::Split => 2.0,
            Phases::Three => 3.0,
        }
    }
}

/// A battery: cells in series, and volts of one cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Battery {
    /// Cells in series.
    pub cells: u16,
    /// The lowest voltage of a cell.
    pub min: f64,
    /// The highest.
    pub max: f64,
    /// The voltage of a cell by which powers are worked out.
    pub nominal: f64,
}

/// The chemistries that a profile may name: prefix, lowest, highest and nominal volts of a cell.
///
/// Sources: data sheets of LiFePO4 cells (2.5 to 3.65 V, nominal 3.2 V) and of NMC cells (3.0 to 4.2 V, nominal 3.6 V); lead:
/// 1.75 V (end of discharge at moderate currents) to 2.4 V (absorption at 25 °C), nominal 2 V.
const CHEMISTRIES: [(&str, f64, f64, f64); 3] = [
    ("lifepo4", 2.5, 3.65, 3.2),
    ("nmc", 3.0, 4.2, 3.6),
    ("lead", 1.75, 2.4, 2.0),
];

/// The most cells in series of a profile.
const MOST_CELLS: u16 = 400;

impl Battery {
    /// A profile by its name: `lifepo4-16s`, `nmc-14s`, `lead-24s`.
    ///
    /// # Errors
    /// What to write instead.
    pub fn profile(name: &str) -> Result<Self, String> {
        let help = || {
            "write lifepo4-4s, lifepo4-8s or lifepo4-16s (or nmc-14s, lead-6s, lead-12s, lead-24s: chemistry and cells in \
             series), or { cells = 16, min = 2.5, max = 3.65 }"
                .to_owned()
        };
        let (chemistry, cells) = name.rsplit_once('-').ok_or_else(help)?;
        let cells = cells
            .strip_suffix('s')
            .and_then(|c| c.parse().ok())
            .ok_or_else(help)?;
        let known = CHEMISTRIES.iter().find(|(known, ..)| *known == chemistry);
        let (_, min, max, nominal) = *known.ok_or_else(help)?;
        let battery = Battery {
            cells,
            min,
            max,
            nominal,
        };
        battery.check().map(|()| battery)
    }

    /// A battery of the owner's own; powers are worked out by its lowest voltage, the safe side.
    ///
    /// # Errors
    /// What is wrong with the numbers.
    pub fn custom(cells: u16, min: f64, max: f64) -> Result<Self, String> {
        let battery = Battery {
            cells,
            min,
            max,
            nominal: min,
        };
        battery.check().map(|()| battery)
    }

    fn check(&self) -> Result<(), String> {
        if !(1..=MOST_CELLS).contains(&self.cells) {
            return Err(format!("{} cells in series: write 1 to {MOST_CELLS}", self.cells));
        }
        let sane = self.min.is_finite() && self.max.is_finite() && self.min > 0.0;
        if !sane || self.min > self.max || self.max > 5.0 {
            return Err(format!(
                "{} to {} V for one cell: write the volts of a single cell, the lower first, at most 5",
                self.min, self.max
            ));
        }
        Ok(())
    }
}

/// Which end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The lowest value.
    Low,
    /// The highest.
    High,
}

/// A bound that follows from what the owner said.
#[derive(Clone, Debug, PartialEq)]
pub struct Derived {
    /// The bound.
    pub value: f64,
    /// How it comes about: `230 V × 24 A × 3`.
    pub how: String,
    /// The key of the configuration that decides: `site.ac_current`.
    pub key: &'static str,
}

impl Site {
    /// The bound that a limit of the site makes.
    ///
    /// # Errors
    /// The keys that are not set.
    pub fn derive(&self, limit: SiteLimit, side: Side) -> Result<Derived, Vec<&'static str>> {
        let mut unset = Vec::new();
        let amps = |amps: Option<f64>, key: &'static str, unset: &mut Vec<&'static str>| {
            if amps.is_none() {
                unset.push(key);
            }
            amps.unwrap_or_default()
        };
        let derived = match limit {
            SiteLimit::AcCurrent => {
                let value = amps(self.ac_current, "site.ac_current", &mut unset);
                Derived {
                    value,
                    how: Amount(value, Some("A")).to_string(),
                    key: "site.ac_current",
                }
            }
            SiteLimit::AcPower | SiteLimit::AcPowerPhase => {
                let volts = match self.ac_voltage {
                    Some(Voltage::Volts(volts)) => volts,
                    _ => {
                        unset.push("site.ac_voltage");
                        0.0
                    }
                };
                let current = amps(self.ac_current, "site.ac_current", &mut unset);
                let mut how = format!("{} × {}", Amount(volts, Some("V")), Amount(current, Some("A")));
                let mut value = volts * current;
                if limit == SiteLimit::AcPower {
                    match self.phases {
                        None => unset.push("site.phases"),
                        Some(Phases::Single) => {}
                        Some(phases) => {
                            value *= phases.count();
                            how = format!("{how} × {}", phases.count());
                        }
                    }
                }
                Derived {
                    value,
                    how,
                    key: "site.ac_current",
                }
            }
            SiteLimit::DcCurrent => {
                let value = amps(self.dc_current, "site.dc_current", &mut unset);
                Derived {
                    value,
                    how: Amount(value, Some("A")).to_string(),
                    key: "site.dc_current",
                }
            }
            SiteLimit::DcPower => {
                let current = amps(self.dc_current, "site.dc_current", &mut unset);
                let volts = self.battery.map(|b| f64::from(b.cells) * b.nominal);
                if volts.is_none() {
                    unset.push("site.battery");
                }
                let volts = volts.unwrap_or_default();
                Derived {
                    value: volts * current,
                    how: format!("{} × {}", Amount(volts, Some("V")), Amount(current, Some("A"))),
                    key: "site.dc_current",
                }
            }
            SiteLimit::BatteryVoltage => {
                let cell = self.battery.map(|b| match side {
                    Side::Low => (b.cells, b.min),
                    Side::High => (b.cells, b.max),
                });
                if cell.is_none() {
                    unset.push("site.battery");
                }
                let (cells, volts) = cell.unwrap_or_default();
                Derived {
                    value: f64::from(cells) * volts,
                    how: format!("{cells} cells × {}", Amount(volts, Some("V"))),
                    key: "site.battery",
                }
            }
        };
        if unset.is_empty() { Ok(derived) } else { Err(unset) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        Site {
            ac_voltage: Some(Voltage::Volts(230.0)),
            phases: Some(Phases::Three),
            ac_current: Some(24.0),
            dc_current: Some(100.0),
            battery: Some(Battery::profile("lifepo4-16s").unwrap()),
        }
    }

    #[test]
    fn each_limit_follows_from_what_the_owner_said() {
        for (limit, side, value, how) in [
            (SiteLimit::AcPower, Side::High, 16560.0, "230 V × 24 A × 3"),
            (SiteLimit::AcPowerPhase, Side::High, 5520.0, "230 V × 24 A"),
            (SiteLimit::AcCurrent, Side::High, 24.0, "24 A"),
            (SiteLimit::DcPower, Side::High, 5120.0, "51.2 V × 100 A"),
            (SiteLimit::DcCurrent, Side::High, 100.0, "100 A"),
            (SiteLimit::BatteryVoltage, Side::Low, 40.0, "16 cells × 2.5 V"),
            (SiteLimit::BatteryVoltage, Side::High, 58.4, "16 cells × 3.65 V"),
        ] {
            let derived = site().derive(limit, side).unwrap();
            assert!(
                (derived.value - value).abs() < 1e-9,
                "{limit:?}: {}",
                derived.value
            );
            assert_eq!(derived.how, how);
        }
    }

    #[test]
    fn what_is_not_set_is_named() {
        let none = Site::default();
        let unset = |limit| none.derive(limit, Side::High).unwrap_err();
        assert_eq!(
            unset(SiteLimit::AcPower),
            ["site.ac_voltage", "site.ac_current", "site.phases"]
        );
        assert_eq!(
            unset(SiteLimit::AcPowerPhase),
            ["site.ac_voltage", "site.ac_current"]
        );
        assert_eq!(unset(SiteLimit::DcPower), ["site.dc_current", "site.battery"]);
        let any = Site {
            ac_voltage: Some(Voltage::Any),
            ..site()
        };
        assert_eq!(
            any.derive(SiteLimit::AcPower, Side::High).unwrap_err(),
            ["site.ac_voltage"]
        );
        assert!(any.derive(SiteLimit::AcCurrent, Side::High).is_ok());
    }

    #[test]
    fn a_split_phase_has_two_halves() {
        let split = Site {
            ac_voltage: Some(Voltage::Volts(120.0)),
            phases: Some(Phases::Split),
            ..site()
        };
        assert_eq!(
            split.derive(SiteLimit::AcPower, Side::High).unwrap().value,
            5760.0
        );
    }

    #[test]
    fn batteries_that_cannot_be_are_refused() {
        for name in [
            "lifepo4",
            "lifepo4-s",
            "lifepo4-0s",
            "gold-4s",
            "lifepo4-999s",
            "",
        ] {
            assert!(Battery::profile(name).is_err(), "{name}");
        }
        for (cells, min, max) in [
            (0, 2.0, 3.0),
            (4, 3.0, 2.0),
            (4, 10.0, 14.0),
            (4, f64::NAN, 3.0),
            (4, -1.0, 3.0),
        ] {
            assert!(Battery::custom(cells, min, max).is_err());
        }
        assert_eq!(Battery::custom(14, 3.0, 4.1).unwrap().nominal, 3.0);
    }
}
