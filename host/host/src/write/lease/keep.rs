//! The task of one lease, from its beginning to its end.

use std::sync::Arc;
use std::time::Duration;

use busbar_guard::{Cause, Outcome, Purpose, Refusal, same};
use busbar_wire::WriteError;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::release::{Waiting, release};
use super::{Held, Order, View, Why, conclude, forget};
use crate::clock;
use crate::host::Host;
use crate::write::evidence::{self, Same};
use crate::write::path;

/// A permit is good for this long.
const PERMIT: Duration = Duration::from_secs(5);
/// So many looks that show another value than a device that acknowledged it should have, before that is believed.
const DOUBTS: u32 = 2;

/// How a lease ends.
enum End {
    /// With the safe value.
    Safe(String),
    /// Without a word: somebody else has taken over.
    Away(String),
    /// Without a word: the device never had the value.
    Never(String),
}

/// Keeps a value alive until it ends, and sees it off.
pub async fn run(host: Arc<Host>, mut held: Held, mut orders: mpsc::Receiver<Order>, view: View) {
    let mut waiting = Waiting::default();
    if held.ending.is_none() {
        match hold(&host, &mut held, &mut orders, &mut waiting, &view).await {
            None => return forget(&host, &held),
            Some(End::Safe(why)) => held.ending = Some(why),
            Some(End::Away(why)) => {
                let reason = format!("{why}; it is left alone from now on");
                warn!("{}: {reason}", held.target().id());
                let report = conclude(&host, &held, Outcome::Reverted.name(), None, &reason).await;
                forget(&host, &held);
                return waiting.tell(&report);
            }
            Some(End::Never(why)) => {
                warn!("{}: {why}", held.target().id());
                let report = conclude(&host, &held, Outcome::Rejected.name(), None, &why).await;
                forget(&host, &held);
                return waiting.tell(&report);
            }
        }
    }
    release(&host, held, &mut orders, waiting, &view).await;
}

/// Holds it; `None` where it was handed over.
async fn hold(
    host: &Arc<Host>,
    held: &mut Held,
    orders: &mut mpsc::Receiver<Order>,
    waiting: &mut Waiting,
    view: &View,
) -> Option<End> {
    let every = held.every();
    let mut doubts = 0;
    // The kill switch may have been switched on, or the host have begun to end, in the moment before.
    let mut next = match over(host) {
        Some(_) => Instant::now(),
        None => Instant::now() + every,
    };
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(Order::End(why, tell)) => {
                    waiting.add(why, tell);
                    return Some(End::Safe(why.words().to_owned()));
                }
                Some(Order::HandOver(tell)) => {
                    // Who no longer waits for it has not taken it.
                    if tell.send(held.clone()).is_ok() {
                        return None;
                    }
                }
                None => return Some(End::Safe(Why::Shutdown.words().to_owned())),
            },
            () = sleep_until(held.until) => return Some(End::Safe("its time is over".to_owned())),
            () = sleep_until(next) => {
                next = Instant::now() + every;
                match keep_alive(host, held).await {
                    Kept::Yes => {
                        doubts = 0;
                        view.note(held, None);
                    }
                    Kept::Later(why) => {
                        warn!("{}: could not be written again: {why}", held.target().id());
                        view.note(held, Some(why));
                        // The device's own time runs: sooner than usual.
                        next = Instant::now() + (every / 4).max(Duration::from_millis(500));
                    }
                    Kept::NotThere(why) => {
                        doubts += 1;
                        view.note(held, Some(why.clone()));
                        if doubts >= DOUBTS {
                            return Some(End::Never(why));
                        }
                    }
                    Kept::Over(end) => return Some(end),
                }
            }
        }
    }
}

/// Why nothing is held any more, whatever the device says.
fn over(host: &Host) -> Option<Why> {
    let writer = host.writer()?;
    if writer.latch.is_set() {
        return Some(Why::Kill);
    }
    writer.closing.is_cancelled().then_some(Why::Shutdown)
}

/// What came of writing a value again.
enum Kept {
    Yes,
    Later(String),
    /// It was acknowledged, or perhaps not even that, and the device does not have it (yet).
    NotThere(String),
    Over(End),
}

/// Writes the value once more, if everything still is as it was when it was allowed.
async fn keep_alive(host: &Arc<Host>, held: &mut Held) -> Kept {
    let later = |refusal: Refusal| Kept::Later(refusal.reason);
    let Some(writer) = host.writer() else {
        return Kept::Later("writing is off".to_owned());
    };
    if let Some(why) = over(host) {
        return Kept::Over(End::Safe(why.words().to_owned()));
    }
    let target = held.target().clone();
    let Some(register) = target.point().register().cloned() else {
        return Kept::Later("it has no register".to_owned());
    };
    let Some(_turn) = writer.turn_to_keep(&target) else {
        return Kept::Later("a new value is being set".to_owned());
    };
    if let Err(refusal) = writer.policy.allowed(&target, clock::now_ms()) {
        return Kept::Over(End::Safe(refusal.reason));
    }
    let Some(lane) = host.lane(&target.device.meta.connection_id) else {
        return Kept::Later("its connection is not polled".to_owned());
    };
    let all = host.bus.devices();
    match evidence::who(&lane.link, &target.device, &all).await {
        Err(refusal) => return later(refusal),
        Ok(who) => match who.same_as(&held.who) {
            Same::Yes => held.recognised(&lane),
            Same::NotTold => return Kept::Later("the device does not say who it is".to_owned()),
            Same::No => return Kept::Over(End::Away(who.instead_of(&held.who))),
        },
    }
    let unit = target.device.meta.unit;
    let (now, words) = match evidence::now(&lane.link, unit, &register).await {
        Ok(now) => now,
        Err(refusal) => return later(refusal),
    };
    evidence::publish(&host.bus, &target, &now, &words, lane.interval);
    if !same(&now, held.reads(), held.tolerance()) {
        let (reads, meant) = (path::amount(&target, &now), path::amount(&target, held.reads()));
        return match held.stands {
            None => Kept::NotThere(format!("the device was to be set to {meant}, and reads {reads}")),
            Some(_) => Kept::Over(End::Away(format!(
                "the device reads {reads} instead of {meant}: another master has set it, or the device has let it go"
            ))),
        };
    }
    held.stands = Some(now);
    match evidence::interlocks(&lane.link, &target, held.checked.value(), &all).await {
        Ok(()) => {}
        Err(refusal) if refusal.code == Cause::Stale => return later(refusal),
        Err(refusal) => return Kept::Over(End::Safe(refusal.reason)),
    }
    let until = std::time::Instant::now() + PERMIT;
    let permit = held
        .checked
        .permit(unit, held.noted, until, &writer.latch, Purpose::KeepAlive);
    let answer = lane.link.write(permit).await;
    writer.note_sent(&target);
    match answer {
        Ok(_) => {
            held.kept += 1;
            let wanted = held.checked.value().clone();
            if !same(held.reads(), &wanted, held.tolerance()) {
                // What looked like the device's own bound may be what another master writes: then the device takes the
                // value as it is, until the other comes again.
                let settle = held.allowed.rule().and_then(|rule| rule.verify);
                tokio::time::sleep(settle.map_or(Duration::ZERO, |verify| verify.after)).await;
                if let Some((now, words)) = evidence::look(&lane.link, unit, &register).await {
                    evidence::publish(&host.bus, &target, &now, &words, lane.interval);
                    if same(&now, &wanted, held.tolerance()) {
                        held.stands = Some(now);
                    }
                }
            }
            Kept::Yes
        }
        Err(WriteError::Refused(cause)) => Kept::Over(End::Safe(format!("the device refused it: {cause}"))),
        Err(error) => Kept::Later(error.to_string()),
    }
}
