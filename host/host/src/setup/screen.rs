//! What is shown and asked, and what can be answered: the same for a terminal and for a page.

use serde::{Deserialize, Serialize};

use crate::discover::progress;

/// One page of the conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Screen {
    /// What it is about, in a few words.
    pub title: String,
    /// Where it stands on the way: this step, and all of them. `None` beside the way.
    pub step: Option<(u8, u8)>,
    /// What there is to read before the question.
    pub blocks: Vec<Block>,
    /// What is wanted.
    pub ask: Ask,
    /// More about the question, for whoever asks for help.
    pub help: String,
    /// Whether the question before this one can be asked again.
    pub back: bool,
    /// What was wrong with the last answer, or went wrong with the last work.
    pub fault: Option<String>,
}

/// Something to read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Block {
    /// A paragraph.
    Text {
        /// It.
        text: String,
    },
    /// Something to look at twice.
    Note {
        /// It.
        text: String,
    },
    /// Something that went well.
    Good {
        /// It.
        text: String,
    },
    /// Names and what belongs to them, a line each.
    Pairs {
        /// Name and text.
        rows: Vec<(String, String)>,
    },
    /// A device: its name, what it is, what it says, and what there is to know beside.
    Device {
        /// What it is called.
        name: String,
        /// Model, serial number, firmware, unit.
        about: String,
        /// Name and value of what it says.
        values: Vec<(String, String)>,
        /// Further remarks.
        rest: Vec<String>,
    },
    /// Something to type elsewhere.
    Command {
        /// It.
        text: String,
    },
}

impl Block {
    /// A paragraph.
    pub fn text(text: impl Into<String>) -> Self {
        Block::Text { text: text.into() }
    }

    /// Something to look at twice.
    pub fn note(text: impl Into<String>) -> Self {
        Block::Note { text: text.into() }
    }

    /// Something that went well.
    pub fn good(text: impl Into<String>) -> Self {
        Block::Good { text: text.into() }
    }

    /// Something to type elsewhere.
    pub fn command(text: impl Into<String>) -> Self {
        Block::Command { text: text.into() }
    }
}

/// What is wanted of whoever reads a screen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Ask {
    /// One of several.
    Choice {
        /// The question.
        prompt: String,
        /// What there is.
        choices: Vec<Choice>,
        /// The key of what no answer means.
        default: String,
        /// Whether only those are listed that hold a text, which can be given.
        filter: Option<String>,
    },
    /// A text.
    Text {
        /// The question.
        prompt: String,
        /// What no answer means; empty: nothing.
        default: String,
    },
    /// Yes or no.
    YesNo {
        /// The question.
        prompt: String,
        /// What no answer means.
        default: bool,
    },
    /// Any of several, each switched by itself.
    Many {
        /// The question.
        prompt: String,
        /// What there is.
        choices: Vec<Toggle>,
        /// Only those are listed that hold this text.
        filter: String,
    },
    /// Nothing now: something is being done.
    Work {
        /// What.
        what: String,
        /// How far a scan is.
        progress: Option<progress::Event>,
        /// Whether it can be held up.
        pausable: bool,
        /// Whether it is held up.
        paused: bool,
    },
    /// Nothing more.
    End {
        /// How it ended.
        end: End,
    },
}

/// How a conversation ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The host is to be started now, for the connection of this name.
    Run {
        /// The connection that was set up.
        connection: String,
    },
    /// All is done.
    Done,
    /// Nothing was changed.
    Nothing,
}

/// Something to choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// What the answer names.
    pub key: String,
    /// What it is.
    pub label: String,
    /// More about it; may be empty.
    pub hint: String,
}

impl Choice {
    /// A choice.
    pub fn new(key: impl Into<String>, label: impl Into<String>, hint: impl Into<String>) -> Self {
        Choice {
            key: key.into(),
            label: label.into(),
            hint: hint.into(),
        }
    }
}

/// The numbers that choices are typed by: from 1, or their keys where these are numbers, as levels are.
pub fn numbers(choices: &[Choice]) -> Vec<String> {
    let numeric = |choice: &Choice| choice.key.parse::<u8>().is_ok();
    match choices.iter().all(numeric) {
        true => choices.iter().map(|choice| choice.key.clone()).collect(),
        false => (1..=choices.len()).map(|number| number.to_string()).collect(),
    }
}

/// Something to switch on or off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toggle {
    /// What the answer names.
    pub key: String,
    /// What it is.
    pub label: String,
    /// More about it; may be empty.
    pub hint: String,
    /// How it stands.
    pub on: bool,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum Answer {
    /// What is proposed.
    Default,
    /// The choice of this key.
    Choose(String),
    /// A text.
    Text(String),
    /// Yes or no.
    Yes(bool),
    /// These are switched to the other side.
    Toggle(Vec<String>),
    /// Only what holds this text is to be listed.
    Filter(String),
    /// Back to the question before.
    Back,
    /// The work is to be held up, or to go on.
    Pause(bool),
}
