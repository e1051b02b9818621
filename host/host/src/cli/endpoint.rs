//! Endpoints as commands meet them: checked, and asked through the host that owns them.

use std::path::Path;
use std::time::Duration;

use busbar_wire::{Endpoint, EndpointError, Options};

use crate::control::Client;
use crate::error::{HostError, Result};

/// A URL as it was typed, checked.
///
/// # Errors
/// A usage error that says what to write.
pub fn parse(url: &str) -> Result<Endpoint> {
    url.parse()
        .map_err(|e: EndpointError| HostError::usage(e.to_string(), e.hint()))
}

/// The options of a link that a command opens for itself.
pub fn one_shot(timeout: Option<Duration>) -> Options {
    Options {
        timeout,
        ..Options::one_shot()
    }
}

/// The host that runs on this data directory, if it owns this endpoint: many devices allow one client only.
///
/// # Errors
/// When a host runs but cannot be talked to.
pub async fn owner(data_dir: &Path, url: &str) -> Result<Option<Client>> {
    let Some(mut host) = Client::connect(data_dir).await? else {
        return Ok(None);
    };
    let urls: Vec<String> = host.get("/control/urls").await?;
    Ok(urls.iter().any(|u| u == url).then_some(host))
}

/// A ledger's name or file in a form that means the same in the host's working directory.
pub fn ledger_for_host(ledger: &str) -> String {
    match Path::new(ledger).canonicalize() {
        Ok(path) if ledger.ends_with(".toml") => path.display().to_string(),
        _ => ledger.to_owned(),
    }
}
