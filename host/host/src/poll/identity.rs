//! Whether the devices of a unit still are who they were: addresses are given anew, meters are exchanged, and a value
//! must never be published in the name of another device.
//!
//! A serial number is compared when a connection was made, after an answer was missing, and now and again. What the
//! answers mean is decided here without any I/O but the one read of [`Identities::look`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use busbar_ledger::identify::serial_text;
use busbar_ledger::model::IdentityField;
use busbar_ledger::span::Span;
use busbar_wire::{Link, LinkState, Priority, ReadPlan, WireError};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::bus::Device;
use crate::discover::slug;

/// How long a device is taken for itself without being asked.
const TRUSTED: Duration = Duration::from_secs(600);
/// How long what a gateway said goes for all units behind it.
const MOMENT: Duration = Duration::from_secs(2);

/// The serial numbers on which the devices of one unit hang.
#[derive(Debug, Default)]
pub struct Identities {
    all: Vec<Expected>,
    /// The connection on which they were right, counted by the link, and when.
    proven: Option<(u64, Instant)>,
}

/// What gateways said last: the units behind one ask it once, not each by itself.
#[derive(Clone, Debug, Default)]
pub struct Gateways(Arc<Mutex<HashMap<(u8, Span), Said>>>);

/// What a gateway said, over which of the link's connections, and when.
#[derive(Debug)]
struct Said {
    connects: u64,
    at: Instant,
    answer: Result<Vec<u16>, WireError>,
}

impl Gateways {
    /// What it says, or has said a moment ago over this connection.
    async fn ask(&self, link: &Link, unit: u8, span: Span) -> Result<Vec<u16>, WireError> {
        // Held while it is asked: the others wait for the answer instead of asking, too.
        let mut said = self.0.lock().await;
        if let Some(known) = said.get(&(unit, span))
            && known.connects == link.stats().connects
            && known.at.elapsed() < MOMENT
        {
            return known.answer.clone();
        }
        let answer = ask(link, unit, span).await;
        let new = Said {
            connects: link.stats().connects,
            at: Instant::now(),
            answer: answer.clone(),
        };
        said.insert((unit, span), new);
        answer
    }
}

/// One serial number.
#[derive(Debug)]
struct Expected {
    unit: u8,
    field: IdentityField,
    serial: String,
    /// The devices that are what they are by it, by their place at their unit.
    devices: Vec<usize>,
    /// Whether devices of several units hang on it.
    is_gateway: bool,
    /// Why they are held back.
    held: Option<String>,
}

/// What asking for a serial number brought.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Itself,
    /// Something else, in words.
    Other(String),
    /// Nothing that decides.
    Unknown,
}

impl Identities {
    /// What the devices of a unit hang on, `all` being those of the whole connection: their own serial number, and that
    /// of a gateway whose serial number their ids begin with.
    pub fn of(devices: &[Arc<Device>], all: &[Arc<Device>]) -> Self {
        let mut expected: Vec<Expected> = Vec::new();
        for source in all {
            let field = source
                .meta
                .ledger
                .identify
                .as_ref()
                .and_then(|i| i.serial.clone());
            let (Some(field), Some(serial)) = (field, source.meta.serial.clone()) else {
                continue;
            };
            if is_known_to_be_silent(source, &field) {
                continue;
            }
            let prefix = format!("{}_", slug(&serial));
            let hangs = |device: &Arc<Device>| {
                device.meta.id == source.meta.id || (prefix.len() > 1 && device.meta.id.starts_with(&prefix))
            };
            let places: Vec<usize> = (0..devices.len()).filter(|i| hangs(&devices[*i])).collect();
            if places.is_empty() {
                continue;
            }
            expected.push(Expected {
                unit: source.meta.unit,
                field,
                serial,
                is_gateway: all.iter().any(|d| d.meta.unit != source.meta.unit && hangs(d)),
                devices: places,
                held: None,
            });
        }
        Identities {
            all: expected,
            proven: None,
        }
    }

    /// An answer was missing: whoever answers next may be another.
    pub fn doubt(&mut self) {
        self.proven = None;
    }

    /// Asks for what has to be asked. `connects` counts the link's connections.
    pub async fn look(&mut self, link: &Link, gateways: &Gateways) {
        let connects = link.stats().connects;
        // A connection that has ended is made anew by the next request, and may lead elsewhere.
        let stands = !matches!(*link.state().borrow(), LinkState::Idle);
        let trusted = self
            .proven
            .is_some_and(|(on, at)| stands && on == connects && at.elapsed() < TRUSTED);
        if self.all.is_empty() || (trusted && self.all.iter().all(|e| e.held.is_none())) {
            return;
        }
        let (mut certain, mut missing) = (true, false);
        for expected in &mut self.all {
            let (unit, span) = (expected.unit, expected.field.span);
            let answer = match expected.is_gateway {
                true => gateways.ask(link, unit, span).await,
                false => ask(link, unit, span).await,
            };
            match judge(&expected.field, &expected.serial, &answer) {
                Told::Itself => {
                    if expected.held.take().is_some() {
                        info!(
                            "{}: {} answers again at unit {}",
                            link.endpoint(),
                            expected.serial,
                            expected.unit
                        );
                    }
                }
                Told::Other(seen) => {
                    let cause = format!(
                        "another device is at its place: {seen} instead of serial number {}",
                        expected.serial
                    );
                    if expected.held.as_ref() != Some(&cause) {
                        warn!(
                            "{}: unit {}: {cause}; nothing of it is taken for the old one. Scan again (`busbar scan URL \
                             --save`) to take it over.",
                            link.endpoint(),
                            expected.unit
                        );
                    }
                    expected.held = Some(cause);
                }
                Told::Unknown => {
                    certain = false;
                    missing |= !matches!(answer, Err(WireError::Exception { .. }));
                }
            }
        }
        let now = link.stats().connects;
        // Of several answers, the first may have come over another connection than the last.
        let one = self.all.len() == 1 || now == connects || (now == connects + 1 && !stands);
        self.proven = match certain && one {
            true => Some((now, Instant::now())),
            false => self.still_proven((stands && !missing).then_some(now)),
        };
    }

    /// What was known, for the connection that stood all the while: where the answers decided nothing, but none was
    /// missing (a gateway may be busy for a moment), it goes on, and it is asked again.
    fn still_proven(&self, on: Option<u64>) -> Option<(u64, Instant)> {
        self.proven.filter(|(proven, _)| on == Some(*proven))
    }

    /// Whether all of them were right over the connection of this number.
    pub fn is_proven(&self, connects: u64) -> bool {
        self.proven.is_some_and(|(on, _)| on == connects)
    }

    /// Whether there is any to be compared.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether what was read over this many connections came from the devices that are meant: `None` when it did; else
    /// why nothing of that device may be published.
    pub fn held(&self, device: usize, connects: u64) -> Option<Held> {
        let mine: Vec<&Expected> = self.all.iter().filter(|e| e.devices.contains(&device)).collect();
        if mine.is_empty() {
            return None;
        }
        if let Some(cause) = mine.iter().find_map(|e| e.held.clone()) {
            return Some(Held::Other(cause));
        }
        (!self.is_proven(connects)).then_some(Held::Unproven)
    }
}

/// Whether its owner had it scanned again, and it answered, but for the serial number that it once told: firmware may
/// lose a register. From then on it is taken for itself without being asked.
fn is_known_to_be_silent(device: &Device, field: &IdentityField) -> bool {
    let readable = &device.state().readable;
    let is_point = device
        .meta
        .ledger
        .points
        .iter()
        .flat_map(|point| point.registers())
        .any(|register| register.span == field.span);
    is_point
        && readable.iter().any(|span| span.function == field.span.function)
        && !readable.contains(field.span)
}

/// Why nothing of a device may be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Another device answers in its place.
    Other(String),
    /// It did not say yet who it is.
    Unproven,
}

async fn ask(link: &Link, unit: u8, span: Span) -> Result<Vec<u16>, WireError> {
    link.read(ReadPlan {
        unit,
        span,
        priority: Priority::Poll,
    })
    .await
}

/// What an answer says of who answers.
fn judge(field: &IdentityField, serial: &str, answer: &Result<Vec<u16>, WireError>) -> Told {
    match answer {
        Ok(words) => match serial_text(field, words) {
            Some(text) if text.trim() == serial.trim() => Told::Itself,
            Some(text) => Told::Other(format!("serial number {}", crate::format::visible(text.trim()))),
            // Some say nothing of themselves while they start.
            None => Told::Unknown,
        },
        Err(WireError::Exception { code: 1..=3, .. }) => {
            Told::Other("a device that tells no serial number".to_owned())
        }
        Err(_) => Told::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use busbar_ledger::model::{IdentityFormat, Ledger};
    use busbar_ledger::ranges::Ranges;

    use super::*;
    use crate::bus::DeviceMeta;

    fn ledger(identify: &str) -> Arc<Ledger> {
        let text = format!(
            "ledger = \"test/one\"\ntitle = \"One\"\n{identify}\n[points]\na = {{ at = 9, type = \"u16\" }}\n"
        );
        Arc::new(busbar_ledger::parse("one", &text).unwrap())
    }

    fn device(id: &str, unit: u8, identify: &str, serial: Option<&str>) -> Arc<Device> {
        let meta = DeviceMeta {
            id: id.to_owned(),
            connection: "c".to_owned(),
            connection_id: "c".to_owned(),
            unit,
            name: id.to_owned(),
            model: None,
            serial: serial.map(str::to_owned),
            firmware: None,
            ledger: ledger(identify),
            missing: false,
            unreadable: None,
        };
        Arc::new(Device::new(meta, Ranges::default(), |_| None))
    }

    const TELLS: &str = "[identify]\nserial = { at = 0, type = \"text\", words = 2 }";

    #[test]
    fn a_device_hangs_on_its_own_serial_number_and_on_its_gateways() {
        let gateway = device("c0ff_system_u100", 100, TELLS, Some("C0FF"));
        let behind = device("c0ff_tank_u20", 20, "", Some("C0FF"));
        let other = device("meter_77", 20, TELLS, Some("77"));
        let all = [gateway, Arc::clone(&behind), Arc::clone(&other)];
        let identities = Identities::of(&[behind, other], &all);
        let hangs: Vec<(u8, &str, &[usize])> = identities
            .all
            .iter()
            .map(|e| (e.unit, e.serial.as_str(), e.devices.as_slice()))
            .collect();
        assert_eq!(hangs, [(100, "C0FF", &[0][..]), (20, "77", &[1][..])]);
        assert_eq!(identities.held(0, 1), Some(Held::Unproven));
    }

    #[test]
    fn a_device_without_a_serial_number_is_not_held() {
        let nameless = device("c1_u1", 1, TELLS, None);
        let identities = Identities::of(&[Arc::clone(&nameless)], &[nameless]);
        assert_eq!(identities.held(0, 5), None);
    }

    #[test]
    fn a_device_that_lost_the_register_of_its_serial_number_is_taken_after_another_scan() {
        let text = format!(
            "ledger = \"test/one\"\ntitle = \"One\"\n{TELLS}\n[points]\na = {{ at = 9, type = \"u16\" }}\n\
             serial = {{ at = 0, type = \"text\", words = 2, class = \"identity\" }}\n"
        );
        let meter = device("meter_77", 1, TELLS, Some("77"));
        let meta = DeviceMeta {
            ledger: Arc::new(busbar_ledger::parse("one", &text).unwrap()),
            ..meter.meta.clone()
        };
        let expects = |spans: &[Span]| {
            let readable: Ranges = spans.iter().copied().collect();
            let device = Arc::new(Device::new(meta.clone(), readable, |_| None));
            !Identities::of(&[Arc::clone(&device)], &[device]).is_empty()
        };
        assert!(expects(&[Span::holding(0, 10)]));
        assert!(expects(&[]));
        assert!(!expects(&[Span::holding(9, 1)]));
    }

    #[test]
    fn what_was_read_over_another_connection_is_not_proven() {
        let meter = device("meter_77", 1, TELLS, Some("77"));
        let mut identities = Identities::of(&[Arc::clone(&meter)], &[meter]);
        identities.proven = Some((3, Instant::now()));
        assert_eq!(identities.held(0, 3), None);
        assert_eq!(identities.held(0, 4), Some(Held::Unproven));
        // Where the answer decides nothing, it goes on, but not over another connection.
        assert!(identities.still_proven(Some(3)).is_some());
        assert!(identities.still_proven(Some(4)).is_none());
        assert!(identities.still_proven(None).is_none());
        identities.doubt();
        assert_eq!(identities.held(0, 3), Some(Held::Unproven));
        assert!(identities.still_proven(Some(3)).is_none());
    }

    #[test]
    fn answers_are_told_apart() {
        let field = IdentityField {
            span: Span::holding(0, 2),
            format: IdentityFormat::Text,
            order: busbar_ledger::model::Order::Abcd,
        };
        let words = |text: &[u8; 4]| {
            Ok(text
                .chunks(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect())
        };
        let exception = |code| {
            Err(WireError::Exception {
                endpoint: "e".into(),
                unit: 1,
                asked: field.span.into(),
                code,
            })
        };
        assert_eq!(judge(&field, "A123", &words(b"A123")), Told::Itself);
        assert!(matches!(judge(&field, "A123", &words(b"B123")), Told::Other(seen) if seen.contains("B123")));
        assert_eq!(judge(&field, "A123", &words(b"\0\0\0\0")), Told::Unknown);
        assert!(matches!(judge(&field, "A123", &exception(2)), Told::Other(_)));
        assert_eq!(judge(&field, "A123", &exception(6)), Told::Unknown);
    }
}
