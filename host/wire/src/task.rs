//! The life of a link: it connects when there is work, tells how it stands, and waits where it must.
//! What happens on an open connection is in [`crate::serve`].

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::backoff::Backoff;
use crate::breaker::Breakers;
use crate::error::WireError;
use crate::frames::Kind;
use crate::inbox::{Call, Inbox, Job};
use crate::inflight::InFlight;
use crate::latency::Latency;
use crate::link::LinkState;
use crate::open::{ConnectError, Open};
use crate::options::Options;
use crate::pauses::Pauses;
use crate::serve::End;
use crate::session::Session;
use crate::window::Window;

/// One-shot: failed attempts in a row after which the link gives up.
const ATTEMPTS: u32 = 3;
/// One-shot: how long it waits for the first valid answer.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// How often a read is asked again because a connection that had brought answers was lost under it.
const LOST_REPEATS: u8 = 3;

/// The owner of an endpoint.
pub(crate) struct Engine {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) options: Options,
    report: watch::Sender<LinkState>,

    pub(crate) wire: InFlight<Job>,
    pub(crate) window: Window,
    pub(crate) latency: Latency,
    pub(crate) pauses: Pauses,
    pub(crate) breakers: Breakers,
    pub(crate) session: Session,
    backoff: Backoff,
    /// No attempt to connect before this.
    next_attempt: Option<Instant>,

    /// Whether the published state is `Up`.
    pub(crate) up: bool,
    /// Whether a valid answer ever came.
    pub(crate) ever: bool,
    /// One-shot: when to give up; `None` once a valid answer came.
    pub(crate) give_up_at: Option<Instant>,
    /// What went wrong last, until a valid answer comes.
    pub(crate) last_failure: Option<WireError>,
    /// One-shot: it gave up.
    gave_up: Option<WireError>,
}

impl Engine {
    pub(crate) fn new(inbox: Arc<Inbox>, options: Options, report: watch::Sender<LinkState>) -> Self {
        let window = options.window();
        let engine = Engine {
            inbox,
            report,
            wire: InFlight::new(rand::random()),
            window: Window::new(window.start, window.max),
            latency: Latency::new(options.patience()),
            pauses: Pauses::new(options.learned),
            breakers: Breakers::default(),
            session: Session::new(Kind::Stream, Instant::now()),
            backoff: if options.one_shot {
                Backoff::quick()
            } else {
                Backoff::patient()
            },
            options,
            next_attempt: None,
            up: false,
            ever: false,
            give_up_at: None,
            last_failure: None,
            gave_up: None,
        };
        engine.gauges();
        engine
    }

    /// Runs as long as its handles live.
    pub(crate) async fn run<O: Open>(mut self, mut open: O) {
        while self.call(true).await == Call::Work {
            if let Some(error) = &self.gave_up {
                self.inbox.fail_all(error);
                continue;
            }
            let now = Instant::now();
            if self.options.one_shot && !self.ever && self.give_up_at.is_none() {
                self.give_up_at = Some(now + FIRST_ANSWER);
            }
            if let Some(due) = self.next_attempt.filter(|due| now < *due)
                && !open.came_back()
            {
                if !self.options.one_shot {
                    self.refuse(due - now);
                } else if !self.rest_until(due).await {
                    return;
                }
                continue;
            }
            match self.open(&mut open).await {
                None => return,
                Some(Err(error)) => {
                    self.inbox.stats().failed_connects += 1;
                    self.failed(error);
                }
                Some(Ok(frames)) => match self.serve(frames).await {
                    End::Closed => return,
                    End::Lost(error) => self.lost(error),
                    End::GaveUp => self.give_up(),
                },
            }
        }
    }

    /// Waits for the end, and for work where it is wanted.
    async fn call(&self, work: bool) -> Call {
        poll_fn(|cx| self.inbox.poll_call(cx, work)).await
    }

    /// False when the handles are gone before.
    async fn rest_until(&self, due: Instant) -> bool {
        tokio::select! {
            () = sleep_until(due) => true,
            _ = self.call(false) => false,
        }
    }

    /// One attempt to connect; `None` when the handles are gone before it ends.
    async fn open<O: Open>(&self, open: &mut O) -> Option<Result<O::Frames, WireError>> {
        self.report.send_if_modified(|state| {
            let fresh = !matches!(state, LinkState::Down { .. } | LinkState::Connecting);
            if fresh {
                *state = LinkState::Connecting;
            }
            fresh
        });
        let now = Instant::now();
        let mut until = now + self.options.connect_timeout;
        if let Some(give_up_at) = self.give_up_at {
            until = until.min(give_up_at);
        }
        let result = tokio::select! {
            result = timeout_at(until, open.open()) => result,
            _ = self.call(false) => return None,
        };
        let endpoint = self.inbox.endpoint.clone();
        Some(match result {
            Ok(result) => result.map_err(|error| match error {
                ConnectError::UnknownHost(error) => WireError::UnknownHost {
                    endpoint,
                    reason: error.to_string(),
                },
                ConnectError::Failed(error) => WireError::from_io(endpoint, &error, now.elapsed()),
                ConnectError::Port(reason) => WireError::Port { endpoint, reason },
                ConnectError::OnlyHeard => WireError::OnlyHeard { endpoint },
            }),
            Err(_) => Err(WireError::ConnectTimeout {
                endpoint,
                after: until.saturating_duration_since(now),
            }),
        })
    }

    /// Fails what waits while the link is down.
    fn refuse(&self, retry_in: Duration) {
        if let Some(cause) = &self.last_failure {
            self.inbox.fail_all(&WireError::Down {
                cause: Box::new(cause.clone()),
                retry_in,
            });
        }
    }

    /// An attempt came to nothing: tell, and wait before the next.
    fn failed(&mut self, error: WireError) {
        let now = Instant::now();
        let next = now + self.backoff.failed(rand::random());
        self.next_attempt = Some(next);
        self.down(error.clone());
        if !self.options.one_shot {
            self.inbox.fail_all(&error);
        } else if self.backoff.failures() >= ATTEMPTS || self.give_up_at.is_some_and(|at| at <= next) {
            self.give_up();
        }
    }

    /// One-shot: no more attempts.
    fn give_up(&mut self) {
        let nothing_heard = || WireError::NothingHeard {
            endpoint: self.inbox.endpoint.clone(),
            after: FIRST_ANSWER,
        };
        let error = self.last_failure.clone().unwrap_or_else(nothing_heard);
        self.down(error.clone());
        for sent in self.wire.abandon() {
            sent.item.finish(Err(error.clone()));
        }
        self.gauges();
        self.inbox.fail_all(&error);
        self.gave_up = Some(error);
    }

    /// A connection is of no use any more. A proven one is made anew at once, and what it owed is asked again:
    /// reading twice does no harm. A write is not: perhaps it was done.
    fn lost(&mut self, error: WireError) {
        self.inbox.stats().lost += 1;
        let several = self.wire.len() > 1;
        if several {
            self.window.trouble();
        }
        if several && !self.session.proven {
            // Perhaps it only takes one: that is tried before it counts as a failure.
            self.window.close();
        }
        self.breakers.link_lost(Instant::now());
        let renew = (self.session.proven || several) && matches!(error, WireError::ConnectionLost { .. });
        // A one-shot link counts its failures itself, and gives up for all that wait.
        let patient = self.options.one_shot && !self.session.proven;
        for sent in self.wire.abandon() {
            let mut job = sent.item;
            let again = patient || (renew && job.lost < LOST_REPEATS);
            if again && job.write.is_none() {
                job.lost = job.lost.saturating_add(1);
                self.inbox.stats().repeated += 1;
                self.inbox.put_back(job);
            } else {
                job.finish(Err(error.clone()));
            }
        }
        self.gauges();
        if renew {
            self.up = false;
            self.report.send_replace(LinkState::Idle);
        } else {
            self.failed(error);
        }
    }

    /// Publishes that nothing valid comes, with one log line when that begins.
    pub(crate) fn down(&mut self, cause: WireError) {
        self.up = false;
        let attempts = self.backoff.failures();
        self.last_failure = Some(cause.clone());
        self.report.send_modify(|state| {
            let since = match state {
                LinkState::Down { since, .. } => *since,
                _ => {
                    tracing::warn!(code = cause.code(), "{cause}");
                    Instant::now()
                }
            };
            *state = LinkState::Down {
                cause,
                since,
                attempts,
            };
        });
    }

    /// Publishes that a valid answer came, with one log line where that ends a silence.
    pub(crate) fn back(&mut self) {
        self.up = true;
        self.ever = true;
        self.give_up_at = None;
        self.last_failure = None;
        self.next_attempt = None;
        self.backoff.reset();
        if let LinkState::Down { since, .. } = self.report.send_replace(LinkState::Up) {
            tracing::info!(
                "{}: answers again, after {:.0?}",
                self.inbox.endpoint,
                since.elapsed()
            );
        }
    }

    /// Brings the gauges among the counters up to date.
    pub(crate) fn gauges(&self) {
        let mut stats = self.inbox.stats();
        stats.latency = self.latency.smoothed();
        stats.timeout = self.latency.timeout();
        stats.spacing = self.pauses.spacing();
        stats.settle = self.pauses.settle();
        stats.in_flight = self.wire.len();
        stats.window = self.window.size();
    }
}

impl Drop for Engine {
    /// However the task ends, nobody waits for it in vain.
    fn drop(&mut self) {
        self.inbox.close();
        let error = WireError::Closed {
            endpoint: self.inbox.endpoint.clone(),
        };
        for sent in self.wire.abandon() {
            sent.item.finish(Err(error.clone()));
        }
        self.inbox.fail_all(&error);
    }
}
