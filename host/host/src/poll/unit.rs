//! One poll of one unit: read the blocks, decode, put the readings on the bus.

use std::sync::Arc;
use std::time::Duration;

use busbar_ledger::image::Image;
use busbar_ledger::model::Ledger;
use busbar_ledger::readings::{Facts, readings};
use busbar_ledger::setup::Setup;
use busbar_ledger::span::Span;
use busbar_ledger::value::{Quality, Reading};
use busbar_wire::{Link, LinkState, Priority, ReadPlan, WireError};
use futures_util::future::join_all;
use tracing::info;

use super::blocks::{DeviceWants, Limits, Plans, UnitPlan, device_blocks};
use super::identity::{Gateways, Held, Identities};
use super::member::{Heard, Member};
use super::schedule::{Due, due, patience};
use super::zeros::{Zeros, disbelieved};
use crate::bus::{Availability, Bus, Device, Slot, Stamp, Update};
use crate::energy::book::{Book, DeviceBook};

/// A unit and everything that lives at it.
#[derive(Debug)]
pub struct Unit {
    /// The Modbus unit.
    pub id: u8,
    members: Vec<Member>,
    books: Vec<Arc<DeviceBook>>,
    zeros: Vec<Zeros>,
    identities: Identities,
    gateways: Gateways,
    devices: Vec<Arc<Device>>,
    plans: Plans,
    limits: Limits,
    /// How often it was polled.
    nth: u64,
    /// Rates that could not be read whole when they were due: they are due again with the next poll.
    owed: Due,
}

/// What came of a block.
type Answer = (Span, Result<Vec<u16>, WireError>);

impl Unit {
    /// A unit with its devices.
    pub fn new(
        id: u8,
        devices: Vec<Arc<Device>>,
        limits: Limits,
        who: (Identities, Gateways),
        book: &Book,
    ) -> Self {
        let members = devices.iter().map(|_| Member::default()).collect();
        let books = devices
            .iter()
            .map(|device| book.device(&device.meta.id, device.meta.serial.as_deref()))
            .collect();
        let zeros = devices.iter().map(|_| Zeros::default()).collect();
        Unit {
            id,
            members,
            books,
            zeros,
            identities: who.0,
            gateways: who.1,
            devices,
            plans: Plans::default(),
            limits,
            nth: 0,
            owed: Due::default(),
        }
    }

    /// The devices of the unit.
    pub fn devices(&self) -> &[Arc<Device>] {
        &self.devices
    }

    /// What a poll of these rates reads. Devices that are away are left out.
    pub fn plan(&mut self, due: Due) -> Arc<UnitPlan> {
        let members = &self.members;
        self.plans
            .get(&self.devices, |i| members[i].away().is_none(), due, self.limits)
    }

    /// Makes the next poll plan anew, after a device was learned again or an entity appeared.
    pub fn replan(&mut self) {
        self.plans.clear();
    }

    /// Reads this unit without spanning holes from now on.
    pub fn distrust(&mut self) {
        self.limits.spans_holes = false;
        self.plans.clear();
    }

    /// Devices that do not answer any more as they were learned, with their places. Asking clears the mark.
    pub fn take_relearn(&mut self) -> Vec<(usize, Arc<Device>)> {
        let marked = self.members.iter_mut().zip(&self.devices).enumerate();
        marked
            .filter_map(|(i, (m, d))| m.take_relearn().then(|| (i, Arc::clone(d))))
            .collect()
    }

    /// Learning it again came to nothing: it is tried again, ever more rarely.
    pub fn not_relearned(&mut self, index: usize) {
        self.members[index].contradicts();
    }

    /// Takes a device as it was recognised anew. All of it is due with the next poll.
    pub fn take_anew(&mut self, index: usize, device: Arc<Device>) {
        self.devices[index] = device;
        self.owed = Due::ALL;
        self.replan();
    }

    /// Polls once: what is due at this turn, and what was missed before. Returns the number of the poll, from 0.
    pub async fn poll(&mut self, link: &Link, bus: &Bus, interval: Duration) -> u64 {
        let nth = self.nth;
        self.nth += 1;
        let due = due(nth).and(std::mem::take(&mut self.owed));
        self.identities.look(link, &self.gateways).await;
        let on = link.stats().connects;
        let strangers =
            (0..self.devices.len()).all(|i| matches!(self.identities.held(i, on), Some(Held::Other(_))));
        let (plan, answers) = if strangers {
            // Whoever stands here now is not asked for what another had.
            (self.plan(due), Vec::new())
        } else {
            self.look_for_the_absent(link).await;
            self.read_over_one_connection(link, due).await
        };
        let on = link.stats().connects;
        let (shared, refused) = sort(answers);
        for (i, wanted) in plan.devices.iter().enumerate() {
            if let Some(held) = self.identities.held(i, on) {
                let heard = match held {
                    Held::Other(cause) => Heard::Stranger { cause },
                    Held::Unproven => Heard::Nothing {
                        cause: "it did not say who it is".to_owned(),
                    },
                };
                self.owed = Due::ALL;
                self.settle(i, wanted, Image::default(), heard, bus, interval);
                continue;
            }
            if let Some(cause) = self.members[i].away().map(str::to_owned) {
                self.settle(
                    i,
                    wanted,
                    Image::default(),
                    Heard::Refused { cause },
                    bus,
                    interval,
                );
                continue;
            }
            if wanted.points.is_empty() {
                // Nothing of it is due, but where the whole endpoint is away, so is it; and it is asked for all that
                // it has until it is back.
                if let Some(cause) = down(link) {
                    self.owed = Due::ALL;
                    self.settle(
                        i,
                        wanted,
                        Image::default(),
                        Heard::Nothing { cause },
                        bus,
                        interval,
                    );
                }
                continue;
            }
            let of = |wanted: &DeviceWants, block: &Span| wanted.spans.iter().any(|w| block.contains(*w));
            let mine: Vec<&(Span, WireError)> =
                refused.iter().filter(|(block, _)| of(wanted, block)).collect();
            let others = |block: &Span| {
                let mut all = plan.devices.iter().enumerate();
                all.any(|(j, other)| j != i && of(other, block))
            };
            // A block over several devices was refused: each of them is asked by itself before any is blamed.
            let outcome = if mine.iter().any(|(block, _)| others(block)) {
                self.alone(link, i, wanted, &shared).await
            } else {
                Outcome {
                    image: shared.image.clone(),
                    refused: mine.first().map(|(_, error)| error.to_string()),
                    cause: shared.cause.clone(),
                }
            };
            let heard = outcome.heard(wanted);
            if !matches!(heard, Heard::All) {
                self.owed = self.owed.and(due);
            }
            if matches!(heard, Heard::Nothing { .. }) {
                self.identities.doubt();
            }
            self.settle(i, wanted, outcome.image, heard, bus, interval);
        }
        nth
    }

    /// Reads what is due, all of it over the connection on which the devices said who they are: when another was made
    /// meanwhile, they are asked again, and then for everything once more; where that happens again, also behind it.
    async fn read_over_one_connection(&mut self, link: &Link, due: Due) -> (Arc<UnitPlan>, Vec<Answer>) {
        let on = link.stats().connects;
        let plan = self.plan(due);
        let answers = read_all(link, self.id, &plan.blocks).await;
        if self.identities.is_empty() || link.stats().connects == on {
            return (plan, answers);
        }
        self.identities.look(link, &self.gateways).await;
        let on = link.stats().connects;
        let proven = self.identities.is_proven(on);
        let answers = read_all(link, self.id, &plan.blocks).await;
        // Some end each connection after its answer: whoever was there before and is there after was there between.
        if proven && link.stats().connects != on {
            self.identities.look(link, &self.gateways).await;
        }
        (plan, answers)
    }

    /// Asks devices that refuse everything for one value, when it is time to.
    async fn look_for_the_absent(&mut self, link: &Link) {
        for member in &mut self.members {
            let Some(probe) = member.probe() else { continue };
            if read(link, self.id, probe).await.is_ok() {
                member.is_back();
                self.plans.clear();
                self.owed = Due::ALL;
            }
        }
    }

    /// Reads what one device wants in blocks of its own, keeping what the shared blocks already brought.
    async fn alone(&self, link: &Link, index: usize, wanted: &DeviceWants, shared: &Shared) -> Outcome {
        let missing: Vec<Span> = wanted
            .spans
            .iter()
            .copied()
            .filter(|span| shared.image.get(*span).is_none())
            .collect();
        let blocks = device_blocks(&self.devices[index], &missing, self.limits);
        let (own, refused) = sort(read_all(link, self.id, &blocks).await);
        let mut image = shared.image.clone();
        image.extend(own.image);
        Outcome {
            image,
            refused: refused.first().map(|(_, error)| error.to_string()),
            cause: own.cause,
        }
    }

    /// Puts what one device said on the bus.
    fn settle(
        &mut self,
        index: usize,
        wanted: &DeviceWants,
        image: Image,
        heard: Heard,
        bus: &Bus,
        interval: Duration,
    ) {
        let device = Arc::clone(&self.devices[index]);
        let member = &mut self.members[index];
        let was_away = member.away().is_some();
        member.note(&heard, wanted.spans.first().copied());
        if member.away().is_some() != was_away {
            self.plans.clear();
        }
        let offline = member.is_offline();
        let mut state = device.state();
        let facts = Facts {
            firmware: device.meta.firmware.as_deref(),
            model: device.meta.model.as_deref(),
            readable: Some(&state.readable),
            ..Facts::default()
        };
        let ledger = &device.meta.ledger;
        let all = readings(ledger, &image, &facts);
        let setup = Setup::of(ledger, &all);
        if setup.differs(ledger, &facts, &|i| state.slots[i].status) {
            self.members[index].contradicts();
        }
        if is_set_up_anew(ledger, &state.slots, &all) {
            self.members[index].changed();
        }
        let now = Stamp::now();
        let mut points = wanted.points.clone();
        if offline {
            points = (0..state.slots.len())
                .filter(|i| state.slots[*i].is_polled())
                .collect();
        }
        let at_zero = self.books[index].any_doubtful_at_zero();
        let due = points.iter().map(|&i| (&ledger.points[i], &all[i]));
        let zeros = self.zeros[index].doubts(due, at_zero);
        let mut fresh: Vec<Option<Reading>> = all.into_iter().map(Some).collect();
        for &i in &points {
            let point = &ledger.points[i];
            let slot = &mut state.slots[i];
            match fresh[i].take() {
                // What it read there belongs to nothing that it has as it is set up now.
                _ if setup.rules_out(point.group.as_deref()) => slot.reading = Reading::unavailable(),
                Some(reading) if !offline => {
                    let judged = self.books[index].judge(point, reading, now.wall_ms);
                    if let Some(note) = judged.note {
                        info!(device = %device.meta.id, "{note}");
                    }
                    let reading = if zeros {
                        disbelieved(point, judged.reading)
                    } else {
                        judged.reading
                    };
                    if reading.value.is_some() {
                        slot.carried = judged.carried;
                    }
                    slot.take(reading, now, patience(point.rate, interval));
                }
                _ => slot.reading = Reading::unavailable(),
            }
        }
        let before = state.availability.clone();
        match heard {
            Heard::All | Heard::Part { .. } => state.availability = Availability::Online,
            Heard::Stranger { cause } => state.availability = Availability::Offline(cause),
            Heard::Refused { cause } | Heard::Nothing { cause } if offline => {
                state.availability = Availability::Offline(cause);
            }
            Heard::Refused { .. } | Heard::Nothing { .. } => {}
        }
        let after = state.availability.clone();
        drop(state);
        // While it was offline nothing of it was known: everything is due, not only what is read often.
        if matches!(
            (&before, &after),
            (Availability::Offline(_), Availability::Online)
        ) {
            self.owed = Due::ALL;
        }
        tell(&device, &before, &after);
        if !points.is_empty() {
            bus.publish(Update {
                device: Arc::clone(&device),
                points,
                at_ms: now.wall_ms,
            });
        }
    }
}

/// Whether a point that tells how the device is set up says something else than before.
fn is_set_up_anew(ledger: &Ledger, before: &[Slot], now: &[Reading]) -> bool {
    let told = ledger
        .identify
        .iter()
        .flat_map(|identify| &identify.rescan_when_changed);
    let mut points = told.filter_map(|key| ledger.index.get(key));
    points.any(|&i| {
        let (Some(before), Some(now)) = (before.get(i), now.get(i)) else {
            return false;
        };
        now.quality == Quality::Good && before.reading.value.is_some() && before.reading.value != now.value
    })
}

/// One line when a device is lost and one when it is back.
fn tell(device: &Device, before: &Availability, after: &Availability) {
    let name = &device.meta.name;
    let id = &device.meta.id;
    match (before, after) {
        (Availability::Offline(_), Availability::Offline(_)) => {}
        (_, Availability::Offline(cause)) => info!(device = %id, "{name} is offline: {cause}"),
        (Availability::Offline(_), Availability::Online) => info!(device = %id, "{name} is back online"),
        _ => {}
    }
}

/// What the blocks brought together.
struct Shared {
    image: Image,
    cause: Option<String>,
}

struct Outcome {
    image: Image,
    /// What a refused block said.
    refused: Option<String>,
    /// Why something else is missing.
    cause: Option<String>,
}

impl Outcome {
    fn heard(&self, wanted: &DeviceWants) -> Heard {
        let got = |span: &Span| self.image.get(*span).is_some();
        match (&self.refused, &self.cause) {
            _ if wanted.spans.iter().all(got) => Heard::All,
            (refused, _) if wanted.spans.iter().any(got) => Heard::Part {
                refused: refused.is_some(),
            },
            (Some(cause), None) => Heard::Refused { cause: cause.clone() },
            (_, Some(cause)) => Heard::Nothing { cause: cause.clone() },
            (None, None) => Heard::Nothing {
                cause: "it does not answer".to_owned(),
            },
        }
    }
}

async fn read(link: &Link, unit: u8, span: Span) -> Result<Vec<u16>, WireError> {
    link.read(ReadPlan {
        unit,
        span,
        priority: Priority::Poll,
    })
    .await
}

async fn read_all(link: &Link, unit: u8, blocks: &[Span]) -> Vec<Answer> {
    join_all(
        blocks
            .iter()
            .map(|span| async move { (*span, read(link, unit, *span).await) }),
    )
    .await
}

/// Why the whole endpoint is away; `None` while it is not.
fn down(link: &Link) -> Option<String> {
    match &*link.state().borrow() {
        LinkState::Down { cause, .. } => Some(why(cause)),
        _ => None,
    }
}

/// What is wrong, without when the next attempt is due: that changes while somebody reads it.
fn why(error: &WireError) -> String {
    match error {
        WireError::Down { cause, .. } => cause.to_string(),
        other => other.to_string(),
    }
}

/// Words into an image; refusals apart, for they can be asked around. A device that is busy or broken for a moment (4,
/// 5, 6, 8) has refused nothing.
fn sort(answers: Vec<Answer>) -> (Shared, Vec<(Span, WireError)>) {
    let mut image = Image::default();
    let mut cause = None;
    let mut refused = Vec::new();
    for (span, answer) in answers {
        match answer {
            Ok(words) => image.insert(span, words),
            Err(error @ WireError::Exception { code, .. }) if !matches!(code, 4 | 5 | 6 | 8) => {
                refused.push((span, error));
            }
            Err(error) => cause = Some(why(&error)),
        }
    }
    (Shared { image, cause }, refused)
}
