//! What an owner changes while the host runs: it is carried out in the registry, and what it concerns is polled anew.

use std::sync::Arc;

use busbar_store::Connection;

use super::Host;
use crate::error::Result;
use crate::registry::change::{self, Change};
use crate::registry::{adopt_ledgers, kept};
use crate::write::policy::Policy;

impl Host {
    /// Carries a change out, in the registry and in what is polled. How far writing goes is read at the start only: a host
    /// never gets a way to write that it did not have. One that is taken back it has no more.
    ///
    /// # Errors
    /// Those of [`change::apply`]; then nothing is changed.
    pub async fn change(self: &Arc<Self>, change: &Change) -> Result<()> {
        let _turn = self.turn().await;
        let mut all = self.concerned(change).await?;
        change::fits(change, all.first(), &self.config)?;
        change::apply(&self.registry, change).await?;
        if let Change::Replace { old, .. } = change {
            adopt_ledgers(&self.registry, &self.catalog).await?;
            self.book.replaced(old);
        }
        let known = self.registry.devices().await?;
        self.book
            .keep_only(&known.into_iter().map(|device| device.id).collect());
        if change.needs_restart() {
            let now = Policy::of(&self.config, &kept(&self.registry).await?);
            for connection in &all {
                self.policy.take_back(&connection.id, &now);
            }
            return Ok(());
        }
        for connection in self.concerned(change).await? {
            if all.iter().all(|known| known.id != connection.id) {
                all.push(connection);
            }
        }
        for known in &all {
            self.renew(known).await?;
        }
        Ok(())
    }

    /// The turn of one change: others wait for their own.
    pub async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// The connections that a change is about, as the registry has them now.
    async fn concerned(&self, change: &Change) -> Result<Vec<Connection>> {
        let device_of = |entity: &str| {
            entity
                .split_once('.')
                .map_or(entity, |(device, _)| device)
                .to_owned()
        };
        let devices = match change {
            Change::Site { .. } => return Ok(Vec::new()),
            Change::RenameConnection { connection, .. }
            | Change::Interval { connection, .. }
            | Change::Move { connection, .. }
            | Change::RemoveConnection { connection }
            | Change::Writes { connection, .. } => {
                return Ok(self.registry.connection(connection).await?.into_iter().collect());
            }
            Change::NameDevice { device, .. }
            | Change::Choose { device, .. }
            | Change::RemoveDevice { device } => {
                vec![device.clone()]
            }
            Change::NameEntity { entity, .. } => vec![device_of(entity)],
            Change::Replace { old, new } => vec![old.clone(), new.clone()],
        };
        let known = self.registry.devices().await?;
        let on: Vec<_> = known.iter().filter(|d| devices.contains(&d.id)).collect();
        let mut connections = self.registry.connections().await?;
        connections.retain(|connection| on.iter().any(|device| device.connection_id == connection.id));
        Ok(connections)
    }
}
