//! `busbar set`

use std::path::Path;
use std::sync::Arc;

use busbar_guard::{Amount, Cause, Outcome, Refusal};
use busbar_ledger::value::Value;
use busbar_store::Registry;

use tokio_util::sync::CancellationToken;

use super::args::SetArgs;
use crate::catalog::Catalog;
use crate::cli::ask;
use crate::cli::output::Output;
use crate::clock;
use crate::config::Config;
use crate::control::{Client, SetCall, WriteCall};
use crate::error::{HostError, Result};
use crate::format::visible;
use crate::host::Host;
use crate::write::target::find;
use crate::write::{self, Answer, Asker, Confirm, Request, SetReport, Wanted};

/// Runs the command: through the running host, which alone writes; or as the host for a moment, where none runs.
pub async fn run(
    args: &SetArgs,
    data_dir: &Path,
    config: Config,
    output: Output,
    catalog: impl AsyncFnOnce() -> Result<Catalog>,
) -> Result<()> {
    let report = match Client::connect(data_dir).await? {
        Some(mut host) => {
            let call = |token: Option<String>| SetCall {
                entity: args.entity.clone(),
                write: WriteCall {
                    value: args.value.clone().into(),
                    dry_run: args.dry_run,
                    token,
                    hold_ms: args
                        .hold
                        .map(|hold| u64::try_from(hold.as_millis()).unwrap_or(u64::MAX)),
                },
            };
            match host.set(&call(None)).await? {
                Answer::Done(report) => report,
                Answer::Confirm(confirm) => match consent(args, &confirm, output)? {
                    None => match host.set(&call(Some(confirm.token))).await? {
                        Answer::Done(report) => report,
                        Answer::Confirm(again) => unconfirmed(&again),
                    },
                    Some(report) => report,
                },
            }
        }
        None => alone(args, data_dir, config, output, catalog().await?).await?,
    };
    tell(&report, output)
}

/// Is the host for one write.
async fn alone(
    args: &SetArgs,
    data_dir: &Path,
    config: Config,
    output: Output,
    catalog: Catalog,
) -> Result<Box<SetReport>> {
    // A registry that is not there is not made.
    Registry::open_read_only(data_dir).await?;
    let host = Host::open(data_dir, config, Arc::new(catalog)).await?;
    let cancel = CancellationToken::new();
    if let Some(writer) = host.writer() {
        tokio::spawn(write::kill::watch(Arc::clone(&host), writer, cancel.clone()));
    }
    let report = once(args, &host, output).await;
    cancel.cancel();
    let stopped = host.stop().await;
    let report = report?;
    stopped?;
    Ok(report)
}

async fn once(args: &SetArgs, host: &Arc<Host>, output: Output) -> Result<Box<SetReport>> {
    host.connect_only().await?;
    let target = find(&host.bus.devices(), &args.entity)?;
    let request = |token: Option<String>| Request {
        target: target.clone(),
        value: Wanted::Typed(args.value.clone()),
        dry_run: args.dry_run,
        hold: args.hold,
        token,
        host_stays: false,
        asker: Asker {
            who: format!("user {}", rustix::process::getuid().as_raw()),
            through: "command line",
        },
    };
    match write::write(host, request(None)).await {
        Answer::Done(report) => Ok(report),
        Answer::Confirm(confirm) => match consent(args, &confirm, output)? {
            None => match write::write(host, request(Some(confirm.token))).await {
                Answer::Done(report) => Ok(report),
                Answer::Confirm(again) => Ok(unconfirmed(&again)),
            },
            Some(report) => Ok(report),
        },
    }
}

/// Asks whether it shall really be; `None` is a yes.
fn consent(args: &SetArgs, confirm: &Confirm, output: Output) -> Result<Option<Box<SetReport>>> {
    if args.yes {
        return Ok(None);
    }
    if !ask::can_ask(output) {
        return Ok(Some(unconfirmed(confirm)));
    }
    Ok(
        match ask::agreed(&format!("{} Really?", visible(&confirm.question)))? {
            true => None,
            false => {
                let mut report = unconfirmed(confirm);
                report.reason = Some("you said no".to_owned());
                report.hint = Some(String::new());
                Some(report)
            }
        },
    )
}

/// What is risky and was not confirmed is refused.
fn unconfirmed(confirm: &Confirm) -> Box<SetReport> {
    let refusal = Refusal::new(
        Cause::Confirm,
        format!("it is risky, and was not confirmed: {}", confirm.question),
        "Add --yes when you are sure, or look at it with --dry-run.",
    );
    let mut report = SetReport::refused(&confirm.entity, confirm.requested.clone(), &refusal);
    report.words = Some(confirm.words.clone());
    report.function = Some(confirm.function);
    report.at = Some(confirm.at);
    report.unit_id = Some(confirm.unit_id);
    report.old = confirm.old.clone();
    Box::new(report)
}

/// Says what became of it.
fn tell(report: &SetReport, output: Output) -> Result<()> {
    if output.is_json() {
        output.document(report)?;
    }
    let reason = report.reason.clone().unwrap_or_default();
    let hint = report.hint.clone().unwrap_or_default();
    let value = |value: &Option<Value>| match value {
        Some(Value::Text(text)) => format!("\"{}\"", visible(text)),
        Some(value) => Amount(value.as_f64().unwrap_or(f64::NAN), report.unit.as_deref()).to_string(),
        None => "nothing".to_owned(),
    };
    match report.outcome {
        Outcome::Applied => {
            let changed = match report.old == report.value {
                true => format!("{}: {}", report.entity, value(&report.value)),
                false => format!(
                    "{}: {} → {}",
                    report.entity,
                    value(&report.old),
                    value(&report.value)
                ),
            };
            output.say(&format!("{changed}  {}", output.green("applied")));
            if !reason.is_empty() {
                output.say(&output.dim(&format!("  {}", visible(&reason))));
            }
            lease(report, output);
            Ok(())
        }
        Outcome::DryRun => {
            let words: Vec<String> = report
                .words
                .iter()
                .flatten()
                .map(|word| format!("{word:04X}"))
                .collect();
            output.say(&format!(
                "{}: {} would go to unit {}, address {}, by function {}: {} (hexadecimal)",
                report.entity,
                value(&Some(report.requested.clone())),
                report.unit_id.unwrap_or_default(),
                report.at.unwrap_or_default(),
                report.function.unwrap_or_default(),
                words.join(" ")
            ));
            output.say(&output.dim(&format!(
                "  {}; it reads {} now",
                visible(&reason),
                value(&report.old)
            )));
            Ok(())
        }
        Outcome::Refused => Err(HostError::Refused {
            message: format!("{}: {reason}", report.entity),
            hint,
            reported: output.is_json(),
        }),
        other => {
            lease(report, output);
            Err(HostError::outcome(
                other.name(),
                format!("{}: {}: {reason}", report.entity, other.name()),
                match other {
                    Outcome::Unknown => {
                        "Look at the device; `busbar audit` keeps what was sent. It is never sent again by itself."
                    }
                    Outcome::Clamped => {
                        "The device has a limit of its own; `busbar limits` shows what Busbar knows of it."
                    }
                    _ => {
                        "The device did not take it: look at its own settings (remote control, modes, locks)."
                    }
                },
                output.is_json(),
            ))
        }
    }
}

fn lease(report: &SetReport, output: Output) {
    if let Some(until) = report.lease_until_ms {
        output.say(&output.dim(&format!(
            "  the host keeps it alive for {} (until {}), then writes the safe value; `busbar lease end {}` ends it before",
            crate::format::age(until - clock::now_ms() + 500),
            clock::show(until),
            report.entity
        )));
    }
}
