//! `[vscp]` of `busbar.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::encode::{ALL, Dialect, Form, Group, Guid, Own, Settings, Template, check_topic, compat, named};

/// `[vscp]`: what events look like. Whether they are sent is `vscp` in `[mqtt]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VscpConfig {
    /// The topic of an event; `vscp/{xguid}/{xclass}/{xtype}` when left out.
    pub topic: Option<String>,
    /// Who sends; made of the machine's MAC address when left out. Its two last bytes become the id of the sensor.
    pub guid: Option<String>,
    /// The form of JSON: `2021`, `pyvscp` or `spec16`.
    pub dialect: Dialect,
    /// The class of the events: 1040, 1060, 10, 60, 65 or 70.
    pub class: Form,
    /// `vscp-python-p1`: what that tool sends, with its faults.
    pub compat: Option<String>,
    /// Which groups of measurements are sent, where it is not the usual.
    pub groups: BTreeMap<Group, bool>,
    /// Note and number instead of events.
    pub plain: bool,
    /// The zone of all sensors, 0 to 255.
    pub zone: u8,
    /// Their subzone, 0 to 255.
    pub subzone: u8,
    /// Ids by measurement, 0 to 65535.
    pub ids: BTreeMap<String, u16>,
    /// Sensor indexes by measurement, 0 to 255.
    pub sensor_indexes: BTreeMap<String, u8>,
    /// Notes by measurement.
    pub notes: BTreeMap<String, String>,
    /// 0: sent once; 1: until the broker has it.
    pub qos: u8,
    /// The devices that send, by id or ledger, in the order of their ids; the P1 meters when left out.
    pub devices: Vec<String>,
}

/// The most devices that send: each has 256 ids.
const MOST_DEVICES: usize = 255;

impl VscpConfig {
    /// Checks what a type cannot say. Pure.
    ///
    /// # Errors
    /// A sentence that names the key, and says what to write instead.
    pub fn check(&self) -> Result<(), String> {
        self.settings([2, 0, 0, 0, 0, 1])?;
        if self.qos > 1 {
            return Err(format!(
                "vscp.qos = {}: write 0 or 1; events need no more",
                self.qos
            ));
        }
        if self.devices.len() > MOST_DEVICES {
            return Err(format!("vscp.devices has more than {MOST_DEVICES} entries"));
        }
        Ok(())
    }

    /// What decides how events look, on a machine with this MAC address.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn settings(&self, mac: [u8; 6]) -> Result<Settings, String> {
        let compat = self.is_compat()?;
        let topic = self.topic.as_deref().unwrap_or("vscp/{xguid}/{xclass}/{xtype}");
        let topic = Template::parse(topic).map_err(|e| format!("vscp.topic {e}"))?;
        let given = match &self.guid {
            Some(text) => Some(Guid::parse(text).map_err(|e| format!("vscp.guid: {e}"))?),
            None => None,
        };
        if let Some(guid) = given.filter(|guid| guid.id() != 0) {
            return Err(format!(
                "vscp.guid: the two last bytes are the id of each sensor: write {} (and vscp.ids)",
                guid.with_id(0)
            ));
        }
        // The old tool never used a GUID that it was given.
        let guid = given.filter(|_| !compat).unwrap_or_else(|| Guid::of_mac(mac));
        let groups = Group::ALL.into_iter();
        let sends = |group: &Group| self.groups.get(group).copied().unwrap_or_else(|| group.usually());
        self.check_room()?;
        Ok(Settings {
            guid,
            form: self.class,
            dialect: self.dialect,
            compat,
            plain: self.plain,
            groups: groups.filter(sends).collect(),
            zone: self.zone,
            subzone: self.subzone,
            topic,
            each: self.each()?,
        })
    }

    fn is_compat(&self) -> Result<bool, String> {
        let Some(tool) = self.compat.as_deref() else {
            return Ok(false);
        };
        if tool != compat::NAME {
            return Err(format!(
                "vscp.compat = \"{tool}\": the only output of another tool that can be given is \"{}\"",
                compat::NAME
            ));
        }
        if self.class != Form::Text || self.dialect != Dialect::Y2021 {
            return Err(format!(
                "vscp.compat = \"{tool}\" is class 1040 in the dialect 2021: leave out vscp.class and vscp.dialect, or \
                 vscp.compat"
            ));
        }
        let more = Group::ALL.into_iter().filter(|group| !group.usually());
        if let Some(group) = more
            .into_iter()
            .find(|group| self.groups.get(group) == Some(&true))
        {
            return Err(format!(
                "vscp.compat = \"{tool}\" knows no {group:?}: leave that out of vscp.groups, or leave out vscp.compat"
            ));
        }
        Ok(true)
    }

    /// Whether what is set has room in events of this class.
    fn check_room(&self) -> Result<(), String> {
        let class = self.class.class();
        let most = self.class.largest_index();
        if let Some((key, index)) = self.sensor_indexes.iter().find(|(_, index)| **index > most) {
            return Err(format!(
                "vscp.sensor_indexes: {key} = {index}, but class {class} has room for 0 to {most}: leave it out, or \
                 choose class 1040, 1060 or 65"
            ));
        }
        if !self.class.has_zones() && (self.zone, self.subzone) != (0, 0) {
            return Err(format!(
                "vscp.zone and vscp.subzone have no room in class {class}: leave them out, or choose class 1040, 1060 \
                 or 65"
            ));
        }
        Ok(())
    }

    fn each(&self) -> Result<Vec<Own>, String> {
        let names = [
            ("ids", self.ids.keys().collect::<Vec<_>>()),
            ("sensor_indexes", self.sensor_indexes.keys().collect()),
            ("notes", self.notes.keys().collect()),
        ];
        for (table, keys) in names {
            if let Some(unknown) = keys.into_iter().find(|key| named(key).is_none()) {
                let known: Vec<&str> = ALL.iter().map(|m| m.key).collect();
                return Err(format!(
                    "vscp.{table}: {unknown} is no measurement; known are {}",
                    known.join(", ")
                ));
            }
        }
        let most = self.class.largest_index();
        let own = ALL.iter().map(|measurement| {
            let key = measurement.key;
            let usual = if measurement.id <= most { measurement.id } else { 0 };
            let usual = if most == u8::MAX { usual } else { 0 };
            Own {
                id: self.ids.get(key).copied().unwrap_or(u16::from(measurement.id)),
                sensor_index: self.sensor_indexes.get(key).copied().unwrap_or(usual),
                note: self
                    .notes
                    .get(key)
                    .map_or(measurement.note, String::as_str)
                    .to_owned(),
            }
        });
        let own: Vec<Own> = own.collect();
        if self.plain {
            for (measurement, own) in ALL.iter().zip(&own) {
                check_topic(&own.note).map_err(|e| {
                    format!(
                        "vscp.notes: {}: the note is the topic where vscp.plain = true, and {e}",
                        measurement.key
                    )
                })?;
            }
        }
        Ok(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        match toml::from_str::<VscpConfig>(text) {
            Ok(config) => config.check().unwrap_err(),
            Err(fault) => fault.to_string(),
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_write() {
        for (text, word) in [
            (
                "topic = \"vscp/{guid}\"",
                "vscp.topic \"vscp/{guid}\": {guid} is not known",
            ),
            ("topic = \"vscp/#\"", "vscp.topic"),
            ("guid = \"''\"", "vscp.guid: \"''\" is no GUID"),
            (
                "guid = \"00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:00:01\"",
                "CC:DD:00:00 (and vscp.ids)",
            ),
            ("dialect = \"2022\"", "spec16"),
            ("class = 1041", "1040 (text)"),
            ("compat = \"p1\"", "\"vscp-python-p1\""),
            (
                "compat = \"vscp-python-p1\"\nclass = 1060",
                "leave out vscp.class",
            ),
            (
                "compat = \"vscp-python-p1\"\ngroups = { power_factor = true }",
                "PowerFactor",
            ),
            ("groups = { effect = true }", "active_effect"),
            ("zone = 256", "256"),
            (
                "ids = { voltage_l4 = 1 }",
                "voltage_l4 is no measurement; known are sum_active",
            ),
            ("class = 10\nsensor_indexes = { voltage_l1 = 8 }", "0 to 7"),
            ("class = 60\nzone = 1", "no room in class 60"),
            (
                "plain = true\nnotes = { voltage_l1 = \"volt+\" }",
                "vscp.notes: voltage_l1",
            ),
            (
                "plain = true\nnotes = { voltage_l1 = \"\" }",
                "vscp.notes: voltage_l1",
            ),
            ("qos = 2", "0 or 1"),
            ("zones = 1", "unknown field"),
        ] {
            let fault = fault(text);
            assert!(fault.contains(word), "{text}: {fault}");
        }
    }

    #[test]
    fn a_class_without_room_for_the_usual_indexes_has_none() {
        let config: VscpConfig = toml::from_str("class = 10\nsensor_indexes = { voltage_l1 = 3 }").unwrap();
        let settings = config.settings([2, 0, 0, 0, 0, 1]).unwrap();
        let index = |key| settings.own(named(key).unwrap()).sensor_index;
        assert_eq!(
            [
                index("voltage_l1"),
                index("voltage_l2"),
                index("sum_active_energy_out")
            ],
            [3, 0, 0]
        );
    }
}
