//! Whether what is read arrives where the owner wants it, too.

use busbar_sinks::health::{Link, Report};
use serde::{Deserialize, Serialize};

use super::findings::finding;
use super::{Finding, Level};
use crate::format::count;

/// How one sink is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkReport {
    /// `mqtt`, `influxdb`, …
    pub name: String,
    /// Where it sends to, without credentials.
    pub target: String,
    /// `up`, `down`, or `begins` before its first try.
    pub state: String,
    /// Why it is down.
    pub cause: Option<String>,
    /// What was taken.
    pub sent: u64,
    /// What was given up.
    pub dropped: u64,
    /// What waits.
    pub waiting: u64,
}

impl From<Report> for SinkReport {
    fn from(report: Report) -> Self {
        let (state, cause) = match report.link {
            Link::Begins => ("begins", None),
            Link::Up => ("up", None),
            Link::Down(cause) => ("down", Some(cause)),
        };
        SinkReport {
            name: report.name.to_owned(),
            target: report.target,
            state: state.to_owned(),
            cause,
            sent: report.sent,
            dropped: report.dropped,
            waiting: report.waiting,
        }
    }
}

/// One finding for each.
pub fn findings(sinks: &[SinkReport]) -> Vec<Finding> {
    sinks.iter().map(judge).collect()
}

fn judge(sink: &SinkReport) -> Finding {
    let area = format!("{} to {}", sink.name, sink.target);
    let counted = |what: &str, number: u64| match number {
        0 => String::new(),
        number => format!(", {number} {what}"),
    };
    let numbers = format!(
        "{} sent{}{}",
        count(usize::try_from(sink.sent).unwrap_or(usize::MAX), "value"),
        counted("waiting", sink.waiting),
        counted("given up", sink.dropped)
    );
    match (&sink.cause, sink.dropped) {
        (Some(cause), _) => finding(
            &area,
            Level::Error,
            format!("it does not arrive: {cause} ({numbers})"),
            "What is read is not lost here; check the other end and its section of busbar.toml. Busbar tries again by itself.",
        ),
        (None, 0) => finding(&area, Level::Ok, numbers, ""),
        (None, _) => finding(
            &area,
            Level::Warning,
            numbers,
            "The host's log says why; a larger `spool`, or fewer `entities`, may help.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_arrive_is_told_with_its_cause() {
        let sink = |cause: Option<&str>, dropped: u64| SinkReport {
            name: "influxdb".to_owned(),
            target: "http://db:8086".to_owned(),
            cause: cause.map(str::to_owned),
            sent: 7,
            dropped,
            ..SinkReport::default()
        };
        let found = findings(&[sink(None, 0), sink(None, 3), sink(Some("it answered 401"), 0)]);
        let levels: Vec<Level> = found.iter().map(|f| f.level).collect();
        assert_eq!(levels, [Level::Ok, Level::Warning, Level::Error]);
        assert!(found[1].message.contains("3 given up"), "{found:?}");
        assert!(
            found[2].message.contains("401") && found[2].area.contains("http://db:8086"),
            "{found:?}"
        );
    }
}
