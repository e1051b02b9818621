//! Whether this machine knows what time it is.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::findings::finding;
use super::gather::Evidence;
use super::{Finding, Level};
use crate::clock;
use crate::format;

/// So far behind what was noted already a clock may be: it is set a little, now and then.
const A_LITTLE_MS: i64 = 5 * 60_000;
/// Further behind than this, it is not the clock of today.
const A_DAY_MS: i64 = 86_400_000;
/// The system answers at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the system says that its clock is kept right; `None` where it says nothing.
pub(super) async fn synchronised() -> Option<bool> {
    let mut ask = Command::new("timedatectl");
    ask.args(["show", "--property=NTPSynchronized", "--value"]);
    ask.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let answer = timeout(PATIENCE, ask.output()).await.ok()?.ok()?;
    match answer.stdout.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

/// What is to be said of the clock. Pure.
pub(super) fn judge(evidence: &Evidence) -> Finding {
    let now_ms = evidence.now_ms;
    let shown = clock::show(now_ms);
    if !clock::is_sane(now_ms) {
        return finding(
            "clock",
            Level::Error,
            format!("this machine says {shown}"),
            "Set the clock (NTP): until then nothing is tidied up, and times in the history are wrong.",
        );
    }
    let behind = evidence
        .latest_ms
        .map_or(0, |latest| latest.saturating_sub(now_ms));
    if behind > A_LITTLE_MS {
        let level = if behind > A_DAY_MS {
            Level::Error
        } else {
            Level::Warning
        };
        return finding(
            "clock",
            level,
            format!(
                "{shown}, {} behind what the registry has noted already",
                format::age(behind)
            ),
            "It was set back, or it was ahead before. Set it right (NTP): ages, backups and leave to write go by it.",
        );
    }
    match evidence.synchronised {
        Some(false) => finding(
            "clock",
            Level::Warning,
            format!("{shown}, not synchronised"),
            "`timedatectl set-ntp true` keeps it right; it drifts by seconds a day without.",
        ),
        Some(true) => finding("clock", Level::Ok, format!("{shown}, synchronised"), ""),
        None => finding("clock", Level::Ok, shown, ""),
    }
}
