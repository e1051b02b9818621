//! The conversation, as a state machine: no input, no output, no clock. Each step has a file; what they share is here.

mod address;
mod advanced;
mod draft;
mod entities;
mod found;
mod interval;
mod later;
mod names;
mod places;
mod recognise;
mod run;
mod save;
mod start;
mod unknown;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::screen::{Answer, Ask, Block, Choice, End, Screen};
use super::work::{ConnectionBrief, DeviceBrief, Event, Failure, Ground, Live, Order, Search, Work};
use crate::discover::progress;
use crate::registry::change::Change;
pub use draft::{Draft, Wish};

/// The steps of the way from nothing to saved.
const WAY: u8 = 7;
/// How far one can go back.
const HISTORY: usize = 64;

/// A question of the conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// What is there to begin from is looked at.
    Begin,
    /// How to get to a device.
    Start,
    /// May this be searched?
    Consent(Search),
    /// Which of what was found.
    Places,
    /// Where the device is.
    Address,
    /// What answers there, and how far the scan is to look.
    Recognise,
    /// Nothing that is known answers there: what now.
    Unknown,
    /// Which ledger describes it.
    Ledger,
    /// At which units to look.
    Units,
    /// What was found.
    Found,
    /// Of which device that was found all values are to be shown.
    Which,
    /// All values of a device that was found, by its place in the report.
    Detail(usize),
    /// What the connection is called.
    Name,
    /// What the devices are called.
    Names,
    /// What one device is called, by its place in the report.
    Rename(usize),
    /// How often it is polled.
    Interval,
    /// Which values are taken.
    Entities,
    /// Which of a device's, by its place in the report.
    Pick(usize),
    /// May it be saved?
    Save,
    /// What now.
    Run,
    /// What is set up.
    Menu,
    /// What to do with a connection, by its id.
    Connection(String),
    /// What to do with a device, by its id.
    Device(String),
    /// Where the devices of a connection are now.
    Moving(String),
    /// Take over what has changed?
    Diff,
    /// What has taken whose place.
    Replace,
    /// Make this change?
    Confirm(Box<Change>),
    /// Another name for a connection.
    RenameConnection(String),
    /// How often a connection is polled.
    IntervalOf(String),
    /// Another name for a device.
    RenameDevice(String),
    /// Which values of a device are taken.
    PickStored(String),
    /// Which limit of the site.
    Site,
    /// What one limit of the site is, by its key.
    SiteValue(String),
    /// What may be written on a connection.
    Writes(String),
    /// How far writing goes on a connection.
    Level(String),
    /// Which value of a connection may be written.
    Allow(String),
    /// The owner's own lowest value of it.
    AllowMin(String),
    /// The owner's own highest.
    AllowMax(String),
    /// What is written when a held value of it ends.
    AllowSafe(String),
    /// May it be written?
    AllowSure(String),
}

impl Step {
    /// The connection whose writing it is about.
    fn of_writes(&self) -> Option<&str> {
        match self {
            Step::Writes(id)
            | Step::Level(id)
            | Step::Allow(id)
            | Step::AllowMin(id)
            | Step::AllowMax(id)
            | Step::AllowSafe(id)
            | Step::AllowSure(id) => Some(id),
            _ => None,
        }
    }
}

/// What an answer leads to.
enum Next {
    /// Another question; this one can be gone back to.
    Go(Step),
    /// The question before, which this one was an aside of.
    Return,
    /// The same question, as it is now.
    Stay,
    /// Something has to be done first.
    Do(Work),
    /// The end.
    End(End),
}

/// What an answer leads to, or why it is none.
type Answered = Result<Next, String>;

/// What a step shows.
struct Page {
    title: String,
    step: Option<u8>,
    blocks: Vec<Block>,
    ask: Ask,
    help: &'static str,
}

/// The conversation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Flow {
    step: Step,
    history: Vec<Step>,
    work: Option<Work>,
    fault: Option<String>,
    progress: Option<progress::Event>,
    finding: String,
    paused: bool,
    filter: String,
    end: Option<End>,
    ground: Ground,
    draft: Draft,
    live: Vec<Live>,
    said: Vec<Block>,
    remark: Option<Block>,
}

impl Flow {
    /// Begins, with what is known of the owner's wishes.
    pub fn new(wish: Wish) -> Self {
        Flow {
            step: Step::Begin,
            history: Vec::new(),
            work: Some(Work::Load),
            fault: None,
            progress: None,
            finding: String::new(),
            paused: false,
            filter: String::new(),
            end: None,
            ground: Ground::default(),
            draft: Draft::of(wish),
            live: Vec::new(),
            said: Vec::new(),
            remark: None,
        }
    }

    /// Where it is.
    pub fn step(&self) -> &Step {
        &self.step
    }

    /// Whether a host runs.
    pub fn host_runs(&self) -> bool {
        self.ground.host_runs
    }

    /// Why the last attempt came to nothing.
    pub fn trouble(&self) -> Option<&str> {
        self.draft.trouble.as_deref()
    }

    /// What it wants to have done before it goes on.
    pub fn work(&self) -> Option<&Work> {
        self.work.as_ref()
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// What there is to read and to answer now.
    pub fn screen(&self) -> Screen {
        let page = self.page();
        let ask = match (&self.end, &self.work) {
            (Some(end), _) => Ask::End { end: end.clone() },
            (None, Some(work)) => self.working(work),
            (None, None) => page.ask,
        };
        let mut blocks = self.said.clone();
        blocks.extend(page.blocks);
        Screen {
            title: page.title,
            step: page
                .step
                .filter(|_| self.draft.connection.is_none())
                .map(|step| (step, WAY)),
            blocks,
            ask,
            help: page.help.to_owned(),
            back: !self.history.is_empty(),
            fault: self.fault.clone(),
        }
    }

    fn page(&self) -> Page {
        match &self.step {
            Step::Begin => start::begin(),
            Step::Start => start::page(self),
            Step::Consent(search) => places::consent(self, *search),
            Step::Places => places::page(self),
            Step::Address => address::page(self),
            Step::Recognise => recognise::page(self),
            Step::Unknown => unknown::page(self),
            Step::Ledger => unknown::ledger(self),
            Step::Units => recognise::units(self),
            Step::Found => found::page(self),
            Step::Which => found::which(self),
            Step::Detail(device) => found::detail(self, *device),
            Step::Name => names::connection(self),
            Step::Names => names::page(self),
            Step::Rename(device) => names::device(self, *device),
            Step::Interval => interval::page(self),
            Step::Entities => entities::page(self),
            Step::Pick(device) => entities::pick(self, *device),
            Step::Save => save::page(self),
            Step::Run => run::page(self),
            Step::Menu => later::menu::page(self),
            Step::Connection(id) => later::connection::page(self, id),
            Step::Device(id) => later::connection::device(self, id),
            Step::Moving(id) => later::moving::page(self, id),
            Step::Diff => later::diff::page(self),
            Step::Replace => later::replace::page(self),
            Step::Confirm(change) => later::confirm::page(self, change),
            Step::RenameConnection(id) => later::change::connection_name(self, id),
            Step::IntervalOf(id) => later::change::interval_of(self, id),
            Step::RenameDevice(id) => later::change::device_name(self, id),
            Step::PickStored(id) => later::change::pick(self, id),
            Step::Site => advanced::site::page(self),
            Step::SiteValue(key) => advanced::site::one(self, key),
            Step::Writes(id) => advanced::writes::page(self, id),
            Step::Level(id) => advanced::writes::level(self, id),
            Step::Allow(id) => advanced::allow::page(self, id),
            Step::AllowMin(_) => advanced::allow::lowest(self),
            Step::AllowMax(_) => advanced::allow::highest(self),
            Step::AllowSafe(_) => advanced::allow::safe(self),
            Step::AllowSure(_) => advanced::allow::sure(self),
        }
    }

    fn working(&self, work: &Work) -> Ask {
        let what = match work {
            Work::Load => "Looking at what is there".to_owned(),
            Work::Find { .. } if self.finding.is_empty() => "Looking for devices".to_owned(),
            Work::Find { .. } => self.finding.clone(),
            Work::Look { urls } => format!("Asking {} what it is", urls.first().map_or("it", String::as_str)),
            Work::Scan(order) => format!("Scanning {}", order.url),
            Work::Save(_) => "Saving".to_owned(),
            Work::Drop => "Forgetting what was found".to_owned(),
            Work::Change { .. } => "Changing it".to_owned(),
            Work::Consequences { .. } | Work::Limits => "Looking it up".to_owned(),
            Work::Live { .. } => "Waiting for the first values".to_owned(),
        };
        Ask::Work {
            what,
            progress: self.progress.clone(),
            pausable: matches!(work, Work::Scan(_)),
            paused: self.paused,
        }
    }

    /// Takes an answer. One that makes no sense is told in the next screen's `fault`, and changes nothing.
    pub fn answer(&mut self, answer: Answer) {
        if self.end.is_some() {
            return;
        }
        if self.work.is_some() {
            if let Answer::Pause(on) = answer {
                self.paused = on;
            }
            return;
        }
        self.fault = None;
        let answered = match answer {
            Answer::Back => return self.back(),
            Answer::Filter(text) => {
                self.filter = text.chars().take(64).collect();
                return;
            }
            Answer::Pause(_) => return,
            answer => self.answered(answer),
        };
        match answered {
            Ok(next) => {
                self.said = self.remark.take().into_iter().collect();
                self.go(next);
            }
            Err(fault) => self.fault = Some(fault),
        }
    }

    fn answered(&mut self, answer: Answer) -> Answered {
        match self.step.clone() {
            Step::Begin => Ok(Next::Do(Work::Load)),
            Step::Start => start::answer(self, answer),
            Step::Consent(search) => places::agreed(self, search, &answer),
            Step::Places => places::answer(self, answer),
            Step::Address => address::answer(self, answer),
            Step::Recognise => recognise::answer(self, answer),
            Step::Unknown => unknown::answer(self, answer),
            Step::Ledger => unknown::chosen(self, answer),
            Step::Units => recognise::listed(self, answer),
            Step::Found => found::answer(self, answer),
            Step::Which => found::chosen(self, answer),
            Step::Detail(_) => Ok(Next::Return),
            Step::Name => names::named(self, answer),
            Step::Names => names::answer(self, answer),
            Step::Rename(device) => names::renamed(self, device, answer),
            Step::Interval => interval::answer(self, answer),
            Step::Entities => entities::answer(self, answer),
            Step::Pick(device) => entities::picked(self, device, answer),
            Step::Save => save::answer(self, &answer),
            Step::Run => run::answer(self, answer),
            Step::Menu => later::menu::answer(self, answer),
            Step::Connection(id) => later::connection::answer(self, &id, answer),
            Step::Device(id) => later::connection::answer_device(self, &id, answer),
            Step::Moving(id) => later::moving::answer(self, &id, answer),
            Step::Diff => later::diff::answer(self, answer),
            Step::Replace => later::replace::answer(self, answer),
            Step::Confirm(change) => later::confirm::answer(self, &change, &answer),
            Step::RenameConnection(id) => later::change::rename_connection(self, &id, answer),
            Step::IntervalOf(id) => later::change::set_interval(self, &id, answer),
            Step::RenameDevice(id) => later::change::rename_device(self, &id, answer),
            Step::PickStored(id) => later::change::picked(self, &id, answer),
            Step::Site => advanced::site::answer(answer),
            Step::SiteValue(key) => advanced::site::set(self, &key, answer),
            Step::Writes(id) => advanced::writes::answer(self, &id, answer),
            Step::Level(id) => advanced::writes::set_level(self, &id, answer),
            Step::Allow(id) => advanced::allow::answer(self, &id, answer),
            Step::AllowMin(id) => advanced::allow::set_lowest(self, &id, answer),
            Step::AllowMax(id) => advanced::allow::set_highest(self, &id, answer),
            Step::AllowSafe(id) => advanced::allow::set_safe(self, &id, answer),
            Step::AllowSure(id) => advanced::allow::allow(self, &id, &answer),
        }
    }

    fn go(&mut self, next: Next) {
        match next {
            Next::Go(step) => self.forward(step),
            Next::Return => self.back(),
            Next::Stay => {}
            Next::Do(work) => {
                self.progress = None;
                self.finding = String::new();
                self.paused = false;
                self.work = Some(work);
            }
            Next::End(end) => self.end = Some(end),
        }
    }

    fn forward(&mut self, step: Step) {
        self.filter.clear();
        if step == self.step {
            return;
        }
        let here = std::mem::replace(&mut self.step, step);
        if here != Step::Begin {
            self.history.push(here);
        }
        if self.history.len() > HISTORY {
            self.history.remove(0);
        }
    }

    fn back(&mut self) {
        self.filter.clear();
        match self.history.pop() {
            Some(step) => self.step = step,
            None => self.fault = Some("This is the first question: there is nothing before it.".to_owned()),
        }
    }

    /// Tells something beside the next question.
    fn said_later(&mut self, block: Block) {
        self.remark = Some(block);
    }

    /// From here nothing can be gone back to: what was done is done.
    fn start_over(&mut self, step: Step) {
        self.history.clear();
        self.filter.clear();
        self.step = step;
    }

    /// Takes what came of work, or how far it is.
    pub fn event(&mut self, event: Event) {
        match event {
            Event::Progress(progress) => {
                self.progress = Some(progress);
                return;
            }
            Event::Finding { text } => {
                self.finding = text;
                return;
            }
            _ => {}
        }
        // What nobody asked for is no answer to anything.
        let Some(work) = self.work.take() else { return };
        self.progress = None;
        self.paused = false;
        match (work, event) {
            (work, Event::Failed(failure)) => self.failed(&work, failure),
            (Work::Load, Event::Loaded(ground)) => {
                self.ground = *ground;
                start::loaded(self);
            }
            (Work::Find { places }, Event::Found { found, notes }) => {
                places::found(self, places, found, notes)
            }
            (Work::Look { .. }, Event::Looked(sight)) => recognise::looked(self, *sight),
            (Work::Scan(_), Event::Scanned(findings)) => found::scanned(self, *findings),
            (Work::Save(_), Event::Saved(kept)) => save::saved(self, *kept),
            (Work::Drop, Event::Dropped) => save::dropped(self),
            (Work::Live { .. }, Event::Live { devices }) => self.live = devices,
            (Work::Change { changes }, Event::Changed(ground)) => {
                later::confirm::changed(self, *ground, &changes)
            }
            (Work::Consequences { change }, Event::Consequences { lines }) => {
                later::confirm::told(self, change, lines);
            }
            (Work::Limits, Event::Limits(limits)) => self.draft.limits = Some(limits),
            (_, _) => self.fault = Some("That came out of turn: please report this.".to_owned()),
        }
    }

    fn failed(&mut self, work: &Work, failure: Failure) {
        let text = match failure.hint.as_str() {
            "" => format!("{}.", failure.message.trim_end_matches('.')),
            hint => format!("{}.\n{hint}", failure.message.trim_end_matches('.')),
        };
        match work {
            Work::Look { .. } | Work::Scan(_) if failure.code != "cancelled" => {
                self.draft.trouble = Some(text);
                self.forward(Step::Unknown);
            }
            Work::Load => {
                self.fault = Some(text);
                self.start_over(Step::Start);
            }
            _ => self.fault = Some(text),
        }
    }

    /// A connection that is set up, by its id.
    fn connection(&self, id: &str) -> Option<&ConnectionBrief> {
        self.ground
            .connections
            .iter()
            .find(|connection| connection.id == id)
    }

    /// The same by its name.
    fn connection_named(&self, name: &str) -> Option<&ConnectionBrief> {
        self.ground
            .connections
            .iter()
            .find(|connection| connection.name == name)
    }

    /// A device that is set up, by its id.
    fn device(&self, id: &str) -> Option<&DeviceBrief> {
        let mut all = self
            .ground
            .connections
            .iter()
            .flat_map(|connection| &connection.devices);
        all.find(|device| device.id == id)
    }

    /// The scan that the draft describes.
    fn scan(&self) -> Work {
        let draft = &self.draft;
        Work::Scan(Box::new(Order {
            url: draft.url.clone(),
            connection: draft.connection.clone(),
            plugin: draft.plugin.clone(),
            ledger: draft.ledger.clone(),
            mode: draft.mode,
            units: draft.units.clone(),
        }))
    }
}

/// A choice with its default.
fn choice(prompt: &str, choices: Vec<Choice>, default: &str) -> Ask {
    Ask::Choice {
        prompt: prompt.to_owned(),
        choices,
        default: default.to_owned(),
        filter: None,
    }
}

/// The key that an answer to a choice names, or its default.
fn key(answer: Answer, default: &str) -> Result<String, String> {
    match answer {
        Answer::Default => Ok(default.to_owned()),
        Answer::Choose(key) => Ok(key),
        _ => Err("Choose one of the list.".to_owned()),
    }
}

/// The text that an answer gives, or the default.
fn text(answer: Answer, default: &str) -> Result<String, String> {
    match answer {
        Answer::Default => Ok(default.to_owned()),
        Answer::Text(text) => Ok(text.trim().to_owned()),
        _ => Err("Type a text.".to_owned()),
    }
}

/// `1 value`, `2 values`.
fn plural(n: usize, one: &str) -> String {
    match (n, one.strip_suffix('y')) {
        (1, _) => format!("1 {one}"),
        (n, Some(stem)) => format!("{n} {stem}ies"),
        (n, None) => format!("{n} {one}s"),
    }
}
