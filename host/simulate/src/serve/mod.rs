//! The wires, seen from the device: frames in, answers out, in the devices' own time.
//!
//! Small instead of borrowed: the servers of tokio-modbus answer one request at a time, and a GX takes several
//! and may answer them in another order; it has none for datagrams.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::device::{Device, Moment};
use crate::house::mix;

pub(crate) mod datagram;
mod mbap;
pub(crate) mod rtu;
pub(crate) mod stream;
pub(crate) mod telegrams;

/// How far answers are spread when they are shuffled and no delay is set.
const SHUFFLE: Duration = Duration::from_millis(3);

/// The site's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    began: SystemTime,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Clock {
            start: Instant::now(),
            began: SystemTime::now(),
        }
    }

    /// When it started, by the clock on the wall.
    pub(crate) fn began(self) -> SystemTime {
        self.began
    }

    fn moment(self) -> Moment {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        Moment {
            elapsed: self.start.elapsed(),
            unix,
        }
    }
}

/// The devices that listen at one place, told apart by their units, and what serving them needs.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Never empty.
    pub(crate) devices: Arc<[Arc<Device>]>,
    pub(crate) clock: Clock,
    pub(crate) stop: watch::Receiver<()>,
}

impl Place {
    /// The device that has this unit.
    fn owner(&self, unit: u8) -> Option<&Device> {
        let owner = self.devices.iter().find(|device| device.has(unit));
        owner.map(AsRef::as_ref)
    }

    /// The device that a network's request goes to: one that has the unit, or the first, which then says that it
    /// has not.
    fn addressed(&self, unit: u8) -> &Device {
        self.owner(unit).unwrap_or_else(|| self.first())
    }

    fn first(&self) -> &Device {
        &self.devices[0]
    }
}

/// How long this answer takes.
fn pause(device: &Device, count: u64) -> Duration {
    let options = device.options();
    if !options.shuffle {
        return options.delay;
    }
    let part = (mix(count) >> 11) as f64 / (1u64 << 53) as f64;
    if options.delay.is_zero() {
        SHUFFLE.mul_f64(part)
    } else {
        options.delay.mul_f64(0.2 + 1.6 * part)
    }
}
