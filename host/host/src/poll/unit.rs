//! One poll of one unit: read the blocks, decode, put the readings on the bus.

use std::sync::Arc;
use std::time::Duration;

use busbar_ledger::image::Image;
use busbar_ledger::readings::{Facts, readings};
use busbar_ledger::span::Span;
use busbar_ledger::value::Reading;
use busbar_wire::{Link, Priority, ReadPlan, WireError};
use futures_util::future::join_all;
use tracing::info;

use super::blocks::{DeviceWants, Limits, Plans, UnitPlan, device_blocks};
use super::schedule::{Due, patience};
use crate::bus::{Availability, Bus, Device, Stamp, Update};

/// Polls without any answer after which a device counts as offline.
const MISSED_UNTIL_OFFLINE: u32 = 2;

/// A unit and everything that lives at it.
#[derive(Debug)]
pub struct Unit {
    /// The Modbus unit.
    pub id: u8,
    members: Vec<Member>,
    devices: Vec<Arc<Device>>,
    plans: Plans,
    limits: Limits,
}

#[derive(Debug, Default)]
struct Member {
    missed: u32,
    /// A block of its own was refused: what it answers has to be learned again.
    relearn: bool,
}

/// What came of a block.
type Answer = (Span, Result<Vec<u16>, WireError>);

impl Unit {
    /// A unit with its devices.
    pub fn new(id: u8, devices: Vec<Arc<Device>>, max_words: u16) -> Self {
        let members = devices.iter().map(|_| Member::default()).collect();
        Unit {
            id,
            members,
            devices,
            plans: Plans::default(),
            limits: Limits {
                max_words,
                spans_holes: true,
            },
        }
    }

    /// The devices of the unit.
    pub fn devices(&self) -> &[Arc<Device>] {
        &self.devices
    }

    /// The registers that every point wants, for whoever checks blocks against single reads.
    pub fn plan(&mut self, due: Due) -> Arc<UnitPlan> {
        self.plans.get(&self.devices, due, self.limits)
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

    /// Devices that refused what they once answered. Asking clears the mark.
    pub fn take_relearn(&mut self) -> Vec<Arc<Device>> {
        let marked = self.members.iter_mut().zip(&self.devices);
        marked
            .filter_map(|(m, d)| std::mem::take(&mut m.relearn).then(|| Arc::clone(d)))
            .collect()
    }

    /// Polls once.
    pub async fn poll(&mut self, link: &Link, bus: &Bus, due: Due, interval: Duration) {
        let plan = self.plan(due);
        let answers = read_all(link, self.id, &plan.blocks).await;
        let (shared, refused) = sort(answers);
        for (i, wanted) in plan.devices.iter().enumerate() {
            if wanted.points.is_empty() {
                continue;
            }
            let device = Arc::clone(&self.devices[i]);
            // A block over several devices was refused: each of them is asked by itself before any is blamed.
            let outcome = if refused
                .iter()
                .any(|(span, _)| wanted.spans.iter().any(|w| span.contains(*w)))
            {
                self.alone(link, i, wanted, &shared).await
            } else {
                Outcome {
                    image: shared.image.clone(),
                    refused: false,
                    cause: shared.cause.clone(),
                }
            };
            self.settle(&device, i, wanted, outcome, bus, interval);
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
        let cause = own.cause.or_else(|| refused.first().map(|(_, e)| e.to_string()));
        Outcome {
            image,
            refused: !refused.is_empty(),
            cause,
        }
    }

    /// Puts what one device said on the bus.
    fn settle(
        &mut self,
        device: &Arc<Device>,
        index: usize,
        wanted: &DeviceWants,
        outcome: Outcome,
        bus: &Bus,
        interval: Duration,
    ) {
        let answered =
            wanted.spans.is_empty() || wanted.spans.iter().any(|s| outcome.image.get(*s).is_some());
        let member = &mut self.members[index];
        member.relearn |= outcome.refused;
        member.missed = if answered {
            0
        } else {
            member.missed.saturating_add(1)
        };
        let offline = member.missed >= MISSED_UNTIL_OFFLINE;
        let cause = outcome.cause.unwrap_or_else(|| "it does not answer".to_owned());
        let mut state = device.state();
        let facts = Facts {
            firmware: device.meta.firmware.as_deref(),
            readable: Some(&state.readable),
        };
        let all = readings(&device.meta.ledger, &outcome.image, &facts);
        let now = Stamp::now();
        let mut points = wanted.points.clone();
        if offline {
            points = (0..state.slots.len())
                .filter(|i| state.slots[*i].is_polled())
                .collect();
        }
        let mut fresh: Vec<Option<Reading>> = all.into_iter().map(Some).collect();
        for &i in &points {
            let rate = device.meta.ledger.points[i].rate;
            let slot = &mut state.slots[i];
            match fresh[i].take() {
                Some(reading) if !offline => slot.take(reading, now, patience(rate, interval)),
                _ => slot.reading = Reading::unavailable(),
            }
        }
        let before = state.availability.clone();
        match (answered, offline) {
            (true, _) => state.availability = Availability::Online,
            (false, true) => state.availability = Availability::Offline(cause),
            (false, false) => {}
        }
        let after = state.availability.clone();
        drop(state);
        tell(device, &before, &after);
        bus.publish(Update {
            device: Arc::clone(device),
            points,
            at_ms: now.wall_ms,
        });
    }
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
    refused: bool,
    cause: Option<String>,
}

async fn read_all(link: &Link, unit: u8, blocks: &[Span]) -> Vec<Answer> {
    join_all(blocks.iter().map(|span| async move {
        (
            *span,
            link.read(ReadPlan {
                unit,
                span: *span,
                priority: Priority::Poll,
            })
            .await,
        )
    }))
    .await
}

/// Words into an image; exceptions that are about registers apart, for they can be asked around.
fn sort(answers: Vec<Answer>) -> (Shared, Vec<(Span, WireError)>) {
    let mut image = Image::default();
    let mut cause = None;
    let mut refused = Vec::new();
    for (span, answer) in answers {
        match answer {
            Ok(words) => image.insert(span, words),
            Err(error @ WireError::Exception { .. }) => refused.push((span, error)),
            Err(error) => cause = Some(error.to_string()),
        }
    }
    (Shared { image, cause }, refused)
}
