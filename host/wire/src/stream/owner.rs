//! The owner task: connects, reads, hands out, reconnects.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::search::{PATIENCE, Search};
use super::source::Source;
use super::telnet::Telnet;
use super::{Chunk, LONGEST, Shared, StreamOptions};
use crate::backoff::Backoff;
use crate::endpoint::Setting;
use crate::error::WireError;
use crate::link::LinkState;
use crate::open::ConnectError;

/// The longest attempt to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// How often it is looked whether a port is there again.
const LOOK: Duration = Duration::from_millis(250);
/// Bytes that follow each other so closely are handed out together.
const PAUSE: Duration = Duration::from_millis(20);
/// And at the latest after this long.
const HOLD: Duration = Duration::from_millis(200);

/// How a connection ended.
enum End {
    Closed,
    /// No whole telegram came with this setting.
    Unproven,
    Quiet,
    Lost(String),
}

/// The owner of one endpoint.
pub(super) struct Owner {
    pub(super) shared: Arc<Shared>,
    pub(super) options: StreamOptions,
    report: watch::Sender<LinkState>,
    closed: watch::Receiver<bool>,
    good: watch::Receiver<u64>,
    backoff: Backoff,
    /// `None` where there is no line.
    search: Option<Search>,
    session: u64,
    /// When the last byte came, or listening began.
    heard: Instant,
}

impl Owner {
    pub(super) fn new(
        shared: Arc<Shared>,
        report: watch::Sender<LinkState>,
        closed: watch::Receiver<bool>,
        options: StreamOptions,
        given: Option<Option<Setting>>,
    ) -> Self {
        let search = given.map(|given| Search::new(given, options.first));
        shared.set(search.as_ref().map(Search::now));
        Owner {
            good: shared.good.subscribe(),
            search,
            shared,
            options,
            report,
            closed,
            backoff: if options.quick {
                Backoff::quick()
            } else {
                Backoff::patient()
            },
            session: 0,
            heard: Instant::now(),
        }
    }

    /// Listens until the stream is closed.
    pub(super) async fn run<S: Source>(mut self, mut source: S) {
        loop {
            self.connecting();
            let setting = self.search.as_ref().map(Search::now);
            self.shared.set(setting);
            let began = Instant::now();
            let opened = tokio::select! {
                biased;
                () = self.is_closed() => return,
                opened = timeout(CONNECT, source.open(setting)) => opened,
            };
            let cause = match opened {
                Ok(Ok(stream)) => match self.listen(stream, S::MAY_SPEAK_TELNET).await {
                    End::Closed => return,
                    End::Unproven => {
                        if let Some(search) = &mut self.search {
                            search.advance();
                        }
                        // A setting cannot be blamed for a line on which nothing is said at all.
                        if self.heard.elapsed() >= self.options.silence {
                            self.down(self.quiet());
                        }
                        continue;
                    }
                    End::Quiet => self.quiet(),
                    End::Lost(reason) => WireError::ConnectionLost {
                        endpoint: Arc::clone(&self.shared.endpoint),
                        reason,
                    },
                },
                Ok(Err(error)) => self.refused(error, began.elapsed()),
                Err(_) => WireError::ConnectTimeout {
                    endpoint: Arc::clone(&self.shared.endpoint),
                    after: CONNECT,
                },
            };
            match cause {
                WireError::ConnectionLost { .. } | WireError::Quiet { .. } => self.shared.stats().lost += 1,
                _ => self.shared.stats().failed_connects += 1,
            }
            if !self.pause(cause, || source.came_back()).await {
                return;
            }
        }
    }

    /// Publishes why nothing comes and waits before the next attempt; `false` where the stream was closed meanwhile.
    pub(super) async fn pause(&mut self, cause: WireError, mut came_back: impl FnMut() -> bool) -> bool {
        let wait = self.backoff.failed(rand::random());
        self.down(cause);
        let due = Instant::now() + wait;
        loop {
            let look = sleep(LOOK.min(due.saturating_duration_since(Instant::now())));
            tokio::select! {
                biased;
                () = self.is_closed() => return false,
                () = look => {}
            }
            if Instant::now() >= due || came_back() {
                return true;
            }
        }
    }

    /// Reads one connection to its end.
    async fn listen(&mut self, mut stream: impl AsyncRead + Unpin, may_speak_telnet: bool) -> End {
        self.began();
        let opened = Instant::now();
        if self.heard.elapsed() >= self.options.silence {
            self.heard = opened;
        }
        let mut telnet = may_speak_telnet.then(Telnet::default);
        let mut gathered = Gathered::default();
        let mut input = [0; LONGEST];
        let mut proven = false;
        loop {
            let room = (LONGEST - gathered.bytes.len().min(LONGEST)).max(1);
            let can_leave = !proven && self.search.as_ref().is_some_and(Search::can_move);
            let quiet_at = self.heard.max(opened) + self.options.silence;
            tokio::select! {
                biased;
                () = self.is_closed() => return End::Closed,
                () = self.is_told() => proven |= self.is_good(),
                got = read(&mut stream, &mut input[..room]) => {
                    let bytes = match got {
                        Ok(bytes) => bytes,
                        Err(reason) => {
                            self.hand_out(gathered.take(), false);
                            return End::Lost(reason);
                        }
                    };
                    self.heard = Instant::now();
                    self.shared.stats().bytes += bytes as u64;
                    gathered.add(&input[..bytes], telnet.as_mut());
                    if gathered.bytes.len() >= LONGEST {
                        self.hand_out(gathered.take(), false);
                    }
                }
                () = sleep_until(gathered.due), if !gathered.bytes.is_empty() => {
                    self.hand_out(gathered.take(), false);
                }
                () = sleep_until(opened + PATIENCE), if can_leave => return End::Unproven,
                () = sleep_until(quiet_at) => return End::Quiet,
            }
        }
    }

    /// A connection stands.
    pub(super) fn began(&mut self) {
        self.session += 1;
        self.shared.stats().connects += 1;
    }

    /// Whether the newest connection has brought a whole telegram; then it counts as up.
    pub(super) fn is_good(&mut self) -> bool {
        let good = *self.good.borrow_and_update() == self.session && self.session > 0;
        if good {
            self.backoff.reset();
            let before = self.report.send_replace(LinkState::Up);
            if let LinkState::Down { since, .. } = before {
                let after = since.elapsed();
                tracing::info!("{}: speaks again, after {after:.0?}", self.shared.endpoint);
            }
        }
        good
    }

    /// Hands out what came.
    pub(super) fn hand_out(&mut self, bytes: (Vec<u8>, bool), whole: bool) {
        let (bytes, first) = bytes;
        if bytes.is_empty() {
            return;
        }
        // Nobody listening is no fault.
        let _ = self.shared.chunks.send(Chunk {
            bytes: bytes.into(),
            whole,
            first,
            session: self.session,
        });
    }

    /// Returns once the stream is closed, or nobody has it any more.
    pub(super) fn is_closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut closed = self.closed.clone();
        async move {
            let _ = closed.wait_for(|closed| *closed).await;
        }
    }

    /// Returns once a listener says that a telegram was whole.
    pub(super) fn is_told(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut good = self.good.clone();
        async move {
            if good.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// What the system said of an attempt.
    pub(super) fn refused(&self, error: ConnectError, after: Duration) -> WireError {
        let endpoint = Arc::clone(&self.shared.endpoint);
        match error {
            ConnectError::UnknownHost(error) => WireError::UnknownHost {
                endpoint,
                reason: error.to_string(),
            },
            ConnectError::Failed(error) => WireError::from_io(endpoint, &error, after),
            ConnectError::Port(reason) => WireError::Port { endpoint, reason },
            ConnectError::OnlyHeard => WireError::OnlyHeard { endpoint },
        }
    }

    fn quiet(&self) -> WireError {
        WireError::Quiet {
            endpoint: Arc::clone(&self.shared.endpoint),
            after: self.options.silence,
        }
    }

    fn connecting(&self) {
        self.report.send_if_modified(|state| {
            let idle = matches!(state, LinkState::Idle);
            if idle {
                *state = LinkState::Connecting;
            }
            idle
        });
    }

    /// Publishes that nothing comes, with one log line when that begins.
    fn down(&self, cause: WireError) {
        let attempts = self.backoff.failures();
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
}

/// Some bytes; the error says how the connection ended.
async fn read(stream: &mut (impl AsyncRead + Unpin), input: &mut [u8]) -> Result<usize, String> {
    match stream.read(input).await {
        Ok(0) => Err("the other side ended it".to_owned()),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(error.to_string()),
    }
}

/// Bytes that came close together.
struct Gathered {
    bytes: Vec<u8>,
    /// When they are handed out.
    due: Instant,
    since: Instant,
    first: bool,
}

impl Default for Gathered {
    fn default() -> Self {
        let now = Instant::now();
        Gathered {
            bytes: Vec::new(),
            due: now,
            since: now,
            first: true,
        }
    }
}

impl Gathered {
    fn add(&mut self, bytes: &[u8], telnet: Option<&mut Telnet>) {
        let now = Instant::now();
        if self.bytes.is_empty() {
            self.since = now;
        }
        match telnet {
            Some(telnet) => telnet.strip(bytes, &mut self.bytes),
            None => self.bytes.extend_from_slice(bytes),
        }
        self.due = (now + PAUSE).min(self.since + HOLD);
    }

    fn take(&mut self) -> (Vec<u8>, bool) {
        if self.bytes.is_empty() {
            return (Vec::new(), self.first);
        }
        (
            std::mem::take(&mut self.bytes),
            std::mem::replace(&mut self.first, false),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
    use tokio::sync::mpsc;

    use super::super::{Piece, Stream};
    use super::*;

    /// A line whose every opening is told, and brings the next of these streams.
    struct Told {
        opened: mpsc::UnboundedSender<(Option<Setting>, Duration)>,
        streams: VecDeque<DuplexStream>,
        began: Instant,
    }

    impl Source for Told {
        type Stream = DuplexStream;
        const MAY_SPEAK_TELNET: bool = false;

        async fn open(&mut self, setting: Option<Setting>) -> Result<DuplexStream, ConnectError> {
            let _ = self.opened.send((setting, self.began.elapsed()));
            match self.streams.pop_front() {
                Some(stream) => Ok(stream),
                None => std::future::pending().await,
            }
        }
    }

    type Opened = mpsc::UnboundedReceiver<(Option<Setting>, Duration)>;

    fn line(openings: usize, options: StreamOptions) -> (Stream, Opened, Vec<DuplexStream>) {
        let (mut near, mut far) = (VecDeque::new(), Vec::new());
        for _ in 0..openings {
            let (a, b) = duplex(64 * 1024);
            near.push_back(a);
            far.push(b);
        }
        let (opened, told) = mpsc::unbounded_channel();
        let source = Told {
            opened,
            streams: near,
            began: Instant::now(),
        };
        let stream = Stream::start("p1:///dev/test", options, source, Some(None));
        (stream, told, far)
    }

    async fn setting(told: &mut Opened) -> (String, u64) {
        let (setting, at) = told.recv().await.unwrap();
        (setting.unwrap().short(), at.as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_setting_without_a_telegram_is_left_after_25_seconds_and_the_right_one_is_kept() {
        let (stream, mut told, mut far) = line(4, StreamOptions::default());
        let mut listener = stream.listen();
        assert_eq!(setting(&mut told).await, ("115200 8N1".to_owned(), 0));
        // What comes is no telegram, so nobody calls it good.
        far[0].write_all(b"noise").await.unwrap();
        assert_eq!(setting(&mut told).await, ("115200 7E1".to_owned(), 25));
        far[1].write_all(b"noise").await.unwrap();
        assert_eq!(setting(&mut told).await, ("9600 7E1".to_owned(), 50));
        far[2].write_all(b"/telegram!").await.unwrap();
        let mut last = None;
        while let Some(Piece::Bytes(chunk)) = listener.next().await {
            assert!(chunk.first);
            last = Some(chunk.clone());
            if chunk.bytes.starts_with(b"/") {
                break;
            }
        }
        stream.good(&last.unwrap());
        let mut state = stream.state();
        state.wait_for(|state| *state == LinkState::Up).await.unwrap();
        for _ in 0..20 {
            tokio::time::advance(Duration::from_secs(10)).await;
            far[2].write_all(b"x").await.unwrap();
            listener.next().await.unwrap();
        }
        assert!(told.try_recv().is_err(), "the setting that was found is kept");
        assert_eq!(stream.setting().unwrap().short(), "9600 7E1");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_good_over_an_earlier_connection_proves_nothing_of_this_one() {
        let (stream, mut told, mut far) = line(2, StreamOptions::default());
        let mut listener = stream.listen();
        setting(&mut told).await;
        far[0].write_all(b"/!").await.unwrap();
        let Some(Piece::Bytes(chunk)) = listener.next().await else {
            panic!("bytes")
        };
        assert_eq!(setting(&mut told).await.0, "115200 7E1");
        stream.good(&chunk);
        assert_eq!(setting(&mut told).await, ("9600 7E1".to_owned(), 50));
    }
}
