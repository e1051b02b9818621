//! The configuration of `mqtt-p1-power-meter.py` (vscp-python-p1-power-meter): an INI file with the sections `GENERAL`,
//! `VSCP`, `MQTT` and `SERIAL`. Pure.
//!
//! Its switches are on when their text holds `true` anywhere; a sensor index that is left out is 0; a GUID that is given was
//! never used.

mod write;

use std::collections::{BTreeMap, BTreeSet};

use busbar_sinks::vscp::encode::{ALL, Guid, Template, check_topic};

use super::ini::{Ini, Opt};

/// The ids, sensor indexes and notes that differ from Busbar's own, by measurement.
type Each<T> = BTreeMap<&'static str, T>;

/// What was found in a file.
#[derive(Debug, Default)]
pub struct Found {
    /// `no_vscp`: note and number instead of events.
    pub plain: bool,
    /// The groups that are switched off.
    pub off: BTreeSet<&'static str>,
    /// A GUID that was given; the old tool never used it.
    pub guid: Option<Guid>,
    /// Zone and subzone.
    pub zones: (u8, u8),
    /// Ids other than the usual.
    pub ids: Each<u16>,
    /// Sensor indexes other than the usual.
    pub sensor_indexes: Each<u8>,
    /// Notes other than the usual.
    pub notes: Each<String>,
    /// The topic, where it is not the usual.
    pub topic: Option<String>,
    /// The broker's host and port.
    pub broker: (String, u16),
    /// The user.
    pub user: String,
    /// The password. Never shown.
    pub password: Secret,
    /// The serial port, where it is one of Linux, and its speed.
    pub port: Option<String>,
    /// Its speed in baud.
    pub baud: u32,
    /// Keys that were understood: the line, and what became of it.
    pub understood: BTreeSet<(usize, String)>,
    /// What was not taken over and why, by line; 0 for the whole file.
    pub not_taken: BTreeSet<(usize, String)>,
}

/// A text that no output shows.
#[derive(Default)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

const SECTIONS: [&str; 4] = ["GENERAL", "VSCP", "MQTT", "SERIAL"];

/// Switches of the old tool, and the group that each of them is.
const SWITCHES: [(&str, &str); 5] = [
    ("send_energy", "energy"),
    ("send_active_effect", "active_effect"),
    ("send_reactive_effect", "reactive_effect"),
    ("send_voltage", "voltage"),
    ("send_current", "current"),
];

/// Reads the file.
pub fn read(text: &str) -> Found {
    let ini = Ini::read(text);
    let mut reader = Reader {
        found: Found {
            broker: ("127.0.0.1".to_owned(), 1883),
            user: "vscp".to_owned(),
            password: Secret("secret".to_owned()),
            port: Some("/dev/ttyUSB0".to_owned()),
            baud: 115_200,
            not_taken: ini.notes.clone(),
            ..Found::default()
        },
        ini: &ini,
        looked_at: BTreeSet::new(),
    };
    reader.general();
    reader.vscp();
    reader.mqtt();
    reader.serial();
    reader.rest();
    reader.found
}

impl Found {
    /// Whether the file had anything of the old tool.
    pub fn is_empty(&self) -> bool {
        self.understood.is_empty()
    }
}

struct Reader<'a> {
    ini: &'a Ini,
    found: Found,
    looked_at: BTreeSet<(String, String)>,
}

impl<'a> Reader<'a> {
    /// A key and its value.
    fn take(&mut self, section: &str, key: &str) -> Option<(&'a Opt, String)> {
        let option = self.ini.option(section, key)?;
        self.looked_at
            .insert((option.section.clone(), option.key.clone()));
        match self.ini.value(section, option) {
            Ok(value) => Some((option, value)),
            Err(why) => {
                // The text as it stands is what the owner meant.
                self.left(option, &format!("{why}; the text is taken as it stands"));
                Some((option, option.raw.clone()))
            }
        }
    }

    fn became(&mut self, option: &Opt, what: &str) {
        let place = format!("{}.{} is {what}", option.section, option.key);
        self.found.understood.insert((option.line, place));
    }

    fn left(&mut self, option: &Opt, why: &str) {
        let place = format!("{}.{}: {why}", option.section, option.key);
        self.found.not_taken.insert((option.line, place));
    }

    /// A switch of the old tool.
    fn switch(&mut self, key: &str, usual: bool) -> (bool, Option<&'a Opt>) {
        match self.take("GENERAL", key) {
            Some((option, value)) => (value.contains("true"), Some(option)),
            None => (usual, None),
        }
    }

    /// A whole number within bounds.
    fn number<T: TryFrom<i64>>(&mut self, section: &str, key: &str, expected: &str) -> Option<(&'a Opt, T)> {
        let (option, value) = self.take(section, key)?;
        let number = value.trim().parse::<i64>().ok().and_then(|n| T::try_from(n).ok());
        if number.is_none() {
            self.left(option, &format!("is no whole number from {expected}"));
        }
        Some((option, number?))
    }

    fn general(&mut self) {
        let (once, option) = self.switch("one_shot", false);
        if let Some(option) = option {
            if once {
                self.left(option, "is no setting here: let cron start `busbar run --once`");
            } else {
                self.became(option, "how `busbar run` works");
            }
        }
        let (plain, option) = self.switch("no_vscp", false);
        self.found.plain = plain;
        if let Some(option) = option {
            let meaning = if plain {
                ": numbers under the notes, and no VSCP events (the old sample file has it so)"
            } else {
                ""
            };
            self.became(option, &format!("vscp.plain = {plain}{meaning}"));
        }
        for (key, group) in SWITCHES {
            let (on, option) = self.switch(key, true);
            if !on {
                self.found.off.insert(group);
            }
            if let Some(option) = option {
                self.became(option, &format!("{group} = {on} in vscp.groups"));
            }
        }
    }

    fn vscp(&mut self) {
        if let Some((option, value)) = self.take("VSCP", "guid") {
            // The sample file has two quotes for none.
            match value.trim_matches(['\'', '"', ' ']) {
                "" => self.became(option, "made of the MAC address"),
                text => match Guid::parse(text) {
                    Ok(guid) => {
                        self.found.guid = Some(guid.with_id(0));
                        self.left(
                            option,
                            "the old tool never used it, but always one made of the MAC address, and so does Busbar; \
                             vscp.guid would use it",
                        );
                    }
                    Err(why) => self.left(option, &why),
                },
            }
        }
        let mut zone = |key: &str| {
            let Some((option, zone)) = self.number::<u8>("VSCP", key, "0 to 255") else {
                return 0;
            };
            self.became(option, &format!("vscp.{key} = {zone}"));
            zone
        };
        self.found.zones = (zone("zone"), zone("subzone"));
        for measurement in ALL.iter().filter(|m| m.group.usually()) {
            let key = measurement.key;
            let given = self.number::<u8>("VSCP", &format!("sensorindex_{key}"), "0 to 255");
            if let Some((option, index)) = given {
                self.became(option, &format!("{key} = {index} in vscp.sensor_indexes"));
            }
            // What is left out is 0 there, and the id here.
            let index = given.map_or(0, |(_, index)| index);
            if index != measurement.id {
                self.found.sensor_indexes.insert(key, index);
            }
            if let Some((option, id)) = self.number::<u16>("VSCP", &format!("id_{key}"), "0 to 65535") {
                self.became(option, &format!("{key} = {id} in vscp.ids"));
                if id != u16::from(measurement.id) {
                    self.found.ids.insert(key, id);
                }
            }
        }
    }

    fn mqtt(&mut self) {
        if let Some((option, host)) = self.take("MQTT", "host") {
            let host = host.trim();
            let odd = |c: char| {
                c.is_whitespace() || matches!(c, '/' | '@' | '?' | '#' | '%' | '[' | ']' | '"' | '\\')
            };
            if host.is_empty() || host.contains(odd) {
                self.left(option, "is no name and no address of a host");
            } else {
                host.clone_into(&mut self.found.broker.0);
                self.became(option, "the host of mqtt.url");
            }
        }
        if let Some((option, port)) = self.number::<u16>("MQTT", "port", "1 to 65535") {
            self.found.broker.1 = port;
            self.became(option, "the port of mqtt.url");
        }
        if let Some((option, user)) = self.take("MQTT", "user") {
            self.found.user = user;
            self.became(option, "mqtt.user");
        }
        if let Some((option, password)) = self.take("MQTT", "password") {
            if self.found.user.is_empty() {
                self.left(
                    option,
                    "is a password without a user: add mqtt.user, and mqtt.password_file",
                );
                self.found.password = Secret::default();
            } else {
                self.found.password = Secret(password);
                self.became(option, "the file that mqtt.password_file names");
            }
        } else if self.found.user.is_empty() {
            self.found.password = Secret::default();
        }
        if let Some((option, topic)) = self.take("MQTT", "topic") {
            match Template::parse(&topic) {
                Ok(_) => {
                    self.became(option, "vscp.topic");
                    self.found.topic = Some(topic).filter(|t| t != "vscp/{xguid}/{xclass}/{xtype}");
                }
                Err(why) => self.left(option, &why),
            }
        }
        for measurement in ALL.iter().filter(|m| m.group.usually()) {
            let key = measurement.key;
            let Some((option, note)) = self.take("MQTT", &format!("note_{key}")) else {
                continue;
            };
            let fault = check_topic(&note).err().filter(|_| self.found.plain);
            if let Some(why) = fault {
                self.left(option, &format!("the note is the topic in plain mode, and {why}"));
                continue;
            }
            self.became(option, &format!("{key} in vscp.notes"));
            if note != measurement.note {
                self.found.notes.insert(key, note);
            }
        }
    }

    fn serial(&mut self) {
        if let Some((option, port)) = self.take("SERIAL", "serial_port") {
            let port = port.trim().to_owned();
            if port.starts_with('/') && !port.contains(char::is_whitespace) {
                self.became(option, "the URL of the connection");
                self.found.port = Some(port);
            } else {
                self.left(
                    option,
                    "is no device of Linux: write [[connection]] with url = \"p1:///dev/ttyUSB0\"",
                );
                self.found.port = None;
            }
        }
        if let Some((option, baud)) = self.number::<u32>("SERIAL", "serial_baudrate", "50 to 4000000") {
            if (50..=4_000_000).contains(&baud) {
                self.found.baud = baud;
                self.became(option, "the speed in the connection's URL");
            } else {
                self.left(option, "is no whole number from 50 to 4000000");
            }
        }
        if let Some((option, _)) = self.take("SERIAL", "serial_timeout") {
            self.left(
                option,
                "is not needed: how long a meter may be silent follows from how often it speaks",
            );
        }
    }

    /// What is in the file and nobody asked for.
    fn rest(&mut self) {
        for name in SECTIONS.into_iter().filter(|name| !self.ini.has(name)) {
            let why = format!(
                "there is no section [{name}], and the old tool stops there; its usual values are taken"
            );
            self.found.not_taken.insert((0, why));
        }
        for (name, line) in self.ini.sections() {
            if !SECTIONS.contains(&name.as_str()) && name != "DEFAULT" {
                let why = format!("[{name}] is no section of this tool");
                self.found.not_taken.insert((*line, why));
                continue;
            }
            for option in self.ini.of(name) {
                if !self
                    .looked_at
                    .contains(&(option.section.clone(), option.key.clone()))
                {
                    self.left(option, "the tool does not know it");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
