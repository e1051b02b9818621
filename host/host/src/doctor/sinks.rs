//! How what reads the bus stands: whether its other end takes what it is sent.

use busbar_sinks::health;
use serde::{Deserialize, Serialize};

use super::findings::finding;
use super::{Finding, Level};
use crate::format::count;

/// How one sink stands, and what it has done since the host started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkReport {
    /// `mqtt`, …
    pub name: String,
    /// Where it sends to, without credentials.
    pub target: String,
    /// `up`, `down`, `connecting`.
    pub state: String,
    /// Why it is down.
    pub cause: Option<String>,
    /// Messages, lines or rows that were taken.
    pub sent: u64,
    /// Those that were given up.
    pub dropped: u64,
    /// Those that wait.
    pub waiting: u64,
}

impl SinkReport {
    /// A sink at work.
    pub fn of(report: health::Report) -> Self {
        let (state, cause) = match report.link {
            health::Link::Begins => ("connecting", None),
            health::Link::Up => ("up", None),
            health::Link::Down(cause) => ("down", Some(cause)),
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

/// Judges them. Pure.
pub(super) fn findings(sinks: &[SinkReport]) -> Vec<Finding> {
    sinks.iter().map(judge).collect()
}

fn judge(sink: &SinkReport) -> Finding {
    let area = format!("sink \"{}\"", sink.name);
    let target = &sink.target;
    let taken = format!("{} taken", count(sink.sent as usize, "message"));
    match (&sink.cause, sink.state.as_str()) {
        (Some(cause), _) => finding(
            &area,
            Level::Error,
            format!("{target}: {cause}"),
            "Polling goes on; when it is back, the newest is sent. Is it running, and does this machine reach it?",
        ),
        (None, "connecting") => finding(&area, Level::Ok, format!("{target}: connecting"), ""),
        (None, _) if sink.dropped > 0 => finding(
            &area,
            Level::Warning,
            format!("{target}: {taken}, {} refused or given up", sink.dropped),
            "The host's log says why, once for each reason.",
        ),
        (None, _) => finding(&area, Level::Ok, format!("{target}: {taken}"), ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_down_is_an_error_and_what_was_refused_is_to_look_at() {
        let sink = |link, dropped| {
            SinkReport::of(health::Report {
                name: "mqtt",
                target: "mqtt://b:1883".to_owned(),
                link,
                sent: 2,
                dropped,
                waiting: 0,
            })
        };
        let judged = |link, dropped| {
            let finding = judge(&sink(link, dropped));
            (finding.level, finding.message)
        };
        let down = judged(health::Link::Down("no route".to_owned()), 0);
        assert_eq!(down, (Level::Error, "mqtt://b:1883: no route".to_owned()));
        assert_eq!(
            judged(health::Link::Up, 0),
            (Level::Ok, "mqtt://b:1883: 2 messages taken".to_owned())
        );
        assert_eq!(judged(health::Link::Up, 3).0, Level::Warning);
        assert_eq!(judged(health::Link::Begins, 0).0, Level::Ok);
    }
}
