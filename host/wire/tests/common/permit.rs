//! Permits for tests, made as the host makes them: by the guard, from a ledger.

use std::time::Duration;

use busbar_guard::{Checked, Context, Latch, Noted, Permit, Purpose, check, effective};
use busbar_ledger::model::Point;
use busbar_ledger::value::Value;
use busbar_ledger::write::By;
use tokio::time::Instant;

/// A register or coil that a ledger has written, and how.
pub struct Target {
    pub function: u8,
    pub at: u16,
    /// Registers, 1 or 2.
    pub words: u16,
}

/// One register, with function 6.
pub fn one(at: u16) -> Target {
    let (function, words) = (6, 1);
    Target { function, at, words }
}

/// Two registers, with function 16.
pub fn two(at: u16) -> Target {
    let (function, words) = (16, 2);
    Target { function, at, words }
}

/// A coil, with this function.
pub fn coil(function: u8, at: u16) -> Target {
    let words = 1;
    Target { function, at, words }
}

/// A register link.
pub fn linked(at: u16) -> Target {
    let (function, words) = (23, 1);
    Target { function, at, words }
}

fn point(target: &Target) -> Point {
    let Target { function, at, words } = target;
    let (register, most) = match (function, words) {
        (5 | 15, _) => ("function = \"coils\", type = \"bits\", bit = 0", "1"),
        (_, 1) => ("function = \"holding\", type = \"u16\"", "65535"),
        _ => ("function = \"holding\", type = \"u32\"", "4000000000"),
    };
    let by = if *function == 23 { 6 } else { *function };
    let text = format!(
        "ledger = \"test/meter\"\ntitle = \"A meter\"\nsource = \"invented\"\nmodel = \"meter\"\n\
         [[transport]]\nscheme = \"modbus+tcp\"\nport = 502\n[points]\n\
         value = {{ at = {at}, {register}, access = \"rw\", write = {{ min = 0, max = {most}, function = {by} }} }}\n"
    );
    let ledger = busbar_ledger::parse("test.toml", &text).unwrap_or_else(|faults| panic!("{faults}\n{text}"));
    let mut point = ledger.points[0].clone();
    if *function == 23 {
        let (at, id, bytes) = (*at, 0x0112, 2);
        point.write.as_mut().expect("it is written").by = By::RegisterLink { at, id, bytes };
    }
    point
}

/// What the guard has checked.
pub fn checked(target: Target, value: i64) -> Checked {
    let point = point(&target);
    let limits = effective(&point, &Context::default()).expect("the ledger bounds it");
    check(&point, &limits, &Value::Integer(value), None).expect("it is within")
}

/// Leave to write a value to a unit, for ten seconds.
pub fn permit_for(unit: u8, target: Target, value: i64) -> Permit {
    permit_until(unit, target, value, Duration::from_secs(10), &Latch::default())
}

/// The same for so long, under this kill switch.
pub fn permit_until(unit: u8, target: Target, value: i64, lasts: Duration, latch: &Latch) -> Permit {
    let until = (Instant::now() + lasts).into_std();
    checked(target, value).permit(unit, Noted(1), until, latch, Purpose::Set)
}
