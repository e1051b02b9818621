//! What a scan would cost a device, asked before it is begun.

use std::sync::{Mutex, PoisonError};

use busbar_plugin_sdk::Mode;
use busbar_wire::Link;
use tokio_util::sync::CancellationToken;

use super::progress::Event;
use super::{Request, Search, Tally, converse};
use crate::catalog::Catalog;
use crate::error::Result;

/// What a plugin expects of a scan as far as this: small reads, and how many of them the device will refuse. It costs the
/// few reads by which the plugin recognises its devices. `None` where that is all there is to read, or nothing is
/// recognised.
///
/// # Errors
/// The plugin's or the wire's.
pub async fn forecast(
    link: &Link,
    catalog: &Catalog,
    plugin: &str,
    mode: Mode,
) -> Result<Option<(u32, u32)>> {
    let request = Request {
        connection: String::new(),
        connection_id: crate::registry::UNSAVED.to_owned(),
        plugin: Some(plugin.to_owned()),
        ledger: None,
        mode,
        units: Vec::new(),
        known: Vec::new(),
    };
    let (told, enough) = (Mutex::new(None), CancellationToken::new());
    let listen = |event: Event| {
        if let Event::Forecast { requests, exceptions } = event {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some((requests, exceptions));
            // The next reads would be the scan itself.
            enough.cancel();
        }
    };
    let search = Search {
        link,
        catalog,
        request: &request,
        tally: &Tally::default(),
        progress: &listen,
        cancel: &enough,
    };
    converse::converse(&search, plugin).await?;
    Ok(told.into_inner().unwrap_or_else(PoisonError::into_inner))
}
