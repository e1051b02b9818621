//! `busbar setup`, as a person at a terminal sees it, and as a script does.

mod first;
mod flags;
mod later;
mod terminal;
