//! The task that owns a connection: it connects, says that it is there, hands out what comes in, and connects again.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::backoff::Backoff;
use super::fault::{Fault, Kind};
use super::options::Options;
use super::publisher::{Outcome, Publisher, Session};
use super::server::Version;
use super::session::{self, Heard, Line};
use crate::health::Health;

/// Events that may wait between line and rooms. Beyond that the broker waits.
const EVENTS: usize = 64;
/// A session that lasted so long was a good one: the next attempt follows soon.
const STEADY: Duration = Duration::from_secs(30);
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// So many sessions in a row that end while something is on its way look as if it were too large.
const SUSPICIOUS: u32 = 3;
/// No broker is believed to take less than this, in bytes.
const LEAST_LARGEST: usize = 1024;

/// A connection to a broker.
pub struct Connection {
    options: Options,
    publisher: Publisher,
    backoff: Backoff,
    version: Version,
    /// Attempts to connect, from 1.
    attempt: u64,
    /// Sessions in a row that ended early, with something on its way.
    suspicious: u32,
}

impl Connection {
    /// A connection that is not begun: [`Connection::run`] does that.
    pub fn new(options: Options, health: Health) -> Self {
        Connection {
            version: options.version.unwrap_or(Version::V5),
            publisher: Publisher::new(health),
            backoff: Backoff::default(),
            attempt: 0,
            suspicious: 0,
            options,
        }
    }

    /// What rooms publish with.
    pub fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    /// Connects again and again until it is cancelled; then it says goodbye.
    pub async fn run(mut self, cancel: CancellationToken) {
        loop {
            self.attempt += 1;
            let began = Instant::now();
            let Some(fault) = self.session(&cancel).await else {
                return;
            };
            self.learn(&fault, began);
            self.publisher.0.health.down(fault.cause);
            let wait = self.backoff.failed(rand::random());
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One session, from connecting to its end; `None` when it was cancelled.
    async fn session(&mut self, cancel: &CancellationToken) -> Option<Fault> {
        let setup = match self.options.setup(self.attempt).await {
            Ok(setup) => setup,
            Err(cause) => return Some(Fault::again(cause)),
        };
        let (client, line) = match session::open(self.version, setup) {
            Ok(halves) => halves,
            Err(fault) => return Some(fault),
        };
        let (mut driver, mut heard) = Driver::start(line);
        let terms = loop {
            tokio::select! {
                () = cancel.cancelled() => return None,
                next = heard.recv() => match next {
                    Some(Ok(Heard::Begun(terms))) => break terms,
                    Some(Ok(_)) => {}
                    Some(Err(fault)) => return Some(fault),
                    None => return Some(driver.fault().await),
                }
            }
        };
        let session = Arc::new(Session {
            number: self.attempt,
            client,
            terms,
        });
        let ended = self.serve(&session, &mut heard, cancel).await;
        // Nobody may publish in it any more; what is on its way becomes lost when the line is dropped.
        self.publisher.0.current.send_replace(None);
        match ended {
            Ended::Lost(fault) => Some(fault),
            Ended::LineGone => Some(driver.fault().await),
            Ended::Cancelled => {
                let goodbye = self.goodbye(&session, &mut heard);
                if tokio::time::timeout(GOODBYE, goodbye).await.is_err() {
                    info!("the broker did not take leave in time");
                }
                None
            }
        }
    }

    /// Subscribes, says that it is there, and hands out what comes in.
    async fn serve(
        &mut self,
        session: &Arc<Session>,
        heard: &mut mpsc::Receiver<Result<Heard, Fault>>,
        cancel: &CancellationToken,
    ) -> Ended {
        let shared = Arc::clone(&self.publisher.0);
        let births = self.options.presence.birth(self.attempt);
        let greet = async {
            subscribe_new(session, &shared.inboxes).await;
            for birth in births {
                if shared.publish_in(session, birth).await == Outcome::Lost {
                    return;
                }
            }
            shared.current.send_replace(Some(Arc::clone(session)));
            shared.health.up();
            loop {
                shared.opened.notified().await;
                subscribe_new(session, &shared.inboxes).await;
            }
        };
        tokio::pin!(greet);
        let mut greeting = true;
        loop {
            tokio::select! {
                () = cancel.cancelled() => return Ended::Cancelled,
                next = heard.recv() => match next {
                    Some(Ok(Heard::Message(message))) => shared.inboxes.deliver(&message),
                    Some(Ok(_)) => {}
                    Some(Err(fault)) => return Ended::Lost(fault),
                    None => return Ended::LineGone,
                },
                () = &mut greet, if greeting => greeting = false,
            }
        }
    }

    async fn goodbye(&self, session: &Session, heard: &mut mpsc::Receiver<Result<Heard, Fault>>) {
        let say = async {
            for farewell in self.options.presence.farewell(self.attempt) {
                self.publisher.0.publish_in(session, farewell).await;
            }
            session.client.disconnect().await;
        };
        // The line ends with an error once everything has gone out: that is its way to say so.
        let listen = async { while let Some(Ok(_)) = heard.recv().await {} };
        tokio::join!(say, listen);
    }

    /// Draws conclusions from a session that ended, or did not begin.
    fn learn(&mut self, fault: &Fault, began: Instant) {
        let steady = began.elapsed() >= STEADY;
        if steady {
            self.backoff.reset();
        }
        let other = match self.version {
            Version::V5 => Version::V4,
            Version::V4 => Version::V5,
        };
        if fault.kind == Kind::Version && self.options.version.is_none() {
            info!("trying {other} with {}", self.options.server);
            self.version = other;
        }
        let shared = &self.publisher.0;
        let Some(largest) = shared.take_largest_lost() else {
            self.suspicious = 0;
            return;
        };
        self.suspicious = if steady { 0 } else { self.suspicious + 1 };
        let too_large = fault.kind == Kind::TooLarge || self.suspicious >= SUSPICIOUS;
        if too_large && largest > LEAST_LARGEST {
            self.suspicious = 0;
            shared.largest.store(largest - 1, Relaxed);
            warn!(
                "the broker closes the connection when a message of {largest} bytes is sent: nothing as large as that is \
                 sent from now on. Look at its limit for messages, then start Busbar anew"
            );
        }
    }
}

/// How serving a session ended.
enum Ended {
    Lost(Fault),
    LineGone,
    Cancelled,
}

async fn subscribe_new(session: &Session, inboxes: &super::inbox::Inboxes) {
    let filters = inboxes.unsubscribed(session.number);
    if filters.is_empty() {
        return;
    }
    let answers = session.client.subscribe(&filters).await.unwrap_or_default();
    for (filter, refused) in filters.iter().zip(answers) {
        if let Some(why) = refused {
            warn!(
                "the broker does not let Busbar listen to {filter}: {why}; look at the rights of its user there"
            );
        }
    }
}

/// Drives a line in a task of its own, so that nothing that it is in the midst of is ever broken off but by its end.
struct Driver(JoinHandle<()>);

impl Driver {
    fn start(mut line: Line) -> (Self, mpsc::Receiver<Result<Heard, Fault>>) {
        let (sender, heard) = mpsc::channel(EVENTS);
        let task = tokio::spawn(async move {
            loop {
                let next = line.next().await;
                let over = next.is_err();
                if matches!(next, Ok(Heard::Nothing)) {
                    continue;
                }
                if sender.send(next).await.is_err() || over {
                    return;
                }
            }
        });
        (Driver(task), heard)
    }

    /// Why it ended without saying why.
    async fn fault(&mut self) -> Fault {
        match (&mut self.0).await {
            Ok(()) => Fault::again("it closed the connection"),
            Err(error) => Fault::again(format!("a fault of Busbar: {error}")),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}
