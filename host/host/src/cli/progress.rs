//! A scan's progress: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;
use tracing::info;

use crate::discover::progress::{Event, Progress};

/// Where there is no terminal, a line at most this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows events on standard error.
pub struct Shown {
    bar: Option<ProgressBar>,
    last: Mutex<Option<Instant>>,
}

impl Default for Shown {
    fn default() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Shown {
            bar,
            last: Mutex::default(),
        }
    }
}

impl Shown {
    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => info!("{text}"),
        }
    }

    fn step(&self, done: u32, of: u32, what: &str) {
        if let Some(bar) = &self.bar {
            if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}") {
                bar.set_style(style);
            }
            bar.set_message(what.to_owned());
            bar.set_length(u64::from(of));
            bar.set_position(u64::from(done));
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some(at) if at.elapsed() < LINE_EVERY => return,
            Some(_) => info!("{what}: {done} of {of}"),
            // A scan that ends within one period needs no line.
            None => {}
        }
        *last = Some(Instant::now());
    }
}

impl Progress for Shown {
    fn event(&self, event: Event) {
        match event {
            Event::Forecast { requests, exceptions } => self.line(&format!(
                "About {requests} small reads; the device will answer some {exceptions} of them with an exception, \
                 which may show in its log. Ctrl-C stops and keeps what was found."
            )),
            Event::Probing { done, remaining } => self.step(done, done + remaining, "looking for devices"),
            Event::Learning { done, of } => self.step(done, of, "learning what they have"),
            Event::Note { text } => self.line(&text),
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
