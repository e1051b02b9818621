//! The kill switch at work: a file, a command, a signal. Once on, it stays on until somebody switches it off.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::Writer;
use super::lease::{SafeReport, Why};
use super::record::{self, Asker};
use crate::error::Result;
use crate::host::Host;

/// How often the file is looked for: within a second it has to work.
const LOOK: Duration = Duration::from_millis(200);

/// Watches the file and the signal (SIGUSR1) as long as the host runs.
pub async fn watch(host: Arc<Host>, writer: Arc<Writer>, cancel: CancellationToken) {
    let mut signals = signal(SignalKind::user_defined1()).ok();
    loop {
        let signalled = async {
            match &mut signals {
                Some(signals) => signals.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = cancel.cancelled() => return,
            // What goes wrong is told in the log.
            _ = signalled => {
                let _ = on(&host, &writer, &Asker { who: "a signal".to_owned(), through: "SIGUSR1" }, "").await;
            }
            () = tokio::time::sleep(LOOK) => {
                if writer.kill.is_on() && !writer.latch.is_set() {
                    let _ = on(&host, &writer, &Asker { who: "the file".to_owned(), through: "kill-switch" }, "").await;
                }
            }
        }
    }
}

/// A read-only host has nothing to stop: the signal must not end it.
pub fn ignore_signal(cancel: CancellationToken) {
    tokio::spawn(async move {
        let Ok(mut signals) = signal(SignalKind::user_defined1()) else {
            return;
        };
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = signals.recv() => warn!("this host is read-only, so there is nothing for the kill switch to stop"),
            }
        }
    });
}

/// Switches it on: first in memory, which cannot fail; then the file, so that it outlives the host; then every held value
/// goes back to what is safe.
///
/// # Errors
/// When the file could not be made: it is on all the same, but a restart would forget it.
pub async fn on(host: &Arc<Host>, writer: &Writer, asker: &Asker, reason: &str) -> Result<Vec<SafeReport>> {
    let fresh = !writer.latch.is_set();
    writer.latch.set();
    writer.alarm.notify_waiters();
    let kept = writer.kill.on(reason);
    if let Err(fault) = &kept {
        error!(
            "the kill switch is on, but its file could not be made, so a restart would forget it: {fault}"
        );
    }
    if !fresh {
        kept?;
        return Ok(Vec::new());
    }
    warn!(
        "the kill switch is on ({}, {}): nothing is written to devices any more",
        asker.who, asker.through
    );
    let ended = writer.leases.end_all(Why::Kill).await;
    let why = match reason {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    let note = format!(
        "the kill switch was switched on, {} ended{why}",
        match ended.len() {
            1 => "1 lease".to_owned(),
            n => format!("{n} leases"),
        }
    );
    if let Err(fault) = host.registry.audit(record::note(asker, &note)).await {
        error!("that could not be noted: {fault}");
    }
    kept?;
    Ok(ended)
}

/// Switches it off.
///
/// # Errors
/// The store's: it stays on then.
pub async fn off(host: &Arc<Host>, writer: &Writer, asker: &Asker) -> Result<()> {
    host.registry
        .audit(record::note(asker, "the kill switch was switched off"))
        .await?;
    writer.kill.off()?;
    writer.latch.release();
    warn!(
        "the kill switch is off ({}): writing is possible again",
        asker.who
    );
    Ok(())
}
