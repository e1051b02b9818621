//! The rules of the house, held against the repository itself: who may import whom, which licences may come in, where
//! `unsafe` and SQL may stand, and whether documents and code still say the same.
//!
//! A test here fails with the place and with what to do. Where a rule has exceptions, each stands in a list with its
//! reason; one that is no longer needed fails too.

#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, reason = "all of this is tests")]

mod documents;
mod imports;
mod licences;
mod repository;
mod sources;
