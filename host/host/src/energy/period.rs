//! What was counted today, this month, and within a tariff. By the clock on the wall: a day has 23 or 25 hours when it is
//! changed. Pure; time is passed in.

use std::collections::BTreeMap;

use busbar_ledger::account::rounded;
use busbar_ledger::model::Stretch;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::Deserialize;

use crate::clock;

/// Within this, what was counted belongs to the tariff in which it was read, in milliseconds.
const AT_ONCE_MS: i64 = 900_000;
/// What was counted over a longer time than this belongs to no tariff, in milliseconds: 31 days.
const TOO_LONG_MS: i64 = 31 * 86_400_000;
const MINUTES_OF_DAY: u16 = 1440;
/// What stands for all other hours.
const OTHERWISE: &str = "otherwise";

/// When a tariff holds, as `busbar.toml` says it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub enum Hours {
    /// `"otherwise"`: whenever no other does. Or one of the following alone.
    One(String),
    /// Each `"mon-fri 07:00-21:00"`, `"sat,sun"` or `"22:00-06:00"`.
    Some(Vec<String>),
}

/// Days, months and tariffs in one time zone.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
    tariffs: BTreeMap<String, Vec<Span>>,
    otherwise: Option<String>,
}

/// Some hours of some days.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    /// From Monday on.
    days: [bool; 7],
    /// Minutes of the day; behind `to` where it runs past midnight, and belongs to the day on which it began.
    from: u16,
    to: u16,
}

impl Calendar {
    /// Reads what the configuration says.
    ///
    /// # Errors
    /// A sentence that names the key, and says what to write instead.
    pub fn new(zone: Option<&str>, tariffs: &BTreeMap<String, Hours>) -> Result<Self, String> {
        let zone = match zone {
            // A machine that does not say where it stands has UTC.
            None => TimeZone::try_system().unwrap_or(TimeZone::UTC),
            Some(name) => TimeZone::get(name).map_err(|_| {
                format!(
                    "[energy] time_zone = {name:?} is not known here; write one such as \"Europe/Berlin\""
                )
            })?,
        };
        let mut calendar = Calendar {
            zone,
            tariffs: BTreeMap::new(),
            otherwise: None,
        };
        for (name, hours) in tariffs {
            let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if name.is_empty() || name.len() > 30 || !name.chars().all(word) {
                return Err(format!(
                    "[energy.tariffs] {name:?} is no name of a tariff; write 1 to 30 of a-z, 0-9 and _"
                ));
            }
            let hours = match hours {
                Hours::One(word) if word == OTHERWISE => {
                    if let Some(other) = calendar.otherwise.replace(name.clone()) {
                        return Err(format!(
                            "[energy.tariffs] both {other} and {name} are \"{OTHERWISE}\"; give one of them its hours"
                        ));
                    }
                    continue;
                }
                Hours::One(one) => std::slice::from_ref(one),
                Hours::Some(all) => all,
            };
            let spans: Result<Vec<Span>, String> = hours.iter().map(|text| span(name, text)).collect();
            calendar.tariffs.insert(name.clone(), spans?);
        }
        calendar.none_twice()?;
        Ok(calendar)
    }

    /// Their names.
    pub fn tariffs(&self) -> impl Iterator<Item = &str> {
        self.tariffs.keys().chain(&self.otherwise).map(String::as_str)
    }

    /// No minute of the week belongs to two tariffs: what is counted in it would be counted twice.
    fn none_twice(&self) -> Result<(), String> {
        for (day, name) in DAYS.iter().enumerate() {
            for minute in 0..MINUTES_OF_DAY {
                let mut here = self
                    .tariffs
                    .iter()
                    .filter(|(_, spans)| spans.iter().any(|span| span.holds(day, minute)));
                if let (Some((one, _)), Some((other, _))) = (here.next(), here.next()) {
                    return Err(format!(
                        "[energy.tariffs] {one} and {other} both hold on {} at {:02}:{:02}; let each hour be in one only",
                        name,
                        minute / 60,
                        minute % 60
                    ));
                }
            }
        }
        Ok(())
    }

    fn local(&self, ms: i64) -> Option<Zoned> {
        let moment = Timestamp::from_millisecond(ms).ok()?;
        Some(moment.to_zoned(self.zone.clone()))
    }

    /// Which day or month it is, and when that began.
    fn period(&self, stretch: &Stretch, ms: i64) -> Option<(String, i64)> {
        let now = self.local(ms)?;
        let (form, begins) = match stretch {
            Stretch::Day => ("%Y-%m-%d", now.start_of_day().ok()?),
            Stretch::Month => ("%Y-%m", now.first_of_month().ok()?.start_of_day().ok()?),
            Stretch::Tariff(_) => return None,
        };
        Some((
            now.strftime(form).to_string(),
            begins.timestamp().as_millisecond(),
        ))
    }

    fn holds(&self, tariff: &str, ms: i64) -> bool {
        let Some(now) = self.local(ms) else { return false };
        let day = usize::try_from(now.weekday().to_monday_zero_offset()).unwrap_or(0);
        let minute = u16::try_from(i32::from(now.hour()) * 60 + i32::from(now.minute())).unwrap_or(0);
        let in_spans = |spans: &Vec<Span>| spans.iter().any(|span| span.holds(day, minute));
        match self.tariffs.get(tariff) {
            Some(spans) => in_spans(spans),
            None => self.otherwise.as_deref() == Some(tariff) && !self.tariffs.values().any(in_spans),
        }
    }

    /// How much of the time between two moments belongs to a tariff, from 0 to 1.
    fn share(&self, tariff: &str, from_ms: i64, to_ms: i64) -> f64 {
        let gap = to_ms.saturating_sub(from_ms);
        if gap <= AT_ONCE_MS {
            return f64::from(u8::from(self.holds(tariff, to_ms)));
        }
        if gap > TOO_LONG_MS {
            return 0.0;
        }
        // In equal steps of a quarter of an hour or less, each by its middle.
        let steps = (gap + AT_ONCE_MS - 1) / AT_ONCE_MS;
        let middle = |n: i64| from_ms + gap * (2 * n + 1) / (2 * steps);
        let within = (0..steps).filter(|n| self.holds(tariff, middle(*n))).count();
        within as f64 / steps as f64
    }
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Span {
    fn holds(&self, day: usize, minute: u16) -> bool {
        let yesterday = (day + 6) % 7;
        if self.from < self.to {
            return self.days[day] && (self.from..self.to).contains(&minute);
        }
        (self.days[day] && minute >= self.from) || (self.days[yesterday] && minute < self.to)
    }
}

fn span(tariff: &str, text: &str) -> Result<Span, String> {
    let read = || {
        let (mut days, mut hours) = (None, None);
        for part in text.split_whitespace() {
            match part.contains(':') {
                true if hours.is_none() => hours = Some(hours_of(part)?),
                false if days.is_none() && hours.is_none() => days = Some(days_of(part)?),
                _ => return None,
            }
        }
        if days.is_none() && hours.is_none() {
            return None;
        }
        let (from, to) = hours.unwrap_or((0, MINUTES_OF_DAY));
        Some(Span {
            days: days.unwrap_or([true; 7]),
            from,
            to,
        })
    };
    read().ok_or_else(|| {
        format!(
            "[energy.tariffs] {tariff}: {text:?} says no hours; write such as \"mon-fri 07:00-21:00\", \"sat,sun\", \
             \"22:00-06:00\" or \"{OTHERWISE}\""
        )
    })
}

fn days_of(text: &str) -> Option<[bool; 7]> {
    let place = |name: &str| DAYS.iter().position(|day| *day == name.to_ascii_lowercase());
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (place(first)?, place(last)?),
            None => (place(part)?, place(part)?),
        };
        // "sat-mon" runs over the end of the week.
        let count = (last + 7 - first) % 7;
        (0..=count).for_each(|n| days[(first + n) % 7] = true);
    }
    Some(days)
}

fn hours_of(text: &str) -> Option<(u16, u16)> {
    let minute = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
        let of_day = hour.checked_mul(60)?.checked_add(minute)?;
        (minute < 60 && of_day <= MINUTES_OF_DAY).then_some(of_day)
    };
    let (from, to) = text.split_once('-')?;
    let (from, to) = (minute(from)?, minute(to)?);
    (from != to && from < MINUTES_OF_DAY).then_some((from, to))
}

/// What was counted within one stretch of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Count {
    /// The counter's total when this was booked.
    pub last: f64,
    /// What was counted in the period.
    pub counted: f64,
    /// Which period it is; of a tariff, none.
    pub period: Option<String>,
    /// When this was booked; `None` before the first time.
    pub at_ms: Option<i64>,
}

impl Count {
    /// Books what the counter's total says now. While the clock cannot be right, nothing is booked: it is once it is.
    /// What was counted over the beginning of a period is shared out evenly over the time.
    pub fn note(&mut self, calendar: &Calendar, stretch: &Stretch, total: f64, now_ms: i64) {
        if !clock::is_sane(now_ms) || !total.is_finite() {
            return;
        }
        let Some(before_ms) = self.at_ms else {
            self.period = calendar.period(stretch, now_ms).map(|(name, _)| name);
            (self.last, self.at_ms) = (total, Some(now_ms));
            return;
        };
        let by = (total - self.last).max(0.0);
        match stretch {
            Stretch::Tariff(name) => self.counted += by * calendar.share(name, before_ms, now_ms),
            Stretch::Day | Stretch::Month => match calendar.period(stretch, now_ms) {
                // A clock that was set back goes through the end of a period twice: the first time counts.
                Some((name, begins_ms)) if Some(&name) > self.period.as_ref() => {
                    let gap = now_ms.saturating_sub(before_ms).max(1) as f64;
                    let share = (now_ms - begins_ms) as f64 / gap;
                    self.counted = by * share.clamp(0.0, 1.0);
                    self.period = Some(name);
                }
                _ => self.counted += by,
            },
        }
        (self.last, self.at_ms) = (total, Some(now_ms));
    }

    /// What was counted, without the digits that only come of adding.
    pub fn value(&self) -> f64 {
        rounded(self.counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(tariffs: &[(&str, &[&str])]) -> Result<Calendar, String> {
        let hours = |all: &[&str]| match all {
            ["otherwise"] => Hours::One("otherwise".into()),
            all => Hours::Some(all.iter().map(|text| (*text).to_owned()).collect()),
        };
        let tariffs = tariffs.iter().map(|(name, all)| ((*name).to_owned(), hours(all)));
        Calendar::new(Some("Europe/Berlin"), &tariffs.collect())
    }

    fn at(moment: &str) -> i64 {
        moment.parse::<Timestamp>().unwrap().as_millisecond()
    }

    /// What is counted at the end, of a counter that reads this at these moments.
    fn counted(calendar: &Calendar, stretch: &Stretch, read: &[(&str, f64)]) -> f64 {
        let mut count = Count::default();
        for (moment, total) in read {
            count.note(calendar, stretch, *total, at(moment));
        }
        count.value()
    }

    #[test]
    fn a_day_begins_at_midnight_of_the_wall_also_when_the_clock_is_changed() {
        let calendar = calendar(&[]).unwrap();
        // 29 March 2026 has 23 hours in Berlin, 25 October 25: it is midnight at 23:00 or 22:00 UTC.
        for (before, first, last, next) in [
            (
                "2026-03-28T22:59:59Z",
                "2026-03-28T23:00:01Z",
                "2026-03-29T21:59:59Z",
                "2026-03-29T22:00:01Z",
            ),
            (
                "2026-10-24T21:59:59Z",
                "2026-10-24T22:00:01Z",
                "2026-10-25T22:59:59Z",
                "2026-10-25T23:00:01Z",
            ),
        ] {
            let read = [(before, 100.0), (first, 100.0), (last, 124.0), (next, 124.0)];
            assert_eq!(counted(&calendar, &Stretch::Day, &read[..3]), 24.0);
            assert_eq!(counted(&calendar, &Stretch::Day, &read), 0.0);
        }
    }

    #[test]
    fn a_month_ends_with_its_last_day() {
        let calendar = calendar(&[]).unwrap();
        let read = [
            ("2028-02-29T10:00:00Z", 10.0),
            ("2028-02-29T22:59:59Z", 15.0),
            ("2028-02-29T23:00:01Z", 15.0),
            ("2028-03-15T12:00:00Z", 22.5),
        ];
        assert_eq!(counted(&calendar, &Stretch::Month, &read[..2]), 5.0);
        assert_eq!(counted(&calendar, &Stretch::Month, &read), 7.5);
    }

    #[test]
    fn what_was_counted_over_midnight_while_nobody_looked_is_shared_out() {
        let calendar = calendar(&[]).unwrap();
        // From 22:00 to 02:00 on the wall.
        let read = [("2026-07-01T20:00:00Z", 50.0), ("2026-07-02T00:00:00Z", 58.0)];
        assert_eq!(counted(&calendar, &Stretch::Day, &read), 4.0);
        let days_later = [("2026-07-01T20:00:00Z", 50.0), ("2026-07-05T04:00:00Z", 130.0)];
        assert_eq!(counted(&calendar, &Stretch::Day, &days_later), 6.0);
    }

    #[test]
    fn a_clock_that_is_not_set_or_set_back_loses_nothing() {
        let calendar = calendar(&[]).unwrap();
        let read = [
            ("2026-07-01T21:00:00Z", 1.0),
            ("1970-01-01T00:00:10Z", 3.0),
            ("2026-07-01T21:30:00Z", 4.0),
            ("2026-07-01T22:30:00Z", 4.0),
            // Set back by an hour, over midnight, and on again.
            ("2026-07-01T21:31:00Z", 5.0),
            ("2026-07-01T22:31:00Z", 6.0),
        ];
        assert_eq!(counted(&calendar, &Stretch::Day, &read[..3]), 3.0);
        assert_eq!(counted(&calendar, &Stretch::Day, &read), 2.0);
    }

    #[test]
    fn each_hour_belongs_to_its_tariff_and_together_they_are_all() {
        let tariffs: [(&str, &[&str]); 3] = [
            ("high", &["mon-fri 07:00-21:00"]),
            ("night", &["22:00-06:00"]),
            ("low", &["otherwise"]),
        ];
        let calendar = calendar(&tariffs).unwrap();
        assert_eq!(calendar.tariffs().collect::<Vec<_>>(), ["high", "night", "low"]);
        let holds = |moment: &str| {
            let all: Vec<&str> = calendar
                .tariffs()
                .filter(|name| calendar.holds(name, at(moment)))
                .collect();
            assert_eq!(all.len(), 1, "{moment}: {all:?}");
            all[0]
        };
        // A Wednesday and a Saturday in summer: the wall is 2 hours ahead.
        assert_eq!(holds("2026-07-01T05:00:00Z"), "high");
        assert_eq!(holds("2026-07-01T19:00:00Z"), "low");
        assert_eq!(holds("2026-07-01T20:00:00Z"), "night");
        assert_eq!(holds("2026-07-04T03:59:00Z"), "night");
        assert_eq!(holds("2026-07-04T10:00:00Z"), "low");
        // While nobody looked, by the time: a day of work has 14 hours, a night 8.
        let day = [("2026-07-01T00:00:00Z", 0.0), ("2026-07-02T00:00:00Z", 24.0)];
        let of = |name: &str| counted(&calendar, &Stretch::Tariff(name.into()), &day);
        assert_eq!((of("high"), of("night"), of("low")), (14.0, 8.0, 2.0));
    }

    #[test]
    fn hours_that_are_none_or_twice_are_told_with_what_to_write() {
        for (text, told) in [
            ("mon-fri 7-21", "says no hours"),
            ("07:00-07:00", "says no hours"),
            ("someday 07:00-21:00", "says no hours"),
            ("07:00-25:00", "says no hours"),
            ("", "says no hours"),
        ] {
            let error = calendar(&[("high", &[text])]).unwrap_err();
            assert!(
                error.contains(told) && error.contains("mon-fri 07:00-21:00"),
                "{text}: {error}"
            );
        }
        let twice = calendar(&[("a", &["mon 22:00-06:00"]), ("b", &["tue 05:00-08:00"])]).unwrap_err();
        assert!(twice.contains("tue at 05:00"), "{twice}");
        assert!(calendar(&[("A b", &["mon"])]).unwrap_err().contains("no name"));
        assert!(
            Calendar::new(Some("Mars/Base"), &BTreeMap::new())
                .unwrap_err()
                .contains("Europe/Berlin")
        );
    }
}
