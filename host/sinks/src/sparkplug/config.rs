//! `[sparkplug]` of `busbar.toml`.

use serde::Deserialize;

use crate::mqtt::MqttConfig;

/// `[sparkplug]`: this host as an edge node of Sparkplug B.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SparkplugConfig {
    /// The group that the node belongs to; `busbar` when left out.
    pub group: Option<String>,
    /// The node's name, other than that of every other node of the group; `busbar-` and what tells this host from others
    /// when left out.
    pub node: Option<String>,
    /// The host application without which nothing is published; when left out nobody is waited for.
    pub primary_host: Option<String>,
    /// The broker, as in `[mqtt]`; that one when left out.
    pub broker: Option<MqttConfig>,
}

/// Where the password of `[sparkplug.broker]` may be, if not in a file.
pub const PASSWORD_VARIABLE: &str = "BUSBAR_SPARKPLUG_PASSWORD";

/// The longest name, in bytes.
const MOST: usize = 256;

impl SparkplugConfig {
    /// Checks what a type cannot say. Pure. `mqtt` is the broker of `[mqtt]`, where there is one.
    ///
    /// # Errors
    /// A sentence that names the key, and says what to write instead.
    pub fn check(&self, mqtt: Option<&MqttConfig>) -> Result<(), String> {
        let names = [
            ("group", &self.group),
            ("node", &self.node),
            ("primary_host", &self.primary_host),
        ];
        for (key, name) in names {
            let Some(name) = name else { continue };
            let bad = |c: char| matches!(c, '/' | '+' | '#') || c.is_control();
            if name.is_empty() || name.len() > MOST || name.contains(bad) {
                return Err(format!(
                    "sparkplug.{key} = {name:?}: write a name of 1 to {MOST} bytes without /, + and #"
                ));
            }
        }
        match self.broker(mqtt) {
            Some(broker) => broker.check().map_err(|e| format!("sparkplug.broker: {e}")),
            None => Err(
                "[sparkplug] has no broker: write [mqtt] or [sparkplug.broker], with url = \"mqtt://…\""
                    .to_owned(),
            ),
        }
    }

    /// The broker that it is published on.
    pub fn broker<'a>(&'a self, mqtt: Option<&'a MqttConfig>) -> Option<&'a MqttConfig> {
        self.broker.as_ref().or(mqtt)
    }

    /// The group.
    pub fn group(&self) -> &str {
        self.group.as_deref().unwrap_or("busbar")
    }

    /// The node.
    pub fn node(&self, host_id: &str) -> String {
        self.node.clone().unwrap_or_else(|| format!("busbar-{host_id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused_with_what_to_write() {
        let broker = "\n[broker]\nurl = \"mqtt://b\"";
        for (text, word) in [
            (format!("group = \"a/b\"{broker}"), "sparkplug.group"),
            (format!("node = \"\"{broker}"), "sparkplug.node"),
            (format!("primary_host = \"#\"{broker}"), "sparkplug.primary_host"),
            ("[broker]\nurl = \"http://b\"".to_owned(), "sparkplug.broker: "),
            (String::new(), "[sparkplug.broker]"),
        ] {
            let config: SparkplugConfig = toml::from_str(&text).unwrap();
            let fault = config.check(None).unwrap_err();
            assert!(fault.contains(word), "{text}: {fault}");
        }
        let mqtt: MqttConfig = toml::from_str("url = \"mqtt://b\"").unwrap();
        SparkplugConfig::default().check(Some(&mqtt)).unwrap();
    }
}
