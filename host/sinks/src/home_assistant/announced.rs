//! What Home Assistant was told, and what follows from it when something else is to be told: what is left out has to be
//! taken back first, and what moves has to be said to move, or its entities lose their history. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::config::Form;
use super::encode::{Announcement, platform};

/// Devices that are remembered. A host has fewer; what a damaged file says beyond is not believed.
pub const MOST: usize = 10_000;

/// What was told, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announced {
    /// Which broker was told, without credentials. Another one knows nothing of it.
    pub broker: String,
    /// What the discovery topics begin with.
    pub prefix: String,
    /// In one document for each device, or for each entity.
    pub form: Form,
    /// By the device's id.
    pub devices: BTreeMap<String, Told>,
}

/// What was told of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// The platform of each part, by its id.
    pub parts: BTreeMap<String, String>,
    /// Whether somebody deleted the device in Home Assistant: it is not told of again before somebody wants it.
    #[serde(default)]
    pub deleted: bool,
}

/// Something to publish, retained. Of two to one topic the second waits for the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Where.
    pub topic: String,
    /// What; nothing takes back what was there.
    pub payload: String,
}

impl Publication {
    fn new(topic: String, payload: impl Into<String>) -> Self {
        Publication {
            topic,
            payload: payload.into(),
        }
    }
}

/// Where discovery is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// What its topics begin with.
    pub prefix: String,
    /// In one document for each device, or for each entity.
    pub form: Form,
}

impl Discovery {
    /// The topic of a device in one document.
    fn device(&self, device: &str) -> String {
        format!("{}/device/{device}/config", self.prefix)
    }

    /// The topic of one part.
    fn part(&self, device: &str, part: &str, platform: &str) -> String {
        format!("{}/{platform}/{device}/{part}/config", self.prefix)
    }

    /// Whether Home Assistant is there: it says so when it starts.
    pub fn status(&self) -> String {
        format!("{}/status", self.prefix)
    }

    /// The filter of all topics on which a device is told of.
    pub fn filter(&self, device: &str) -> String {
        match self.form {
            Form::Device => self.device(device),
            Form::Entities => self.part(device, "+", "+"),
        }
    }

    /// The topics on which a device is told of.
    pub fn topics(&self, device: &str, told: &Told) -> Vec<String> {
        match self.form {
            Form::Device => vec![self.device(device)],
            Form::Entities => self.parts(device, told),
        }
    }

    fn parts(&self, device: &str, told: &Told) -> Vec<String> {
        let parts = told.parts.iter();
        parts
            .map(|(part, platform)| self.part(device, part, platform))
            .collect()
    }

    /// Takes back all that was told of a device.
    pub fn withdrawn(&self, device: &str, told: &Told) -> Vec<Publication> {
        let topics = self.topics(device, told).into_iter();
        topics.map(|topic| Publication::new(topic, "")).collect()
    }

    /// Tells of a device of which `before` was told until now, in this form or the other.
    pub fn told(&self, device: &str, before: &Told, form: Form, now: &Announcement) -> Vec<Publication> {
        match (form, self.form) {
            (Form::Device, Form::Device) => self.anew(device, before, now),
            (Form::Entities, Form::Entities) => {
                let parts = Told::of(now);
                let gone = self.parts(device, before).into_iter();
                let kept: BTreeSet<String> = self.parts(device, &parts).into_iter().collect();
                let gone = gone.filter(|topic| !kept.contains(topic));
                gone.map(|topic| Publication::new(topic, ""))
                    .chain(self.singly(device, now))
                    .collect()
            }
            _ if before.parts.is_empty() => self.told(device, before, self.form, now),
            (old, new) => {
                let old = Discovery {
                    form: old,
                    ..self.clone()
                };
                let topics = old.topics(device, before);
                let moves = topics.iter().cloned();
                let moves = moves
                    .map(|topic| Publication::new(topic, json!({ "migrate_discovery": true }).to_string()));
                let whole = match new {
                    Form::Device => vec![self.whole(device, now)],
                    Form::Entities => self.singly(device, now),
                };
                let empty = topics.iter().cloned().map(|topic| Publication::new(topic, ""));
                moves.chain(whole).chain(empty).collect()
            }
        }
    }

    /// In one document; before it one in which what is left out is said to go.
    fn anew(&self, device: &str, before: &Told, now: &Announcement) -> Vec<Publication> {
        let mut first = now.clone();
        for (part, was) in &before.parts {
            let stays = now
                .components
                .get(part)
                .is_some_and(|component| platform(component) == was);
            if !stays {
                let mut goes = serde_json::Map::new();
                goes.insert("p".to_owned(), json!(was));
                first.components.insert(part.clone(), goes);
            }
        }
        let goes = first != *now;
        let first = goes.then(|| self.whole(device, &first));
        first.into_iter().chain([self.whole(device, now)]).collect()
    }

    fn whole(&self, device: &str, now: &Announcement) -> Publication {
        Publication::new(self.device(device), now.document().to_string())
    }

    fn singly(&self, device: &str, now: &Announcement) -> Vec<Publication> {
        let documents = now.documents().into_iter();
        documents
            .map(|(part, (platform, document))| {
                Publication::new(self.part(device, part, platform), document.to_string())
            })
            .collect()
    }
}

impl Told {
    /// What an announcement tells.
    pub fn of(announcement: &Announcement) -> Self {
        let parts = announcement.components.iter();
        Told {
            parts: parts
                .map(|(id, part)| (id.clone(), platform(part).to_owned()))
                .collect(),
            deleted: false,
        }
    }

    /// Both: what may have been told, whichever of the two was.
    pub fn or(&self, other: &Told) -> Self {
        let mut both = self.clone();
        for (part, platform) in &other.parts {
            both.parts.entry(part.clone()).or_insert_with(|| platform.clone());
        }
        both
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::Writable;
    use crate::home_assistant::encode;
    use crate::mqtt::topics::Topics;
    use crate::view::testing::device;
    use serde_json::Value;

    fn discovery(form: Form) -> Discovery {
        Discovery {
            prefix: "ha".to_owned(),
            form,
        }
    }

    fn now() -> Announcement {
        let none: &[Writable] = &[];
        encode::announcement(&device("one"), none, None, &Topics::new("busbar"), "1")
    }

    fn told(parts: &[(&str, &str)]) -> Told {
        let parts = parts.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        Told {
            parts: parts.collect(),
            deleted: false,
        }
    }

    fn topics(publications: &[Publication]) -> Vec<(&str, bool)> {
        let each = publications.iter();
        each.map(|p| (p.topic.as_str(), p.payload.is_empty())).collect()
    }

    #[test]
    fn what_is_left_out_is_taken_back_before() {
        let before = Told::of(&now()).or(&told(&[("old-set", "number")]));
        let steps = discovery(Form::Device).told("one", &before, Form::Device, &now());
        let documents: Vec<Value> = steps
            .iter()
            .map(|s| serde_json::from_str(&s.payload).unwrap())
            .collect();
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[0]["cmps"]["old-set"], json!({ "p": "number" }));
        assert!(documents[0]["cmps"]["power"]["unique_id"].is_string());
        assert_eq!(documents[1]["cmps"].get("old-set"), None);
        let same = discovery(Form::Device).told("one", &Told::of(&now()), Form::Device, &now());
        assert_eq!(topics(&same), [("ha/device/one/config", false)]);
    }

    #[test]
    fn a_part_that_becomes_something_else_goes_before_it_comes() {
        let before = told(&[("power", "number"), ("energy", "sensor"), ("state", "sensor")]);
        let steps = discovery(Form::Device).told("one", &before, Form::Device, &now());
        let first: Value = serde_json::from_str(&steps[0].payload).unwrap();
        assert_eq!(first["cmps"]["power"], json!({ "p": "number" }));
        assert_eq!(steps.len(), 2);
    }

    #[test]
    fn one_by_one_what_is_left_out_is_emptied() {
        let before = Told::of(&now()).or(&told(&[("old-set", "number")]));
        let steps = discovery(Form::Entities).told("one", &before, Form::Entities, &now());
        assert_eq!(
            topics(&steps),
            [
                ("ha/number/one/old-set/config", true),
                ("ha/sensor/one/energy/config", false),
                ("ha/sensor/one/power/config", false),
                ("ha/sensor/one/state/config", false),
            ]
        );
    }

    #[test]
    fn what_moves_to_another_form_keeps_its_entities() {
        let before = told(&[("power", "sensor")]);
        let steps = discovery(Form::Device).told("one", &before, Form::Entities, &now());
        assert_eq!(
            topics(&steps),
            [
                ("ha/sensor/one/power/config", false),
                ("ha/device/one/config", false),
                ("ha/sensor/one/power/config", true),
            ]
        );
        assert_eq!(steps[0].payload, r#"{"migrate_discovery":true}"#);
        let first = discovery(Form::Device).told("one", &Told::default(), Form::Entities, &now());
        assert_eq!(topics(&first), [("ha/device/one/config", false)]);
    }

    #[test]
    fn a_device_that_is_gone_is_emptied() {
        let before = told(&[("a", "sensor"), ("b", "number")]);
        let device = discovery(Form::Device).withdrawn("one", &before);
        assert_eq!(topics(&device), [("ha/device/one/config", true)]);
        let singly = discovery(Form::Entities).withdrawn("one", &before);
        assert_eq!(singly.len(), 2);
    }
}
