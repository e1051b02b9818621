//! Telegrams as meters sent them, beside the readings that were made of them: for sinks that pass on what the meter
//! itself wrote (its lines, their order, its damage). Bounded, as the readings are: whoever is slow loses the oldest.

use std::sync::Arc;

use tokio::sync::broadcast;

/// Telegrams that a slow sink may lag behind before it loses the oldest.
pub const BACKLOG: usize = 32;

/// The longest telegram that is passed on, in bytes. What is longer is none.
pub const LONGEST: usize = 16 * 1024;

/// One telegram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telegram {
    /// The id of the meter that sent it. Of a damaged one: the meter that this connection is known to have.
    pub device: String,
    /// The bytes as they came, from `/` to the line with `!`, its end included; at most [`LONGEST`].
    pub raw: Vec<u8>,
    /// What its checksum says.
    pub check: Check,
    /// When it was whole, in milliseconds since 1970.
    pub at_ms: i64,
}

/// What the checksum of a telegram says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// It is as the meter sent it.
    Good,
    /// It has none.
    Without,
    /// It was damaged on its way: no reading was made of it.
    Bad,
}

impl Telegram {
    /// Its lines without their ends, in the order in which they came, empty ones too. What is no UTF-8 is replaced.
    pub fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.raw);
        text.lines().map(str::to_owned).collect()
    }
}

/// The telegrams of all meters.
#[derive(Debug)]
pub(crate) struct Telegrams(broadcast::Sender<Arc<Telegram>>);

impl Default for Telegrams {
    fn default() -> Self {
        Telegrams(broadcast::channel(BACKLOG).0)
    }
}

impl Telegrams {
    pub(crate) fn tell(&self, telegram: Telegram) -> Arc<Telegram> {
        let telegram = Arc::new(telegram);
        // Nobody listening is no fault.
        let _ = self.0.send(Arc::clone(&telegram));
        telegram
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<Telegram>> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Bus;
    use crate::view::testing::device;

    fn telegram(device: &str, raw: &[u8]) -> Telegram {
        Telegram {
            device: device.to_owned(),
            raw: raw.to_vec(),
            check: Check::Good,
            at_ms: 0,
        }
    }

    #[test]
    fn a_telegram_reaches_who_listens_and_its_newest_is_kept_for_devices_that_are_there() {
        let bus = Bus::default();
        bus.put("c", vec![device("meter")]);
        let mut hearing = bus.telegrams();
        let said = b"/X5\r\n\r\n1-0:1.8.0(1*kWh)\r\n!\r\n";
        bus.tell_telegram(telegram("meter", said));
        bus.tell_telegram(telegram("stranger", said));
        let first = hearing.try_recv().unwrap();
        assert_eq!(first.lines(), ["/X5", "", "1-0:1.8.0(1*kWh)", "!"]);
        assert_eq!(hearing.try_recv().unwrap().device, "stranger");
        assert_eq!(bus.telegram("meter").as_deref(), Some(&*first));
        assert_eq!(bus.telegram("stranger"), None);
        bus.put("c", vec![]);
        assert_eq!(bus.telegram("meter"), None);
    }

    #[test]
    fn a_damaged_telegram_is_told_but_never_the_newest_and_one_too_long_is_none() {
        let bus = Bus::default();
        bus.put("c", vec![device("meter")]);
        let mut hearing = bus.telegrams();
        bus.tell_telegram(Telegram {
            check: Check::Bad,
            ..telegram("meter", b"/\n!\n")
        });
        assert_eq!(hearing.try_recv().unwrap().check, Check::Bad);
        assert_eq!(bus.telegram("meter"), None);
        bus.tell_telegram(telegram("meter", &vec![b'0'; LONGEST + 1]));
        assert!(hearing.try_recv().is_err());
    }

    #[test]
    fn whoever_is_slow_loses_the_oldest() {
        let bus = Bus::default();
        let mut hearing = bus.telegrams();
        for n in 0..=BACKLOG {
            bus.tell_telegram(telegram(&n.to_string(), b""));
        }
        assert!(matches!(
            hearing.try_recv(),
            Err(broadcast::error::TryRecvError::Lagged(1))
        ));
        assert_eq!(hearing.try_recv().unwrap().device, "1");
    }
}
