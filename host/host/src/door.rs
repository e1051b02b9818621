//! The door at which sinks ask for writes. Behind it is the same path as for the command line: [`crate::write`].

use std::sync::{Arc, Weak};
use std::time::Duration;

use busbar_guard::Outcome;
use busbar_sinks::door::{Command, Door, Later, Reply, Writable};
use serde_json::{Value, json};
use tracing::warn;

use crate::control::wanted;
use crate::host::Host;
use crate::write::limits::{self, EntityLimits};
use crate::write::target::{find, targets};
use crate::write::{self, Answer, Asker, Request};

/// The host behind the door; sinks do not keep it alive.
pub struct HostDoor(Weak<Host>);

impl HostDoor {
    /// The door of a host.
    pub fn of(host: &Arc<Host>) -> Self {
        HostDoor(Arc::downgrade(host))
    }
}

impl Door for HostDoor {
    fn writable(&self) -> Later<Vec<Writable>> {
        let host = self.0.clone();
        Box::pin(async move {
            match host.upgrade() {
                Some(host) => all(&host).await,
                None => Vec::new(),
            }
        })
    }

    fn write(&self, command: Command) -> Later<Reply> {
        let host = self.0.clone();
        Box::pin(async move {
            match host.upgrade() {
                Some(host) => carry_out(&host, command).await,
                None => refused(&command, "this host is ending", "Ask again when it runs."),
            }
        })
    }
}

/// What may be written now. Where a limit cannot be worked out, nothing may.
async fn all(host: &Arc<Host>) -> Vec<Writable> {
    let Some(writer) = host.writer() else {
        return Vec::new();
    };
    let mut writable = Vec::new();
    for target in targets(&host.bus.devices()) {
        if !writer.policy.names(&target) {
            continue;
        }
        match limits::of(&host.registry, &writer.policy, &target, Some(host)).await {
            Ok(limits) if limits.writable => {
                let (device, key) = (target.device.meta.id.clone(), target.point().key.clone());
                writable.extend(offered(device, key, limits));
            }
            Ok(_) => {}
            Err(error) => warn!("what may be written to {} is not known: {error}", target.id()),
        }
    }
    writable
}

/// One entity as it is offered. Pure.
fn offered(device: String, key: String, limits: EntityLimits) -> Option<Writable> {
    let effective = limits.limits?;
    let label = |value: f64| {
        let label = limits.labels.iter().find(|(number, _)| *number as f64 == value);
        label.map_or_else(|| value.to_string(), |(_, label)| label.clone())
    };
    Some(Writable {
        device,
        key,
        kind: effective.kind,
        range: effective.range.map(|(low, high)| (low.value, high.value)),
        step: effective.step,
        choices: effective.choices.into_iter().map(|v| (v, label(v))).collect(),
        no_limit: effective.no_limit,
        max_bytes: effective.max_bytes,
        risky: limits.risky,
    })
}

async fn carry_out(host: &Arc<Host>, command: Command) -> Reply {
    let name = format!("{}.{}", command.device, command.key);
    let target = match find(&host.bus.devices(), &name) {
        Ok(target) => target,
        Err(error) => return refused(&command, &error.to_string(), &error.hint()),
    };
    let value = match wanted(&command.value) {
        Ok(value) => value,
        Err(error) => return refused(&command, &error.message, &error.hint),
    };
    let request = Request {
        target,
        value,
        dry_run: command.dry_run,
        hold: command.hold_ms.map(Duration::from_millis),
        token: command.token,
        host_stays: true,
        asker: Asker {
            who: command.who,
            through: command.through,
        },
    };
    match write::write(host, request).await {
        Answer::Done(report) => Reply {
            applied: report.outcome == Outcome::Applied,
            document: serde_json::to_value(&report).unwrap_or_default(),
        },
        Answer::Confirm(confirm) => {
            let mut document = serde_json::to_value(&confirm).unwrap_or_default();
            document["outcome"] = "confirm".into();
            document["reason"] = confirm.question.clone().into();
            Reply {
                document,
                applied: false,
            }
        }
    }
}

fn refused(command: &Command, reason: &str, hint: &str) -> Reply {
    let document: Value = json!({
        "entity": format!("{}.{}", command.device, command.key),
        "requested": command.value,
        "outcome": "refused",
        "reason": reason,
        "hint": hint,
    });
    Reply {
        document,
        applied: false,
    }
}
