//! What was learned about talking to an endpoint, kept so that the next start need not learn it again.

use busbar_store::{Connection, Registry};
use busbar_wire::Link;
use serde::{Deserialize, Serialize};
use tracing::debug;

/// The profile of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// Requests that it copes with at once.
    pub in_flight: Option<u16>,
    /// The longest read that it takes, in registers.
    pub max_words: Option<u16>,
}

impl Profile {
    /// What is known of a connection; nothing when it was never written, or cannot be read.
    pub async fn load(registry: &Registry, connection: &Connection) -> Self {
        match registry.profile(&connection.id).await {
            Ok(Some(body)) => serde_json::from_value(body).unwrap_or_default(),
            Ok(None) => Profile::default(),
            Err(error) => {
                debug!("the profile of \"{}\" cannot be read: {error}", connection.name);
                Profile::default()
            }
        }
    }

    /// Keeps what a link has learned, where it is new. A profile saves time and nothing else, so that a disk that
    /// fails here is only noted.
    pub async fn keep(registry: &Registry, connection_id: &str, link: &Link, max_words: Option<u16>) {
        let known = match registry.profile(connection_id).await {
            Ok(Some(body)) => serde_json::from_value(body).unwrap_or_default(),
            _ => Profile::default(),
        };
        let now = Profile {
            in_flight: Some(link.stats().window).filter(|w| *w > 0).or(known.in_flight),
            max_words: max_words.or(known.max_words),
        };
        if now == known {
            return;
        }
        let Ok(body) = serde_json::to_value(now) else {
            return;
        };
        if let Err(error) = registry.put_profile(connection_id, &body).await {
            debug!("the profile of an endpoint could not be kept: {error}");
        }
    }
}
