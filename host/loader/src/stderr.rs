//! What a worker's plugins print: logged, but only so much of it, and the last line kept as a hint at why one ended.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The longest line that is logged, in bytes.
const MAX_LINE: usize = 400;
/// How many lines are logged in [`WINDOW`].
const MAX_LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);
/// How much a plugin may print in one call, in bytes. What is beyond is not even read: reading a flood would keep this
/// thread from polling.
pub(crate) const MAX_PRINTED: u64 = 256 * 1024;

/// How much was printed in the present call, and who waits for the next one.
#[derive(Default)]
struct Meter {
    printed: AtomicU64,
    next_call: Notify,
}

/// Follows one worker's standard error until it ends.
pub(crate) struct Log {
    last: Arc<Mutex<String>>,
    meter: Arc<Meter>,
    task: Option<JoinHandle<()>>,
}

impl Log {
    /// Begins to read. What is not logged is read all the same, so that a worker that prints no flood never waits for it.
    pub(crate) fn follow(stderr: Option<ChildStderr>, label: &str) -> Log {
        let last = Arc::default();
        let lines = Lines {
            label: label.to_owned(),
            last: Arc::clone(&last),
            ..Lines::new()
        };
        let meter = Arc::<Meter>::default();
        let count = Arc::clone(&meter);
        Log {
            last,
            meter,
            task: stderr.map(|stderr| tokio::spawn(drain(stderr, lines, count))),
        }
    }

    /// A call begins: it may print anew.
    pub(crate) fn begin_call(&self) {
        self.meter.printed.store(0, Ordering::Relaxed);
        self.meter.next_call.notify_one();
    }

    /// Whether more was printed in this call than is read.
    pub(crate) fn is_flooded(&self) -> bool {
        self.meter.printed.load(Ordering::Relaxed) > MAX_PRINTED
    }

    /// The last line, once all is read.
    pub(crate) async fn last_words(&mut self, patience: Duration) -> Option<String> {
        if let Some(task) = self.task.take() {
            let _ = tokio::time::timeout(patience, task).await;
        }
        let words = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(words).filter(|words| !words.is_empty())
    }
}

async fn drain(mut stderr: ChildStderr, mut lines: Lines, meter: Arc<Meter>) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        lines.take(&buffer[..read]);
        if meter.printed.fetch_add(read as u64, Ordering::Relaxed) + read as u64 > MAX_PRINTED {
            meter.next_call.notified().await;
        }
    }
    lines.end_line();
    lines.end_window();
}

struct Lines {
    label: String,
    last: Arc<Mutex<String>>,
    line: Vec<u8>,
    window: Instant,
    logged: u32,
    dropped: u64,
}

impl Lines {
    fn new() -> Lines {
        let (label, last, line) = (String::new(), Arc::default(), Vec::new());
        Lines {
            label,
            last,
            line,
            window: Instant::now(),
            logged: 0,
            dropped: 0,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, ends) = match piece {
                [text @ .., b'\n'] => (text, true),
                text => (text, false),
            };
            let room = MAX_LINE - self.line.len();
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let text: String = String::from_utf8_lossy(&line)
            .chars()
            .filter(|char| !char.is_control())
            .collect();
        if text.trim().is_empty() {
            return;
        }
        if self.window.elapsed() > WINDOW {
            self.end_window();
        }
        if self.logged < MAX_LINES {
            self.logged += 1;
            tracing::warn!(worker = self.label, "{text}");
        } else {
            self.dropped += 1;
        }
        // Rust ends its messages with advice, which is not the cause.
        if !text.starts_with("note: ") {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = text;
        }
    }

    fn end_window(&mut self) {
        if self.dropped > 0 {
            tracing::warn!(
                worker = self.label,
                lines = self.dropped,
                "it printed more, which is not shown"
            );
        }
        (self.window, self.logged, self.dropped) = (Instant::now(), 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_stays_small() {
        let mut lines = Lines::new();
        for _ in 0..10_000 {
            lines.take(&[b'x'; 1000]);
        }
        assert_eq!(lines.line.len(), MAX_LINE);
        lines.take(b"\n");
        for number in 0..100 {
            lines.take(format!("line {number}\n").as_bytes());
        }
        assert_eq!((lines.logged, lines.dropped), (MAX_LINES, 81));
        assert_eq!(*lines.last.lock().unwrap(), "line 99");
    }

    #[test]
    fn control_characters_reach_no_terminal() {
        let mut lines = Lines::new();
        lines.take(b"\x1b[31mred\xff\n");
        assert_eq!(*lines.last.lock().unwrap(), "[31mred\u{fffd}");
    }
}
