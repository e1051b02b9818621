//! The live table of `busbar read --watch`: what a device says now, tick by tick, or that it says nothing.
//!
//! A reader task asks the device; the loop here keeps the time, so that a tick that cannot be answered is shown as the
//! gap that it is, and never as the value before it.

mod model;
mod render;
mod screen;
mod spark;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::output::Output;
use super::run::stop_on_signal;
use crate::clock;
use crate::error::{HostError, Result};
use crate::one_device::ReadReport;
use model::{Gap, Live};
use render::{Size, Style};
use screen::Screen;

/// How often ages and the clock are drawn anew between readings.
const REFRESH: Duration = Duration::from_secs(1);

/// Someone who reads a device again and again.
pub trait Reader: Send + 'static {
    /// Reads once. What could not be read is told in the report; a failure says that nothing could.
    fn read(&mut self) -> impl Future<Output = Result<ReadReport>> + Send;

    /// Of a device that speaks by itself: how soon after one reading the next is waited for, and how long it may be silent.
    fn by_itself(&self) -> Option<(Duration, Duration)> {
        None
    }
}

/// Reads at this interval and shows what comes, until stopped. A device that does not answer is asked on and on.
///
/// # Errors
/// What no further try can mend, before anything was read: a usage error, or a device that has nothing of its ledger.
pub async fn run(mut reader: impl Reader, url: &str, interval: Duration, output: Output) -> Result<()> {
    let interval = interval.max(Duration::from_millis(10));
    let (pause, patience) = reader.by_itself().unwrap_or((interval, Duration::ZERO));
    let stop = stop_on_signal();
    let (go, mut wanted) = mpsc::channel::<()>(1);
    let (tell, mut told) = mpsc::channel(1);
    let task = tokio::spawn(async move {
        while wanted.recv().await.is_some() {
            if tell.send(reader.read().await).await.is_err() {
                return;
            }
        }
    });
    let started = Instant::now();
    let mut view = View {
        live: Live::new(url, interval),
        output,
        screen: None,
        last: None,
        answered: false,
    };
    let mut asked = started;
    let mut tick = tokio::time::interval(pause);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut refresh = tokio::time::interval_at(started + REFRESH, REFRESH);
    refresh.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut waiting = false;
    let done = loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break Ok(()),
            Some(read) = told.recv() => {
                waiting = false;
                if let Err(error) = view.take(read, started.elapsed()) {
                    break Err(error);
                }
            }
            _ = tick.tick() => {
                if !waiting {
                    asked = Instant::now();
                    waiting = go.try_send(()).is_ok();
                } else if asked.elapsed() >= patience {
                    // Told once for each such time.
                    asked = Instant::now();
                    view.late(started.elapsed());
                }
            }
            _ = refresh.tick(), if view.screen.is_some() => view.draw(started.elapsed()),
        }
    };
    task.abort();
    view.end();
    done
}

/// What is shown, and where.
struct View {
    live: Live,
    output: Output,
    screen: Option<Screen>,
    /// The newest report, whose points are null while nothing answers.
    last: Option<ReadReport>,
    answered: bool,
}

impl View {
    /// Takes what a reading brought.
    fn take(&mut self, read: Result<ReadReport>, now: Duration) -> Result<()> {
        match read {
            Ok(report) if report.is_empty() => {
                let cause = report
                    .missing
                    .clone()
                    .unwrap_or_else(|| "it does not answer".to_owned());
                let check = "Check that the device is switched on and within reach.";
                let hint = HostError::no_answer(&self.live.url, "", check).hint();
                self.last = Some(report);
                self.gap(now, Gap { cause, hint });
            }
            Ok(mut report) => {
                report.time_ms = Some(clock::now_ms());
                self.answered = true;
                self.live.take(&report, now);
                if self.output.is_json() {
                    self.output.json_line(&report)?;
                }
                self.last = Some(report);
                self.show(now);
            }
            Err(error @ (HostError::Usage { .. } | HostError::NothingFound { .. })) if !self.answered => {
                return Err(error);
            }
            Err(error) => {
                let (cause, hint) = (error.to_string(), error.hint());
                self.gap(now, Gap { cause, hint });
            }
        }
        Ok(())
    }

    /// The tick came before the answer to the one before.
    fn late(&mut self, now: Duration) {
        let cause = "the answer is late".to_owned();
        self.gap(
            now,
            Gap {
                cause,
                hint: String::new(),
            },
        );
    }

    fn gap(&mut self, now: Duration, gap: Gap) {
        let error = json!({ "code": "no_answer", "message": gap.cause, "hint": gap.hint });
        self.live.miss(now, gap);
        if self.output.is_json() {
            // A line that cannot be written ends the program by itself.
            let _ = self.output.json_line(&self.gap_document(error));
        }
        self.show(now);
    }

    /// What a gap is in a stream of documents: the same points, none of them known.
    fn gap_document(&self, error: Value) -> Value {
        let mut document = json!({ "time_ms": clock::now_ms(), "error": error });
        if let Some(report) = &self.last {
            let points = report.points.iter().map(|(key, point)| {
                let unknown = json!({
                    "value": null, "unit": point["unit"], "quality": "unavailable", "raw": [],
                    "status": point["status"], "name": point["name"],
                });
                (key.clone(), unknown)
            });
            document["device"] = report.device.clone();
            document["points"] = Value::Object(points.collect());
        }
        document
    }

    /// Shows the newest: a screen, or a line where the output is no terminal.
    fn show(&mut self, now: Duration) {
        if self.output.is_json() {
            return;
        }
        if !self.output.is_terminal() {
            self.output
                .line(&render::plain(&self.live, now, &clock::show(clock::now_ms())));
            return;
        }
        self.screen.get_or_insert_with(Screen::enter);
        self.draw(now);
    }

    fn draw(&mut self, now: Duration) {
        let size = screen::size();
        let lines = self.lines(now, size);
        if let Some(screen) = &mut self.screen {
            screen.draw(&lines);
        }
    }

    fn lines(&self, now: Duration, size: Size) -> Vec<String> {
        let style = Style {
            colour: self.output.colour(),
        };
        render::table(&self.live, now, &clock::show(clock::now_ms()), size, style)
    }

    /// Leaves the screen as it was; the last table stays to be read.
    fn end(mut self) {
        if self.screen.take().is_some() {
            let size = Size {
                height: usize::MAX,
                ..screen::size()
            };
            let lines = render::table(
                &self.live,
                self.live.newest(),
                &clock::show(clock::now_ms()),
                size,
                Style {
                    colour: self.output.colour(),
                },
            );
            lines.iter().for_each(|line| self.output.line(line));
        }
    }
}
