//! What happens to devices and their data: switches on a simulated device, by the names of what they play.
//!
//! Each takes effect with the next request. [`recover`] undoes all that was done to a device's points.

use busbar_ledger::model::{Class, Ledger, Point, Register, ValueType};
use busbar_ledger::value::Value;
use busbar_simulate::{Content, Running};

use crate::ledgers;

/// One device of a running site: who plays what is done to it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The site.
    pub site: &'a Running,
    /// The device's name in the site file.
    pub device: &'a str,
    /// Its unit.
    pub unit: u8,
    /// Its ledger's name.
    pub ledger: &'a str,
}

/// A device of a running site.
pub fn target<'a>(site: &'a Running, device: &'a str, unit: u8, ledger: &'a str) -> Target<'a> {
    Target {
        site,
        device,
        unit,
        ledger,
    }
}

impl Target<'_> {
    fn ledger(self) -> &'static Ledger {
        ledgers()
            .iter()
            .find(|ledger| ledger.name == self.ledger)
            .expect("a ledger of this name")
    }

    fn set(self, key: &str, content: Content) {
        self.site
            .set(self.device, self.unit, self.ledger, key, content)
            .unwrap_or_else(|error| panic!("{error}"));
    }

    fn register(self, key: &str) -> &'static Register {
        let point = self.ledger().point(key).expect("a point of this key");
        point.register().expect("a point with a register")
    }

    fn points(self) -> impl Iterator<Item = &'static Point> {
        let points = self.ledger().points.iter();
        points.filter(|point| point.register().is_some())
    }

    fn raw(self, key: &str, pattern: u64) {
        self.set(key, Content::Raw(pattern));
    }
}

/// Fault 29: it has just started again, and its counters are at 0 for a moment, until [`recover`].
pub fn reboot(device: Target<'_>) {
    for point in device.points().filter(|point| point.total.is_some()) {
        device.raw(&point.key, 0);
    }
}

/// Fault 29, the other half: a counter has begun anew for good, and stands at this value.
pub fn reset(device: Target<'_>, key: &str, value: f64) {
    device.set(key, Content::Value(Value::Number(value)));
}

/// Fault 30: a counter stands so many steps before it is full and begins at 0 again; below 0, it did so many steps
/// ago.
pub fn wrap(device: Target<'_>, key: &str, steps_left: i64) {
    let bits = 16 * u32::from(device.register(key).span.count);
    let full = 1i128 << bits;
    device.raw(key, (-i128::from(steps_left)).rem_euclid(full) as u64);
}

/// Fault 31: not a number. Only for points of type f32 or f64.
pub fn nan(device: Target<'_>, key: &str) {
    float(device, key, f32::NAN, f64::NAN);
}

/// Fault 31: infinity. Only for points of type f32 or f64.
pub fn infinity(device: Target<'_>, key: &str) {
    float(device, key, f32::INFINITY, f64::INFINITY);
}

fn float(device: Target<'_>, key: &str, single: f32, double: f64) {
    let pattern = match device.register(key).ty {
        ValueType::F32 => single.to_bits().into(),
        ValueType::F64 => double.to_bits(),
        other => panic!("`{key}` is {other:?}, not a floating-point number"),
    };
    device.raw(key, pattern);
}

/// Fault 31: what the ledger says the device says when it has no value.
pub fn sentinel(device: Target<'_>, key: &str) {
    let pattern = device.register(key).invalid.first().copied();
    device.raw(key, pattern.expect("a point with a sentinel"));
}

/// Fault 31: every point but what says who it is reads 0, as while the meter behind a gateway is away.
pub fn zeros(device: Target<'_>) {
    for point in device
        .points()
        .filter(|point| point.class != Some(Class::Identity))
    {
        device.raw(&point.key, 0);
    }
}

/// Fault 32: another device of the same kind stands at the address.
pub fn exchange(device: Target<'_>, serial: &str) {
    device
        .site
        .set_serial(device.device, device.unit, serial)
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Fault 33: the unit has gone.
pub fn vanish(device: Target<'_>) {
    let hidden = (None, device.unit);
    device.site.change(device.device, |options| {
        if !options.hide.contains(&hidden) {
            options.hide.push(hidden);
        }
    });
}

/// Fault 33: the unit has come, or come back. It is in the site file; hide it there (`hide = ["@7"]`) or with
/// [`vanish`] until then.
pub fn appear(device: Target<'_>) {
    device.site.change(device.device, |options| {
        options.hide.retain(|hidden| *hidden != (None, device.unit));
    });
}

/// Fault 33: the same device has another unit now. Both are in the site file, one of them hidden.
pub fn renumber(from: Target<'_>, to: Target<'_>) {
    vanish(from);
    appear(to);
}

/// Fault 33: another firmware, with which points come or go as the ledger's `since` says.
pub fn upgrade(device: Target<'_>, version: &str) {
    device
        .site
        .set_firmware(device.device, device.unit, version)
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Fault 33: a value of several registers changes between any two requests, so that half of one and half of the
/// other is a number that the device never held: of 0x0000FFFF and 0x00010000 that is 0x0001FFFF or 0.
pub fn tear(device: Target<'_>, key: &str) {
    let count = device.register(key).span.count;
    assert!(count > 1, "`{key}` has one register, which cannot be torn");
    // A prime number of turns: however many requests a poll makes, it comes by both values.
    device.set(
        key,
        Content::Turns(vec![0xFFFF, 0x1_0000, 0xFFFF, 0x1_0000, 0x1_0000]),
    );
}

/// Everything that was done to the device's points is undone.
pub fn recover(device: Target<'_>) {
    for point in device.points() {
        device.set(&point.key, Content::Given);
    }
}
