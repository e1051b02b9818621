//! Writes: opted in, within limits, through one path, with a record.
//!
//! [`path`] is the path, step by step; [`target`] what can be named, [`policy`] what the owner allows, and [`approvals`] for
//! which device; [`terms`] for how long; [`evidence`] what is asked of the device before, [`readback`] what it says after;
//! [`lease`] values that lapse; [`watch`] what becomes of others later; [`recover`] what a restart finds; [`kill`] the kill
//! switch; [`record`] the audit; [`limits`] what could be written, for people; [`rehearse`] the way without a device, for
//! tests. What may be written at all is decided in `busbar-guard`.
//!
//! Where no connection has a level above 0, none of this is built.

mod answer;
mod approvals;
mod evidence;
pub mod kill;
pub mod lease;
pub mod limits;
mod path;
pub mod policy;
mod readback;
mod record;
mod recover;
pub mod rehearse;
pub mod target;
mod terms;
mod watch;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use busbar_guard::{Cause, Latch, Prepared, Refusal, Tokens};
use busbar_store::{KillSwitch, NewAudit};
use busbar_wire::Link;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::clock;
use crate::error::Result;
use crate::host::Host;
use policy::Policy;
use target::Target;

pub use answer::{Answer, Confirm, SetReport};
pub use path::{Request, Wanted};
pub use record::Asker;
pub use recover::Open;

/// Settings that are written at the same time, at most.
const MOST_AT_ONCE: usize = 16;
/// Writes of one setting that are remembered: more than any budget of a day for what wears out.
const MOST_REMEMBERED: usize = 1024;
/// How long a host that ends waits for what is under way.
const PATIENCE: Duration = Duration::from_secs(4);

/// The way to a device, and how often it is polled.
#[derive(Clone, Debug)]
pub struct Lane {
    /// The wire.
    pub link: Link,
    /// Time between two polls.
    pub interval: Duration,
}

/// Everything that writing needs beside the host. It exists only where something may be written.
#[derive(Debug)]
pub struct Writer {
    /// What the owner allows.
    pub policy: Policy,
    latch: Latch,
    kill: KillSwitch,
    tokens: Mutex<Tokens>,
    under_way: Mutex<BTreeSet<String>>,
    /// Requests that are not answered and noted yet.
    asked: AtomicUsize,
    one_less: Notify,
    /// Told when the kill switch is switched on.
    alarm: Notify,
    /// The values that are held.
    pub leases: lease::Leases,
    watches: Mutex<HashMap<String, CancellationToken>>,
    written: Mutex<HashMap<String, VecDeque<Instant>>>,
    flood: Mutex<record::Flood>,
    closing: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The turn of one write to a setting; it ends when this is dropped.
struct Turn<'a> {
    writer: &'a Writer,
    setting: String,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.writer.under_way).remove(&self.setting);
        self.writer.one_less.notify_waiters();
    }
}

/// A request until it is answered and noted: a host that ends waits for that.
struct Asked(Arc<Writer>);

impl Asked {
    fn of(writer: &Arc<Writer>) -> Self {
        writer.asked.fetch_add(1, Ordering::SeqCst);
        Asked(Arc::clone(writer))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.asked.fetch_sub(1, Ordering::SeqCst);
        self.0.one_less.notify_waiters();
    }
}

impl Writer {
    /// Builds the path, where the policy opens it. A kill switch that is on stays on.
    ///
    /// # Errors
    /// Without a kill switch that works, nothing is written.
    pub fn build(policy: Policy, data_dir: &std::path::Path) -> Result<Option<Arc<Self>>> {
        if !policy.writes() {
            return Ok(None);
        }
        let kill = KillSwitch::prepare(data_dir)?;
        let latch = Latch::default();
        if kill.is_on() {
            latch.set();
            warn!(
                "the kill switch is on: nothing is written to devices (`busbar kill-switch off` switches it off)"
            );
        }
        Ok(Some(Arc::new(Writer {
            policy,
            latch,
            kill,
            tokens: Mutex::default(),
            under_way: Mutex::default(),
            asked: AtomicUsize::new(0),
            one_less: Notify::new(),
            alarm: Notify::new(),
            leases: lease::Leases::default(),
            watches: Mutex::default(),
            written: Mutex::default(),
            flood: Mutex::default(),
            closing: CancellationToken::new(),
        })))
    }

    /// Whether the kill switch is on, and why.
    pub fn killed(&self) -> Option<String> {
        (self.latch.is_set() || self.kill.is_on()).then(|| self.kill.reason().unwrap_or_default())
    }

    /// Whether anything can be written just now.
    async fn open_for_business(&self, host: &Host) -> Result<(), Refusal> {
        if self.closing.is_cancelled() {
            return Err(Refusal::new(
                Cause::Busy,
                "the host is ending",
                "Set it when it runs again.",
            ));
        }
        if let Some(reason) = self.killed() {
            let why = if reason.is_empty() {
                String::new()
            } else {
                format!(" ({})", crate::format::visible(&reason))
            };
            return Err(Refusal::new(
                Cause::KillSwitch,
                format!("the kill switch is on{why}"),
                "`busbar kill-switch off` switches it off, when all is well.",
            ));
        }
        if !clock::is_sane(clock::now_ms()) {
            return Err(Refusal::new(
                Cause::Clock,
                format!(
                    "this machine's clock cannot be right: it says {}",
                    clock::show(clock::now_ms())
                ),
                "Set the clock (or let it be set by NTP), then try again.",
            ));
        }
        match host.registry.needs_owner_confirmation().await {
            Ok(false) => Ok(()),
            Ok(true) => Err(Refusal::new(
                Cause::Level,
                "the registry was restored from a backup, and you have not confirmed it since",
                "Look at `busbar limits`; when it is right: `busbar limits --confirm`.",
            )),
            Err(error) => Err(Refusal::new(
                Cause::Audit,
                format!("the registry cannot be read: {error}"),
                error.hint(),
            )),
        }
    }

    /// Whether a write that was let in may still go out: the moment before its intent is noted.
    fn still_open(&self, count: u64, target: &Target) -> Result<(), Refusal> {
        if self.closing.is_cancelled() {
            return Err(Refusal::new(
                Cause::Busy,
                "the host is ending",
                "Set it when it runs again.",
            ));
        }
        if self.latch.count() != count || self.kill.is_on() {
            return Err(Refusal::new(
                Cause::KillSwitch,
                "the kill switch was switched on meanwhile",
                "`busbar kill-switch off` switches it off, when all is well.",
            ));
        }
        self.policy.allowed(target, clock::now_ms()).map(|_| ())
    }

    /// Resolves when nothing may be written any more.
    async fn stopped(&self) {
        loop {
            let alarm = self.alarm.notified();
            if self.latch.is_set() || self.closing.is_cancelled() {
                return;
            }
            tokio::select! {
                () = alarm => {}
                () = self.closing.cancelled() => {}
            }
        }
    }

    /// Whether a setting is being written just now.
    pub fn is_under_way(&self, target: &Target) -> bool {
        lock(&self.under_way).contains(&target.setting())
    }

    /// The turn to write a setting: one at a time.
    fn turn(&self, target: &Target) -> Result<Turn<'_>, Refusal> {
        let setting = target.setting();
        let mut under_way = lock(&self.under_way);
        if under_way.len() >= MOST_AT_ONCE {
            return Err(Refusal::new(
                Cause::Busy,
                format!("{MOST_AT_ONCE} other writes are under way"),
                "Try again in a moment.",
            ));
        }
        if !under_way.insert(setting.clone()) {
            return Err(Refusal::new(
                Cause::Busy,
                "another write to the same setting is under way",
                "Wait for it to end; then try again.",
            ));
        }
        Ok(Turn {
            writer: self,
            setting,
        })
    }

    /// The turn to write a held value again: however many others are written, but not while somebody sets a new one.
    fn turn_to_keep(&self, target: &Target) -> Option<Turn<'_>> {
        let setting = target.setting();
        // Not made before it is known to be free: a turn that is dropped gives the setting away.
        let free = lock(&self.under_way).insert(setting.clone());
        free.then(|| Turn {
            writer: self,
            setting,
        })
    }

    /// When this setting was written in the last 24 hours, as far as this process has done it, on a clock that nobody sets;
    /// told as times on the wall clock that ends now.
    fn written(&self, target: &Target, now_ms: i64) -> Vec<i64> {
        let ago = |at: &Instant| i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX);
        let mut all = lock(&self.written);
        let Some(times) = all.get_mut(&target.setting()) else {
            return Vec::new();
        };
        while times.front().is_some_and(|at| ago(at) >= busbar_guard::DAY_MS) {
            times.pop_front();
        }
        times.iter().map(|at| now_ms.saturating_sub(ago(at))).collect()
    }

    /// A setting was written just now, be it to keep it alive or to let it go: the pause before the next write begins here,
    /// not when the intent was noted.
    fn note_sent(&self, target: &Target) {
        let mut all = lock(&self.written);
        if let Some(newest) = all.get_mut(&target.setting()).and_then(VecDeque::back_mut) {
            *newest = Instant::now();
        }
    }

    /// A setting is about to be written.
    fn note_written(&self, target: &Target) {
        let mut all = lock(&self.written);
        let times = all.entry(target.setting()).or_default();
        if times.len() == MOST_REMEMBERED {
            times.pop_front();
        }
        times.push_back(Instant::now());
    }

    fn prepare(&self, prepared: Prepared) -> String {
        let secret: [u8; 16] = rand::random();
        let secret = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        lock(&self.tokens).prepare(prepared, secret, Instant::now())
    }

    fn redeem(&self, token: &str, prepared: &Prepared) -> Result<(), Refusal> {
        lock(&self.tokens).redeem(token, prepared, Instant::now())
    }

    /// A setting is watched by this from now on, and no longer by what watched it before.
    fn watch_instead(&self, target: &Target, stop: CancellationToken) {
        if let Some(old) = lock(&self.watches).insert(target.setting(), stop) {
            old.cancel();
        }
    }

    /// A setting is about to be written: whoever watches it for its last value stops.
    fn forget_watch(&self, target: &Target) {
        if let Some(old) = lock(&self.watches).remove(&target.setting()) {
            old.cancel();
        }
    }

    /// Lets what is under way end, brings every held value back to what is safe, and takes nothing new.
    pub async fn close(&self) {
        self.closing.cancel();
        let quiet = async {
            loop {
                let one_less = self.one_less.notified();
                if lock(&self.under_way).is_empty() && self.asked.load(Ordering::SeqCst) == 0 {
                    break;
                }
                one_less.await;
            }
        };
        if tokio::time::timeout(PATIENCE * 3 / 4, quiet).await.is_err() {
            error!("a write did not end in time; what became of it is looked into at the next start");
        }
        let ended = self.leases.end_all(lease::Why::Shutdown);
        if tokio::time::timeout(PATIENCE, ended).await.is_err() {
            error!("a held value could not be brought back to what is safe in time; look at the device");
        }
    }
}

/// Carries a request out, or says why not. It goes on to its end, its row in the audit included, whoever stops waiting for it.
pub async fn write(host: &Arc<Host>, request: Request) -> Answer {
    let (entity, wanted, asker) = (request.target.id(), request.value.raw(), request.asker.clone());
    let target = request.target.clone();
    let mine = Arc::clone(host);
    let writer = host.writer();
    let asked = writer.as_ref().map(Asked::of);
    let walk = async move {
        let _asked = asked;
        let walked = match writer {
            Some(writer) => path::walk(&mine, &writer, &request).await,
            None => {
                let read_only = Policy::default();
                match read_only.allowed(&request.target, clock::now_ms()) {
                    Err(refusal) => Err(refusal),
                    Ok(_) => Err(Refusal::new(Cause::Level, "writing is off", "")),
                }
            }
        };
        if let Err(refusal) = &walked {
            let (entity, wanted) = (request.target.id(), request.value.raw());
            note_refusal(&mine, &request.asker, &entity, &wanted, refusal).await;
        }
        walked
    };
    let walked = match tokio::spawn(walk).await {
        Ok(walked) => walked,
        Err(fault) => {
            error!("{entity}: a write ended in a fault of Busbar: {fault}");
            let hint = "Please report this, with the log.";
            let refusal = Refusal::new(
                Cause::Busy,
                "Busbar has a fault here, so it is not known what became of it",
                hint,
            );
            note_refusal(host, &asker, &entity, &wanted, &refusal).await;
            Err(refusal)
        }
    };
    match walked {
        Ok(answer) => answer,
        Err(mut refusal) => {
            if refusal.code == Cause::Bounds && refusal.binding_limit.as_deref() != Some("owner") {
                refusal.hint =
                    format!("`busbar limits {entity}` shows what can be written, and what binds it.");
            }
            Answer::Done(Box::new(
                SetReport::refused(&entity, wanted, &refusal).of(&target),
            ))
        }
    }
}

impl Writer {
    /// Notes what was not sent, unless there is too much of that.
    async fn note(&self, host: &Host, mut row: NewAudit) {
        let Some(passed_over) = lock(&self.flood).take(Instant::now()) else {
            return;
        };
        if passed_over > 0 {
            let reason = row.reason.unwrap_or_default();
            row.reason = Some(format!(
                "{reason} (and {passed_over} requests before that were only counted)"
            ));
        }
        if let Err(error) = host.registry.audit(row).await {
            warn!("a refusal could not be noted: {error}");
        }
    }
}

/// Notes a refusal in the audit.
async fn note_refusal(
    host: &Arc<Host>,
    asker: &Asker,
    entity: &str,
    wanted: &busbar_ledger::value::Value,
    refusal: &Refusal,
) {
    // Where nothing can be written, there is nothing to keep a record of.
    if let Some(writer) = host.writer() {
        writer
            .note(host, record::refused(asker, entity, wanted, refusal))
            .await;
    }
}
