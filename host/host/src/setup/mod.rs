//! Setting up a site by questions and answers: the engine of every wizard.
//!
//! [`flow`] is the conversation: a state machine without input and output, that gives screens, takes answers, asks for
//! work and takes what came of it. [`hands`] does the work. Whoever shows the screens (the terminal, a page) decides
//! nothing.

pub mod findings;
pub mod flow;
pub(crate) mod hands;
pub mod line;
pub mod screen;
pub mod work;

pub use flow::{Flow, Wish};
pub use screen::{Answer, Ask, Block, Choice, End, Screen, Toggle};
pub use work::{Event, Work};
