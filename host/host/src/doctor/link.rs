//! How one connection stands.

use std::collections::BTreeMap;

use busbar_wire::LinkState;
use serde::{Deserialize, Serialize};

use crate::profile::Profile;
use crate::telegrams::way::{Ear, Way};

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
    /// What was heard, where a meter speaks by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<HeardReport>,
    /// What was learned about the endpoint and its units, as it is kept.
    pub profile: Profile,
}

/// What was heard of a meter that speaks by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardReport {
    /// Telegrams that were whole.
    pub telegrams: u64,
    /// Telegrams that were damaged, and dropped.
    pub damaged: u64,
    /// Whole ones without a sum that could be checked.
    pub unchecked: u64,
    /// Bytes that belong to no whole telegram.
    pub dropped_bytes: u64,
    /// Pieces that could not be read in time.
    pub overrun: u64,
    /// How the line is set: `115200 8N1`.
    pub setting: Option<String>,
}

impl LinkReport {
    /// A connection at work.
    pub fn of(connection: &str, way: &Way) -> Self {
        let link = match way {
            Way::Asked(link) => link,
            Way::Heard(ear) => return LinkReport::heard(connection, ear),
        };
        let stats = link.stats();
        let Standing {
            state,
            cause,
            hint,
            down_s,
        } = Standing::of(&link.state().borrow());
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
            heard: None,
            profile: Profile::default(),
        }
    }

    /// A meter that speaks by itself.
    fn heard(connection: &str, ear: &Ear) -> Self {
        let stats = ear.stream.stats();
        let Standing {
            state,
            cause,
            hint,
            down_s,
        } = Standing::of(&ear.stream.state().borrow());
        LinkReport {
            connection: connection.to_owned(),
            url: ear.stream.endpoint().to_owned(),
            state: state.to_owned(),
            cause,
            hint,
            down_s,
            lost: stats.lost,
            heard: Some(HeardReport {
                telegrams: stats.telegrams,
                damaged: stats.damaged,
                unchecked: stats.unchecked,
                dropped_bytes: stats.dropped,
                overrun: stats.overrun,
                setting: ear.stream.setting().map(busbar_wire::Setting::short),
            }),
            ..LinkReport::default()
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

/// How a connection stands, in words.
struct Standing {
    state: &'static str,
    cause: Option<String>,
    hint: Option<String>,
    down_s: Option<u64>,
}

impl Standing {
    fn of(state: &LinkState) -> Self {
        let (state, down) = match state {
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
        Standing {
            state,
            cause,
            hint,
            down_s,
        }
    }
}
