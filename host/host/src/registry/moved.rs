//! Connections whose devices are found again at another address: they move, and with them everything that is kept.

use busbar_store::{Connection, Device, Lifecycle, Registry};

use super::save;
use crate::discover::Scan;
use crate::error::{HostError, Result};

/// The connection that a scan belongs to.
#[derive(Debug)]
pub enum Home {
    /// The one that was named, or has this URL, or none yet.
    Usual,
    /// One that the registry has at another address, where its devices are no longer looked for.
    Moved(Connection),
}

/// Where a scan of this URL belongs: to the connection that is meant, else to the one whose devices it found.
///
/// # Errors
/// The store's.
pub async fn home(registry: &Registry, url: &str, name: Option<&str>, scan: &Scan) -> Result<Home> {
    if name.is_some() || save::known(registry, url, name).await?.is_some() {
        return Ok(Home::Usual);
    }
    let found: Vec<&str> = scan.devices.iter().map(|d| d.report.id.as_str()).collect();
    let devices = registry.devices().await?;
    let Some(id) = moved(&found, &devices) else {
        return Ok(Home::Usual);
    };
    Ok(registry.connection(id).await?.map_or(Home::Usual, Home::Moved))
}

/// The connection most of whose devices were found. One that lost only some has not moved: they have, and the rest is
/// where it was. Pure.
fn moved<'a>(found: &[&str], devices: &'a [Device]) -> Option<&'a str> {
    let first = devices.iter().find(|d| found.contains(&d.id.as_str()))?;
    let of = devices
        .iter()
        .filter(|d| d.connection_id == first.connection_id)
        .filter(|d| !matches!(d.lifecycle, Lifecycle::Missing | Lifecycle::Retired));
    let (mut all, mut here) = (0, 0);
    for device in of {
        all += 1;
        here += usize::from(found.contains(&device.id.as_str()));
    }
    (2 * here > all).then_some(first.connection_id.as_str())
}

/// Gives a connection, by name or id, another address.
///
/// # Errors
/// The store's; a usage error for a connection that is not there.
pub async fn relocate(registry: &Registry, connection: &str, url: &str) -> Result<Connection> {
    let Some(known) = registry.connection(connection).await? else {
        return Err(HostError::usage(
            format!("there is no connection {connection:?}"),
            "`busbar devices` shows what the registry has.",
        ));
    };
    super::save::move_to(registry, &known, url).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(id: &str, connection: &str, lifecycle: Lifecycle) -> Device {
        Device {
            id: id.into(),
            connection_id: connection.into(),
            unit_id: 1,
            ledger: "a/b".into(),
            name: None,
            own_name: None,
            model: None,
            serial: None,
            firmware: None,
            lifecycle,
            first_seen_ms: 0,
            last_seen_ms: 0,
        }
    }

    #[test]
    fn a_connection_moves_when_most_of_it_is_found_elsewhere() {
        let devices = [
            device("a", "c1", Lifecycle::Active),
            device("b", "c1", Lifecycle::Active),
            device("c", "c1", Lifecycle::Active),
            device("gone", "c1", Lifecycle::Missing),
            device("x", "c2", Lifecycle::Active),
        ];
        assert_eq!(moved(&["a", "b"], &devices), Some("c1"));
        assert_eq!(moved(&["new", "x"], &devices), Some("c2"));
        // One meter of three behind a gateway was put elsewhere: the gateway stays.
        assert_eq!(moved(&["a"], &devices), None);
        assert_eq!(moved(&["new"], &devices), None);
        assert_eq!(moved(&[], &devices), None);
    }
}
