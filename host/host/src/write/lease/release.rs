//! The end of a lease: the safe value is written, as often as it takes until the device reads it.

use std::sync::Arc;
use std::time::Duration;

use busbar_guard::{Outcome, Purpose, same};
use busbar_ledger::value::Value;
use busbar_wire::{WireError, WriteError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{Held, Order, SafeReport, View, Why, conclude, forget};
use crate::host::Host;
use crate::write::evidence::{self, Same};
use crate::write::path;

/// The first pause between two attempts, and the longest: it doubles.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A permit is good for this long.
const PERMIT: Duration = Duration::from_secs(5);
/// A device that said who it is, over a connection that still stands, is not asked again for this long.
const TRUSTED: Duration = Duration::from_secs(600);
/// The longest wait before a look at what became of it.
const SETTLE: Duration = Duration::from_millis(1500);
/// A device that is busy, or says that it failed, is asked to take the safe value so many times.
const REFUSALS: u32 = 5;

/// Those who wait for a lease to end.
#[derive(Default)]
pub struct Waiting(Vec<(Instant, oneshot::Sender<SafeReport>)>);

impl Waiting {
    /// One more.
    pub fn add(&mut self, why: Why, tell: oneshot::Sender<SafeReport>) {
        self.0.push((Instant::now() + why.patience(), tell));
    }

    /// Tells all how it ended.
    pub fn tell(self, report: &SafeReport) {
        for (_, tell) in self.0 {
            let _ = tell.send(report.clone());
        }
    }

    /// Tells those that have waited long enough how it stands.
    fn tell_the_impatient(&mut self, report: &SafeReport) {
        let now = Instant::now();
        let (gone, stay): (Vec<_>, Vec<_>) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(until, _)| *until <= now);
        self.0 = stay;
        for (_, tell) in gone {
            let _ = tell.send(report.clone());
        }
    }

    /// When the next of them has waited long enough.
    fn next(&self) -> Option<Instant> {
        self.0.iter().map(|(until, _)| *until).min()
    }
}

/// Brings a value back to what is safe. It goes on for as long as the host runs; another value that is set takes its place.
pub async fn release(
    host: &Arc<Host>,
    mut held: Held,
    orders: &mut mpsc::Receiver<Order>,
    mut waiting: Waiting,
    view: &View,
) {
    let target = held.target().clone();
    let safe = path::amount(&target, held.terms.safe.value());
    let (mut pause, longest) = PAUSES;
    let mut tries = Tries::default();
    let ending = held.ending.clone().unwrap_or_default();
    let report = loop {
        match attempt(host, &mut held, &mut tries).await {
            Attempt::Done(value) => {
                info!("{}: {ending}; it is at its safe value of {safe}", target.id());
                let reason = match tries.sent {
                    true => format!("{ending}; the safe value of {safe} is written"),
                    false => format!("{ending}; it reads its safe value of {safe} already"),
                };
                break conclude(host, &held, "released", Some(&value), &reason).await;
            }
            Attempt::Away(why) => {
                let reason = format!("{ending}; {why}; it is left alone from now on");
                warn!("{}: {reason}", target.id());
                break conclude(host, &held, Outcome::Reverted.name(), None, &reason).await;
            }
            Attempt::Never(why) => {
                let reason = format!("{ending}; the safe value of {safe} was not written: {why}");
                error!("{}: {reason}; look at the device", target.id());
                break conclude(host, &held, Outcome::Unknown.name(), None, &reason).await;
            }
            Attempt::Again(why) => {
                warn!(
                    "{}: it is not at its safe value of {safe} yet: {why}",
                    target.id()
                );
                view.note(&held, Some(format!("being let go: {why}")));
                let so_far = SafeReport {
                    entity: target.id(),
                    outcome: Outcome::Unknown.name().to_owned(),
                    reason: format!(
                        "{ending}; its safe value of {safe} is not proven yet, and is tried again: {why}"
                    ),
                };
                let next = Instant::now() + pause;
                pause = (pause * 2).min(longest);
                if rest(host, &held, orders, &mut waiting, &so_far, next).await == Rest::HandedOver {
                    return forget(host, &held);
                }
            }
        }
    };
    forget(host, &held);
    waiting.tell(&report);
}

#[derive(PartialEq)]
enum Rest {
    Over,
    HandedOver,
}

/// Waits before the next attempt.
async fn rest(
    host: &Arc<Host>,
    held: &Held,
    orders: &mut mpsc::Receiver<Order>,
    waiting: &mut Waiting,
    so_far: &SafeReport,
    next: Instant,
) -> Rest {
    loop {
        waiting.tell_the_impatient(so_far);
        let until = waiting.next().map_or(next, |impatient| impatient.min(next));
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(Order::End(why, tell)) => {
                    waiting.add(why, tell);
                    // Whoever ends it again wants it tried now.
                    return Rest::Over;
                }
                Some(Order::HandOver(tell)) => {
                    if tell.send(held.clone()).is_ok() {
                        return Rest::HandedOver;
                    }
                }
                None => return Rest::Over,
            },
            () = tokio::time::sleep_until(until) => {
                if until == next {
                    // A host that ends has told who waited; what is left is for the next one.
                    let ends = host.writer().is_none_or(|writer| writer.closing.is_cancelled());
                    if !ends || !waiting.0.is_empty() {
                        return Rest::Over;
                    }
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

/// What the attempts so far have come to.
#[derive(Default)]
struct Tries {
    /// Whether the safe value may have arrived.
    sent: bool,
    /// How often the device was busy, or said that it failed.
    refused: u32,
}

/// What one attempt came to.
enum Attempt {
    /// It reads the safe value.
    Done(Value),
    /// Try again.
    Again(String),
    /// Somebody else has set it.
    Away(String),
    /// It must not be written, or cannot be.
    Never(String),
}

async fn attempt(host: &Arc<Host>, held: &mut Held, tries: &mut Tries) -> Attempt {
    let target = held.target().clone();
    let (Some(writer), Some(lane)) = (host.writer(), host.lane(&target.device.meta.connection_id)) else {
        return Attempt::Again("its connection is not polled".to_owned());
    };
    let Some(register) = target.point().register() else {
        return Attempt::Never("it has no register".to_owned());
    };
    let unit = target.device.meta.unit;
    let trusted = held
        .seen
        .is_some_and(|(on, at)| on == lane.link.stats().connects && at.elapsed() < TRUSTED);
    if !trusted {
        match evidence::who(&lane.link, &target.device, &host.bus.devices()).await {
            Err(refusal) => return Attempt::Again(refusal.reason),
            Ok(who) => match who.same_as(&held.who) {
                Same::Yes => held.recognised(&lane),
                Same::NotTold => return Attempt::Again("the device does not say who it is".to_owned()),
                Same::No => return Attempt::Never(who.instead_of(&held.who)),
            },
        }
    }
    let wanted = held.terms.safe.value().clone();
    let tolerance = held.tolerance();
    match evidence::now(&lane.link, unit, register).await {
        Err(refusal) => return Attempt::Again(refusal.reason),
        Ok((now, words)) => {
            evidence::publish(&host.bus, &target, &now, &words, lane.interval);
            if same(&now, &wanted, tolerance) {
                return Attempt::Done(now);
            }
            if !same(&now, held.reads(), tolerance) && (held.stands.is_some() || tries.sent) {
                return Attempt::Away(format!(
                    "it reads {}: another master has set it, or the device has let it go",
                    path::amount(&target, &now)
                ));
            }
        }
    }
    let until = std::time::Instant::now() + PERMIT;
    let permit = held
        .terms
        .safe
        .permit(unit, held.noted, until, &writer.latch, Purpose::Safe);
    let written = lane.link.write(permit).await;
    match written {
        Err(error @ WriteError::NotSent(_)) => return Attempt::Again(error.to_string()),
        // What is so for a moment is no answer for good: the value that was held would stay.
        Err(WriteError::Refused(cause @ WireError::Exception { code: 4 | 6 | 10, .. }))
            if tries.refused + 1 < REFUSALS =>
        {
            tries.refused += 1;
            return Attempt::Again(format!("the device does not take it now: {cause}"));
        }
        Err(WriteError::Refused(cause)) => return Attempt::Never(format!("the device refused it: {cause}")),
        Ok(_) | Err(WriteError::Unconfirmed(_)) => {}
    }
    writer.note_sent(&target);
    tries.sent = true;
    let settle = held.allowed.rule().and_then(|rule| rule.verify);
    tokio::time::sleep(settle.map_or(Duration::ZERO, |verify| verify.after).min(SETTLE)).await;
    match evidence::look(&lane.link, unit, register).await {
        Some((value, words)) => {
            evidence::publish(&host.bus, &target, &value, &words, lane.interval);
            match same(&value, &wanted, tolerance) {
                true => Attempt::Done(value),
                false => Attempt::Again(format!(
                    "it was sent, and reads {}",
                    path::amount(&target, &value)
                )),
            }
        }
        None => Attempt::Again("it was sent, and does not answer now".to_owned()),
    }
}
