//! The handle of an endpoint's owner task.

use std::fmt;
use std::sync::Arc;

use busbar_guard::Permit;
use busbar_ledger::span::Span;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use crate::check;
use crate::endpoint::{Endpoint, SerialLine};
use crate::error::WireError;
use crate::frames::MbapStream;
use crate::identity::{self, Asked, Identity};
use crate::inbox::Inbox;
use crate::open::{Bind, Connect, Framed, Lines, OnlyHeard, Open, Sockets};
use crate::options::{InFlight, Options};
use crate::queue::Priority;
use crate::rtu::Pace;
use crate::serial::Serial;
use crate::stats::Stats;
use crate::tap::Traffic;
use crate::task::Engine;
use crate::tcp::Tcp;
use crate::udp::Udp;
use crate::write::{self, WriteAnswer, WriteError, Writing};

/// One read: what to ask of whom, and how urgently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadPlan {
    /// The unit, 0 to 255.
    pub unit: u8,
    /// The registers or bits.
    pub span: Span,
    /// Who goes first.
    pub priority: Priority,
}

/// What is known of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Nothing was asked yet, or a proven connection ended while nothing was asked.
    Idle,
    /// Connecting, or connected and nothing valid heard yet.
    Connecting,
    /// A valid answer came, and none has been missing since.
    Up,
    /// Nothing valid comes.
    Down {
        /// Why.
        cause: WireError,
        /// When that began.
        since: Instant,
        /// Attempts to connect that failed in a row; 0 where the connection stands and the device is silent.
        attempts: u32,
    },
}

/// The way to one endpoint. Clones share the one connection; when the last is dropped, it is closed.
#[derive(Clone)]
pub struct Link(Arc<Handle>);

struct Handle {
    inbox: Arc<Inbox>,
    state: watch::Receiver<LinkState>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.0.inbox.endpoint).finish()
    }
}

impl Link {
    /// Starts the owner task of an endpoint, on the runtime that this is called on. It connects when the first
    /// read comes.
    pub fn open(endpoint: Endpoint, options: Options) -> Link {
        let name = endpoint.to_string();
        match endpoint {
            Endpoint::Tcp(host) => Link::over(&name, options, Tcp::new(host)),
            Endpoint::Udp(host) => Link::over_datagrams(&name, options, Udp::new(host)),
            Endpoint::RtuOverTcp(host) => Link::rtu(&name, options, Pace::gateway(), Tcp::new(host)),
            Endpoint::Rtu(line) => Link::rtu(&name, options, Pace::of(&line), Serial::new(line)),
            // Whoever asks where only listening helps is told so.
            Endpoint::P1(_) | Endpoint::P1OverTcp(_) | Endpoint::P1OverHttp(_) => {
                Link::over(&name, options, OnlyHeard)
            }
        }
    }

    /// Modbus TCP over any byte stream, under the name that messages give it.
    pub fn over(name: &str, options: Options, connect: impl Connect) -> Link {
        Link::start(name, options, Framed::new(connect, MbapStream::new))
    }

    /// Modbus over any datagrams, under the name that messages give it.
    pub fn over_datagrams(name: &str, mut options: Options, bind: impl Bind) -> Link {
        options.fixed_transaction_id = false;
        Link::start(name, options, Sockets::new(bind))
    }

    /// RTU over any byte stream, with the pace of a line, under the name that messages give it.
    pub fn over_line(name: &str, options: Options, line: &SerialLine, connect: impl Connect) -> Link {
        Link::rtu(name, options, Pace::of(line), connect)
    }

    fn rtu(name: &str, mut options: Options, pace: Pace, connect: impl Connect) -> Link {
        options.in_flight = InFlight { start: 1, max: 1 };
        options.fixed_transaction_id = false;
        Link::start(name, options, Lines::new(connect, pace))
    }

    /// Starts the owner task.
    fn start(name: &str, options: Options, open: impl Open) -> Link {
        let inbox = Arc::new(Inbox::new(name.into()));
        let (report, state) = watch::channel(LinkState::Idle);
        tokio::spawn(Engine::new(inbox.clone(), options, report).run(open));
        Link(Arc::new(Handle { inbox, state }))
    }

    /// Reads a span: its words as the device sent them, for coils and discrete inputs 0 or 1 each.
    ///
    /// While the link is down this fails at once with the reason (a one-shot link waits instead). Dropping the
    /// future withdraws the read.
    ///
    /// # Errors
    /// See [`WireError`].
    pub async fn read(&self, plan: ReadPlan) -> Result<Vec<u16>, WireError> {
        let ReadPlan { unit, span, priority } = plan;
        let inbox = &self.0.inbox;
        check::request(span).map_err(|reason| WireError::BadRequest {
            endpoint: inbox.endpoint.clone(),
            unit,
            asked: span.into(),
            reason,
        })?;
        inbox.read(unit, span.into(), priority).await
    }

    /// Sends the one request that a permit allows, and waits for the device to repeat it. It goes before all reads but
    /// those of [`Priority::Write`], has the wire for itself, and is given the whole [`Options::timeout`].
    ///
    /// It is sent at most once: nothing that was lost, refused, put off or not understood makes it go out again. The
    /// permit is asked once more in the moment before the first byte goes out. Dropping the future withdraws what has
    /// not gone out; what has may be done all the same.
    ///
    /// While the link is down this fails at once (a one-shot link waits instead, as long as the permit holds).
    ///
    /// # Errors
    /// See [`WriteError`]: not sent, refused, or unconfirmed.
    pub async fn write(&self, permit: Permit) -> Result<WriteAnswer, WriteError> {
        let inbox = &self.0.inbox;
        match Writing::new(permit) {
            Ok(writing) => inbox.write(writing).await,
            Err((permit, reason)) => Err(WriteError::NotSent(WireError::BadRequest {
                endpoint: inbox.endpoint.clone(),
                unit: permit.unit(),
                asked: write::asked(permit.order()),
                reason,
            })),
        }
    }

    /// Asks a unit who it is, with functions 43/14 and 17. A device that knows neither gives an empty identity. It
    /// waits for polls, as a scan does.
    ///
    /// # Errors
    /// See [`WireError`]; a refusal is none. Over RTU it cannot be asked: there an answer is recognised by its
    /// length, and the length of this one is not known before.
    pub async fn identify(&self, unit: u8) -> Result<Identity, WireError> {
        identity::identify(
            |asked| self.ask(unit, asked, Priority::Scan),
            |error| matches!(error, WireError::Exception { code, .. } if *code != 10 && *code != 11),
        )
        .await
    }

    /// What a unit answers behind the function code.
    pub(crate) async fn ask(&self, unit: u8, asked: Asked, priority: Priority) -> Result<Vec<u8>, WireError> {
        let inbox = &self.0.inbox;
        if inbox.endpoint.starts_with("modbus+rtu") {
            return Err(WireError::BadRequest {
                endpoint: inbox.endpoint.clone(),
                unit,
                asked,
                reason: "over RTU an answer is recognised by its length, which is not known here",
            });
        }
        let words = inbox.read(unit, asked, priority).await?;
        Ok(words.into_iter().map(|word| word as u8).collect())
    }

    /// What is known of the connection, now and at each change.
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.0.state.clone()
    }

    /// What it has done so far.
    pub fn stats(&self) -> Stats {
        self.0.inbox.stats().clone()
    }

    /// What goes over the wire from now on, each frame and what was none. A listener that is slow loses the oldest
    /// of what waits for it, and is told how many.
    pub fn tap(&self) -> broadcast::Receiver<Traffic> {
        self.0.inbox.tap.listen()
    }

    /// The endpoint's canonical URL.
    pub fn endpoint(&self) -> &str {
        &self.0.inbox.endpoint
    }

    /// Closes the connection, for all clones, and waits until it is closed. What waits fails with
    /// [`WireError::Closed`].
    pub async fn close(&self) {
        self.0.inbox.close();
        let mut state = self.state();
        // The owner holds the sender until its end.
        while state.changed().await.is_ok() {}
    }
}
