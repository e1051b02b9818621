//! Values that lapse: kept alive while somebody wants them (`keep`), and brought back to what is safe when nobody does any
//! more (`release`).
//!
//! A lease ends with its time, when its owner ends it, with the host, with the kill switch, and when an interlock or the
//! owner's leave does: then the safe value is written, under the intent that began the lease, so that it needs no space on
//! a disk. It stays on the list until the device is seen to be at its safe value. When another master has taken over,
//! nothing is written: the two would only fight.

mod keep;
mod release;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use busbar_guard::{Cause, Checked, Noted, Outcome, Refusal};
use busbar_ledger::value::Value;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{error, info};

use super::evidence::Who;
use super::policy::Allowed;
use super::record::{self, Asker, LeaseTerms};
use super::target::Target;
use super::{Lane, Writer, path};
use crate::clock;
use crate::host::Host;

/// How often a value is written again where the maker does not say when it lapses.
const UNKNOWN_TIMEOUT: Duration = Duration::from_secs(40);
/// The most leases at once.
const MOST: usize = 64;
/// How long a new value waits for the task of an old one to hand over.
const HAND_OVER: Duration = Duration::from_secs(1);

/// A value that is held.
#[derive(Clone, Debug)]
pub struct Held {
    /// The leave, and the entity.
    pub allowed: Allowed,
    /// The words.
    pub checked: Checked,
    /// What the device made of them; `None` where it was not seen to have taken them.
    pub stands: Option<Value>,
    /// When it ends, and with what.
    pub terms: LeaseTerms,
    /// The same moment on a clock that nobody sets.
    pub until: Instant,
    /// The intent that began it.
    pub noted: Noted,
    /// How often it was written again.
    pub kept: u64,
    /// Who the device was when it began.
    pub who: Who,
    /// Over which of the link's connections it last said so, and when.
    pub seen: Option<(u64, Instant)>,
    /// Why it is being let go, once it is.
    pub ending: Option<String>,
}

impl Held {
    fn target(&self) -> &Target {
        &self.allowed.target
    }

    fn tolerance(&self) -> f64 {
        let verify = self.allowed.rule().and_then(|rule| rule.verify);
        verify.map_or(0.0, |verify| verify.tolerance)
    }

    /// What the device should read while it is held.
    fn reads(&self) -> &Value {
        self.stands.as_ref().unwrap_or_else(|| self.checked.value())
    }

    /// Half of the device's own time-out.
    fn every(&self) -> Duration {
        let lease = self.allowed.rule().and_then(|rule| rule.lease);
        lease
            .and_then(|lease| lease.device_timeout)
            .unwrap_or(UNKNOWN_TIMEOUT)
            / 2
    }

    /// Notes that the device has said who it is, over this connection.
    fn recognised(&mut self, lane: &Lane) {
        self.seen = Some((lane.link.stats().connects, Instant::now()));
    }
}

/// A lease, as interfaces show it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeaseView {
    /// The entity.
    pub entity: String,
    /// The value that is held: what the device made of the one that was asked for.
    pub value: Value,
    /// The value that was asked for.
    pub requested: Value,
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
    /// Why it could not be written again, or let go, just now.
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

    /// How long whoever ends it waits for it to be at its safe value. It is tried for longer.
    fn patience(self) -> Duration {
        match self {
            Why::Asked => Duration::from_secs(10),
            Why::Shutdown | Why::Kill => Duration::from_secs(3),
        }
    }
}

/// What is told to the task of a lease.
enum Order {
    /// End with the safe value; told when that is over, or takes too long.
    End(Why, oneshot::Sender<SafeReport>),
    /// Hand over without writing: another value follows.
    HandOver(oneshot::Sender<Held>),
}

/// What became of a lease's end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SafeReport {
    /// The entity.
    pub entity: String,
    /// `released`, `reverted`, `rejected` or `unknown`.
    pub outcome: String,
    /// In words.
    pub reason: String,
}

/// The leases of a host, by setting.
#[derive(Debug, Default)]
pub struct Leases(Mutex<BTreeMap<String, Handle>>);

#[derive(Debug)]
struct Handle {
    view: View,
    orders: mpsc::Sender<Order>,
    intent: i64,
}

/// A view that the task of a lease keeps up to date.
#[derive(Clone, Debug)]
struct View(Arc<Mutex<LeaseView>>);

impl View {
    fn of(held: &Held) -> Self {
        let target = held.target();
        View(Arc::new(Mutex::new(LeaseView {
            entity: target.id(),
            value: held.reads().clone(),
            requested: held.checked.value().clone(),
            safe: held.terms.safe.value().clone(),
            unit: target.point().unit.clone(),
            until_ms: held.terms.until_ms,
            kept: held.kept,
            every_ms: u64::try_from(held.every().as_millis()).unwrap_or(u64::MAX),
            trouble: held
                .stands
                .is_none()
                .then(|| "the device was not seen to take it yet".to_owned()),
        })))
    }

    fn note(&self, held: &Held, trouble: Option<String>) {
        let mut view = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        view.value = held.reads().clone();
        view.kept = held.kept;
        view.trouble = trouble;
    }
}

impl Leases {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Handle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn orders(&self, target: &Target) -> Option<mpsc::Sender<Order>> {
        self.all()
            .get(&target.setting())
            .map(|handle| handle.orders.clone())
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
        let view = |handle: &Handle| {
            handle
                .view
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        };
        self.all().values().map(view).collect()
    }

    /// Stops keeping a setting alive, because another value follows at once.
    ///
    /// # Errors
    /// [`Cause::Busy`] where it is just being written: what was checked a moment ago would not be true any more.
    pub async fn replace(&self, target: &Target) -> Result<Option<Held>, Refusal> {
        let Some(orders) = self.orders(target) else {
            return Ok(None);
        };
        let (tell, told) = oneshot::channel();
        let handed = async move {
            orders.send(Order::HandOver(tell)).await.ok()?;
            told.await.ok()
        };
        match tokio::time::timeout(HAND_OVER, handed).await {
            Ok(held) => Ok(held),
            Err(_) => Err(Refusal::new(
                Cause::Busy,
                "the value that is held now is just being written",
                "Try again in a moment.",
            )),
        }
    }

    /// Ends a lease; `None` where there is none.
    pub async fn end(&self, target: &Target, why: Why) -> Option<SafeReport> {
        let orders = self.orders(target)?;
        end(orders, why).await
    }

    /// Ends all, at the same time.
    pub async fn end_all(&self, why: Why) -> Vec<SafeReport> {
        let orders: Vec<_> = self.all().values().map(|handle| handle.orders.clone()).collect();
        let ends = orders.into_iter().map(|orders| end(orders, why));
        futures_util::future::join_all(ends)
            .await
            .into_iter()
            .flatten()
            .collect()
    }
}

async fn end(orders: mpsc::Sender<Order>, why: Why) -> Option<SafeReport> {
    let (tell, told) = oneshot::channel();
    orders.send(Order::End(why, tell)).await.ok()?;
    told.await.ok()
}

/// Begins to hold a value that was sent. Tells until when.
pub fn begin(host: &Arc<Host>, writer: &Writer, held: Held) -> i64 {
    let until_ms = held.terms.until_ms;
    info!(
        "{}: {} is held until {}",
        held.target().id(),
        path::amount(held.target(), held.reads()),
        clock::show(until_ms)
    );
    resume(host, writer, held);
    until_ms
}

/// Goes on with a lease where it was left: it is kept alive, or let go.
pub fn resume(host: &Arc<Host>, writer: &Writer, held: Held) {
    let view = View::of(&held);
    let (orders, told) = mpsc::channel(4);
    let handle = Handle {
        view: view.clone(),
        orders,
        intent: held.noted.0,
    };
    writer.leases.all().insert(held.target().setting(), handle);
    tokio::spawn(keep::run(Arc::clone(host), held, told, view));
}

/// Notes that a lease has ended because another value followed.
pub async fn replaced(host: &Arc<Host>, held: &Held) {
    conclude(host, held, "replaced", None, "another value was set").await;
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

/// Whether a read-back decided that the device has the value, so that it is held from the start.
pub fn stands(outcome: Outcome, read: Option<&Value>) -> Option<Value> {
    match outcome {
        Outcome::Applied | Outcome::Clamped => read.cloned(),
        _ => None,
    }
}
