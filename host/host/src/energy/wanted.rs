//! The counters of days, months and tariffs that an owner wants: points that a running host adds to a device's ledger.

use std::collections::BTreeMap;
use std::sync::Arc;

use busbar_ledger::model::{Class, Counted, Ledger, Point, PointSource, Stretch, Total};
use serde::Deserialize;

use super::book::is_counter;
use super::period::{Calendar, Hours};

/// `[energy]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnergyConfig {
    /// Whether each counter also counts by the day.
    pub daily: bool,
    /// Whether each counter also counts by the month.
    pub monthly: bool,
    /// Where days begin; that of the machine when left out.
    pub time_zone: Option<String>,
    /// Names of tariffs, and when each holds.
    pub tariffs: BTreeMap<String, Hours>,
}

/// What is wanted, and the calendar by which it is counted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The calendar.
    pub calendar: Calendar,
    stretches: Vec<Stretch>,
}

impl Wanted {
    /// What the configuration asks for; `None` where that is nothing.
    ///
    /// # Errors
    /// A sentence that names the key, and says what to write instead.
    pub fn of(config: &EnergyConfig) -> Result<Option<Arc<Self>>, String> {
        let calendar = Calendar::new(config.time_zone.as_deref(), &config.tariffs)?;
        let mut stretches = Vec::new();
        stretches.extend(config.daily.then_some(Stretch::Day));
        stretches.extend(config.monthly.then_some(Stretch::Month));
        stretches.extend(calendar.tariffs().map(|name| Stretch::Tariff(name.to_owned())));
        let wanted = Wanted { calendar, stretches };
        Ok((!wanted.stretches.is_empty()).then(|| Arc::new(wanted)))
    }

    /// A ledger with what is wanted of each of its counters behind its own points.
    pub fn added_to(&self, ledger: &Arc<Ledger>) -> Arc<Ledger> {
        let counters: Vec<usize> = (0..ledger.points.len())
            .filter(|&i| is_wanted(&ledger.points[i]))
            .collect();
        if counters.is_empty() {
            return Arc::clone(ledger);
        }
        let mut more = Ledger::clone(ledger);
        for of in counters {
            for stretch in &self.stretches {
                more.push(point(&ledger.points[of], of, stretch));
            }
        }
        Arc::new(more)
    }
}

/// Energy, gas and water that run only upwards.
fn is_wanted(point: &Point) -> bool {
    let class = matches!(point.class, Some(Class::Energy | Class::Gas | Class::Water));
    class && is_counter(point) && !point.internal
}

fn point(counter: &Point, of: usize, stretch: &Stretch) -> Point {
    let (key, label, total) = match stretch {
        Stretch::Day => ("today".to_owned(), "today".to_owned(), Total::Resetting),
        Stretch::Month => ("this_month".to_owned(), "this month".to_owned(), Total::Resetting),
        Stretch::Tariff(name) => (name.clone(), name.replace('_', " "), Total::Increasing),
    };
    Point {
        key: format!("{}_{key}", counter.key),
        label: format!("{}, {label}", counter.label),
        source: PointSource::Counted(Counted {
            of,
            stretch: stretch.clone(),
        }),
        otherwise: None,
        total: Some(total),
        valid_when: None,
        group: None,
        since: None,
        writable: false,
        write: None,
        not_written: None,
        origin: None,
        note: None,
        absent: None,
        decimals: counter.decimals.max(2),
        ..counter.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEDGER: &str = "ledger = \"test/one\"\ntitle = \"One\"\n[points]\n\
        energy = { at = 0, type = \"u32\", unit = \"kWh\", class = \"energy\", total = \"increasing\", label = \"Energy\" }\n\
        energy_today = { at = 2, type = \"u16\", unit = \"kWh\", class = \"energy\", total = \"resetting\" }\n\
        power = { at = 3, type = \"u16\", unit = \"W\", class = \"power\" }\n\
        [integrated]\nout = { of = \"power\" }\n";

    #[test]
    fn nothing_is_added_unless_it_is_asked_for_and_nothing_is_counted_twice() {
        assert!(Wanted::of(&EnergyConfig::default()).unwrap().is_none());
        let config: EnergyConfig = toml::from_str(
            "daily = true\nmonthly = true\n[tariffs]\nhigh = [\"mon-fri\"]\nlow = \"otherwise\"",
        )
        .unwrap();
        let wanted = Wanted::of(&config).unwrap().unwrap();
        let ledger = Arc::new(busbar_ledger::parse("one", LEDGER).unwrap());
        let more = wanted.added_to(&ledger);
        let keys: Vec<&str> = more.points[ledger.points.len()..]
            .iter()
            .map(|p| p.key.as_str())
            .collect();
        // The device has a counter of its own for the day.
        let added = [
            "energy_this_month",
            "energy_high",
            "energy_low",
            "out_today",
            "out_this_month",
            "out_high",
            "out_low",
        ];
        assert_eq!(keys, added);
        let high = more.point("energy_high").unwrap();
        assert_eq!(
            (high.label.as_str(), high.total),
            ("Energy, high", Some(Total::Increasing))
        );
        assert!(
            more.points
                .iter()
                .enumerate()
                .all(|(i, p)| more.index[&p.key] == i)
        );
    }
}
