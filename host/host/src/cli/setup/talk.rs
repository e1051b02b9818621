//! The conversation at the terminal: pages are shown, lines are read, work is done and watched.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::page::{self, Paint, cut};
use super::terminal::{Input, Keys, Terminal, put};
use crate::cli::output::Output;
use crate::discover::progress;
use crate::error::Result;
use crate::format::visible;
use crate::setup::hands::{Hands, Switch, Tell};
use crate::setup::line::{Typed, understand};
use crate::setup::{Answer, Ask, End, Event, Flow, Screen, Wish, Work};

/// Progress that waits to be shown; older news is of no use.
const NEWS: usize = 64;
/// How often the line of progress moves.
const TURN: Duration = Duration::from_millis(120);
/// What moves.
const SPINNER: [&str; 8] = ["⠋", "⠙", "⠸", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// Talks until the end; the name of the connection for which the host is to be started, if it is.
///
/// # Errors
/// Where the terminal cannot be used.
pub async fn run(wish: Wish, hands: &mut Hands, output: Output) -> Result<Option<String>> {
    let mut talk = Talk {
        flow: Flow::new(wish),
        terminal: Terminal::open()?,
        output,
        shown: None,
        saved: false,
    };
    talk.until_the_end(hands).await
}

struct Talk {
    flow: Flow,
    terminal: Terminal,
    output: Output,
    /// The page that stands on the terminal.
    shown: Option<Screen>,
    /// Whether something was saved.
    saved: bool,
}

/// How work went.
enum Went {
    /// It is done.
    Done(Event),
    /// Nobody waits for it any more.
    Left,
}

impl Talk {
    fn paint(&self) -> Paint {
        let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
        Paint::new(self.output.colour(), width)
    }

    async fn until_the_end(&mut self, hands: &mut Hands) -> Result<Option<String>> {
        loop {
            if let Some(work) = self.flow.work().cloned() {
                let saves = matches!(work, Work::Save(_) | Work::Change { .. });
                match self.work(hands, work).await {
                    Went::Done(event) => {
                        self.saved |= saves && !matches!(event, Event::Failed(_));
                        self.flow.event(event);
                    }
                    Went::Left => return Ok(self.leave()),
                }
                continue;
            }
            match self.flow.end().cloned() {
                Some(End::Run { connection }) => return Ok(Some(connection)),
                Some(_) => {
                    self.say_goodbye();
                    return Ok(None);
                }
                None => {}
            }
            if !self.ask().await {
                return Ok(self.leave());
            }
        }
    }

    /// Asks once; whether it goes on.
    async fn ask(&mut self) -> bool {
        let paint = self.paint();
        let screen = self.flow.screen();
        let fault = screen.fault.clone();
        let page = Screen {
            fault: None,
            ..screen.clone()
        };
        // After a wrong answer the page still stands above: only the question is asked again.
        if self.shown.as_ref() != Some(&page) || fault.is_none() {
            self.lines(&page::page(&screen, paint));
            self.shown = Some(page);
        }
        if let Some(fault) = &fault {
            self.lines(&page::remark(fault, true, paint));
        }
        let (legend, prompt) = page::prompt(&screen, paint);
        let mut legend = Some(legend);
        loop {
            if let Some(legend) = legend.take() {
                self.lines(&[legend]);
            }
            put(&prompt);
            let line = match self.terminal.line().await {
                Input::Text(line) => line,
                Input::Interrupted | Input::Gone => {
                    put("\n");
                    return false;
                }
            };
            match understand(&screen.ask, &line) {
                Ok(Typed::Answer(answer)) => {
                    self.flow.answer(answer);
                    return true;
                }
                Ok(Typed::Quit) => return false,
                Ok(Typed::Help) if screen.help.is_empty() => {}
                Ok(Typed::Help) => self.lines(&page::remark(&screen.help, false, paint)),
                Err(fault) => self.lines(&page::remark(&fault, true, paint)),
            }
        }
    }

    /// Has work done, and shows how far it is.
    async fn work(&mut self, hands: &mut Hands, work: Work) -> Went {
        let (tell, mut told) = mpsc::channel(NEWS);
        let tell: Tell = Arc::new(move |event| {
            // Whoever is slow gets the next news.
            let _ = tell.try_send(event);
        });
        let switch: Switch = hands.ready();
        let line = Line::new(self.paint(), &self.flow);
        let keys = line.takes_keys.then(Keys::one_by_one).flatten();
        let mut turn = tokio::time::interval(TURN);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut turns = 0;
        let mut stopping = false;
        let done = hands.work(work, &tell);
        tokio::pin!(done);
        let went = loop {
            tokio::select! {
                biased;
                event = &mut done => break Went::Done(event),
                Some(event) = told.recv() => self.flow.event(event),
                input = self.terminal.key(), if !stopping || keys.is_some() => match input {
                    Input::Gone => break Went::Left,
                    // Whoever asks twice does not want to wait for what was found.
                    Input::Interrupted if stopping => break Went::Left,
                    Input::Interrupted => {
                        stopping = true;
                        switch.cancel();
                    }
                    Input::Text(keys) if line.takes_keys => match keys.chars().next() {
                        Some('p' | 'P' | ' ') if !stopping => {
                            let on = !is_paused(&self.flow);
                            self.flow.answer(Answer::Pause(on));
                            switch.pause(on);
                        }
                        Some('c' | 'C') => {
                            stopping = true;
                            switch.cancel();
                        }
                        _ => {}
                    },
                    Input::Text(_) => {}
                },
                _ = turn.tick() => turns += 1,
            }
            put(&line.drawn(&self.flow, turns, stopping));
        };
        put("\r\x1b[K");
        drop(keys);
        went
    }

    fn lines(&self, lines: &[String]) {
        for line in lines {
            self.output.line(line);
        }
    }

    /// Somebody has had enough.
    fn leave(&self) -> Option<String> {
        self.output.line(match self.saved {
            true => "What was saved stays; `busbar setup` goes on at any time.",
            false => "Nothing was saved.",
        });
        None
    }

    fn say_goodbye(&self) {
        let paint = self.paint();
        let host_runs = self.flow.host_runs();
        self.output.line("");
        match (self.saved, host_runs) {
            (false, _) => self.output.line("  Nothing was changed."),
            (true, true) => self.output.line("  The running host has taken it up."),
            (true, false) => {
                self.output.line("  All is saved. To poll it and to see it live:");
                self.output.line(&format!("      {}", paint.cyan("busbar")));
            }
        }
        self.output.line(&format!(
            "  {}",
            paint.dim("`busbar setup` changes it at any time.")
        ));
    }
}

fn is_paused(flow: &Flow) -> bool {
    matches!(flow.screen().ask, Ask::Work { paused: true, .. })
}

/// The one line that shows how far work is.
struct Line {
    paint: Paint,
    takes_keys: bool,
}

impl Line {
    fn new(paint: Paint, flow: &Flow) -> Self {
        Line {
            paint,
            takes_keys: matches!(flow.screen().ask, Ask::Work { pausable: true, .. }),
        }
    }

    /// The line as it is now, over the one that was.
    fn drawn(&self, flow: &Flow, turns: usize, stopping: bool) -> String {
        let Ask::Work {
            what,
            progress,
            pausable,
            paused,
        } = flow.screen().ask
        else {
            return String::new();
        };
        let paint = self.paint;
        let mark = match paused {
            true => "‖",
            false => SPINNER[turns % SPINNER.len()],
        };
        let keys = match (pausable, paused, stopping) {
            (_, _, true) => "stopping",
            (true, true, _) => "paused: nothing asked · p goes on · c stops",
            (true, false, _) => "p pauses · c stops and keeps what was found",
            (false, ..) => "Ctrl-C stops",
        };
        let (what, bar) = match progress {
            Some(progress::Event::Probing { done, remaining }) => (
                "looking for devices".to_owned(),
                Some((done, done.saturating_add(remaining))),
            ),
            Some(progress::Event::Learning { done, of }) => {
                ("learning what they have".to_owned(), Some((done, of)))
            }
            Some(progress::Event::Note { text }) => (text, None),
            Some(progress::Event::Forecast { .. }) | None => (what, None),
        };
        let counted = bar.map(|(done, of)| format!(" {done}/{of}")).unwrap_or_default();
        let room = paint.width.saturating_sub(5);
        let beside = keys.chars().count().min(room / 2) + 2;
        let what = cut(
            &format!("{}{counted}", visible(&what)),
            room.saturating_sub(beside),
        );
        let left = room.saturating_sub(what.chars().count() + 2);
        let keys = cut(keys, left);
        let left = left.saturating_sub(keys.chars().count() + 2).min(24);
        let bar = match bar {
            Some((done, of)) if left >= 8 => {
                let full = (left as u64 * u64::from(done) / u64::from(of.max(1))) as usize;
                let full = full.min(left);
                format!(
                    "{}{}  ",
                    paint.green(&"━".repeat(full)),
                    paint.dim(&"━".repeat(left - full))
                )
            }
            _ => String::new(),
        };
        format!("\r  {} {what}  {bar}{}\x1b[K", paint.cyan(mark), paint.dim(&keys))
    }
}
