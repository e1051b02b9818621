//! `[metrics]` of `busbar.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::select::Select;
use crate::tags;

/// `[metrics]`: what `/metrics` shows of the readings. It is served without this section, too.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsConfig {
    /// Which entities; none means every one. See [`Select`].
    pub entities: Vec<String>,
    /// Labels that stand on every reading.
    pub tags: BTreeMap<String, String>,
}

impl MetricsConfig {
    /// Checks what a type cannot say. Pure.
    ///
    /// # Errors
    /// A sentence that names the key, and says what to write instead.
    pub fn check(&self) -> Result<(), String> {
        Select::of(&self.entities).map_err(|e| format!("metrics.{e}"))?;
        tags::check(&self.tags).map_err(|e| format!("metrics.{e}"))
    }
}
