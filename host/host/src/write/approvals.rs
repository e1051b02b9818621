//! For which device an entity was allowed: the one that the registry knew then, until its owner says that another state of it
//! is right, too.

use std::sync::Arc;

use busbar_guard::{Cause, Refusal};
use busbar_ledger::write::WriteRule;
use busbar_store::Approval;
use sha2::{Digest, Sha256};

use super::Writer;
use super::evidence::{self, Who};
use super::record::{self, Asker};
use super::target::Target;
use crate::clock;
use crate::error::Result;
use crate::host::Host;

impl Writer {
    /// Whether the device is the one that the owner has approved. What is allowed and was never looked at is approved as it
    /// stands in the registry.
    pub(super) async fn approved(&self, host: &Host, target: &Target, who: &Who) -> Result<(), Refusal> {
        let entity = target.id();
        let meta = &target.device.meta;
        let known = host.registry.approvals().await.map_err(|error| {
            Refusal::new(
                Cause::Audit,
                format!("the registry cannot be read: {error}"),
                error.hint(),
            )
        })?;
        let approval = match known.into_iter().find(|approval| approval.entity == entity) {
            Some(approval) => approval,
            None => {
                // The device that the owner has allowed is the one of the registry, whoever answers now.
                let approval = approval(target, &registered(target));
                host.registry
                    .put_approval(&approval)
                    .await
                    .map_err(|error| no_registry("written", &error))?;
                approval
            }
        };
        let serial_fits = match (&approval.serial, &who.serial) {
            (Some(approved), now) => now.as_ref() == Some(approved),
            // One that told none, and tells one now, is another, or was set up anew.
            (None, now) => now.is_none(),
        };
        if !serial_fits {
            let now = who.serial.as_deref().unwrap_or("none");
            return Err(Refusal::new(
                Cause::Identity,
                format!(
                    "the device there is not the one that you allowed: its serial number is {}, and was {}",
                    crate::format::visible(now),
                    crate::format::visible(approval.serial.as_deref().unwrap_or("none"))
                ),
                "Scan again to take the new device over; then look at `busbar limits` and confirm with --confirm.",
            ));
        }
        if who.tells_firmware && approval.firmware.is_some() && approval.firmware != who.firmware {
            return Err(Refusal::new(
                Cause::Identity,
                format!(
                    "the firmware of {} has changed since you allowed this: it is {}, and was {}",
                    meta.name,
                    crate::format::visible(who.firmware.as_deref().unwrap_or("not told")),
                    crate::format::visible(approval.firmware.as_deref().unwrap_or("not told"))
                ),
                "Look at `busbar limits`; when all is right: `busbar limits --confirm`.",
            ));
        }
        if approval.fingerprint == Approval::OF_ANOTHER {
            return Err(Refusal::new(
                Cause::Identity,
                "another device has taken the place of the one for which you allowed this",
                "Look at `busbar limits`; when all is right: `busbar limits --confirm`.",
            ));
        }
        if approval.fingerprint != fingerprint(target) {
            return Err(Refusal::new(
                Cause::Identity,
                "where it lies, or what its ledger says of it, has changed since you allowed it",
                "Look at `busbar limits`; when all is right: `busbar limits --confirm`.",
            ));
        }
        Ok(())
    }

    /// The owner has looked at what may be written, and says that it is right: approvals are given anew, for the devices as
    /// they are now. All are asked before anything is changed. Tells what has changed, a sentence each, and how many entities
    /// may be written.
    ///
    /// # Errors
    /// The store's, devices that do not say who they are, and others in the place of known ones: those are scanned first.
    pub async fn confirm(&self, host: &Arc<Host>, asker: &Asker) -> Result<(usize, Vec<String>), Refusal> {
        let store = |error: busbar_store::StoreError| no_registry("written", &error);
        let all = host.bus.devices();
        let known = host.registry.approvals().await.map_err(store)?;
        let (mut given, mut changes) = (Vec::new(), Vec::new());
        for one in &self.policy.all(&all, clock::now_ms()) {
            let target = &one.target;
            let meta = &target.device.meta;
            let lane = host.lane(&meta.connection_id).ok_or_else(|| {
                Refusal::new(
                    Cause::Stale,
                    format!("\"{}\" is not polled", meta.connection),
                    "Start the host (`busbar`), then confirm.",
                )
            })?;
            let who = evidence::who(&lane.link, &target.device, &all).await?;
            if who.serial.is_some() && who.serial != meta.serial {
                return Err(Refusal::new(
                    Cause::Identity,
                    format!("{}: {}", target.id(), who.instead_of(&registered(target))),
                    "Scan again to take the new device over (`busbar scan URL --save`); it gets ids of its own.",
                ));
            }
            let approval = approval(target, &who);
            if let Some(old) = known.iter().find(|old| old.entity == approval.entity) {
                let part =
                    |part: &Option<String>| crate::format::visible(part.as_deref().unwrap_or("not told"));
                if old.firmware != approval.firmware {
                    changes.push(format!(
                        "{}: firmware {} instead of {}",
                        old.entity,
                        part(&approval.firmware),
                        part(&old.firmware)
                    ));
                }
                if old.fingerprint == Approval::OF_ANOTHER {
                    changes.push(format!("{}: another device is in its place", old.entity));
                } else if old.fingerprint != approval.fingerprint {
                    changes.push(format!("{}: its place or its ledger has changed", old.entity));
                }
            }
            given.push(approval);
        }
        for approval in &given {
            host.registry.put_approval(approval).await.map_err(store)?;
        }
        host.registry.confirm().await.map_err(store)?;
        let what = format!(
            "the owner has confirmed {} entities that may be written{}",
            given.len(),
            changes
                .iter()
                .map(|change| format!("; {change}"))
                .collect::<String>()
        );
        host.registry
            .audit(record::note(asker, &what))
            .await
            .map_err(store)?;
        Ok((given.len(), changes))
    }

    /// Approves what is allowed for the first time, for the devices as the registry knows them, and forgets approvals of
    /// what is allowed no more. Devices that are not on the bus are left as they are.
    ///
    /// # Errors
    /// The store's.
    pub async fn approve_new(&self, host: &Host) -> Result<()> {
        let known = host.registry.approvals().await?;
        let allowed = self.policy.all(&host.bus.devices(), clock::now_ms());
        for one in &allowed {
            let target = &one.target;
            let entity = target.id();
            if !known.iter().any(|approval| approval.entity == entity) {
                let approval = approval(target, &registered(target));
                host.registry.put_approval(&approval).await?;
            }
        }
        for approval in known {
            let device = approval.entity.split_once('.').map_or("", |(device, _)| device);
            let is_allowed = allowed.iter().any(|one| one.target.id() == approval.entity);
            if !is_allowed && host.bus.device(device).is_some() {
                host.registry.remove_approval(&approval.entity).await?;
            }
        }
        Ok(())
    }
}

fn no_registry(doing: &str, error: &busbar_store::StoreError) -> Refusal {
    Refusal::new(
        Cause::Audit,
        format!("the registry cannot be {doing}: {error}"),
        error.hint(),
    )
}

/// Who the device is by the registry.
fn registered(target: &Target) -> Who {
    let meta = &target.device.meta;
    Who {
        serial: meta.serial.clone(),
        firmware: meta.firmware.clone(),
        tells_firmware: true,
    }
}

fn approval(target: &Target, who: &Who) -> Approval {
    Approval {
        entity: target.id(),
        serial: who.serial.clone(),
        firmware: who.firmware.clone(),
        fingerprint: fingerprint(target),
        approved_ms: clock::now_ms(),
    }
}

/// What must still be the same for an approval to hold: where the value lies, what it means there, and the bounds within
/// which it is written.
fn fingerprint(target: &Target) -> String {
    let point = target.point();
    // The words for it may be put better.
    let rule = point.write.clone().map(|rule| WriteRule { source: None, ..rule });
    let rule = Sha256::digest(format!("{rule:?}"));
    let rule: String = rule.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let place = match point.register() {
        Some(register) => format!(
            "{} {} {} {:?} {:?} {}/{}",
            target.device.meta.ledger.name,
            target.device.meta.unit,
            register.span,
            register.ty,
            register.order,
            register.scale.num,
            register.scale.den
        ),
        None => target.device.meta.ledger.name.clone(),
    };
    format!("{place} {rule}")
}
