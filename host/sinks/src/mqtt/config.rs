//! `[mqtt]` of `busbar.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use busbar_ledger::model::{Class, Point};
use serde::Deserialize;

use super::client::server::{Server, Version};
use super::topics;
use crate::bus::Device;
use crate::duration;
use crate::home_assistant::config::HomeAssistantConfig;
use crate::pace;
use crate::vscp::VscpConfig;

/// The environment variable with the password.
pub const PASSWORD_VARIABLE: &str = "BUSBAR_MQTT_PASSWORD";
/// What all topics begin with, unless told otherwise.
const DEFAULT_PREFIX: &str = "busbar";
/// The shortest and the longest time between two states of a device, and what it is unless told otherwise.
const AT_MOST_EVERY: (Duration, Duration, Duration) = (
    Duration::from_millis(50),
    Duration::from_secs(60),
    Duration::from_millis(200),
);

/// `[mqtt]`
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttConfig {
    /// The broker: `mqtt://`, `mqtts://`, `ws://` or `wss://`, with the user where there is one, never with the password.
    pub url: String,
    /// Which MQTT it speaks: 5 or "3.1.1". Left out: 5, and 3.1.1 where the broker refuses that.
    #[serde(default)]
    pub version: Option<VersionValue>,
    /// The user, where the URL has none.
    #[serde(default)]
    pub user: Option<String>,
    /// A file with the password. `BUSBAR_MQTT_PASSWORD` wins.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// PEM: whom to believe that the broker is what it says. Left out: whom this machine believes.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// PEM: the certificate with which Busbar says who it is.
    #[serde(default)]
    pub client_cert_file: Option<PathBuf>,
    /// PEM: its key.
    #[serde(default)]
    pub client_key_file: Option<PathBuf>,
    /// What the broker knows this host by. Left out: `busbar-` and what this host made up for itself.
    #[serde(default)]
    pub client_id: Option<String>,
    /// What all topics begin with.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// Whether Home Assistant is told of the devices, and how.
    #[serde(default)]
    pub home_assistant: HomeAssistantValue,
    /// Whether VSCP events are published; how is in `[vscp]`.
    #[serde(default)]
    pub vscp: bool,
    /// `[vscp]`, where VSCP events are published: put here by whoever has read both sections.
    #[serde(skip)]
    pub events: Option<VscpConfig>,
    /// The shortest time between two states of a device: what changes within it is told together.
    #[serde(default, with = "duration::optional")]
    pub at_most_every: Option<Duration>,
    /// The longest time between two states of a device, when nothing changes: a minute, or less.
    #[serde(default, with = "duration::optional")]
    pub at_least_every: Option<Duration>,
    /// Dead bands, in the unit of the value: by entity id, `LEDGER:KEY`, or class such as `power`.
    #[serde(default)]
    pub dead_band: BTreeMap<String, f64>,
}

fn default_prefix() -> String {
    DEFAULT_PREFIX.to_owned()
}

fn class_name(class: Class) -> Option<String> {
    match serde_json::to_value(class) {
        Ok(serde_json::Value::String(name)) => Some(name),
        _ => None,
    }
}

/// `version`: a number, or text.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum VersionValue {
    /// `5`
    Number(i64),
    /// `"5"`, `"3.1.1"`
    Text(String),
}

/// `home_assistant`: true, false, or how.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum HomeAssistantValue {
    /// Whether.
    Switch(bool),
    /// How.
    With(HomeAssistantConfig),
}

impl Default for HomeAssistantValue {
    fn default() -> Self {
        HomeAssistantValue::Switch(true)
    }
}

impl fmt::Debug for MqttConfig {
    /// Without the URL as it was typed: somebody may have put a password there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = Server::parse(&self.url);
        f.debug_struct("MqttConfig")
            .field("server", &server.map(|s| s.to_string()))
            .field("prefix", &self.prefix)
            .field("home_assistant", &self.home_assistant)
            .field("vscp", &self.vscp)
            .finish_non_exhaustive()
    }
}

impl MqttConfig {
    /// With this URL, and everything else as it is when nothing is written.
    pub fn at(url: &str) -> Self {
        MqttConfig {
            url: url.to_owned(),
            version: None,
            user: None,
            password_file: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            client_id: None,
            prefix: default_prefix(),
            home_assistant: HomeAssistantValue::default(),
            vscp: false,
            events: None,
            at_most_every: None,
            at_least_every: None,
            dead_band: BTreeMap::new(),
        }
    }

    /// Checks what a type cannot say. Pure.
    ///
    /// # Errors
    /// A sentence that names the key, and says what to write instead.
    pub fn check(&self) -> Result<(), String> {
        let server = self.server()?;
        self.version()?;
        if self.user.is_some() && server.user.is_some() {
            return Err("mqtt.user and the user of mqtt.url are two: write one of them".to_owned());
        }
        if self.user().is_none() && self.password_file.is_some() {
            return Err("mqtt.password_file is of no use without a user: write user = \"…\"".to_owned());
        }
        if self.client_cert_file.is_some() != self.client_key_file.is_some() {
            return Err(
                "mqtt.client_cert_file and mqtt.client_key_file belong together: write both".to_owned(),
            );
        }
        if !server.secure && (self.ca_file.is_some() || self.client_cert_file.is_some()) {
            return Err(format!(
                "mqtt.ca_file and mqtt.client_cert_file are of no use over {}://, which is not encrypted: write \
                 mqtts:// or wss:// in mqtt.url",
                server.scheme()
            ));
        }
        topics::check_prefix(&self.prefix).map_err(|e| format!("mqtt.prefix: {e}"))?;
        if let HomeAssistantValue::With(home_assistant) = &self.home_assistant {
            topics::check_prefix(&home_assistant.prefix)
                .map_err(|e| format!("mqtt.home_assistant.prefix: {e}"))?;
        }
        if let Some(id) = &self.client_id
            && (id.is_empty() || id.len() > 128 || id.chars().any(char::is_control))
        {
            return Err("mqtt.client_id must be 1 to 128 characters that can be printed".to_owned());
        }
        let (least, most, _) = AT_MOST_EVERY;
        if self
            .at_most_every
            .is_some_and(|every| every < least || every > most)
        {
            return Err("mqtt.at_most_every must be 50ms to 60s".to_owned());
        }
        let within = self.at_most_every()..=pace::AT_LEAST_EVERY;
        if self.at_least_every.is_some_and(|every| !within.contains(&every)) {
            return Err(
                "mqtt.at_least_every must be at most 60s, and no less than mqtt.at_most_every: who reads the states \
                 tells by it that they are still brought"
                    .to_owned(),
            );
        }
        let typed = self.dead_band.keys().find(|name| {
            let is_class = || serde_json::from_value::<Class>(name.as_str().into()).is_ok();
            !name.contains(['.', ':']) && !is_class()
        });
        if let Some(name) = typed {
            return Err(format!(
                "mqtt.dead_band.\"{name}\" names nothing: write an entity's id, LEDGER:KEY, or a class such as power"
            ));
        }
        match self
            .dead_band
            .iter()
            .find(|(_, band)| !(band.is_finite() && **band >= 0.0))
        {
            Some((name, band)) => Err(format!(
                "mqtt.dead_band.\"{name}\" = {band} is no dead band: write 0, or how far the value must go before it \
                 is told"
            )),
            None => Ok(()),
        }
    }

    /// Where the broker is.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn server(&self) -> Result<Server, String> {
        Server::parse(&self.url).map_err(|e| format!("mqtt.url: {e}"))
    }

    /// The version that was asked for; `None` for the one that works.
    ///
    /// # Errors
    /// Where it is neither of the two.
    pub fn version(&self) -> Result<Option<Version>, String> {
        match &self.version {
            None => Ok(None),
            Some(VersionValue::Number(5)) => Ok(Some(Version::V5)),
            Some(VersionValue::Text(text)) if text == "5" => Ok(Some(Version::V5)),
            Some(VersionValue::Text(text)) if text == "3.1.1" => Ok(Some(Version::V4)),
            Some(_) => Err("mqtt.version must be 5 or \"3.1.1\"; left out, Busbar finds out".to_owned()),
        }
    }

    /// The user, wherever it was written.
    pub fn user(&self) -> Option<String> {
        let of_url = || self.server().ok()?.user;
        self.user.clone().or_else(of_url)
    }

    /// The discovery prefix where Home Assistant is told, else `None`.
    pub fn home_assistant(&self) -> Option<HomeAssistantConfig> {
        match &self.home_assistant {
            HomeAssistantValue::Switch(true) => Some(HomeAssistantConfig::default()),
            HomeAssistantValue::Switch(false) => None,
            HomeAssistantValue::With(how) => Some(how.clone()),
        }
    }

    /// The shortest time between two states of a device.
    pub fn at_most_every(&self) -> Duration {
        self.at_most_every.unwrap_or(AT_MOST_EVERY.2)
    }

    /// The longest time between two states of a device.
    pub fn at_least_every(&self) -> Duration {
        self.at_least_every.unwrap_or(pace::AT_LEAST_EVERY)
    }

    /// How far a value must go before it is told, in its unit: by what was written for this entity, else for its
    /// ledger's point, else for its class, else by what its point is.
    pub fn dead_band(&self, device: &Device, point: &Point) -> f64 {
        if self.dead_band.is_empty() {
            return pace::dead_band(point);
        }
        let names = [
            Some(format!("{}.{}", device.meta.id, point.key)),
            Some(format!("{}:{}", device.meta.ledger.name, point.key)),
            point.class.and_then(class_name),
        ];
        let written = names.iter().flatten().find_map(|name| self.dead_band.get(name));
        written.copied().unwrap_or_else(|| pace::dead_band(point))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<MqttConfig, String> {
        let config: MqttConfig = toml::from_str(text).map_err(|e| e.to_string())?;
        config.check().map(|()| config)
    }

    #[test]
    fn little_is_enough() {
        let config = config("url = \"mqtt://me@broker\"").unwrap();
        assert_eq!(
            format!("{:?}", MqttConfig::at("mqtt://me@broker")),
            format!("{config:?}")
        );
        assert_eq!(config.prefix, "busbar");
        assert_eq!(config.user().as_deref(), Some("me"));
        assert_eq!(config.version(), Ok(None));
        assert_eq!(config.home_assistant().unwrap().prefix, "homeassistant");
        assert!(!config.vscp);
    }

    #[test]
    fn what_cannot_be_is_said_with_what_to_write() {
        for (text, part) in [
            ("url = \"http://broker\"", "mqtt://"),
            ("url = \"mqtt://me:secret@broker\"", "password_file"),
            ("url = \"mqtt://b\"\nversion = 4", "\"3.1.1\""),
            ("url = \"mqtt://me@b\"\nuser = \"you\"", "one of them"),
            ("url = \"mqtt://b\"\npassword_file = \"p\"", "user = "),
            ("url = \"mqtts://b\"\nclient_cert_file = \"c\"", "both"),
            ("url = \"mqtt://b\"\nca_file = \"c\"", "mqtts://"),
            ("url = \"mqtt://b\"\nprefix = \"a/#\"", "mqtt.prefix"),
            (
                "url = \"mqtt://b\"\nhome_assistant = { prefix = \"\" }",
                "home_assistant.prefix",
            ),
            ("url = \"mqtt://b\"\nat_least_every = \"5m\"", "at most 60s"),
            ("url = \"mqtt://b\"\nat_most_every = \"1ms\"", "50ms to 60s"),
            ("url = \"mqtt://b\"\ndead_band = { power = -1 }", "dead_band"),
            ("url = \"mqtt://b\"\ndead_band = { powr = 1 }", "names nothing"),
            ("url = \"mqtt://b\"\nretain = true", "retain"),
        ] {
            let fault = config(text).unwrap_err();
            assert!(fault.contains(part), "{text}: {fault}");
            assert!(!fault.contains("secret"), "{fault}");
        }
    }

    #[test]
    fn a_password_that_was_typed_into_the_url_is_not_shown() {
        let config: MqttConfig = toml::from_str("url = \"mqtt://me:secret@broker\"").unwrap();
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn the_nearest_dead_band_counts() {
        let device = crate::view::testing::device("one");
        let power = device.meta.ledger.point("power").unwrap();
        let band = |lines: &str| {
            config(&format!("url = \"mqtt://b\"\n[dead_band]\n{lines}"))
                .unwrap()
                .dead_band(&device, power)
        };
        assert_eq!(band(""), 0.5);
        assert_eq!(band("power = 10"), 10.0);
        assert_eq!(band("power = 10\n\"test/one:power\" = 5"), 5.0);
        assert_eq!(band("power = 10\n\"test/one:power\" = 5\n\"one.power\" = 0"), 0.0);
    }
}
