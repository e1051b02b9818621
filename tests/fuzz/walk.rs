//! From bytes as an interface gets them to the guard's words, and what must hold of those.
//!
//! An input is text in four parts, so that it can be written by hand: a line with the entity's id in the path of the API
//! (empty: `POST /control/set`, which has the name in its body), a line with the body, a line with what the device says
//! (present value, its own lowest and highest value, `-` for none), and the rest is `busbar.toml`.

use std::sync::LazyLock;

use busbar::rehearse::{Call, House, Leave, Says, order};
use busbar_guard::{Battery, Owner, Phases, Site, Voltage, understand};
use busbar_ledger::value::Value;

use super::oracle::judge;

/// One device for each ledger of a GX.
pub static GX: LazyLock<House> = LazyLock::new(|| {
    let ledgers = busbar_zoo::ledgers().iter();
    House::of(ledgers.filter(|ledger| ledger.name.starts_with("victron/")))
});

/// A moment within every `until` that a test writes: the first of January 2027.
pub const NOW_MS: i64 = 1_798_761_600_000;

/// Entries of `allow` whose limits are tried on every point: more only repeat it.
const MOST_OWNERS: usize = 3;

/// A house about which everything is said.
pub fn full() -> Site {
    Site {
        ac_voltage: Some(Voltage::Volts(230.0)),
        phases: Some(Phases::Three),
        ac_current: Some(24.0),
        dc_current: Some(100.0),
        battery: Battery::profile("lifepo4-16s").ok(),
    }
}

/// What came out of an input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Came {
    /// Whether the call itself would have been sent.
    pub through: bool,
    /// How many points would have taken its value.
    pub frames: usize,
}

/// Walks with any input. Panics when a frame comes out of it that may not be.
pub fn anything(input: &[u8]) -> Came {
    let mut parts = input.splitn(4, |byte| *byte == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    let (id, body, says, config) = (part(), part(), part(), part());
    let id = String::from_utf8_lossy(id);
    let says = says_of(&String::from_utf8_lossy(says));
    let leave = Leave::read(&String::from_utf8_lossy(config));
    let call = match &*id {
        "" => Call::Set { body },
        id => Call::Entity { id, body },
    };
    let mut came = Came::default();

    // As the host would walk with it.
    if let Ok(leave) = &leave
        && let Ok(frame) = GX.send(call, leave, &says, NOW_MS)
    {
        let point = &frame.ledger.points[frame.index];
        let verdict = judge(
            &frame.ledger,
            point,
            leave.site(),
            &frame.owner,
            &says,
            &frame.order,
        );
        assert_eq!(verdict, Ok(()), "{} of {}", point.key, frame.ledger.name);
        came.through = true;
    }

    // And as if every point had been meant, under each limit of the owner's.
    let (site, owners) = match &leave {
        Ok(leave) => (leave.site().clone(), leave.owners()),
        Err(_) => (full(), &[][..]),
    };
    let site = if site == Site::default() { full() } else { site };
    let none = [Owner::default()];
    let owners = || none.iter().chain(owners.iter().take(MOST_OWNERS));
    let asked = call.read();
    let typed = String::from_utf8_lossy(body);
    for (ledger, index) in GX.writable() {
        let point = &ledger.points[index];
        let value = match &asked {
            Ok(asked) => asked.value(point),
            Err(_) => understand(point, &typed),
        };
        let Ok(value) = value else { continue };
        for owner in owners() {
            let Ok(order) = order(ledger, index, &site, owner, &says, &value) else {
                continue;
            };
            let verdict = judge(ledger, point, &site, owner, &says, &order);
            assert_eq!(verdict, Ok(()), "{value} for {} of {}", point.key, ledger.name);
            came.frames += 1;
        }
    }
    came
}

/// Finite numbers only: the codec takes nothing else from a device.
fn says_of(text: &str) -> Says {
    let number = |number: &str| number.parse::<f64>().ok().filter(|number| number.is_finite());
    let mut numbers = text.split(' ').map(number);
    let mut next = || numbers.next().flatten();
    Says {
        old: next().map(Value::Number),
        min: next(),
        max: next(),
    }
}
