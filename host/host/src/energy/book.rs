//! The accounts of all counters. A device that reboots says 0 for a moment, and whoever adds up what is published would
//! book its whole past twice: so a counter that falls is held back until its next readings say what happened. Where it
//! really began anew, its account goes on, with the evidence. No I/O: the keeper keeps what changed.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use busbar_ledger::account::{Account, Entry, Why};
use busbar_ledger::model::{Point, Total};
use busbar_ledger::value::{Quality, Reading};
use busbar_store::{KeptAccount, KeptStitch, StitchWhy};
use tokio::sync::Notify;

/// The most stitches that wait to be kept; a counter that begins anew so often says nothing.
const WAITING: usize = 1000;

/// The accounts of all devices, by device id.
#[derive(Debug, Default)]
pub struct Book {
    devices: Mutex<HashMap<String, Arc<DeviceBook>>>,
    /// Told when something should be kept at once.
    urgent: Arc<Notify>,
}

/// The accounts of one device.
#[derive(Debug)]
pub struct DeviceBook {
    id: String,
    lines: Mutex<Lines>,
    urgent: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Lines {
    /// The device's serial number, where it is known.
    serial: Option<String>,
    /// By key.
    counters: HashMap<String, Line>,
    /// What waits to be kept.
    stitches: Vec<KeptStitch>,
}

/// One account.
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

impl Book {
    /// The accounts as they were kept.
    pub fn of(kept: Vec<KeptAccount>) -> Self {
        let book = Book::default();
        for kept in kept {
            let device = book.entry(&kept.device_id);
            let line = Line {
                account: Account::resume(kept.last, kept.carried),
                serial: kept.serial,
                at_ms: kept.at_ms,
                changed: false,
            };
            device.lines().counters.insert(kept.key, line);
        }
        book
    }

    /// The accounts of a device that is polled from now on. Where another serial number counts than before, its accounts
    /// go on as over an exchanged meter.
    pub fn device(&self, id: &str, serial: Option<&str>) -> Arc<DeviceBook> {
        let device = self.entry(id);
        let mut lines = device.lines();
        lines.serial = serial.map(str::to_owned);
        for line in lines.counters.values_mut() {
            let another = line.serial.as_deref().is_some_and(|counted| {
                counted == KeptAccount::OF_ANOTHER || serial.is_some_and(|serial| serial != counted)
            });
            if another {
                line.account.replaced();
            }
        }
        drop(lines);
        device
    }

    /// Another device was put in the place of this one.
    pub fn replaced(&self, id: &str) {
        for line in self.entry(id).lines().counters.values_mut() {
            line.serial = Some(KeptAccount::OF_ANOTHER.to_owned());
        }
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
        }
        (accounts, stitches)
    }

    /// Takes back what could not be kept.
    pub fn not_kept(&self, accounts: &[KeptAccount], stitches: Vec<KeptStitch>) {
        for account in accounts {
            if let Some(line) = self
                .entry(&account.device_id)
                .lines()
                .counters
                .get_mut(&account.key)
            {
                line.changed = true;
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
            return Judged {
                reading,
                carried: 0.0,
                note: None,
            };
        };
        let mut lines = self.lines();
        let serial = lines.serial.clone();
        if !lines.counters.contains_key(&point.key) {
            lines.counters.insert(point.key.clone(), Line::default());
        }
        let Some(line) = lines.counters.get_mut(&point.key) else {
            return Judged {
                reading,
                carried: 0.0,
                note: None,
            };
        };
        let before = line.account.last();
        let entry = line.account.note(value, point.range());
        let carried = line.account.carried();
        if entry == Entry::Doubtful {
            return Judged {
                reading: Reading::unavailable(),
                carried,
                note: None,
            };
        }
        line.changed |= line.account.last() != before || line.serial != serial;
        line.serial = serial;
        line.at_ms = now_ms;
        let Entry::Stitched(stitch) = entry else {
            return Judged {
                reading,
                carried,
                note: None,
            };
        };
        line.changed = true;
        let what = match stitch.why {
            Why::Reset => "began anew",
            Why::Wrap => "was full and began again at 0",
            Why::Replaced => "is counted by another meter",
        };
        lines.wait(KeptStitch {
            device_id: self.id.clone(),
            key: point.key.clone(),
            at_ms: now_ms,
            from_value: stitch.from,
            to_value: stitch.to,
            carried: stitch.carried,
            why: match stitch.why {
                Why::Reset => StitchWhy::Reset,
                Why::Wrap => StitchWhy::Wrap,
                Why::Replaced => StitchWhy::Replaced,
            },
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
}

impl Line {
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
}
