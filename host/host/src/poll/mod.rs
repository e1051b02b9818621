//! Polling: when (`schedule`), what (`blocks`), one unit (`unit`), one connection (`connection`), and whether blocks
//! can be believed (`trust`).

pub mod blocks;
pub mod connection;
mod identity;
mod member;
pub mod news;
mod schedule;
mod trust;
mod unit;
mod zeros;
