//! The path of a write, from the request to what became of it. It reads from top to bottom as it is walked; no step can be
//! left out, for the wire takes nothing but a permit, and only what was checked and noted has one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use busbar_guard::{
    Amount, Cause, Checked, Context, Effective, GOOD_FOR, Noted, Outcome, Prepared, Purpose, Refusal, Sent,
    check, effective, pace, same, understand,
};
use busbar_ledger::model::Point;
use busbar_ledger::value::Value;
use busbar_ledger::write::{Kind, Risk, WriteRule};
use busbar_wire::{WireError, WriteError};

use super::answer::{Answer, Confirm, SetReport, shown};
use super::policy::Allowed;
use super::readback::{because, linked, read_back, tolerance};
use super::record::{self, Asker, LeaseTerms};
use super::target::Target;
use super::terms::{hold, safe};
use super::{Writer, evidence, lease, watch};
use crate::bus::Availability;
use crate::clock;
use crate::host::Host;

/// A permit is good for this long: the wire is not that busy, or something is wrong.
const PERMIT: Duration = Duration::from_secs(10);

/// A request to write.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which entity.
    pub target: Target,
    /// The value.
    pub value: Wanted,
    /// Only say what would be sent.
    pub dry_run: bool,
    /// For how long a leased value is held.
    pub hold: Option<Duration>,
    /// What the first of two steps gave.
    pub token: Option<String>,
    /// Whether a host keeps running that can hold a lease.
    pub host_stays: bool,
    /// Who asks.
    pub asker: Asker,
}

/// A value as it was given.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// Typed: a number, a label, `on`, `no limit`.
    Typed(String),
    /// As a value.
    Value(Value),
}

impl Wanted {
    /// What stands in reports before it is understood: a number where it looks like one.
    pub fn raw(&self) -> Value {
        match self {
            Wanted::Typed(text) => match (text.trim().parse(), text.trim().parse::<f64>()) {
                (Ok(whole), _) => Value::Integer(whole),
                (_, Ok(number)) if number.is_finite() => Value::Number(number),
                _ => Value::Text(text.clone()),
            },
            Wanted::Value(value) => value.clone(),
        }
    }

    /// What it means for a point.
    pub(super) fn understood(&self, point: &Point) -> Result<Value, Refusal> {
        match self {
            Wanted::Typed(text) | Wanted::Value(Value::Text(text)) => understand(point, text),
            Wanted::Value(value) => Ok(value.clone()),
        }
    }
}

/// Walks the path.
///
/// # Errors
/// The first thing that is in the way; then nothing was sent.
pub(super) async fn walk(host: &Arc<Host>, writer: &Writer, request: &Request) -> Result<Answer, Refusal> {
    let Request { target, asker, .. } = request;
    let point = target.point();

    // 1. Who. The control socket lets in its owner and root alone; other interfaces do not reach this.
    writer.open_for_business(host).await?;
    let switched = writer.latch.count();

    // 2. The entity is opted in, the leave has not run out, and the level suffices.
    let allowed = writer.policy.allowed(target, clock::now_ms())?;
    let rule = allowed.rule().ok_or_else(|| no_rule(target))?;
    let value = request.value.understood(point)?;
    // What needs no question to the device is asked first: a flood of nonsense never reaches the wire.
    let from_outside = context(writer, &allowed, (None, None));
    let unquestioned = Effective {
        max_change: None,
        ..effective(point, &from_outside)?
    };
    check(point, &unquestioned, &value, None)?;
    let hold = hold(rule, request)?;
    if hold.is_some() && !request.dry_run {
        writer.leases.has_room(target)?;
    }
    let _turn = writer.turn(target)?;
    let written = written(host, target).await?;
    if !request.dry_run {
        let now_ms = clock::now_ms();
        pace(rule, allowed.entry.daily_budget, &written, now_ms)?;
        // The wall clock may have been set; this process knows better for as long as it has run.
        pace(
            rule,
            allowed.entry.daily_budget,
            &writer.written(target, now_ms),
            now_ms,
        )?;
    }
    let lane = host
        .lane(&target.device.meta.connection_id)
        .ok_or_else(|| away(target, "it is not polled"))?;
    let all = host.bus.devices();

    // 3. The device is the one that was approved: it says so now.
    let who = evidence::who(&lane.link, &target.device, &all).await?;
    writer.approved(host, target, &who).await?;

    // 4. Fresh: it is there, and its present value is read now.
    if let Availability::Offline(why) = &target.device.state().availability {
        return Err(away(target, why));
    }
    let register = point.register().ok_or_else(|| no_rule(target))?;
    let (old, words) = evidence::now(&lane.link, target.device.meta.unit, register).await?;
    evidence::publish(&host.bus, target, &old, &words, lane.interval);

    // 5. Interlocks.
    evidence::interlocks(&lane.link, target, &value, &all).await?;

    // 6. Bounds, with what the device itself says of them; 7. step and largest change; 9. the words, decoded again.
    let own = evidence::own_bounds(&lane.link, target).await?;
    let limits = effective(point, &context(writer, &allowed, own))?;
    let checked = check(point, &limits, &value, Some(&old))?;
    let safe = safe(rule, &allowed, target, &limits)?;

    let report = |outcome: Outcome, reason: Option<String>| SetReport {
        entity: target.id(),
        requested: value.clone(),
        outcome,
        reason,
        binding_limit: binding(&limits, &value),
        words: Some(checked.order().words()),
        function: Some(checked.order().function()),
        at: Some(checked.order().at()),
        unit_id: Some(target.device.meta.unit),
        code: None,
        hint: None,
        old: Some(old.clone()),
        value: Some(old.clone()),
        unit: point.unit.clone(),
        lease_until_ms: None,
    };

    // 8. The rate and the budget are kept (above); an equal value is not written, where the register tells it exactly.
    let is_it_already =
        rule.lease.is_none() && rule.kind != Kind::Button && tells_exactly(target) && same(&old, &value, 0.0);
    if request.dry_run || allowed.level == 1 {
        let reason = match (allowed.level, is_it_already) {
            (1, _) => "level 1 is a dry run: everything was checked, and nothing sent",
            (_, true) => "everything was checked; it reads that already, so a real one would send nothing",
            (_, false) if hold.is_some() && !request.host_stays => {
                "everything was checked, and nothing sent; a real one needs a running host that keeps it alive"
            }
            (_, false) => "everything was checked, and nothing sent",
        };
        writer.note(host, record::tried(asker, target, &checked)).await;
        return Ok(done(report(Outcome::DryRun, Some(reason.to_owned()))));
    }
    if is_it_already {
        let reason = "it reads that already, so nothing was sent".to_owned();
        return Ok(done(report(Outcome::Applied, Some(reason))));
    }

    // 10. What is risky takes two steps.
    if is_risky(rule, &value) {
        let prepared = Prepared {
            entity: target.id(),
            who: asker.who.clone(),
            words: checked.order().words(),
            device: who.shown(),
            hold_ms: hold.map(|hold| u64::try_from(hold.as_millis()).unwrap_or(u64::MAX)),
        };
        match &request.token {
            None => {
                return Ok(confirm(
                    writer,
                    prepared,
                    target,
                    &checked,
                    &value,
                    &old,
                    hold,
                    safe.as_ref(),
                ));
            }
            Some(token) => writer.redeem(token, &prepared)?,
        }
    }

    // 11. The intent, on the disk. Much time may have passed: it is looked once more whether all still is as it was.
    let replaced = writer.leases.replace(target).await?;
    if let Err(refusal) = writer.still_open(switched, target) {
        give_back(host, writer, replaced);
        return Err(refusal);
    }
    let until = tokio::time::Instant::now() + hold.unwrap_or_default();
    let terms = hold.zip(safe).map(|(hold, safe)| LeaseTerms {
        safe,
        until_ms: clock::now_ms().saturating_add(i64::try_from(hold.as_millis()).unwrap_or(i64::MAX)),
    });
    let row = record::intent(asker, target, &checked, Some(&old), terms.as_ref());
    let noted = match host.registry.audit(row).await {
        Ok(row) => Noted(row.seq),
        Err(error) => {
            give_back(host, writer, replaced);
            return Err(no_audit(&error));
        }
    };

    // 12. One request. 13. Its echo.
    writer.note_written(target);
    writer.forget_watch(target);
    let permit = checked.permit(
        target.device.meta.unit,
        noted,
        Instant::now() + PERMIT,
        &writer.latch,
        Purpose::Set,
    );
    let refused = |why: String| report(Outcome::Rejected, Some(format!("the device refused it: {why}")));
    let answer = lane.link.write(permit).await;
    writer.note_sent(target);
    let went = match answer {
        Ok(answer) => linked(rule, &answer.words)
            .map(|()| (Sent::Acknowledged, None))
            .map_err(refused),
        Err(WriteError::NotSent(cause)) => {
            let mut report = report(Outcome::Refused, Some(format!("nothing was sent: {cause}")));
            report.words = None;
            report.code = Some(if writer.latch.is_set() {
                Cause::KillSwitch
            } else {
                Cause::Stale
            });
            report.hint = Some("Try again when the device answers.".to_owned());
            Err(report)
        }
        // A device failure may have come after something was begun: the register tells.
        Err(WriteError::Refused(cause @ WireError::Exception { code: 4, .. })) => {
            Ok((Sent::Unconfirmed, Some(cause.to_string())))
        }
        Err(WriteError::Refused(cause)) => Err(refused(cause.to_string())),
        Err(WriteError::Unconfirmed(cause)) => Ok((Sent::Unconfirmed, Some(cause.to_string()))),
    };
    let (sent, told) = match went {
        Ok(sent) => sent,
        Err(report) => return ended(host, writer, request, noted, replaced, report).await,
    };
    // 14. Read back: what it says now is what is published, never what was wanted.
    let (mut outcome, read) = read_back(host, writer, &lane, target, rule, sent, &old, &value).await;
    let reason = because(outcome, target, &value, read.as_ref(), told.as_deref());
    if rule.verify.is_none() && sent == Sent::Acknowledged {
        // A button falls back by itself: the acknowledgement is all that there is.
        outcome = Outcome::Applied;
    }

    // 15. The outcome.
    let row = record::outcome(asker, target, noted.0, outcome.name(), read.as_ref(), &reason);
    if let Err(error) = host.registry.audit(row).await {
        tracing::error!(entity = %target.id(), "the outcome could not be noted: {error}");
    }
    let mut report = report(outcome, Some(reason).filter(|reason| !reason.is_empty()));
    report.value = read;

    // 16. A lease is kept alive; everything else is watched for a while.
    match (terms, replaced) {
        // The device kept what it held before.
        (Some(_), Some(old)) if outcome == Outcome::Rejected => give_back(host, writer, Some(old)),
        (Some(terms), replaced) => {
            if let Some(old) = replaced {
                lease::replaced(host, &old).await;
            }
            let held = lease::Held {
                allowed,
                stands: lease::stands(outcome, report.value.as_ref()),
                checked,
                terms,
                until,
                noted,
                kept: 0,
                seen: Some((lane.link.stats().connects, tokio::time::Instant::now())),
                who,
                ending: None,
            };
            // One that it was not seen to take is not written again, but looked after: it may take it late.
            let until_ms = lease::begin(host, writer, held);
            report.lease_until_ms = (outcome != Outcome::Rejected).then_some(until_ms);
        }
        (None, _) if outcome == Outcome::Applied && rule.verify.is_some() => {
            watch::begin(host, writer, target, &value, tolerance(rule), noted.0);
        }
        (None, _) => {}
    }
    Ok(done(report))
}

fn done(report: SetReport) -> Answer {
    Answer::Done(Box::new(report))
}

/// A request that was surely not carried out: that is its outcome, and a lease that it was to replace goes on.
async fn ended(
    host: &Arc<Host>,
    writer: &Writer,
    request: &Request,
    noted: Noted,
    replaced: Option<lease::Held>,
    report: SetReport,
) -> Result<Answer, Refusal> {
    let (target, asker) = (&request.target, &request.asker);
    let reason = report.reason.clone().unwrap_or_default();
    let row = record::outcome(asker, target, noted.0, report.outcome.name(), None, &reason);
    if let Err(error) = host.registry.audit(row).await {
        tracing::error!(entity = %target.id(), "the outcome could not be noted: {error}");
    }
    give_back(host, writer, replaced);
    Ok(done(report))
}

/// A lease that was to be replaced goes on as it was.
fn give_back(host: &Arc<Host>, writer: &Writer, replaced: Option<lease::Held>) {
    if let Some(held) = replaced {
        lease::resume(host, writer, held);
    }
}

/// Whether what a register reads is all that there is to know of its setting: not where another register of the same
/// setting has finer steps.
fn tells_exactly(target: &Target) -> bool {
    let step = |target: &Target| {
        target
            .point()
            .register()
            .map_or(0.0, |register| register.scale.as_f64().abs())
    };
    let own = step(target);
    target.siblings().iter().all(|other| step(other) >= own)
}

/// Everything that bounds a write from outside the ledger.
pub(super) fn context<'a>(
    writer: &Writer,
    allowed: &'a Allowed,
    (device_min, device_max): (Option<f64>, Option<f64>),
) -> Context<'a> {
    Context {
        site: writer.policy.site.clone(),
        owner: allowed.entry.owner(),
        device_min,
        device_max,
        alias_of: allowed.target.alias(),
    }
}

fn no_rule(target: &Target) -> Refusal {
    Refusal::new(
        Cause::NoRule,
        format!("{} cannot be written", target.id()),
        "`busbar limits` lists what can.",
    )
}

fn away(target: &Target, why: &str) -> Refusal {
    Refusal::new(
        Cause::Stale,
        format!("{} is offline: {why}", target.device.meta.name),
        "Try again when it answers; `busbar devices` shows how it stands.",
    )
}

fn no_audit(error: &busbar_store::StoreError) -> Refusal {
    Refusal::new(
        Cause::Audit,
        format!("it cannot be noted in the audit, and without that nothing is written: {error}"),
        error.hint(),
    )
}

/// When this setting was written in the last 24 hours, through any of its registers.
async fn written(host: &Arc<Host>, target: &Target) -> Result<Vec<i64>, Refusal> {
    let since = clock::now_ms() - busbar_guard::DAY_MS;
    host.registry
        .intents_since(&target.shared(), since)
        .await
        .map_err(|error| no_audit(&error))
}

/// What binds a value: the end of the range that it lies nearer to.
fn binding(limits: &Effective, value: &Value) -> Option<String> {
    let value = value.as_f64()?;
    let (low, high) = limits.range.as_ref()?;
    let end = if (value - low.value).abs() < (high.value - value).abs() {
        low
    } else {
        high
    };
    Some(end.by.clone())
}

fn is_risky(rule: &WriteRule, value: &Value) -> bool {
    rule.risk == Risk::High || rule.no_limit.is_some_and(|lifts| value.as_f64() == Some(lifts))
}

#[allow(
    clippy::too_many_arguments,
    reason = "each is one thing that the question tells"
)]
fn confirm(
    writer: &Writer,
    prepared: Prepared,
    target: &Target,
    checked: &Checked,
    value: &Value,
    old: &Value,
    hold: Option<Duration>,
    safe: Option<&Checked>,
) -> Answer {
    let mut question = format!(
        "{} of {} will be set to {} (it reads {} now)",
        target.point().label,
        target.device.meta.name,
        shown(target, value),
        shown(target, old)
    );
    if let Some((hold, safe)) = hold.zip(safe) {
        question.push_str(&format!(
            ", held for {}, then set to {}",
            crate::config::format_duration(hold),
            shown(target, safe.value())
        ));
    }
    question.push('.');
    Answer::Confirm(Box::new(Confirm {
        words: prepared.words.clone(),
        entity: prepared.entity.clone(),
        token: writer.prepare(prepared),
        expires_ms: u64::try_from(GOOD_FOR.as_millis()).unwrap_or(u64::MAX),
        requested: value.clone(),
        function: checked.order().function(),
        at: checked.order().at(),
        unit_id: target.device.meta.unit,
        question: crate::format::visible(&question),
        old: Some(old.clone()),
    }))
}

/// Numbers of a lease for a message.
pub(super) fn amount(target: &Target, value: &Value) -> String {
    match value.as_f64() {
        Some(number) => Amount(number, target.point().unit.as_deref()).to_string(),
        None => value.to_string(),
    }
}
