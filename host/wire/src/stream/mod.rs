//! Meters that speak by themselves: one owner task for each endpoint reads what they say, and hands it to everybody who
//! listens.
//!
//! Nothing is ever sent. The owner connects, finds the line's settings, reconnects, and knows nothing of telegrams: who
//! listens says when one was whole ([`Chunk::good`]), and that is what a setting, and a connection, is proven by.
//!
//! Invariants: what a listener gets is what came, byte for byte and in order, but for whole chunks that it was too slow
//! for, which are counted; nothing grows without a bound.

mod http;
mod owner;
mod search;
mod source;
mod telnet;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, watch};

use crate::endpoint::{Endpoint, Setting};
use crate::error::WireError;
use crate::link::LinkState;
use crate::open::Connect;
use crate::tcp::Tcp;
use owner::Owner;
use source::{Gateway, Port, Source};

/// Chunks that a slow listener may lag behind before it loses the oldest.
const BACKLOG: usize = 64;
/// The longest chunk, in bytes.
pub(crate) const LONGEST: usize = 4096;

/// How a stream is listened to.
#[derive(Clone, Copy, Debug)]
pub struct StreamOptions {
    /// Whether a person waits for it: attempts follow each other within a second.
    pub quick: bool,
    /// The setting that was found before; tried first.
    pub first: Option<Setting>,
    /// After how long without a byte a connection counts as dead.
    pub silence: Duration,
    /// How often what has to be fetched is fetched; at least a second.
    pub every: Duration,
}

impl Default for StreamOptions {
    fn default() -> Self {
        StreamOptions {
            quick: false,
            first: None,
            silence: Duration::from_secs(30),
            every: Duration::from_secs(1),
        }
    }
}

/// What a stream has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Connections made, ports opened, answers fetched.
    pub connects: u64,
    /// Attempts that failed.
    pub failed_connects: u64,
    /// Connections that were lost, or silent for too long.
    pub lost: u64,
    /// Bytes that came.
    pub bytes: u64,
    /// Telegrams that were whole, as its reader counts them.
    pub telegrams: u64,
    /// Telegrams that were damaged and dropped.
    pub damaged: u64,
    /// Telegrams without a sum that could be checked; they are among the whole ones.
    pub unchecked: u64,
    /// Bytes that belong to no whole telegram.
    pub dropped: u64,
    /// Chunks that the reader was too slow for.
    pub overrun: u64,
}

/// A piece of what came.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The bytes; never empty.
    pub bytes: Arc<[u8]>,
    /// It is the answer to one request: nothing of it follows.
    pub whole: bool,
    /// It is the first of a connection, or of another setting: what came before does not go on here.
    pub first: bool,
    /// The connection that it came over.
    session: u64,
}

/// What comes to a listener.
#[derive(Clone, Debug)]
pub enum Piece {
    /// A chunk.
    Bytes(Chunk),
    /// It was too slow: so many chunks are lost between what came before and what comes next.
    Lost(u64),
}

/// The way to one meter that speaks by itself. Clones share the one connection; when the last is dropped, it is closed.
#[derive(Clone)]
pub struct Stream(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    state: watch::Receiver<LinkState>,
    close: watch::Sender<bool>,
}

/// What the owner and all who listen have in common.
struct Shared {
    endpoint: Arc<str>,
    chunks: broadcast::Sender<Chunk>,
    /// The newest connection over which a whole telegram came.
    good: watch::Sender<u64>,
    /// What is tried, or was found.
    setting: Mutex<Option<Setting>>,
    stats: Mutex<StreamStats>,
}

impl Shared {
    fn stats(&self) -> MutexGuard<'_, StreamStats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, setting: Option<Setting>) {
        *self.setting.lock().unwrap_or_else(PoisonError::into_inner) = setting;
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stream").field(&self.0.shared.endpoint).finish()
    }
}

impl Stream {
    /// Starts the owner task of an endpoint, on the runtime that this is called on. It connects at once.
    ///
    /// # Errors
    /// [`WireError::BadRequest`]'s like for an endpoint where nobody speaks by himself.
    pub fn open(endpoint: Endpoint, options: StreamOptions) -> Result<Stream, WireError> {
        let name = endpoint.to_string();
        match endpoint {
            Endpoint::P1(line) => {
                let given = line.setting;
                Ok(Stream::start(&name, options, Port::new(line.path), Some(given)))
            }
            Endpoint::P1OverTcp(host) => {
                Ok(Stream::start(&name, options, Gateway::new(Tcp::new(host)), None))
            }
            Endpoint::P1OverHttp(place) => {
                let (stream, owner) = Stream::new(&name, options, None);
                tokio::spawn(http::run(owner, place));
                Ok(stream)
            }
            Endpoint::Tcp(_) | Endpoint::Udp(_) | Endpoint::RtuOverTcp(_) | Endpoint::Rtu(_) => {
                Err(WireError::NoTelegram {
                    endpoint: name.into(),
                    reason: "Modbus devices say nothing by themselves".to_owned(),
                })
            }
        }
    }

    /// Listens to any byte stream, under the name that messages give it.
    pub fn over(name: &str, options: StreamOptions, connect: impl Connect) -> Stream {
        Stream::start(name, options, Gateway::new(connect), None)
    }

    fn start(
        name: &str,
        options: StreamOptions,
        source: impl Source,
        given: Option<Option<Setting>>,
    ) -> Stream {
        let (stream, owner) = Stream::new(name, options, given);
        tokio::spawn(owner.run(source));
        stream
    }

    fn new(name: &str, options: StreamOptions, given: Option<Option<Setting>>) -> (Stream, Owner) {
        let shared = Arc::new(Shared {
            endpoint: name.into(),
            chunks: broadcast::channel(BACKLOG).0,
            good: watch::channel(0).0,
            setting: Mutex::default(),
            stats: Mutex::default(),
        });
        let (report, state) = watch::channel(LinkState::Idle);
        let (close, closed) = watch::channel(false);
        let owner = Owner::new(Arc::clone(&shared), report, closed, options, given);
        (Stream(Arc::new(Handle { shared, state, close })), owner)
    }

    /// Listens from now on.
    pub fn listen(&self) -> Listener {
        Listener {
            chunks: self.0.shared.chunks.subscribe(),
            state: self.state(),
            stream: self.clone(),
        }
    }

    /// What is known of the connection, now and at each change: up from the first whole telegram on.
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.0.state.clone()
    }

    /// The line's setting, as it is tried or was found; `None` where there is no line.
    pub fn setting(&self) -> Option<Setting> {
        *self
            .0
            .shared
            .setting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What it has done so far.
    pub fn stats(&self) -> StreamStats {
        self.0.shared.stats().clone()
    }

    /// Adds what its reader counts.
    pub fn count(&self, add: impl FnOnce(&mut StreamStats)) {
        add(&mut self.0.shared.stats());
    }

    /// A whole telegram was in this chunk: the connection, and the line's setting, are the right ones.
    pub fn good(&self, chunk: &Chunk) {
        self.0.shared.good.send_replace(chunk.session);
    }

    /// The endpoint's canonical URL.
    pub fn endpoint(&self) -> &str {
        &self.0.shared.endpoint
    }

    /// Closes the connection, for all clones, and waits until it is closed.
    pub async fn close(&self) {
        self.0.close.send_replace(true);
        let mut state = self.state();
        // The owner holds the sender until its end.
        while state.changed().await.is_ok() {}
    }
}

/// One who listens.
#[derive(Debug)]
pub struct Listener {
    chunks: broadcast::Receiver<Chunk>,
    state: watch::Receiver<LinkState>,
    /// As long as somebody listens, it is open.
    stream: Stream,
}

impl Listener {
    /// What comes next; `None` once the stream is closed.
    pub async fn next(&mut self) -> Option<Piece> {
        let state = &mut self.state;
        // The owner holds the sender of its state until its end.
        let ended = async { while state.changed().await.is_ok() {} };
        let came = tokio::select! {
            biased;
            came = self.chunks.recv() => came,
            () = ended => return None,
        };
        match came {
            Ok(chunk) => Some(Piece::Bytes(chunk)),
            Err(broadcast::error::RecvError::Lagged(lost)) => Some(Piece::Lost(lost)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// What it listens to.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }
}
