//! A value that was applied is watched for a while: a device may drop it again, or another master may set another one.
//! That is told, and nothing is written.

use std::sync::Arc;

use busbar_guard::{Outcome, same};
use busbar_ledger::value::{Quality, Value};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::record::{self, Asker};
use super::target::Target;
use super::{Writer, path};
use crate::host::Host;

/// For so many polls.
const POLLS: u32 = 60;
/// So many in a row that say something else are believed: the first may have been asked before the write.
const BELIEVED: u32 = 2;

/// Watches what was applied.
pub fn begin(
    host: &Arc<Host>,
    writer: &Writer,
    target: &Target,
    applied: &Value,
    tolerance: f64,
    intent: i64,
) {
    let stop = writer.closing.child_token();
    writer.watch_instead(target, stop.clone());
    tokio::spawn(watch(
        Arc::clone(host),
        target.clone(),
        applied.clone(),
        tolerance,
        intent,
        stop,
    ));
}

async fn watch(
    host: Arc<Host>,
    target: Target,
    applied: Value,
    tolerance: f64,
    intent: i64,
    stop: CancellationToken,
) {
    let mut feed = host.bus.subscribe();
    let (mut polls, mut other) = (0, 0);
    while polls < POLLS {
        let update = tokio::select! {
            () = stop.cancelled() => return,
            update = feed.recv() => match update {
                Ok(update) => update,
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            },
        };
        if update.device.meta.id != target.device.meta.id || !update.points.contains(&target.index) {
            continue;
        }
        let reading = update
            .device
            .state()
            .slots
            .get(target.index)
            .map(|slot| slot.reading.clone());
        let Some(now) = reading
            .filter(|r| r.quality == Quality::Good)
            .and_then(|r| r.value)
        else {
            continue;
        };
        polls += 1;
        other = if same(&now, &applied, tolerance) {
            0
        } else {
            other + 1
        };
        if other < BELIEVED {
            continue;
        }
        let reason = format!(
            "it was set to {}, and reads {} by now: the device has dropped it, or another master has set it",
            path::amount(&target, &applied),
            path::amount(&target, &now)
        );
        warn!("{}: {reason}", target.id());
        let row = record::outcome(
            &Asker::host(),
            &target,
            intent,
            Outcome::Reverted.name(),
            Some(&now),
            &reason,
        );
        if let Err(fault) = host.registry.audit(row).await {
            error!(entity = %target.id(), "that could not be noted: {fault}");
        }
        return;
    }
}
