//! What was found against what the registry has. Pure.

use busbar_store::{Connection, Device, Lifecycle, Registry};

use super::Found;
use crate::error::Result;

/// What the registry has, as far as a search needs it.
#[derive(Clone, Debug, Default)]
pub struct Registered {
    /// Its connections.
    pub connections: Vec<Connection>,
    /// Its devices, those put away by their owner left out.
    pub devices: Vec<Device>,
}

impl Registered {
    /// Reads it.
    ///
    /// # Errors
    /// The store's.
    pub async fn load(registry: &Registry) -> Result<Self> {
        let mut devices = registry.devices().await?;
        devices.retain(|d| d.lifecycle != Lifecycle::Retired);
        Ok(Registered {
            connections: registry.connections().await?,
            devices,
        })
    }

    /// Notes on something found whether it is known, and from where.
    pub fn recognise(&self, found: &mut Found) {
        let here = self.connections.iter().find(|c| c.url == found.url);
        let same = self.devices.iter().find(|d| found.ids.contains(&d.id));
        let of = |device: &Device| self.connections.iter().find(|c| c.id == device.connection_id);
        if let Some(connection) = same.and_then(of) {
            found.known = true;
            found.connection = Some(connection.name.clone());
            if here.is_none_or(|here| here.id != connection.id) {
                found.moved_from = Some(connection.url.clone());
            }
            return;
        }
        let Some(here) = here else { return };
        found.connection = Some(here.name.clone());
        let unit = found.unit_id;
        let mut known = self
            .devices
            .iter()
            .filter(|d| d.connection_id == here.id && unit.is_none_or(|u| u == d.unit_id));
        let Some(device) = known.next() else { return };
        if found.serial.is_none() || device.serial.is_none() {
            found.known = true;
            // The registry knows what a place that was not asked holds.
            if found.ledger.is_none() {
                found.ledger = Some(device.ledger.clone());
                found.title = device.name.clone();
                found.unit_id = Some(device.unit_id);
                found.model = device.model.clone();
                found.serial = device.serial.clone();
                found.firmware = device.firmware.clone();
            }
        } else {
            let was = device.serial.as_deref().unwrap_or_default();
            found.note = Some(format!(
                "the registry has another device there, with the serial number {was}"
            ));
        }
    }
}

/// A device that answers at its old address, too, has not moved: it has two addresses.
pub fn settle(found: &mut [Found]) {
    let at: Vec<(String, Vec<String>)> = found.iter().map(|f| (f.url.clone(), f.ids.clone())).collect();
    for one in found {
        let Some(from) = &one.moved_from else { continue };
        let still =
            |(url, ids): &(String, Vec<String>)| url == from && ids.iter().any(|id| one.ids.contains(id));
        if at.iter().any(still) {
            one.note = Some(format!("the same device as at {from}"));
            one.moved_from = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Confidence, Via};
    use super::*;

    fn found(url: &str, id: &str, serial: Option<&str>) -> Found {
        Found {
            url: url.to_owned(),
            unit_id: Some(1),
            ledger: Some("a/b".to_owned()),
            plugin: None,
            title: None,
            name: None,
            model: None,
            serial: serial.map(str::to_owned),
            firmware: None,
            confidence: Confidence::Certain,
            via: Via::Subnet,
            known: false,
            connection: None,
            moved_from: None,
            adopted: false,
            note: None,
            ids: vec![id.to_owned()],
        }
    }

    fn registered() -> Registered {
        Registered {
            connections: vec![Connection {
                id: "c1".into(),
                name: "meter".into(),
                url: "modbus+tcp://10.0.0.1:502".into(),
                plugin: None,
                options: serde_json::Value::Null,
                created_ms: 0,
            }],
            devices: vec![Device {
                id: "m_1".into(),
                connection_id: "c1".into(),
                unit_id: 1,
                ledger: "a/b".into(),
                name: None,
                own_name: None,
                model: None,
                serial: Some("1".into()),
                firmware: None,
                lifecycle: Lifecycle::Active,
                first_seen_ms: 0,
                last_seen_ms: 0,
            }],
        }
    }

    #[test]
    fn a_device_is_known_by_what_it_is_and_not_by_where() {
        let all = registered();
        let (old, new) = ("modbus+tcp://10.0.0.1:502", "modbus+tcp://10.0.0.9:502");
        let mut here = found(old, "m_1", Some("1"));
        all.recognise(&mut here);
        assert!(here.known && here.moved_from.is_none() && here.connection.as_deref() == Some("meter"));

        let mut moved = found(new, "m_1", Some("1"));
        all.recognise(&mut moved);
        assert!(moved.known && moved.moved_from.as_deref() == Some(old));

        let mut other = found(old, "m_2", Some("2"));
        all.recognise(&mut other);
        assert!(!other.known && other.note.unwrap().contains("serial number 1"));

        let mut new = found(new, "m_2", Some("2"));
        all.recognise(&mut new);
        assert!(!new.known && new.connection.is_none());
    }

    #[test]
    fn two_addresses_of_one_device_are_no_move() {
        let all = registered();
        let mut both = [
            found("modbus+tcp://10.0.0.1:502", "m_1", Some("1")),
            found("modbus+tcp://10.0.0.9:502", "m_1", Some("1")),
        ];
        both.iter_mut().for_each(|f| all.recognise(f));
        settle(&mut both);
        assert!(both.iter().all(|f| f.known && f.moved_from.is_none()));
        assert!(both[1].note.as_deref().unwrap().contains("10.0.0.1"));
    }
}
