//! The accounts of all counters, and of what is added up. A device that reboots says 0 for a moment, and whoever adds up
//! what is published would book its whole past twice: so a counter that falls is held back until its next readings say
//! what happened. Where it really began anew, its account goes on, with the evidence. No I/O: the keeper keeps what changed.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use busbar_ledger::account::{Account, Entry, Why};
use busbar_ledger::integral::Integral;
use busbar_ledger::model::{Integrated, Point, Stretch, Total};
use busbar_ledger::value::{Quality, Reading, Value};
use busbar_store::{KeptAccount, KeptStitch, StitchWhy};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::period::{Calendar, Count};
use crate::bus::Stamp;
use crate::clock;

/// The most stitches that wait to be kept; a counter that begins anew so often says nothing.
const WAITING: usize = 1000;
/// Between two readings of a power, this is bridged however often it is polled.
const BRIDGED: Duration = Duration::from_secs(30);

/// The accounts of all devices, by device id.
#[derive(Debug)]
pub struct Book {
    devices: Mutex<HashMap<String, Arc<DeviceBook>>>,
    /// Told when something should be kept at once.
    urgent: Arc<Notify>,
    /// What the times of readings are measured from.
    began: Instant,
}

/// The accounts of one device.
#[derive(Debug)]
pub struct DeviceBook {
    id: String,
    lines: Mutex<Lines>,
    urgent: Arc<Notify>,
    began: Instant,
}

#[derive(Debug, Default)]
struct Lines {
    /// The device's serial number, where it is known.
    serial: Option<String>,
    /// What was kept and not looked at since, by key.
    kept: HashMap<String, KeptAccount>,
    /// By key.
    counters: HashMap<String, Line>,
    /// By key.
    sums: HashMap<String, Sum>,
    /// By key; with whether each differs from what is kept.
    counts: HashMap<String, (Count, bool)>,
    /// What waits to be kept.
    stitches: Vec<KeptStitch>,
}

/// The account of a counter.
#[derive(Debug, Default)]
struct Line {
    account: Account,
    /// The serial number of the device that counted last.
    serial: Option<String>,
    /// When something was booked last, in milliseconds since 1970.
    at_ms: i64,
    /// Whether it differs from what is kept.
    changed: bool,
}

/// An energy that is added up.
#[derive(Debug, Default)]
struct Sum {
    integral: Integral,
    /// When something was added last, in milliseconds since 1970.
    at_ms: i64,
    /// Whether it differs from what is kept.
    changed: bool,
}

/// A reading as it may be published.
#[derive(Debug, PartialEq)]
pub struct Judged {
    /// What the device said; none where that is not to be believed yet.
    pub reading: Reading,
    /// What makes the total, added to it.
    pub carried: f64,
    /// What happened, where that is worth a line in the log.
    pub note: Option<String>,
}

impl Judged {
    /// What is passed on as it is.
    pub fn plain(reading: Reading) -> Self {
        Judged {
            reading,
            carried: 0.0,
            note: None,
        }
    }
}

impl Default for Book {
    fn default() -> Self {
        Book {
            devices: Mutex::default(),
            urgent: Arc::default(),
            began: Instant::now(),
        }
    }
}

impl Book {
    /// The accounts as they were kept.
    pub fn of(kept: Vec<KeptAccount>) -> Self {
        let book = Book::default();
        for kept in kept {
            let device = book.entry(&kept.device_id);
            device.lines().kept.insert(kept.key.clone(), kept);
        }
        book
    }

    /// The accounts of a device that is polled from now on. Where another serial number counts than before, its accounts
    /// go on as over an exchanged meter.
    pub fn device(&self, id: &str, serial: Option<&str>) -> Arc<DeviceBook> {
        let device = self.entry(id);
        let mut lines = device.lines();
        lines.serial = serial.map(str::to_owned);
        lines
            .counters
            .values_mut()
            .for_each(|line| line.is_counted_by(serial));
        drop(lines);
        device
    }

    /// Another device was put in the place of this one.
    pub fn replaced(&self, id: &str) {
        let device = self.entry(id);
        let mut lines = device.lines();
        let of_another = || Some(KeptAccount::OF_ANOTHER.to_owned());
        lines
            .counters
            .values_mut()
            .for_each(|line| line.serial = of_another());
        lines
            .kept
            .values_mut()
            .for_each(|kept| kept.serial = of_another());
    }

    /// Forgets the accounts of all devices but these.
    pub fn keep_only(&self, ids: &BTreeSet<String>) {
        self.all().retain(|id, _| ids.contains(id));
    }

    /// Waits until something should be kept at once.
    pub async fn urgent(&self) {
        self.urgent.notified().await;
    }

    /// What differs from what is kept. It counts as kept from now on.
    pub fn take_changed(&self) -> (Vec<KeptAccount>, Vec<KeptStitch>) {
        let devices: Vec<Arc<DeviceBook>> = self.all().values().cloned().collect();
        let (mut accounts, mut stitches) = (Vec::new(), Vec::new());
        for device in devices {
            let mut lines = device.lines();
            stitches.append(&mut lines.stitches);
            for (key, line) in lines.counters.iter_mut().filter(|(_, line)| line.changed) {
                line.changed = false;
                accounts.extend(line.kept(&device.id, key));
            }
            for (key, (count, changed)) in lines.counts.iter_mut().filter(|(_, (_, changed))| *changed) {
                *changed = false;
                accounts.extend(kept_count(&device.id, key, count));
            }
            for (key, sum) in lines.sums.iter_mut().filter(|(_, sum)| sum.changed) {
                sum.changed = false;
                accounts.push(sum.kept(&device.id, key));
            }
        }
        (accounts, stitches)
    }

    /// Takes back what could not be kept.
    pub fn not_kept(&self, accounts: &[KeptAccount], stitches: Vec<KeptStitch>) {
        for account in accounts {
            let device = self.entry(&account.device_id);
            let mut lines = device.lines();
            if let Some(line) = lines.counters.get_mut(&account.key) {
                line.changed = true;
            }
            if let Some(sum) = lines.sums.get_mut(&account.key) {
                sum.changed = true;
            }
            if let Some((_, changed)) = lines.counts.get_mut(&account.key) {
                *changed = true;
            }
        }
        for stitch in stitches {
            self.entry(&stitch.device_id).lines().wait(stitch);
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<DeviceBook>>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, id: &str) -> Arc<DeviceBook> {
        let mut all = self.all();
        let made = || {
            Arc::new(DeviceBook {
                id: id.to_owned(),
                lines: Mutex::default(),
                urgent: Arc::clone(&self.urgent),
                began: self.began,
            })
        };
        Arc::clone(all.entry(id.to_owned()).or_insert_with(made))
    }
}

impl DeviceBook {
    /// Whether one of the counters reads 0 and is not believed.
    pub fn any_doubtful_at_zero(&self) -> bool {
        let lines = self.lines();
        lines
            .counters
            .values()
            .any(|line| line.account.is_doubtful_at_zero())
    }

    /// Books the reading of a counter; any other is passed on as it is. `now_ms` is milliseconds since 1970.
    pub fn judge(&self, point: &Point, reading: Reading, now_ms: i64) -> Judged {
        let value = reading.value.as_ref().and_then(|value| value.as_f64());
        let Some(value) = value.filter(|_| is_counter(point) && reading.quality == Quality::Good) else {
            return Judged::plain(reading);
        };
        let mut lines = self.lines();
        let serial = lines.serial.clone();
        let line = lines.counter(&point.key);
        let before = line.account.last();
        let entry = line.account.note(value, point.range());
        let carried = line.account.carried();
        if entry == Entry::Doubtful {
            return Judged::plain(Reading::unavailable());
        }
        line.changed |= line.account.last() != before || line.serial != serial;
        line.serial = serial;
        line.at_ms = now_ms;
        if before.is_none() {
            // What is not kept yet cannot go on after a kill.
            self.urgent.notify_one();
        }
        let Entry::Stitched(stitch) = entry else {
            return Judged {
                reading,
                carried,
                note: None,
            };
        };
        line.changed = true;
        let (what, why) = match stitch.why {
            Why::Reset => ("began anew", StitchWhy::Reset),
            Why::Wrap => ("was full and began again at 0", StitchWhy::Wrap),
            Why::Replaced => ("is counted by another meter", StitchWhy::Replaced),
        };
        lines.wait(KeptStitch {
            device_id: self.id.clone(),
            key: point.key.clone(),
            at_ms: now_ms,
            from_value: stitch.from,
            to_value: stitch.to,
            carried: stitch.carried,
            why,
        });
        drop(lines);
        self.urgent.notify_one();
        Judged {
            reading,
            carried,
            note: Some(format!(
                "{} {what}: it read {}, now {}; its total goes on",
                point.label, stitch.from, stitch.to
            )),
        }
    }

    /// Adds up a power that was read now, polled each `interval`. What was read without a value adds nothing, and the next
    /// one bridges it, where that is not long after.
    pub fn add_up(
        &self,
        key: &str,
        integrated: &Integrated,
        power: &Reading,
        now: Stamp,
        interval: Duration,
    ) -> Reading {
        let power = power.value.as_ref().filter(|_| power.quality == Quality::Good);
        let Some(power) = power.and_then(Value::as_f64) else {
            return Reading::unavailable();
        };
        let limit = interval.saturating_mul(3).max(BRIDGED);
        let at = now.at.saturating_duration_since(self.began);
        let mut lines = self.lines();
        let sum = lines.sum(key, now.wall_ms);
        sum.integral
            .note(integrated.part, at, power * integrated.watts, limit);
        sum.at_ms = now.wall_ms;
        sum.changed = true;
        Reading {
            value: Some(Value::Number(sum.integral.total())),
            quality: Quality::Good,
            ..Reading::unavailable()
        }
    }

    /// Books the total of a counter that was read now within a stretch of time.
    pub fn count(
        &self,
        key: &str,
        calendar: &Calendar,
        stretch: &Stretch,
        total: f64,
        now_ms: i64,
    ) -> Reading {
        let mut lines = self.lines();
        let (count, changed) = lines.count(key);
        let before = count.clone();
        count.note(calendar, stretch, total, now_ms);
        // Where nothing was counted, when that was is told with what is counted next.
        *changed |= count.last != before.last || count.period != before.period || before.at_ms.is_none();
        if count.at_ms.is_none() {
            return Reading::unavailable();
        }
        Reading {
            value: Some(Value::Number(count.value())),
            quality: Quality::Good,
            ..Reading::unavailable()
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn wait(&mut self, stitch: KeptStitch) {
        if self.stitches.len() < WAITING {
            self.stitches.push(stitch);
        }
    }

    /// The account of a counter: as it was kept, or begun.
    fn counter(&mut self, key: &str) -> &mut Line {
        let (kept, serial) = (&mut self.kept, self.serial.as_deref());
        self.counters.entry(key.to_owned()).or_insert_with(|| {
            let Some(kept) = kept.remove(key) else {
                return Line::default();
            };
            let mut line = Line {
                account: Account::resume(kept.last, kept.carried),
                serial: kept.serial,
                at_ms: kept.at_ms,
                changed: false,
            };
            line.is_counted_by(serial);
            line
        })
    }

    /// What was counted within a stretch of time: as it was kept, or begun.
    fn count(&mut self, key: &str) -> &mut (Count, bool) {
        let kept = &mut self.kept;
        self.counts.entry(key.to_owned()).or_insert_with(|| {
            let count = kept.remove(key).map(|kept| Count {
                last: kept.last,
                counted: kept.carried,
                period: kept.period,
                at_ms: Some(kept.at_ms),
            });
            (count.unwrap_or_default(), false)
        })
    }

    /// What is added up under a key: as it was kept, without what was since, or begun.
    fn sum(&mut self, key: &str, now_ms: i64) -> &mut Sum {
        let kept = &mut self.kept;
        self.sums.entry(key.to_owned()).or_insert_with(|| {
            let Some(kept) = kept.remove(key) else {
                return Sum::default();
            };
            let millis = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
            let mut integral = Integral::resume(kept.last, millis(kept.left_out_ms));
            if clock::is_sane(now_ms) && clock::is_sane(kept.at_ms) {
                integral.leave_out(millis(now_ms - kept.at_ms));
            }
            Sum {
                integral,
                at_ms: kept.at_ms,
                changed: false,
            }
        })
    }
}

impl Line {
    /// This serial number counts from now on.
    fn is_counted_by(&mut self, serial: Option<&str>) {
        let another = self.serial.as_deref().is_some_and(|counted| {
            counted == KeptAccount::OF_ANOTHER || serial.is_some_and(|serial| serial != counted)
        });
        if another {
            self.account.replaced();
        }
    }

    fn kept(&self, device: &str, key: &str) -> Option<KeptAccount> {
        Some(KeptAccount {
            device_id: device.to_owned(),
            key: key.to_owned(),
            last: self.account.last()?,
            carried: self.account.carried(),
            serial: self.serial.clone(),
            period: None,
            left_out_ms: 0,
            at_ms: self.at_ms,
        })
    }
}

impl Sum {
    fn kept(&self, device: &str, key: &str) -> KeptAccount {
        KeptAccount {
            device_id: device.to_owned(),
            key: key.to_owned(),
            last: self.integral.exact(),
            carried: 0.0,
            serial: None,
            period: None,
            left_out_ms: i64::try_from(self.integral.left_out().as_millis()).unwrap_or(i64::MAX),
            at_ms: self.at_ms,
        }
    }
}

fn kept_count(device: &str, key: &str, count: &Count) -> Option<KeptAccount> {
    Some(KeptAccount {
        device_id: device.to_owned(),
        key: key.to_owned(),
        last: count.last,
        carried: count.counted,
        serial: None,
        period: count.period.clone(),
        left_out_ms: 0,
        at_ms: count.at_ms?,
    })
}

/// Whether a point runs only upwards, so that an account is kept of it.
pub fn is_counter(point: &Point) -> bool {
    matches!(point.total, Some(Total::Increasing | Total::Wrapping))
}

#[cfg(test)]
mod tests {
    use busbar_ledger::model::Ledger;
    use busbar_ledger::value::Value;

    use super::*;

    fn said(value: f64) -> Reading {
        Reading {
            value: Some(Value::Number(value)),
            quality: Quality::Good,
            ..Reading::unavailable()
        }
    }

    fn ledger() -> Ledger {
        let text = "ledger = \"test/one\"\ntitle = \"One\"\n[points]\n\
                    energy = { at = 0, type = \"u32\", unit = \"kWh\", class = \"energy\", total = \"increasing\" }\n\
                    power = { at = 2, type = \"u16\", unit = \"W\", class = \"power\" }\n\
                    today = { at = 3, type = \"u16\", unit = \"kWh\", class = \"energy\", total = \"resetting\" }\n\
                    net = { at = 4, type = \"i32\", unit = \"kWh\", class = \"energy\", total = \"net\" }\n";
        busbar_ledger::parse("one", text).unwrap()
    }

    /// What a reading of the first point adds up to; `None` where it is not believed.
    fn counts(device: &DeviceBook, value: f64) -> Option<f64> {
        let judged = device.judge(&ledger().points[0], said(value), 7);
        let read = judged.reading.value?.as_f64()?;
        Some(busbar_ledger::account::total(read, judged.carried))
    }

    #[test]
    fn only_counters_are_held_back_and_stitched() {
        let (book, ledger) = (Book::default(), ledger());
        let device = book.device("d", None);
        let judge = |i: usize, value| device.judge(&ledger.points[i], said(value), 7);
        for i in 0..4 {
            assert_eq!(judge(i, 500.0).reading, said(500.0));
        }
        assert_eq!(judge(0, 0.0).reading, Reading::unavailable());
        assert!(device.any_doubtful_at_zero());
        for i in 1..4 {
            // At midnight a day's counter is 0, and stays so until the sun rises.
            assert_eq!(judge(i, 0.0).reading, said(0.0));
            assert_eq!(
                judge(i, 1.0),
                Judged {
                    reading: said(1.0),
                    carried: 0.0,
                    note: None
                }
            );
        }
        assert_eq!(judge(0, 500.5).reading, said(500.5));
        judge(0, 0.0);
        let judged = judge(0, 1.0);
        assert_eq!((judged.reading, judged.carried), (said(1.0), 500.5));
        assert!(judged.note.unwrap().contains("began anew"));
        let (accounts, stitches) = book.take_changed();
        assert_eq!((accounts.len(), stitches.len()), (1, 1));
        assert_eq!((stitches[0].from_value, stitches[0].to_value), (500.5, 1.0));
    }

    #[test]
    fn a_reset_while_nobody_looked_is_stitched_from_what_was_kept() {
        let book = Book::default();
        assert_eq!(counts(&book.device("d", Some("a")), 100.0), Some(100.0));
        let (kept, _) = book.take_changed();
        // As after a kill: what was counted since is not kept.
        let book = Book::of(kept);
        let device = book.device("d", Some("a"));
        assert_eq!(counts(&device, 2.0), None);
        assert_eq!(counts(&device, 2.5), Some(100.5));
    }

    #[test]
    fn another_serial_number_is_another_meter_and_the_same_one_is_not() {
        let book = Book::default();
        assert_eq!(counts(&book.device("d", Some("a")), 100.0), Some(100.0));
        assert_eq!(counts(&book.device("d", Some("a")), 130.0), Some(130.0));
        // What does not say who it is may be the same.
        assert_eq!(counts(&book.device("d", None), 131.0), Some(131.0));
        let named = book.device("d", Some("a"));
        assert_eq!(counts(&named, 132.0), Some(132.0));
        let (kept, _) = book.take_changed();
        let book = Book::of(kept);
        let other = book.device("d", Some("b"));
        assert_eq!(counts(&other, 9000.0), Some(132.0));
        assert_eq!(counts(&book.device("d", Some("b")), 9001.0), Some(133.0));
        assert_eq!(book.take_changed().1[0].why, StitchWhy::Replaced);
    }

    #[test]
    fn a_device_without_a_serial_number_that_took_anothers_place_goes_on() {
        let book = Book::default();
        assert_eq!(counts(&book.device("d", None), 100.0), Some(100.0));
        book.replaced("d");
        let device = book.device("d", None);
        assert_eq!(counts(&device, 9000.0), Some(100.0));
        assert_eq!(counts(&book.device("d", None), 9001.0), Some(101.0));
    }

    #[test]
    fn what_could_not_be_kept_is_kept_later() {
        let book = Book::default();
        let device = book.device("d", None);
        for value in [100.0, 1.0, 2.0] {
            counts(&device, value);
        }
        let (accounts, stitches) = book.take_changed();
        assert_eq!(book.take_changed(), (vec![], vec![]));
        book.not_kept(&accounts, stitches.clone());
        assert_eq!(book.take_changed(), (accounts, stitches));
        book.keep_only(&BTreeSet::new());
        assert_eq!(counts(&book.device("d", None), 3.0), Some(3.0));
    }

    fn stamp(book: &Book, seconds: u64) -> Stamp {
        Stamp {
            wall_ms: 1_790_000_000_000 + i64::try_from(seconds).unwrap() * 1000,
            at: book.began + Duration::from_secs(seconds),
        }
    }

    #[test]
    fn a_power_is_added_up_over_a_restart_but_not_what_nobody_saw() {
        let drawn = Integrated {
            of: busbar_ledger::model::Expression::Point("power".into()),
            watts: 1000.0,
            part: busbar_ledger::model::Part::Positive,
            unless: vec![],
        };
        let add = |book: &Book, seconds: u64, power: Reading| {
            let device = book.device("d", None);
            let now = stamp(book, seconds);
            let read = device.add_up("drawn", &drawn, &power, now, Duration::from_secs(20));
            read.value.and_then(|value| value.as_f64())
        };
        let book = Book::default();
        assert_eq!(add(&book, 0, said(1.2)), Some(0.0));
        assert_eq!(add(&book, 30, said(1.2)), Some(0.01));
        assert_eq!(add(&book, 40, Reading::unavailable()), None);
        assert_eq!(
            add(&book, 60, said(1.2)),
            Some(0.02),
            "a reading that is missing is bridged"
        );
        assert_eq!(add(&book, 121, said(1.2)), Some(0.02), "a minute is too long");
        let (kept, _) = book.take_changed();
        assert_eq!((kept[0].left_out_ms, book.take_changed().0.len()), (61_000, 0));
        // Half an hour later, in another process.
        let book = Book::of(kept);
        assert_eq!(add(&book, 1921, said(1.2)), Some(0.02));
        assert_eq!(add(&book, 1951, said(1.2)), Some(0.03));
        assert_eq!(book.take_changed().0[0].left_out_ms, 61_000 + 1_800_000);
    }
}
