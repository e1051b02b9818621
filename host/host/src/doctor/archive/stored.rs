//! What of the registry goes into the archive: facts, no values, nobody's names.

use std::collections::BTreeMap;
use std::path::Path;

use busbar_store::{AuditRow, Connection, Copy, Device, Entity, Outcome, Registry, Scan, copies};
use serde_json::{Value, json};

use super::redact::{REMOVED, Redactor, What};
use crate::config::parse_duration;
use crate::profile::{self, Profile};
use crate::settings::ConnectionOptions;

/// Rows of the audit that are of interest.
const ROWS: u32 = 200;
/// Scans of each connection.
const SCANS: usize = 20;
/// Entities that are listed.
const ENTITIES: usize = 50_000;

/// Everything that was read.
#[derive(Default)]
pub struct Stored {
    connections: Vec<Connection>,
    profiles: BTreeMap<String, Profile>,
    devices: Vec<Device>,
    entities: Vec<Entity>,
    scans: Vec<(Scan, BTreeMap<String, usize>)>,
    audit: Vec<AuditRow>,
    copies: Vec<Copy>,
    /// Why it is not all.
    fault: Option<String>,
}

impl Stored {
    /// Reads what can be read.
    pub async fn read(data_dir: &Path) -> Self {
        let mut stored = Stored {
            copies: copies(data_dir).await,
            ..Stored::default()
        };
        let read = match Registry::open_read_only(data_dir).await {
            Ok(registry) => stored.fill(&registry).await,
            Err(error) => Err(error),
        };
        stored.fault = read.err().map(|error| error.to_string());
        stored
    }

    async fn fill(&mut self, registry: &Registry) -> Result<(), busbar_store::StoreError> {
        self.connections = registry.connections().await?;
        self.devices = registry.devices().await?;
        self.entities = registry.entities(None).await?;
        self.audit = registry.audit_rows(None, None, ROWS).await?;
        for connection in &self.connections {
            let profile = profile::load(registry, connection).await;
            self.profiles.insert(connection.id.clone(), profile);
            for scan in registry.scans(&connection.id).await?.into_iter().take(SCANS) {
                let mut counts = BTreeMap::new();
                for evidence in registry.evidence(scan.id).await? {
                    let what = match (evidence.outcome, evidence.exception) {
                        (Outcome::Exception, Some(code)) => format!("exception {code}"),
                        (outcome, _) => outcome.name().to_owned(),
                    };
                    *counts.entry(what).or_insert(0) += 1;
                }
                self.scans.push((scan, counts));
            }
        }
        Ok(())
    }

    /// Takes note of everything private.
    pub fn learn(&self, redactor: &mut Redactor) {
        for connection in &self.connections {
            redactor.know(What::Name, &connection.name);
            redactor.url(&connection.url);
        }
        for device in &self.devices {
            if let Some(serial) = &device.serial {
                redactor.know(What::Serial, serial);
            }
            // Where no name was given, the model often stands in its place.
            for name in device
                .name
                .iter()
                .filter(|name| Some(*name) != device.model.as_ref())
            {
                redactor.know(What::Name, name);
            }
            if let Some(name) = &device.own_name {
                redactor.know(What::Name, name);
            }
        }
        for (entity, text) in self
            .entities
            .iter()
            .filter_map(|entity| Some((entity, told(entity)?)))
        {
            let what = if entity.key.contains("serial") {
                What::Serial
            } else {
                What::Name
            };
            redactor.know(what, text);
        }
        for name in self.entities.iter().filter_map(|entity| entity.name.as_ref()) {
            redactor.know(What::Name, name);
        }
        let texts = self
            .audit
            .iter()
            .flat_map(|row| [&row.entry.old, &row.entry.wanted]);
        for text in texts.flatten().filter(|text| number(text).is_none()) {
            redactor.know(What::Secret, text.trim_matches('"'));
        }
    }

    /// `registry.json`
    pub fn registry(&self, redactor: &mut Redactor) -> Value {
        let connections = self.connections.iter().map(|connection| {
            let options = ConnectionOptions::of(connection);
            json!({
                "id": connection.id,
                "name": redactor.know(What::Name, &connection.name),
                "url": redactor.url(&connection.url),
                "plugin": connection.plugin.as_deref().map(|plugin| redactor.text(plugin)),
                "interval": time(&options.interval),
                "timeout": time(&options.timeout),
                "max_words": options.max_words,
                "own_ledgers": options.ledgers.len(),
                "device_ledgers": options.device_ledgers.len(),
                "created_ms": connection.created_ms,
                "profile": self.profiles.get(&connection.id),
            })
        });
        let connections: Vec<Value> = connections.collect();
        let devices = self.devices.iter().map(|device| {
            json!({
                "id": redactor.text(&device.id),
                "connection": device.connection_id,
                "unit_id": device.unit_id,
                "ledger": redactor.text(&device.ledger),
                "name": device.name.as_deref().map(|name| redactor.text(name)),
                "model": device.model.as_deref().map(|model| redactor.text(model)),
                "serial": device.serial.as_deref().map(|serial| redactor.know(What::Serial, serial)),
                "firmware": device.firmware.as_deref().map(|firmware| redactor.kept(firmware)),
                "lifecycle": device.lifecycle,
                "first_seen_ms": device.first_seen_ms,
                "last_seen_ms": device.last_seen_ms,
            })
        });
        let devices: Vec<Value> = devices.collect();
        let entities = self.entities.iter().take(ENTITIES).map(|entity| {
            json!({
                "id": redactor.text(&entity.id()),
                "at": entity.at,
                "function": entity.function,
                "bit": entity.bit,
                "status": entity.status,
                "lifecycle": entity.lifecycle,
                "proof": proof(entity, redactor),
                "named": entity.name.is_some(),
            })
        });
        let entities: Vec<Value> = entities.collect();
        json!({
            "fault": self.fault.as_deref().map(|fault| redactor.text(fault)),
            "connections": connections,
            "devices": devices,
            "entities": entities,
        })
    }

    /// `scans.json`
    pub fn scans(&self, redactor: &mut Redactor) -> Value {
        let each = self.scans.iter().map(|(scan, counts)| {
            let note = scan.note.as_deref().map(|note| redactor.text(note));
            let mut document = serde_json::to_value(scan).unwrap_or_default();
            document["note"] = note.into();
            document["answers"] = serde_json::to_value(counts).unwrap_or_default();
            document
        });
        json!({ "scans": each.collect::<Vec<_>>() })
    }

    /// `audit.json`
    pub fn audit(&self, redactor: &mut Redactor) -> Value {
        let value = |text: &Option<String>| match text.as_deref() {
            None => Value::Null,
            Some(text) => number(text).map_or_else(|| REMOVED.into(), Value::from),
        };
        let mut rows = Vec::new();
        for row in &self.audit {
            let entry = &row.entry;
            let (old, wanted) = (value(&entry.old), value(&entry.wanted));
            // The registers of a text are that text.
            let of_number = entry.wanted.as_deref().is_none_or(|text| number(text).is_some());
            rows.push(json!({
                "seq": row.seq,
                "at_ms": entry.at_ms,
                "kind": entry.kind,
                "intent": entry.intent,
                "who": redactor.text(&entry.who),
                "through": redactor.text(&entry.through),
                "entity": entry.entity.as_deref().map(|id| redactor.text(id)),
                "unit_id": entry.unit_id,
                "function": entry.function,
                "at": entry.at,
                "old": old,
                "wanted": wanted,
                "words": of_number.then_some(&entry.words),
                "lease_until_ms": entry.lease_until_ms,
                "outcome": entry.outcome,
                "reason": entry.reason.as_deref().map(|reason| redactor.text(reason)),
            }));
        }
        json!({ "rows": rows })
    }

    /// `backups.json`
    pub fn backups(&self, redactor: &mut Redactor) -> Value {
        redactor.value(json!({ "backups": self.copies }))
    }
}

/// A time, and nothing else that may have been written in its place.
fn time(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(|text| match parse_duration(text) {
        Ok(_) => text,
        Err(_) => REMOVED,
    })
}

/// What keys of positions hold.
const PLACES: [&str; 8] = [
    "latitude",
    "longitude",
    "altitude",
    "position",
    "course",
    "location",
    "gps",
    "heading",
];

/// The text that a proof tells, as the device sent it, where it may be anybody's.
fn told(entity: &Entity) -> Option<&str> {
    let proof = entity
        .proof
        .as_deref()
        .filter(|_| !crate::capture::is_public(&entity.key))?;
    let (begin, end) = (proof.find('"')?, proof.rfind('"')?);
    proof.get(begin + 1..end).filter(|text| !text.is_empty())
}

/// A proof without the text that it tells: too short a one is not looked for elsewhere.
fn proof(entity: &Entity, redactor: &mut Redactor) -> Option<String> {
    let proof = entity.proof.as_deref()?;
    // Where the house stands.
    if PLACES.iter().any(|word| entity.key.contains(word)) {
        return Some(REMOVED.to_owned());
    }
    Some(match told(entity) {
        Some(text) => redactor.text(&proof.replace(text, REMOVED)),
        None => redactor.text(proof),
    })
}

/// A value that is a number, as the audit holds it: a text stands in quotes there, whatever it begins with.
fn number(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_house_stands_is_nobodys_business() {
        let entity = |key: &str| Entity {
            device_id: "gx_gps_u100".to_owned(),
            key: key.to_owned(),
            at: Some(2800),
            function: Some(3),
            bit: None,
            status: busbar_store::Status::Present,
            lifecycle: busbar_store::Lifecycle::Active,
            proof: Some("register 2800 read 52.379189, not 0".to_owned()),
            name: None,
            first_seen_ms: 1,
            last_seen_ms: 1,
        };
        let mut redactor = Redactor::default();
        for key in ["latitude", "longitude", "position_altitude"] {
            assert_eq!(
                proof(&entity(key), &mut redactor).as_deref(),
                Some(REMOVED),
                "{key}"
            );
        }
        let power = proof(&entity("power"), &mut redactor).unwrap();
        assert!(power.contains("52.379189"), "{power}");
    }

    #[test]
    fn a_text_that_begins_like_a_number_is_a_text() {
        assert_eq!(number("-20.5"), Some(-20.5));
        for text in ["\"7 Elm Street\"", "7 Elm Street", "\"7\"", "inf", "NaN", ""] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
