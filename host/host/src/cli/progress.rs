//! A scan's progress: a bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::discover::progress::{Event, Progress};

/// Where there is no terminal, a line at most this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// So few reads need no announcement.
const WORTH_TELLING: u32 = 20;

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
            // A command that somebody typed speaks plainly; nobody reads it where standard error is gone.
            None => {
                let _ = writeln!(std::io::stderr(), "{text}");
            }
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
            Some(_) => self.line(&format!("{what}: {done} of {of}")),
            // A scan that ends within one period needs no line.
            None => {}
        }
        *last = Some(Instant::now());
    }
}

/// What a search will cost the device; `None` for one that it hardly notices.
fn forecast(requests: u32, exceptions: u32) -> Option<String> {
    if requests < WORTH_TELLING {
        return None;
    }
    let refused = match exceptions {
        0 => String::new(),
        1 => " The device will probably refuse one of them, which may show in its log.".to_owned(),
        n => format!(" The device will probably refuse about {n} of them, which may show in its log."),
    };
    Some(format!(
        "About {requests} small reads.{refused} Ctrl-C stops and keeps what was found."
    ))
}

impl Progress for Shown {
    fn event(&self, event: Event) {
        match event {
            Event::Forecast { requests, exceptions } => {
                if let Some(text) = forecast(requests, exceptions) {
                    self.line(&text);
                }
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_search_costs_is_told_where_it_costs_something() {
        assert_eq!(forecast(2, 1), None);
        assert!(!forecast(50, 0).unwrap().contains("refuse"));
        assert!(forecast(50, 1).unwrap().contains("refuse one of them"));
        assert!(
            forecast(597, 584)
                .unwrap()
                .starts_with("About 597 small reads. The device will probably refuse about 584")
        );
    }
}
