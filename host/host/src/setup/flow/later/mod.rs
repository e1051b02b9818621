//! What can be done once something is set up: look again, move, replace, rename, choose, remove.

pub(super) mod change;
pub(super) mod confirm;
pub(super) mod connection;
pub(super) mod diff;
pub(super) mod menu;
pub(super) mod moving;
pub(super) mod replace;
