//! The terminal that the wizard talks through: lines, single keys while something is being done, and what ends it.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::error::{HostError, Result};

/// The longest line that is taken; nobody types more.
const LONGEST: usize = 4096;
/// Pieces of input that wait to be looked at.
const AHEAD: usize = 16;
/// How often whoever waits for input looks whether it is still wanted.
const LOOK_MS: i64 = 100;

/// Something from the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A line, or a key.
    Text(String),
    /// Ctrl-C.
    Interrupted,
    /// The terminal is gone, or the program is to end.
    Gone,
}

/// The terminal.
pub struct Terminal {
    input: mpsc::Receiver<Vec<u8>>,
    /// Whether input is wanted no more.
    closed: Arc<AtomicBool>,
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    /// What was typed ahead of its line's end.
    typed: Vec<u8>,
}

impl Terminal {
    /// Takes the terminal of this process.
    ///
    /// # Errors
    /// Where standard input cannot be waited for.
    pub fn open() -> Result<Self> {
        let hint = "Use the flags instead: busbar setup URL --yes.";
        let failed = |e: std::io::Error| HostError::io("cannot read from the terminal", &e, hint);
        let (heard, input) = mpsc::channel(AHEAD);
        let closed = Arc::<AtomicBool>::default();
        let until = Arc::clone(&closed);
        // Waiting for a terminal blocks: it has a thread of its own, which leaves alone what comes after its end.
        std::thread::Builder::new()
            .name("terminal".to_owned())
            .spawn(move || listen(&heard, &until))
            .map_err(failed)?;
        Ok(Terminal {
            input,
            closed,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            hang_up: signal(SignalKind::hangup()).map_err(failed)?,
            typed: Vec::new(),
        })
    }

    /// A line.
    pub async fn line(&mut self) -> Input {
        loop {
            if let Some(end) = self.typed.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.typed.drain(..=end).collect();
                return Input::Text(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.typed.len() > LONGEST {
                self.typed.clear();
            }
            match self.more().await {
                Ok(bytes) => self.typed.extend(bytes),
                Err(end) => return end,
            }
        }
    }

    /// A key, while [`Keys`] is held.
    pub async fn key(&mut self) -> Input {
        match self.more().await {
            Ok(bytes) => Input::Text(String::from_utf8_lossy(&bytes).into_owned()),
            Err(end) => end,
        }
    }

    async fn more(&mut self) -> std::result::Result<Vec<u8>, Input> {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Err(Input::Gone),
            _ = self.hang_up.recv() => Err(Input::Gone),
            _ = self.interrupt.recv() => Err(Input::Interrupted),
            bytes = self.input.recv() => bytes.ok_or(Input::Gone),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

/// Hands on what is typed, until the end of input, or until nobody wants it.
fn listen(heard: &mpsc::Sender<Vec<u8>>, closed: &AtomicBool) {
    let stdin = std::io::stdin();
    let look = Timespec {
        tv_sec: 0,
        tv_nsec: LOOK_MS * 1_000_000,
    };
    while !closed.load(Ordering::Relaxed) {
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut fds, Some(&look)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(_) => return,
        }
        let mut bytes = vec![0; LONGEST];
        match rustix::io::read(&stdin, &mut bytes) {
            Ok(0) => return,
            Ok(read) => bytes.truncate(read),
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return,
        }
        if heard.blocking_send(bytes).is_err() {
            return;
        }
    }
}

/// Keys come one by one and are not shown, as long as this is held; then the terminal is as it was.
pub struct Keys(Termios);

impl Keys {
    /// Changes the terminal; `None` where it cannot be: then only Ctrl-C is heard.
    pub fn one_by_one() -> Option<Self> {
        let was = tcgetattr(std::io::stdin()).ok()?;
        let mut now = was.clone();
        now.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        now.special_codes[SpecialCodeIndex::VMIN] = 1;
        now.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(std::io::stdin(), OptionalActions::Now, &now).ok()?;
        Some(Keys(was))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing any more.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Writes to the terminal at once.
pub fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    // A terminal that has gone away ends the program by its signal.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
