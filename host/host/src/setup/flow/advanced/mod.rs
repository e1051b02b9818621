//! Writing: how the site is made, how far writing goes, and which entities may be written, each chosen by itself.

pub(super) mod allow;
pub(super) mod site;
pub(super) mod writes;
