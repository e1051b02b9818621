//! What the evidence amounts to. Pure.

use super::gather::Evidence;
use super::link::{LinkReport, NOT_POLLED};
use super::{Finding, Level, files, rights, sinks, time};
use crate::format::{self, count};

/// Requests that say something of a link.
const ENOUGH: u64 = 50;
/// How the reason begins for which a device without a ledger is not read.
pub const UNREADABLE: &str = "it cannot be read: ";
/// One unanswered request in so many is nothing to worry about.
const RARE: u64 = 20;

/// Judges everything that was seen, in the order in which a person would look.
pub fn findings(evidence: &Evidence) -> Vec<Finding> {
    let mut found = vec![host(evidence)];
    found.extend(files::findings(evidence));
    found.extend(rights::findings(&evidence.rights));
    found.push(time::judge(evidence));
    found.extend(plugins(evidence));
    for link in &evidence.links {
        found.extend(connection(link));
    }
    found.extend(devices(evidence));
    found.extend(sinks::findings(&evidence.sinks));
    found.extend(writes(evidence));
    found
}

/// What was written to devices, and whether more can be.
fn writes(evidence: &Evidence) -> Vec<Finding> {
    let area = "writes";
    let mut found = Vec::new();
    let writes = &evidence.writes;
    if let Some(broken) = &writes.broken {
        found.push(finding(
            area,
            Level::Error,
            format!("the audit was tampered with: {broken}"),
            "Compare with a copy in backups; whoever could change it had access to the data directory.",
        ));
    }
    if writes.killed {
        found.push(finding(
            area,
            Level::Warning,
            "the kill switch is on: nothing is written to devices",
            "`busbar kill-switch off`, when all is well.",
        ));
    }
    if writes.open > 0 {
        found.push(finding(
            area,
            Level::Warning,
            format!("it is not known what became of {}", count(writes.open, "write")),
            "Start the host: it asks the devices. `busbar audit` shows what was sent.",
        ));
    }
    if found.is_empty() && writes.rows > 0 {
        let message = format!("the audit is whole: {} rows", writes.rows);
        found.push(finding(area, Level::Ok, message, ""));
    }
    found
}

pub(super) fn finding(
    area: &str,
    level: Level,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Finding {
    Finding {
        area: area.to_owned(),
        level,
        message: message.into(),
        hint: hint.into(),
    }
}

fn host(evidence: &Evidence) -> Finding {
    if evidence.host_runs {
        finding("host", Level::Ok, "it runs", "")
    } else if evidence.links.is_empty() {
        finding("host", Level::Ok, "none runs, and nothing is set up yet", "")
    } else {
        finding(
            "host",
            Level::Warning,
            "none runs: nothing is polled",
            "Start it with `busbar`.",
        )
    }
}

fn plugins(evidence: &Evidence) -> Vec<Finding> {
    let (usable, not): (Vec<_>, Vec<_>) = evidence.plugins.iter().partition(|plugin| plugin.usable);
    let names: Vec<&str> = usable.iter().map(|plugin| plugin.name.as_str()).collect();
    let mut found = vec![if usable.is_empty() {
        finding(
            "plugins",
            Level::Error,
            "none is loaded, so nothing can be recognised",
            "`busbar plugin list` says what was refused and why; --plugin-dir names another place.",
        )
    } else {
        let message = format!(
            "{} ({}), {}",
            count(usable.len(), "plugin"),
            names.join(", "),
            count(evidence.ledgers, "ledger")
        );
        finding("plugins", Level::Ok, message, "")
    }];
    if !evidence.unprotected.is_empty() {
        found.push(finding(
            "plugins",
            Level::Warning,
            format!("their workers run with less protection here: {}", evidence.unprotected.join(", ")),
            "Use only plugins that you trust as much as Busbar itself; a newer kernel (5.13 or later) has what is missing.",
        ));
    }
    found.extend(not.into_iter().map(|plugin| {
        let reason = plugin.reason.as_deref().unwrap_or("no reason is known");
        finding(
            "plugins",
            Level::Warning,
            match plugin.set_aside {
                true => format!("{} was set aside: {reason}", plugin.name),
                false => format!("{} is not used: {reason}", plugin.name),
            },
            match plugin.set_aside {
                true => {
                    "Its devices are not read. Restart the host to try it again; report it to its author."
                }
                false => "Its devices are not read. `busbar plugin inspect FILE` shows what it is.",
            },
        )
    }));
    found
}

/// How one connection stands: first what is wrong now, then what went wrong often.
fn connection(link: &LinkReport) -> Vec<Finding> {
    let area = format!("connection \"{}\"", link.connection);
    if let Some(cause) = &link.cause {
        let since = link.down_s.unwrap_or_default();
        let since = format::age(i64::try_from(since).unwrap_or(i64::MAX).saturating_mul(1000));
        let message = format!("down for {since}: {cause}");
        return vec![finding(
            &area,
            Level::Error,
            message,
            link.hint.clone().unwrap_or_default(),
        )];
    }
    if link.state == NOT_POLLED {
        return vec![finding(&area, Level::Warning, "not polled, for no host runs", "")];
    }
    let mut found = Vec::new();
    let often = |n: u64| link.requests >= ENOUGH && n.saturating_mul(RARE) >= link.requests;
    let of = |n: u64| format!("{n} of {} requests", link.requests);
    if often(link.timeouts) {
        found.push(finding(
            &area,
            Level::Warning,
            format!("{} went unanswered", of(link.timeouts)),
            "Look at the cable, the Wi-Fi or the wiring; a longer timeout helps with a slow device.",
        ));
    }
    if often(link.bad_answers) {
        found.push(finding(
            &area,
            Level::Warning,
            format!(
                "{} got an answer that did not fit, and were refused",
                of(link.bad_answers)
            ),
            "A gateway may mix up its clients: end other Modbus clients of this device.",
        ));
    }
    if often(link.foreign) {
        found.push(finding(
            &area,
            Level::Warning,
            format!("{} answers came that nobody here had asked for", link.foreign),
            "Another client talks to the device by the same way (an app of the maker, perhaps).",
        ));
    }
    let busy: u64 = [5, 6].iter().filter_map(|code| link.exceptions.get(code)).sum();
    if often(busy) {
        found.push(finding(
            &area,
            Level::Warning,
            format!("{} were put off: the device is busy", of(busy)),
            "Poll it less often (interval), or end other clients.",
        ));
    }
    if found.is_empty() {
        let message = match link.requests {
            0 => link.state.clone(),
            n => format!(
                "{}, {}",
                link.state,
                count(usize::try_from(n).unwrap_or(usize::MAX), "request")
            ),
        };
        found.push(finding(&area, Level::Ok, message, ""));
    }
    found
}

fn devices(evidence: &Evidence) -> Vec<Finding> {
    let down: Vec<&str> = evidence
        .links
        .iter()
        .filter(|link| link.cause.is_some())
        .map(|link| link.connection.as_str())
        .collect();
    let offline = evidence
        .devices
        .devices
        .iter()
        .filter(|device| device.availability == "offline" && !down.contains(&device.connection.as_str()));
    offline
        .map(|device| {
            let reason = device.reason.as_deref().unwrap_or("no reason is known");
            if device.entities.is_empty() && reason.starts_with(UNREADABLE) {
                return finding(
                    &format!("device {}", device.id),
                    Level::Error,
                    format!("\"{}\": {reason}", device.name),
                    "Install the plugin, or name its folder: --plugin-dir, or [plugins] dir in busbar.toml.",
                );
            }
            finding(
                &format!("device {}", device.id),
                Level::Warning,
                format!("\"{}\" is offline: {reason}", device.name),
                format!(
                    "Is it switched on? `busbar scan {} --save` looks for what is there now.",
                    evidence
                        .links
                        .iter()
                        .find(|link| link.connection == device.connection)
                        .map_or("URL", |link| link.url.as_str())
                ),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::gather::{HistoryEvidence, PluginEvidence, RegistryEvidence};
    use super::*;

    /// A healthy site.
    fn well() -> Evidence {
        Evidence {
            data_dir: "busbar-data".to_owned(),
            host_runs: true,
            mode: Some(0o700),
            free_bytes: Some(50 << 30),
            registry: RegistryEvidence::Whole { unconfirmed: false },
            history_bytes: Some(3 << 20),
            history: HistoryEvidence::Whole { every_page: true },
            synchronised: Some(true),
            latest_ms: Some(1_790_000_000_000),
            newest_backup_ms: Some(1_790_000_000_000),
            backups: 7,
            now_ms: 1_790_000_000_000 + 3_600_000,
            plugins: vec![PluginEvidence {
                name: "generic".to_owned(),
                usable: true,
                set_aside: false,
                reason: None,
            }],
            ledgers: 5,
            links: vec![LinkReport {
                connection: "home".to_owned(),
                url: "modbus+tcp://gx.local:502".to_owned(),
                state: "up".to_owned(),
                requests: 1000,
                answers: 1000,
                ..LinkReport::default()
            }],
            ..Evidence::default()
        }
    }

    fn worst(change: impl FnOnce(&mut Evidence)) -> (Level, String) {
        let mut evidence = well();
        change(&mut evidence);
        let found = findings(&evidence);
        let worst = found.iter().max_by_key(|f| f.level).unwrap();
        (
            worst.level,
            format!("{}: {} {}", worst.area, worst.message, worst.hint),
        )
    }

    #[test]
    fn a_healthy_site_has_nothing_to_do() {
        let found = findings(&well());
        assert!(
            found.iter().all(|f| f.level == Level::Ok && f.hint.is_empty()),
            "{found:#?}"
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_what_to_do() {
        type Change = fn(&mut Evidence);
        let cases: [(&str, Level, Change); 19] = [
            ("disk is full", Level::Error, |e| e.free_bytes = Some(1 << 20)),
            ("only 100 MB free", Level::Warning, |e| {
                e.free_bytes = Some(100 << 20)
            }),
            ("this machine says 1970", Level::Error, |e| e.now_ms = 0),
            ("none is loaded", Level::Error, |e| e.plugins.clear()),
            ("nothing is polled", Level::Warning, |e| e.host_runs = false),
            ("confirmed", Level::Warning, |e| {
                e.registry = RegistryEvidence::Whole { unconfirmed: true }
            }),
            ("tampered", Level::Error, |e| {
                e.writes.broken = Some("row 7 was changed".to_owned());
            }),
            ("kill switch", Level::Warning, |e| e.writes.killed = true),
            ("became of 2 writes", Level::Warning, |e| e.writes.open = 2),
            ("read-only", Level::Error, |e| e.read_only = true),
            ("not synchronised", Level::Warning, |e| {
                e.synchronised = Some(false)
            }),
            ("2 h behind", Level::Warning, |e| {
                e.latest_ms = Some(e.now_ms + 2 * 3_600_000)
            }),
            ("3 d behind", Level::Error, |e| {
                e.latest_ms = Some(e.now_ms + 3 * 86_400_000)
            }),
            ("registry-x.db is of no use", Level::Warning, |e| {
                e.bad_backups = vec!["registry-x.db".to_owned()];
            }),
            ("history is cut off", Level::Error, |e| {
                e.history = HistoryEvidence::Failed {
                    message: "the history is cut off".to_owned(),
                    hint: "Start it".to_owned(),
                };
            }),
            ("less protection here: no Landlock", Level::Warning, |e| {
                e.unprotected = vec!["no Landlock".to_owned()];
            }),
            ("not polled", Level::Warning, |e| {
                e.links[0].state = NOT_POLLED.to_owned()
            }),
            ("4 d old", Level::Warning, |e| e.now_ms += 4 * 86_400_000),
            ("connection \"home\": down for 90 s", Level::Error, |e| {
                e.links[0].cause = Some("refused".to_owned());
                e.links[0].down_s = Some(90);
            }),
        ];
        for (words, level, change) in cases {
            let (seen, text) = worst(change);
            assert_eq!(seen, level, "{text}");
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_link_that_loses_much_is_told_from_one_that_loses_little() {
        assert_eq!(worst(|e| e.links[0].timeouts = 49).0, Level::Ok);
        let (level, text) = worst(|e| e.links[0].timeouts = 50);
        assert_eq!(level, Level::Warning);
        assert!(text.contains("50 of 1000 requests went unanswered"), "{text}");
        let (_, text) = worst(|e| e.links[0].foreign = 500);
        assert!(text.contains("Another client"), "{text}");
    }
}
