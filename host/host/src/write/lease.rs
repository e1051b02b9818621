//! Values that lapse: kept alive while somebody wants them, and brought back to what is safe when nobody does any more.
//!
//! A lease ends with its time, when its owner ends it, with the host, with the kill switch, and when an interlock or the
//! owner's leave does: then the safe value is written, under the intent that began the lease, so that it needs no space on
//! a disk. When another master has taken over, nothing is written: the two would only fight.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use busbar_guard::{Cause, Checked, Noted, Outcome, Purpose, Refusal, same};
use busbar_ledger::value::Value;
use busbar_wire::WriteError;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{error, info, warn};

use super::evidence::Who;
use super::policy::{Allowed, Target};
use super::record::{self, Asker, LeaseTerms};
use super::{Writer, evidence, path};
use crate::clock;
use crate::host::Host;

/// How often a value is written again where the maker does not say when it lapses.
const UNKNOWN_TIMEOUT: Duration = Duration::from_secs(40);
/// The most leases at once.
const MOST: usize = 64;
/// How often the safe value is tried again while the device cannot be reached.
const SAFE_AGAIN: Duration = Duration::from_secs(2);
/// For how long that is tried when a lease is over.
const SAFE_FOR: Duration = Duration::from_secs(60);
/// And when the host ends, or the kill switch is on.
const SAFE_FOR_QUICK: Duration = Duration::from_secs(3);
/// A permit is good for this long.
const PERMIT: Duration = Duration::from_secs(5);

/// A value that is held.
#[derive(Clone, Debug)]
pub struct Held {
    /// The leave, and the entity.
    pub allowed: Allowed,
    /// The words.
    pub checked: Checked,
    /// What the device made of them; `None` where that is not known.
    pub stands: Option<Value>,
    /// When it ends, and with what.
    pub terms: LeaseTerms,
    /// The intent that began it.
    pub noted: Noted,
    /// How often it was written again.
    pub kept: u64,
    /// Who the device was when it began.
    pub who: Who,
}

impl Held {
    fn target(&self) -> &Target {
        &self.allowed.target
    }

    fn tolerance(&self) -> f64 {
        let verify = self.allowed.rule().and_then(|rule| rule.verify);
        verify.map_or(0.0, |verify| verify.tolerance)
    }

    /// Half of the device's own time-out.
    fn every(&self) -> Duration {
        let lease = self.allowed.rule().and_then(|rule| rule.lease);
        lease
            .and_then(|lease| lease.device_timeout)
            .unwrap_or(UNKNOWN_TIMEOUT)
            / 2
    }
}

/// A lease, as interfaces show it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeaseView {
    /// The entity.
    pub entity: String,
    /// The value that is held.
    pub value: Value,
    /// What is written when it ends.
    pub safe: Value,
    /// The unit of measurement.
    pub unit: Option<String>,
    /// When it ends, in milliseconds since 1970.
    pub until_ms: i64,
    /// How often it was written again.
    pub kept: u64,
    /// How often it is written again, in milliseconds.
    pub every_ms: u64,
    /// Why it could not be written again just now.
    pub trouble: Option<String>,
}

/// Why a lease ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Somebody ended it.
    Asked,
    /// The host ends.
    Shutdown,
    /// The kill switch.
    Kill,
}

impl Why {
    fn words(self) -> &'static str {
        match self {
            Why::Asked => "it was ended by hand",
            Why::Shutdown => "the host ended",
            Why::Kill => "the kill switch was switched on",
        }
    }
}

/// What is told to the task of a lease.
enum Order {
    /// End with the safe value; told when that is over.
    End(Why, oneshot::Sender<SafeReport>),
    /// Hand over without writing: another value follows.
    HandOver(oneshot::Sender<Held>),
}

/// What became of a lease's end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SafeReport {
    /// The entity.
    pub entity: String,
    /// `released`, `reverted` or `unknown`.
    pub outcome: String,
    /// In words.
    pub reason: String,
}

/// The leases of a host, by setting.
#[derive(Debug, Default)]
pub struct Leases(Mutex<BTreeMap<String, Handle>>);

#[derive(Debug)]
struct Handle {
    view: Arc<Mutex<LeaseView>>,
    orders: mpsc::Sender<Order>,
    intent: i64,
}

impl Leases {
    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Handle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more can be held.
    ///
    /// # Errors
    /// [`Cause::Busy`].
    pub fn has_room(&self, target: &Target) -> Result<(), Refusal> {
        let all = self.all();
        if all.len() < MOST || all.contains_key(&target.setting()) {
            return Ok(());
        }
        Err(Refusal::new(
            Cause::Busy,
            format!("{MOST} values are held already"),
            "End one with `busbar lease end`; `busbar lease list` shows them.",
        ))
    }

    /// What is held.
    pub fn views(&self) -> Vec<LeaseView> {
        let view = |handle: &Handle| handle.view.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.all().values().map(view).collect()
    }

    /// Stops keeping a setting alive, because another value follows at once.
    pub async fn replace(&self, target: &Target) -> Option<Held> {
        let orders = self
            .all()
            .get(&target.setting())
            .map(|handle| handle.orders.clone())?;
        let (tell, told) = oneshot::channel();
        orders.send(Order::HandOver(tell)).await.ok()?;
        told.await.ok()
    }

    /// Ends a lease; `None` where there is none.
    pub async fn end(&self, target: &Target, why: Why) -> Option<SafeReport> {
        let orders = self
            .all()
            .get(&target.setting())
            .map(|handle| handle.orders.clone())?;
        let (tell, told) = oneshot::channel();
        orders.send(Order::End(why, tell)).await.ok()?;
        told.await.ok()
    }

    /// Ends all, at the same time.
    pub async fn end_all(&self, why: Why) -> Vec<SafeReport> {
        let orders: Vec<_> = self.all().values().map(|handle| handle.orders.clone()).collect();
        let ends = orders.into_iter().map(|orders| async move {
            let (tell, told) = oneshot::channel();
            orders.send(Order::End(why, tell)).await.ok()?;
            told.await.ok()
        });
        futures_util::future::join_all(ends)
            .await
            .into_iter()
            .flatten()
            .collect()
    }
}

/// Begins to hold a value, where the device has it, or may have it. Tells until when.
pub async fn begin(
    host: &Arc<Host>,
    writer: &Writer,
    held: Held,
    outcome: Outcome,
    had_lease: bool,
) -> Option<i64> {
    if outcome == Outcome::Rejected {
        // It never had the value. What was held before must not stay.
        if had_lease {
            let_go(host, held, "the device did not take a new value").await;
        }
        return None;
    }
    let until_ms = held.terms.until_ms;
    let until =
        Instant::now() + Duration::from_millis(u64::try_from(until_ms - clock::now_ms()).unwrap_or(0));
    let target = held.target().clone();
    let view = Arc::new(Mutex::new(LeaseView {
        entity: target.id(),
        value: held.checked.value().clone(),
        safe: held.terms.safe.value().clone(),
        unit: target.point().unit.clone(),
        until_ms,
        kept: 0,
        every_ms: u64::try_from(held.every().as_millis()).unwrap_or(u64::MAX),
        trouble: None,
    }));
    let (orders, told) = mpsc::channel(4);
    let handle = Handle {
        view: Arc::clone(&view),
        orders,
        intent: held.noted.0,
    };
    writer.leases.all().insert(target.setting(), handle);
    info!(
        "{}: {} is held until {}",
        target.id(),
        path::amount(&target, held.checked.value()),
        clock::show(until_ms)
    );
    tokio::spawn(keep(Arc::clone(host), held, until, told, view));
    Some(until_ms)
}

/// Ends what is no lease any more, or never became one, with its safe value.
pub async fn let_go(host: &Arc<Host>, held: Held, why: &str) {
    write_safe(host, &held, why, SAFE_FOR_QUICK).await;
}

/// Notes that a lease has ended because another value followed.
pub async fn replaced(host: &Arc<Host>, held: &Held) {
    conclude(host, held, "replaced", None, "another value was set").await;
}

/// The task of one lease.
async fn keep(
    host: Arc<Host>,
    mut held: Held,
    until: Instant,
    mut orders: mpsc::Receiver<Order>,
    view: Arc<Mutex<LeaseView>>,
) {
    let every = held.every();
    // The kill switch may have been switched on, or the host have begun to end, in the moment before.
    let ends_already = host
        .writer()
        .is_some_and(|writer| writer.latch.is_set() || writer.closing.is_cancelled());
    let mut next = Instant::now() + if ends_already { Duration::ZERO } else { every };
    let (mut tell, end) = loop {
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(Order::End(why, tell)) => break (Some(tell), End::Safe(why.words().to_owned(), quick(why))),
                Some(Order::HandOver(tell)) => {
                    forget(&host, &held);
                    let _ = tell.send(held);
                    return;
                }
                None => break (None, End::Safe("the host ended".to_owned(), SAFE_FOR_QUICK)),
            },
            () = sleep_until(until) => break (None, End::Safe("its time is over".to_owned(), SAFE_FOR)),
            () = sleep_until(next) => {
                next = Instant::now() + every;
                match keep_alive(&host, &mut held).await {
                    Kept::Yes => note(&view, held.kept, None),
                    Kept::Later(why) => {
                        warn!("{}: could not be written again: {why}", held.target().id());
                        note(&view, held.kept, Some(why));
                        // The device's own time runs: sooner than usual.
                        next = Instant::now() + (every / 4).max(Duration::from_millis(500));
                    }
                    Kept::Over(end) => break (None, end),
                }
            }
        }
    };
    let report = match end {
        End::Safe(why, patience) => write_safe(&host, &held, &why, patience).await,
        End::Away(why) => {
            let reason = format!("{why}; it is left alone from now on");
            warn!("{}: {reason}", held.target().id());
            conclude(&host, &held, Outcome::Reverted.name(), None, &reason).await
        }
    };
    forget(&host, &held);
    if let Some(tell) = tell.take() {
        let _ = tell.send(report);
    }
    // Who asked meanwhile is not left waiting: the orders go with the task.
}

/// How a lease ends.
enum End {
    /// With the safe value, tried for so long.
    Safe(String, Duration),
    /// Without a word: somebody else has taken over.
    Away(String),
}

fn quick(why: Why) -> Duration {
    match why {
        Why::Asked => SAFE_FOR,
        Why::Shutdown | Why::Kill => SAFE_FOR_QUICK,
    }
}

fn note(view: &Mutex<LeaseView>, kept: u64, trouble: Option<String>) {
    let mut view = view.lock().unwrap_or_else(PoisonError::into_inner);
    view.kept = kept;
    view.trouble = trouble;
}

/// Takes a lease off the list, unless another has its place by now.
fn forget(host: &Host, held: &Held) {
    if let Some(writer) = host.writer() {
        let mut all = writer.leases.all();
        let setting = held.target().setting();
        if all
            .get(&setting)
            .is_some_and(|handle| handle.intent == held.noted.0)
        {
            all.remove(&setting);
        }
    }
}

/// What came of writing a value again.
enum Kept {
    Yes,
    Later(String),
    Over(End),
}

/// What is said when another device answers than the one that was written to.
fn another(who: &Who, held: &Held) -> String {
    format!(
        "another device answers there: {} instead of {}",
        who.shown(),
        held.who.shown()
    )
}

/// Writes the value once more, if everything still is as it was when it was allowed.
async fn keep_alive(host: &Arc<Host>, held: &mut Held) -> Kept {
    let later = |refusal: Refusal| Kept::Later(refusal.reason);
    let Some(writer) = host.writer() else {
        return Kept::Later("writing is off".to_owned());
    };
    if writer.latch.is_set() {
        return Kept::Over(End::Safe(Why::Kill.words().to_owned(), SAFE_FOR_QUICK));
    }
    if writer.closing.is_cancelled() {
        return Kept::Over(End::Safe(Why::Shutdown.words().to_owned(), SAFE_FOR_QUICK));
    }
    let target = held.target().clone();
    let Some(register) = target.point().register().cloned() else {
        return Kept::Later("it has no register".to_owned());
    };
    let Some(_turn) = writer.turn_to_keep(&target) else {
        return Kept::Later("a new value is being set".to_owned());
    };
    if let Err(refusal) = writer.policy.allowed(&target, clock::now_ms()) {
        return Kept::Over(End::Safe(refusal.reason, SAFE_FOR));
    }
    let Some(lane) = host.lane(&target.device.meta.connection) else {
        return Kept::Later("its connection is not polled".to_owned());
    };
    let all = host.bus.devices();
    match evidence::who(&lane.link, &target.device, &all).await {
        Err(refusal) => return later(refusal),
        Ok(who) if who != held.who => return Kept::Over(End::Away(another(&who, held))),
        Ok(_) => {}
    }
    let unit = target.device.meta.unit;
    let (now, words) = match evidence::now(&lane.link, unit, &register).await {
        Ok(now) => now,
        Err(refusal) => return later(refusal),
    };
    evidence::publish(&host.bus, &target, &now, &words, lane.interval);
    let stands = held
        .stands
        .clone()
        .unwrap_or_else(|| held.checked.value().clone());
    if !same(&now, &stands, held.tolerance()) {
        return Kept::Over(End::Away(format!(
            "the device reads {} instead of {}: another master has set it, or the device has let it go",
            path::amount(&target, &now),
            path::amount(&target, &stands)
        )));
    }
    match evidence::interlocks(&lane.link, &target, held.checked.value(), &all).await {
        Ok(()) => {}
        Err(refusal) if refusal.code == Cause::Stale => return later(refusal),
        Err(refusal) => return Kept::Over(End::Safe(refusal.reason, SAFE_FOR)),
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
            Kept::Yes
        }
        Err(WriteError::Refused(cause)) => {
            Kept::Over(End::Safe(format!("the device refused it: {cause}"), SAFE_FOR))
        }
        Err(error) => Kept::Later(error.to_string()),
    }
}

/// Writes the safe value, as often as it takes, for so long; and says what came of it.
async fn write_safe(host: &Arc<Host>, held: &Held, why: &str, patience: Duration) -> SafeReport {
    let target = held.target();
    let tried = timeout(patience, async {
        loop {
            match safe_once(host, held).await {
                Safe::Done(value) => break Ok(value),
                Safe::Never(reason) => break Err(reason),
                Safe::Again(reason) => {
                    warn!("{}: the safe value is not written yet: {reason}", target.id());
                    tokio::time::sleep(SAFE_AGAIN.min(patience / 4)).await;
                }
            }
        }
    })
    .await;
    let safe = path::amount(target, held.terms.safe.value());
    let (outcome, read, reason) = match tried {
        Ok(Ok(value)) => {
            info!("{}: {why}; it is at its safe value of {safe}", target.id());
            (
                "released",
                Some(value),
                format!("{why}; the safe value of {safe} is written"),
            )
        }
        Ok(Err(reason)) => {
            warn!(
                "{}: {why}; the safe value of {safe} was not written: {reason}",
                target.id()
            );
            (
                "unknown",
                None,
                format!("{why}; the safe value of {safe} was not written: {reason}"),
            )
        }
        Err(_) => {
            error!(
                "{}: {why}; the safe value of {safe} could not be written, look at the device",
                target.id()
            );
            let lapses = match held
                .allowed
                .rule()
                .and_then(|rule| rule.lease)
                .and_then(|l| l.device_timeout)
            {
                Some(after) => format!(
                    "the device lets the old one go by itself within {} s",
                    after.as_secs()
                ),
                None => "whether the device lets the old one go by itself is not known".to_owned(),
            };
            let reason = format!("{why}; the safe value of {safe} could not be written: {lapses}");
            ("unknown", None, reason)
        }
    };
    conclude(host, held, outcome, read.as_ref(), &reason).await
}

/// What one attempt came to.
enum Safe {
    /// It reads the safe value.
    Done(Value),
    /// Try again.
    Again(String),
    /// It must not be written.
    Never(String),
}

async fn safe_once(host: &Arc<Host>, held: &Held) -> Safe {
    let target = held.target();
    let (Some(writer), Some(lane)) = (host.writer(), host.lane(&target.device.meta.connection)) else {
        return Safe::Again("its connection is not polled".to_owned());
    };
    let Some(register) = target.point().register() else {
        return Safe::Never("it has no register".to_owned());
    };
    let unit = target.device.meta.unit;
    match evidence::who(&lane.link, &target.device, &host.bus.devices()).await {
        Err(refusal) => return Safe::Again(refusal.reason),
        Ok(who) if who != held.who => return Safe::Never(another(&who, held)),
        Ok(_) => {}
    }
    let until = std::time::Instant::now() + PERMIT;
    let permit = held
        .terms
        .safe
        .permit(unit, held.noted, until, &writer.latch, Purpose::Safe);
    let written = lane.link.write(permit).await;
    writer.note_sent(target);
    if let Err(error @ WriteError::NotSent(_)) = &written {
        return Safe::Again(error.to_string());
    }
    let wanted = held.terms.safe.value();
    let settle = held
        .allowed
        .rule()
        .and_then(|rule| rule.verify)
        .map_or(Duration::ZERO, |verify| verify.after);
    tokio::time::sleep(settle.min(Duration::from_millis(1500))).await;
    match evidence::look(&lane.link, unit, register).await {
        Some((value, words)) => {
            evidence::publish(&host.bus, target, &value, &words, lane.interval);
            match same(&value, wanted, held.tolerance()) {
                true => Safe::Done(value),
                false => Safe::Again(format!("it still reads {}", path::amount(target, &value))),
            }
        }
        None => Safe::Again("it does not answer".to_owned()),
    }
}

/// Notes the end of a lease.
async fn conclude(
    host: &Arc<Host>,
    held: &Held,
    outcome: &str,
    read: Option<&Value>,
    reason: &str,
) -> SafeReport {
    let target = held.target();
    let reason = format!("the lease has ended after {} further writes: {reason}", held.kept);
    let row = record::outcome(&Asker::host(), target, held.noted.0, outcome, read, &reason);
    if let Err(error) = host.registry.audit(row).await {
        error!(entity = %target.id(), "the end of a lease could not be noted: {error}");
    }
    SafeReport {
        entity: target.id(),
        outcome: outcome.to_owned(),
        reason,
    }
}
