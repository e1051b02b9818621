//! Looking for devices, as far as their owner has agreed to it.

use std::path::PathBuf;

use super::super::work::{Event, Search};
use super::{Hands, Tell};
use crate::error::Result;
use crate::find::known::Registered;
use crate::find::places::Places;
use crate::find::{self, Plan, networks, progress, serial};

impl Hands {
    pub(super) async fn find(&self, search: Search, tell: &Tell) -> Result<Event> {
        let mut plan = self.plan().await?;
        match search {
            Search::Announced => {}
            Search::Network => plan.networks = own_networks().iter().map(|own| own.network).collect(),
            Search::Serial => {
                plan.mdns = None;
                plan.serial = serial::settings(&serial::ports(), &plan.places.units, false);
            }
        }
        let registered = match self.stored().await? {
            Some(stored) => Registered::load(stored.get()).await?,
            None => Registered::default(),
        };
        let tell = Tell::clone(tell);
        let shown = move |event: progress::Event| {
            if let Some(text) = words(&event) {
                tell(Event::Finding { text });
            }
        };
        let report = find::find(&plan, &self.catalog, &registered, &shown, &self.switch.cancel).await;
        Ok(Event::Found {
            found: report.found,
            notes: report.notes,
        })
    }

    /// What is searched when its owner has agreed to nothing yet: it only listens.
    pub(super) async fn plan(&self) -> Result<Plan> {
        let taken = match self.host().await? {
            Some(mut host) => host.get("/control/urls").await?,
            None => Vec::new(),
        };
        Ok(Plan {
            places: Places::of(&self.catalog),
            mdns: Some(self.config.discover.mdns_port),
            taken,
            ..Plan::default()
        })
    }
}

/// The private networks of this machine; none where the system does not tell.
pub(super) fn own_networks() -> Vec<networks::Own> {
    networks::own().unwrap_or_default()
}

/// The serial ports of this machine.
pub(super) fn ports() -> Vec<PathBuf> {
    serial::ports()
}

/// How far a search is.
fn words(event: &progress::Event) -> Option<String> {
    match event {
        progress::Event::Listening => Some("Listening for devices that announce themselves".to_owned()),
        progress::Event::Knocking { done, of } => Some(format!("Trying addresses: {done} of {of}")),
        progress::Event::Asking { done, of } => Some(format!("Asking what is there: {done} of {of}")),
        progress::Event::Trying { port, done, of } => Some(format!("Trying {port}: {done} of {of}")),
        progress::Event::Found(_) | progress::Event::Note(_) => None,
    }
}
