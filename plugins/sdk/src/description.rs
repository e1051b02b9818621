/// What a plugin says about itself, once, when it is loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// One short line for people: `"Victron GX"`.
    pub title: &'static str,
    /// What it is good for, in a sentence or two.
    pub summary: &'static str,
    /// An SPDX expression: `"MIT OR Apache-2.0"`.
    pub licence: &'static str,
    /// Ledgers that it brings: (file name as diagnostics show it, TOML text).
    pub ledgers: Vec<(&'static str, &'static str)>,
    /// Whether [`Plugin::discover`](crate::Plugin::discover) is worth calling. A plugin that only brings ledgers
    /// leaves it `false`, and its process ends as soon as it has described itself.
    pub discovers: bool,
    /// Whether [`Plugin::telegram`](crate::Plugin::telegram) is worth calling, for streams of meters that speak by
    /// themselves.
    pub telegrams: bool,
}
