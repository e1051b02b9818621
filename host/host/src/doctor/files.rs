//! The data directory, the registry, the history and the backups. Pure.

use super::findings::finding;
use super::gather::{Evidence, HistoryEvidence, RegistryEvidence};
use super::{Finding, Level};
use crate::format::{self, count};

/// Below this, what is learned and measured may soon have no place.
const FEW_BYTES: u64 = 200 << 20;
/// Below this, nothing can be relied on to be written.
const NO_BYTES: u64 = 10 << 20;
/// A host makes a backup each day: one that is older than this was not made.
const OLD_BACKUP_MS: i64 = 3 * 86_400_000;

/// The data directory and what lies in it.
pub(super) fn findings(evidence: &Evidence) -> Vec<Finding> {
    let mut found = vec![directory(evidence), registry(evidence)];
    found.extend(history(evidence));
    found.extend(backups(evidence));
    found
}

fn directory(evidence: &Evidence) -> Finding {
    let (area, dir) = ("data directory", &evidence.data_dir);
    if evidence.mode.is_none() {
        return finding(
            area,
            Level::Ok,
            format!("{dir} is not there yet"),
            "It is made when something is saved; another place is chosen with --data-dir.",
        );
    }
    if evidence.read_only {
        return finding(
            area,
            Level::Error,
            format!("{dir}: the disk is mounted read-only, so nothing is kept"),
            "A disk with errors is mounted so by the kernel: look at `dmesg`. When it is sound: `mount -o remount,rw`.",
        );
    }
    let free = evidence.free_bytes.unwrap_or(u64::MAX);
    let room = format::size(free);
    if free < NO_BYTES {
        return finding(
            area,
            Level::Error,
            format!("{dir}: the disk is full ({room} free)"),
            "Make room: polling goes on, but nothing is kept.",
        );
    }
    if free < FEW_BYTES {
        return finding(
            area,
            Level::Warning,
            format!("{dir}: only {room} free"),
            "Make room, or keep a shorter history ([history] days).",
        );
    }
    let free = evidence.free_bytes.map(|_| format!(", {room} free"));
    finding(area, Level::Ok, format!("{dir}{}", free.unwrap_or_default()), "")
}

fn registry(evidence: &Evidence) -> Finding {
    match &evidence.registry {
        RegistryEvidence::Missing => finding(
            "registry",
            Level::Ok,
            "there is none yet",
            "`busbar discover` looks for devices; `busbar scan URL --save` takes one over.",
        ),
        RegistryEvidence::Failed { message, hint } => finding("registry", Level::Error, message, hint),
        RegistryEvidence::Whole { unconfirmed: true } => finding(
            "registry",
            Level::Warning,
            "it was restored or begun anew, and nobody has confirmed it",
            "Compare `busbar devices` and `busbar limits` with what you have; then `busbar limits --confirm`. Until then nothing \
             is written to any device.",
        ),
        RegistryEvidence::Whole { unconfirmed: false } => {
            let entities: usize = evidence.devices.devices.iter().map(|d| d.entities.len()).sum();
            let message = format!(
                "every page is whole: {}, {}, {}",
                count(evidence.links.len(), "connection"),
                count(evidence.devices.devices.len(), "device"),
                match entities {
                    1 => "1 entity".to_owned(),
                    n => format!("{n} entities"),
                }
            );
            finding("registry", Level::Ok, message, "")
        }
    }
}

fn history(evidence: &Evidence) -> Option<Finding> {
    let bytes = evidence.history_bytes.map(format::size).unwrap_or_default();
    Some(match &evidence.history {
        HistoryEvidence::Missing => return None,
        HistoryEvidence::Failed { message, hint } => finding("history", Level::Error, message, hint),
        HistoryEvidence::Whole { every_page: true } => {
            finding("history", Level::Ok, format!("every page is whole: {bytes}"), "")
        }
        HistoryEvidence::Whole { every_page: false } => finding(
            "history",
            Level::Ok,
            format!("it opens: {bytes}, too much to look through each time"),
            "",
        ),
    })
}

fn backups(evidence: &Evidence) -> Option<Finding> {
    if !matches!(evidence.registry, RegistryEvidence::Whole { .. }) {
        return None;
    }
    if let Some(bad) = evidence.bad_backups.first() {
        let more = match evidence.bad_backups.len() {
            1 => String::new(),
            n => format!(", and {} more", n - 1),
        };
        return Some(finding(
            "backups",
            Level::Warning,
            format!("{bad} is of no use{more}; {} whole", evidence.backups),
            "`busbar backup --list` tells why; `busbar backup` makes a new one. A disk that damages files should be replaced.",
        ));
    }
    let kept = count(evidence.backups, "backup");
    Some(match evidence.newest_backup_ms {
        None => finding(
            "backups",
            Level::Warning,
            "there is none yet",
            "`busbar backup` makes one; a running host makes one each day.",
        ),
        Some(at) if evidence.now_ms - at > OLD_BACKUP_MS => finding(
            "backups",
            Level::Warning,
            format!("{kept}; the newest is {} old", format::age(evidence.now_ms - at)),
            match evidence.host_runs {
                true => "The host makes one each day: look for errors in its log.",
                false => "`busbar backup` makes one now; a running host makes one each day.",
            },
        ),
        Some(at) => finding(
            "backups",
            Level::Ok,
            format!("{kept}; the newest is {} old", format::age(evidence.now_ms - at)),
            "",
        ),
    })
}
