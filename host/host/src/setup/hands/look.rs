//! A first look at an address: on which wire it answers, what it is, and what a scan will cost.

use std::time::Duration;

use busbar_plugin_sdk::Mode;
use busbar_wire::{Endpoint, EndpointError, Link, Options};
use futures_util::future::join_all;
use tokio::time::timeout;

use super::super::work::{Forecast, Sight};
use super::{Hands, cancelled};
use crate::discover::{self, Glance, Seen, glance, glance_by_ear};
use crate::error::{HostError, Result};
use crate::find::known::Registered;
use crate::find::{Confidence, Found, Via};
use crate::profile::Profile;
use crate::registry::UNSAVED;
use crate::telegrams::keys::Keys;
use crate::telegrams::way::Way;

/// The longest that one address may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(20);

/// What one of several addresses showed.
struct Looked {
    url: String,
    way: Option<Way>,
    glance: Result<Glance>,
}

impl Hands {
    pub(super) async fn look(&self, urls: Vec<String>) -> Result<Sight> {
        let registered = match self.stored().await? {
            Some(stored) => Registered::load(stored.get()).await?,
            None => Registered::default(),
        };
        let taken: Vec<String> = match self.host().await? {
            Some(mut host) => host.get("/control/urls").await?,
            None => Vec::new(),
        };
        // What the host talks to has perhaps room for one client only: what is known of it is enough.
        if let Some(url) = urls.iter().find(|url| taken.contains(url)) {
            let connection = registered
                .connections
                .iter()
                .find(|connection| connection.url == *url);
            return Ok(Sight {
                url: url.clone(),
                answered: true,
                known_as: connection.map(|connection| connection.name.clone()),
                by_host: true,
                ..Sight::default()
            });
        }
        let all = tokio::select! {
            () = self.switch.cancel.cancelled() => return Err(cancelled()),
            all = join_all(urls.iter().map(|url| self.look_at(url))) => all,
        };
        let best = all
            .iter()
            .position(|one| one.glance.as_ref().is_ok_and(|g| !g.seen.is_empty()));
        let answered = || {
            all.iter()
                .position(|one| one.glance.as_ref().is_ok_and(|g| g.answered))
        };
        let best = best.or_else(answered);
        let others = all.iter().enumerate().filter(|(n, _)| Some(*n) != best);
        let others: Vec<(String, String)> = others.map(|(_, one)| (one.url.clone(), why_not(one))).collect();
        let Some(taken) = best.and_then(|best| all.get(best)) else {
            let first = all.first().map(|one| one.url.clone()).unwrap_or_default();
            return Ok(Sight {
                url: first,
                others,
                ..Sight::default()
            });
        };
        let mut sight = Sight {
            url: taken.url.clone(),
            answered: true,
            // One that does not answer needs no word where only one was asked.
            others,
            ..Sight::default()
        };
        if let (Ok(glance), Some(way)) = (&taken.glance, &taken.way) {
            sight.recognised = glance.seen.iter().map(|seen| self.words(seen)).collect();
            sight.ids = glance.seen.iter().flat_map(|seen| seen.ids.clone()).collect();
            if let (Some(plugin), Some(link)) = (
                glance.seen.iter().find_map(|seen| seen.plugin.as_deref()),
                way.link(),
            ) {
                sight.quick = self.forecast(link, plugin, Mode::Quick).await;
                sight.full = self.forecast(link, plugin, Mode::Full).await;
            }
            known(&mut sight, glance, &registered);
        }
        for one in &all {
            if let Some(way) = &one.way {
                way.close().await;
            }
        }
        Ok(sight)
    }

    async fn look_at(&self, url: &str) -> Looked {
        let endpoint: Result<Endpoint, EndpointError> = url.parse();
        let endpoint = match endpoint {
            Ok(endpoint) => endpoint,
            Err(e) => {
                return Looked {
                    url: url.to_owned(),
                    way: None,
                    glance: Err(HostError::usage(e.to_string(), e.hint())),
                };
            }
        };
        let url = endpoint.to_string();
        let keys = match Keys::find(&self.config, &url, None) {
            Ok(keys) => keys,
            Err(error) => {
                return Looked {
                    url,
                    way: None,
                    glance: Err(error),
                };
            }
        };
        let way = Way::open(endpoint, Options::one_shot(), keys, &Profile::default());
        let cancel = &self.switch.cancel;
        let glanced = match &way {
            Way::Asked(link) => timeout(PATIENCE, glance(link, &self.catalog, UNSAVED, &[], cancel)).await,
            // Listening has a patience of its own.
            Way::Heard(ear) => Ok(glance_by_ear(ear, &self.catalog, UNSAVED, cancel).await),
        };
        let slow = || HostError::failed("silent", format!("{url} answers too slowly"), "Try again.");
        Looked {
            glance: glanced.unwrap_or_else(|_| Err(slow())),
            way: Some(way),
            url,
        }
    }

    /// What a scan will cost; nothing where that cannot be said.
    async fn forecast(&self, link: &Link, plugin: &str, mode: Mode) -> Option<Forecast> {
        let told = discover::forecast(link, &self.catalog, plugin, mode);
        let (requests, exceptions) = timeout(PATIENCE, told).await.ok()?.ok()??;
        Some(Forecast { requests, exceptions })
    }

    /// What was recognised, in a line.
    fn words(&self, seen: &Seen) -> String {
        let plugin = seen
            .plugin
            .as_deref()
            .and_then(|plugin| self.catalog.title_of(plugin));
        let mut words = vec![plugin.unwrap_or_else(|| seen.ledger.title.clone())];
        let found = &seen.found;
        words.extend(
            found
                .model
                .clone()
                .filter(|model| !words[0].contains(model.as_str())),
        );
        words.extend(found.serial.as_ref().map(|serial| format!("serial {serial}")));
        words.extend(
            found
                .firmware
                .as_ref()
                .map(|firmware| format!("firmware {firmware}")),
        );
        words.join(", ")
    }
}

/// Notes whether the registry has what was recognised, here or elsewhere.
fn known(sight: &mut Sight, glance: &Glance, registered: &Registered) {
    let first = glance.seen.first();
    let mut found = Found {
        url: sight.url.clone(),
        unit_id: first.map(|seen| seen.found.unit),
        ledger: first.map(|seen| seen.found.ledger.clone()),
        plugin: None,
        title: None,
        name: None,
        model: None,
        serial: first.and_then(|seen| seen.found.serial.clone()),
        firmware: None,
        confidence: Confidence::Likely,
        via: Via::Subnet,
        known: false,
        connection: None,
        moved_from: None,
        adopted: false,
        note: None,
        ids: sight.ids.clone(),
    };
    registered.recognise(&mut found);
    sight.known_as = found.connection;
    sight.moved_from = found.moved_from;
}

fn why_not(one: &Looked) -> String {
    match &one.glance {
        Ok(glance) if glance.answered => "it answers, and is not recognised".to_owned(),
        Ok(_) => "nothing answers".to_owned(),
        Err(error) => error.to_string().replace(&format!("{}: ", one.url), ""),
    }
}
