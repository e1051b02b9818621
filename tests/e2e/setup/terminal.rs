//! A person at a terminal: reads what stands there, and types.

use std::fs::File;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use rustix::termios::{LocalModes, tcgetattr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::time::timeout;

use crate::common::{Home, PATIENCE, pty, signal, until};

/// The program at a terminal of its own.
pub struct Terminal {
    child: Child,
    keys: tokio::fs::File,
    /// The other end, which tells how the terminal is set.
    line: File,
    seen: Arc<Mutex<String>>,
    /// How much of it was looked at.
    read: usize,
}

impl Terminal {
    /// Starts `busbar setup` with these arguments, on this many columns.
    pub fn start(home: &Home, args: &[&str], columns: u16) -> Self {
        let (keys, line) = pty::open(columns);
        let end = || Stdio::from(line.try_clone().unwrap());
        let mut command = home.command(&[&["setup"], args].concat());
        let command = command
            .env("NO_COLOR", "1")
            .stdin(end())
            .stdout(end())
            .stderr(end());
        let child = command.spawn().unwrap();
        let keys = File::from(keys);
        let mut screen = tokio::fs::File::from_std(keys.try_clone().unwrap());
        let seen = Arc::<Mutex<String>>::default();
        let all = Arc::clone(&seen);
        tokio::spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            let mut bytes = Vec::new();
            while let Ok(count @ 1..) = screen.read(&mut buffer).await {
                bytes.extend_from_slice(&buffer[..count]);
                *all.lock().unwrap() = String::from_utf8_lossy(&bytes).into_owned();
            }
        });
        Terminal {
            child,
            keys: tokio::fs::File::from_std(keys),
            line,
            seen,
            read: 0,
        }
    }

    /// Everything that was ever on it.
    pub fn all(&self) -> String {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until this stands there, behind what was looked at; what stands between.
    pub async fn shows(&mut self, what: &str) -> String {
        let (seen, from) = (Arc::clone(&self.seen), self.read);
        let look = async || {
            let all = seen.lock().unwrap().clone();
            let at = all.get(from..)?.find(what)?;
            Some((all[from..from + at].to_owned(), from + at + what.len()))
        };
        // What is shown when a test fails is what a person would have seen.
        let tail = format!("{what:?} at the terminal behind {:?}", self.all().get(from..));
        let (between, to) = until(&tail, look).await;
        self.read = to;
        between
    }

    /// Types a line.
    pub async fn types(&mut self, line: &str) {
        self.key(&format!("{line}\n")).await;
    }

    /// Presses keys.
    pub async fn key(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.unwrap();
        self.keys.flush().await.unwrap();
    }

    /// Waits for a question, and answers it.
    pub async fn answers(&mut self, question: &str, line: &str) {
        self.shows(question).await;
        self.shows("› ").await;
        self.types(line).await;
    }

    /// Whether lines are edited and shown as they are typed, as a shell needs it.
    pub fn is_as_it_was(&self) -> bool {
        let modes = tcgetattr(&self.line).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Sends a signal, as Ctrl-C would.
    pub fn signal(&self, number: Signal) {
        signal(&self.child, number);
    }

    /// Waits for the end; its exit code.
    pub async fn end(&mut self) -> i32 {
        let status = timeout(PATIENCE, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("it does not end: {}", self.all()));
        status.unwrap().code().unwrap_or(-1)
    }
}
