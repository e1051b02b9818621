//! `[mqtt] home_assistant = { … }` of `busbar.toml`.

use serde::{Deserialize, Serialize};

/// How Home Assistant is told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HomeAssistantConfig {
    /// What its discovery topics begin with.
    pub prefix: String,
    /// In one document for each device, or for each entity.
    pub form: Form,
}

impl Default for HomeAssistantConfig {
    fn default() -> Self {
        HomeAssistantConfig {
            prefix: "homeassistant".to_owned(),
            form: Form::default(),
        }
    }
}

/// In how many documents a device is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// In one.
    #[default]
    Device,
    /// In one for each entity: for Home Assistant before 2024.11, which knows no other.
    Entities,
}
