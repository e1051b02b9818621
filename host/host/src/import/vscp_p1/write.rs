//! What was found, as lines of `busbar.toml`.

use std::fmt::{Display, Write};
use std::path::Path;

use busbar_sinks::vscp::encode::compat;

use super::Found;

impl Found {
    /// The lines. The password lies in a file of its own.
    pub fn toml(&self, source: &str, password_file: Option<&Path>) -> String {
        let mut text = String::new();
        let mut line = |line: std::fmt::Arguments<'_>| {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{line}");
        };
        line(format_args!(
            "# Taken over by `busbar import vscp-p1` from {}.\n",
            source.replace(char::is_control, " ")
        ));
        let (host, port) = &self.broker;
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.clone()
        };
        line(format_args!("[mqtt]"));
        line(format_args!("url = {}", quoted(&format!("mqtt://{host}:{port}"))));
        if !self.user.is_empty() {
            line(format_args!("user = {}", quoted(&self.user)));
        }
        if let Some(file) = password_file {
            line(format_args!(
                "password_file = {}",
                quoted(&file.display().to_string())
            ));
        }
        line(format_args!("vscp = true"));
        line(format_args!("home_assistant = false\n"));

        line(format_args!("[vscp]"));
        line(format_args!(
            "# What the old tool sent, with its wrong types and units, where something relies on them:\n# compat = {}",
            quoted(compat::NAME)
        ));
        if let Some(guid) = self.guid {
            line(format_args!(
                "# Given in the old file, and never used by the old tool:\n# guid = \"{guid}\""
            ));
        }
        if let Some(topic) = &self.topic {
            line(format_args!("topic = {}", quoted(topic)));
        }
        if self.plain {
            line(format_args!("plain = true"));
        }
        if self.zones != (0, 0) {
            line(format_args!(
                "zone = {}\nsubzone = {}",
                self.zones.0, self.zones.1
            ));
        }
        if !self.off.is_empty() {
            let off: Vec<String> = self.off.iter().map(|group| format!("{group} = false")).collect();
            line(format_args!("groups = {{ {} }}", off.join(", ")));
        }
        let mut table = |name: &str, rows: Vec<String>| {
            if !rows.is_empty() {
                line(format_args!("[vscp.{name}]\n{}", rows.join("\n")));
            }
        };
        table("ids", rows(&self.ids));
        table("sensor_indexes", rows(&self.sensor_indexes));
        let notes = self
            .notes
            .iter()
            .map(|(key, note)| format!("{key} = {}", quoted(note)));
        table("notes", notes.collect());

        if let Some(url) = self.url() {
            line(format_args!(
                "\n[[connection]]\nname = \"p1\"\nurl = {}",
                quoted(&url)
            ));
        }
        text
    }

    /// The way to the meter.
    pub fn url(&self) -> Option<String> {
        let port = self.port.as_deref()?;
        let odd = |c: char| {
            !(c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | ':' | '+' | '@' | ','))
        };
        let mut path = String::new();
        for c in port.chars() {
            if odd(c) {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(path, "%{byte:02X}");
                }
            } else {
                path.push(c);
            }
        }
        let baud = if self.baud == 115_200 {
            String::new()
        } else {
            format!("?baud={}", self.baud)
        };
        Some(format!("p1://{path}{baud}"))
    }
}

fn rows<T: Display>(each: &super::Each<T>) -> Vec<String> {
    each.iter()
        .map(|(key, value)| format!("{key} = {value}"))
        .collect()
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
