//! How one connection stands.

use std::collections::BTreeMap;

use busbar_wire::{Link, LinkState};
use serde::{Deserialize, Serialize};

use crate::profile::Profile;

/// The state of a connection where no host runs.
pub const NOT_POLLED: &str = "not polled";

/// How one connection stands, and what its link has done since the host started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LinkReport {
    /// The connection's name.
    pub connection: String,
    /// Its URL.
    pub url: String,
    /// `up`, `down`, `connecting`, `idle`; `not polled` where no host runs.
    pub state: String,
    /// Why it is down.
    pub cause: Option<String>,
    /// What to do about that.
    pub hint: Option<String>,
    /// For how long it has been down, in seconds.
    pub down_s: Option<u64>,
    /// Requests that were sent.
    pub requests: u64,
    /// Answers that held what was asked for.
    pub answers: u64,
    /// Refusals, by exception code.
    pub exceptions: BTreeMap<u8, u64>,
    /// Requests without an answer in time.
    pub timeouts: u64,
    /// Answers that came too late.
    pub late: u64,
    /// Answers that nobody here had asked for.
    pub foreign: u64,
    /// Answers that did not fit their request.
    pub bad_answers: u64,
    /// Connections that were made.
    #[serde(default)]
    pub connects: u64,
    /// Attempts to connect that failed.
    #[serde(default)]
    pub failed_connects: u64,
    /// Connections that were lost.
    pub lost: u64,
    /// The smoothed time from request to answer, in microseconds.
    pub latency_us: Option<u64>,
    /// The time that an answer is given now, in milliseconds.
    pub timeout_ms: u64,
    /// Requests that may be on the wire at once now.
    pub in_flight: u16,
    /// What was learned about the endpoint and its units, as it is kept.
    pub profile: Profile,
}

impl LinkReport {
    /// A link at work.
    pub fn of(connection: &str, link: &Link) -> Self {
        let stats = link.stats();
        let (state, down) = match &*link.state().borrow() {
            LinkState::Idle => ("idle", None),
            LinkState::Connecting => ("connecting", None),
            LinkState::Up => ("up", None),
            LinkState::Down { cause, since, .. } => {
                let text = (cause.to_string(), cause.hint());
                ("down", Some((text, since.elapsed().as_secs())))
            }
        };
        let (why, down_s) = down.unzip();
        let (cause, hint) = why.unzip();
        LinkReport {
            connection: connection.to_owned(),
            url: link.endpoint().to_owned(),
            state: state.to_owned(),
            cause,
            hint,
            down_s,
            requests: stats.requests,
            answers: stats.answers,
            exceptions: stats.exceptions,
            timeouts: stats.timeouts,
            late: stats.late,
            foreign: stats.foreign,
            bad_answers: stats.bad_answers,
            connects: stats.connects,
            failed_connects: stats.failed_connects,
            lost: stats.lost,
            latency_us: stats
                .latency
                .map(|l| u64::try_from(l.as_micros()).unwrap_or(u64::MAX)),
            timeout_ms: u64::try_from(stats.timeout.as_millis()).unwrap_or(u64::MAX),
            in_flight: stats.window,
            profile: Profile::default(),
        }
    }

    /// A connection that nobody polls now.
    pub fn at_rest(connection: &str, url: &str) -> Self {
        LinkReport {
            connection: connection.to_owned(),
            url: url.to_owned(),
            state: NOT_POLLED.to_owned(),
            ..LinkReport::default()
        }
    }
}
