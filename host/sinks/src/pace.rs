//! When a value is worth telling: when it left its dead band, when its quality changed, and once a minute in any case,
//! so that a reader can tell a value that stands still from one that nobody brings any more. Pure.

use std::time::Duration;

use busbar_ledger::model::{Class, Point};
use busbar_ledger::value::{Quality, Reading, Value};
use tokio::time::Instant;

/// The longest silence about a value that is known.
pub const AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// What was last told of one entity.
#[derive(Clone, Debug, Default)]
pub struct Told(Option<(Option<Value>, Quality, Instant)>);

impl Told {
    /// Whether a reading is worth telling now. `band` is the half-width of the dead band, in the point's unit.
    pub fn is_due(&self, reading: &Reading, band: f64, now: Instant) -> bool {
        let Some((value, quality, at)) = &self.0 else {
            return true;
        };
        now.duration_since(*at) >= AT_LEAST_EVERY || differs(value.as_ref(), *quality, reading, band)
    }

    /// Whether it says something else than what was last told, however long ago that was.
    pub fn is_news(&self, reading: &Reading, band: f64) -> bool {
        let told = self.0.as_ref();
        told.is_none_or(|(value, quality, _)| differs(value.as_ref(), *quality, reading, band))
    }

    /// When it was last told.
    pub fn at(&self) -> Option<Instant> {
        self.0.as_ref().map(|(_, _, at)| *at)
    }

    /// Notes that it was told.
    pub fn told(&mut self, reading: &Reading, now: Instant) {
        self.0 = Some((reading.value.clone(), reading.quality, now));
    }

    /// Forgets what was told: it is due at once.
    pub fn forget(&mut self) {
        self.0 = None;
    }
}

fn differs(value: Option<&Value>, quality: Quality, reading: &Reading, band: f64) -> bool {
    if quality != reading.quality {
        return true;
    }
    match (value, &reading.value) {
        (Some(Value::Text(a)), Some(Value::Text(b))) => a != b,
        (Some(a), Some(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() > band,
            _ => true,
        },
        (a, b) => a.is_some() != b.is_some(),
    }
}

/// The dead band of a point where its owner gave none: what trembles in the last digit that is worth showing. States,
/// texts and counters have none: each change of theirs means something.
pub fn dead_band(point: &Point) -> f64 {
    let counts = point.total.is_some() || !point.labels.is_empty();
    match point.class {
        _ if counts => 0.0,
        Some(
            Class::ApparentPower
            | Class::Battery
            | Class::Current
            | Class::Frequency
            | Class::Power
            | Class::PowerFactor
            | Class::ReactivePower
            | Class::Temperature
            | Class::Voltage,
        ) => 0.5 * 10f64.powi(-i32::from(point.decimals)),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(value: f64) -> Reading {
        Reading {
            value: Some(Value::Number(value)),
            quality: Quality::Good,
            ..Reading::unavailable()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_told_when_it_leaves_its_band_and_once_a_minute() {
        let mut told = Told::default();
        let now = Instant::now();
        assert!(told.is_due(&said(1.0), 0.5, now));
        told.told(&said(1.0), now);
        assert!(!told.is_due(&said(1.5), 0.5, now));
        assert!(told.is_due(&said(1.6), 0.5, now));
        assert!(told.is_due(&Reading::unavailable(), 0.5, now));
        assert!(!told.is_due(&said(1.0), 0.5, now + AT_LEAST_EVERY - Duration::from_millis(1)));
        assert!(told.is_due(&said(1.0), 0.5, now + AT_LEAST_EVERY));
        told.forget();
        assert!(told.is_due(&said(1.0), 0.5, now));
    }

    #[test]
    fn counters_and_states_have_no_band() {
        let text = "ledger = \"test/one\"\ntitle = \"One\"\n[points]\n\
                    power = { at = 0, type = \"u16\", unit = \"W\", class = \"power\" }\n\
                    current = { at = 1, type = \"u16\", scale = \"1/10\", unit = \"A\", class = \"current\" }\n\
                    energy = { at = 2, type = \"u32\", scale = \"1/100\", unit = \"kWh\", class = \"energy\", total = \"increasing\" }\n";
        let ledger = busbar_ledger::parse("one", text).unwrap();
        let band = |key: &str| dead_band(ledger.point(key).unwrap());
        assert_eq!([band("power"), band("current"), band("energy")], [0.5, 0.05, 0.0]);
    }
}
