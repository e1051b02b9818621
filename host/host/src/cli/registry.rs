//! `busbar devices`, `busbar entities`, `busbar explain`: from the running host where there is one, else from the
//! registry as it lies on disk.

use std::path::Path;

use busbar_ledger::value::Quality;
use busbar_store::Registry;
use comfy_table::{Cell, ColumnConstraint, Table};

use super::args::{EntitiesArgs, ExplainArgs};
use super::output::{Output, number};
use crate::catalog::Catalog;
use crate::config::Config;
use crate::control::Client;
use crate::error::{HostError, Result};
use crate::explain::{self, Explanation};
use crate::format::{self, visible};
use crate::profile::DeviceProfile;
use crate::registry::{adopt_ledgers, kept, stored_views};
use crate::view::{self, Devices, Entities};
use crate::write::policy::Policy;

/// A terminal of so many columns has room for what is nice to know.
const ROOMY: u16 = 110;

/// `busbar devices`
pub async fn devices(
    data_dir: &Path,
    output: Output,
    catalog: impl AsyncFnOnce() -> Result<Catalog>,
) -> Result<()> {
    let devices: Devices = match Client::connect(data_dir).await? {
        Some(mut host) => host.get("/api/v1/devices").await?,
        None => {
            let registry = Registry::open_read_only(data_dir).await?;
            view::devices(&stored_views(&registry, &catalog().await?).await?)
        }
    };
    if output.is_json() {
        return output.document(&devices);
    }
    if devices.devices.is_empty() {
        return Err(empty());
    }
    let mut headings = vec!["device", "name", "unit", "ledger", "entities", "state"];
    // What was learned about talking to it is for those who have the room; `doctor` tells more.
    let roomy = output.table([]).width().is_none_or(|width| width >= ROOMY);
    if roomy {
        headings.push("answers");
    }
    let mut table = output.table_of(&headings);
    for device in &devices.devices {
        let state = match &device.reason {
            Some(reason) => format!("{}: {}", device.availability, visible(reason)),
            None => device.availability.clone(),
        };
        let mut row: Vec<Cell> = vec![
            device.id.as_str().into(),
            visible(&device.name).into(),
            number(device.unit_id),
            device.ledger.as_str().into(),
            number(device.entities.len()),
            state.into(),
        ];
        if roomy {
            row.push(output.dim_cell(&device.profile.as_ref().map(manners).unwrap_or_default()));
        }
        table.add_row(row);
    }
    unbroken(&mut table);
    output.table_lines(&table);
    Ok(())
}

/// An id is there to be copied: it is never broken, whatever else has to be.
fn unbroken(table: &mut Table) {
    if let Some(id) = table.column_mut(0) {
        id.set_constraint(ColumnConstraint::ContentWidth);
    }
}

/// How a device answers, in a few words: `12 ms, 4 at once, 60 registers`.
fn manners(profile: &DeviceProfile) -> String {
    let parts = [
        profile.latency_ms.map(|ms| format!("{ms} ms")),
        profile.in_flight.map(|n| format!("{n} at once")),
        profile.max_words.map(|n| format!("{n} registers")),
        (profile.spans_holes == Some(false)).then(|| "not over holes".to_owned()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// `busbar entities`
pub async fn entities(
    args: &EntitiesArgs,
    data_dir: &Path,
    output: Output,
    catalog: impl AsyncFnOnce() -> Result<Catalog>,
) -> Result<()> {
    let mut entities: Entities = match Client::connect(data_dir).await? {
        Some(mut host) => host.get("/api/v1/entities").await?,
        None => {
            let registry = Registry::open_read_only(data_dir).await?;
            view::entities(&stored_views(&registry, &catalog().await?).await?, None)
        }
    };
    if let Some(device) = &args.device {
        entities.entities.retain(|e| e.device == *device);
        if entities.entities.is_empty() {
            return Err(HostError::nothing_found(
                format!("there is no device {device:?} in the registry"),
                "`busbar devices` lists them.",
            ));
        }
    }
    if output.is_json() {
        return output.document(&entities);
    }
    if entities.entities.is_empty() {
        return Err(empty());
    }
    let mut table = output.table(["entity", "value", "age", "status", "name"]);
    for view in &entities.entities {
        let entity = &view.entity;
        let value = format::value(
            entity.value.as_ref(),
            entity.label.as_deref(),
            entity.unit.as_deref(),
            entity.quality,
        );
        let age = view
            .age_ms
            .filter(|_| entity.quality != Quality::Unavailable)
            .map(format::age);
        table.add_row(vec![
            entity.id.as_str().into(),
            number(value),
            number(age.unwrap_or_default()),
            entity.status.name().into(),
            visible(&entity.name).into(),
        ]);
    }
    unbroken(&mut table);
    output.table_lines(&table);
    Ok(())
}

/// `busbar explain`
pub async fn explain(
    args: &ExplainArgs,
    data_dir: &Path,
    config: &Config,
    output: Output,
    catalog: impl AsyncFnOnce() -> Result<Catalog>,
) -> Result<()> {
    let explanation: Explanation = match Client::connect(data_dir).await? {
        Some(mut host) => {
            host.get(&format!("/control/explain/{}", path_part(&args.entity)))
                .await?
        }
        None => {
            let registry = Registry::open_read_only(data_dir).await?;
            let catalog = catalog().await?;
            adopt_ledgers(&registry, &catalog).await?;
            let policy = Policy::of(config, &kept(&registry).await?);
            let writing = explain::Writing {
                policy: &policy,
                host: None,
            };
            explain::explain(&registry, &catalog, None, writing, &args.entity).await?
        }
    };
    if output.is_json() {
        return output.document(&explanation);
    }
    output.line(&format!(
        "{}  {}",
        output.bold(&visible(&explanation.name)),
        output.dim(&explanation.entity)
    ));
    let mut about = vec![
        explanation.ledger.clone(),
        format!("unit {}", explanation.unit_id),
    ];
    about.extend(explanation.origin.clone());
    output.line(&output.dim(&about.join(" · ")));
    output.line("");
    for (i, step) in explanation.steps.iter().enumerate() {
        output.line(&format!("{:>3}. {}", i + 1, visible(step)));
    }
    output.line("");
    let proof = explanation.proof.as_deref().unwrap_or("nothing is recorded");
    output.line(&format!("{}: {}", explanation.status.name(), visible(proof)));
    if let Some(write) = &explanation.write {
        output.line("");
        output.line(&output.bold("Writing it"));
        for line in super::writes::limits::lines(write) {
            output.line(&format!("  {}", visible(&line)));
        }
        output.line("");
    }
    for extra in [&explanation.note, &explanation.source].into_iter().flatten() {
        output.line(&output.dim(&visible(extra)));
    }
    Ok(())
}

/// An id as one part of a URL's path.
fn path_part(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

fn empty() -> HostError {
    HostError::nothing_found(
        "the registry is empty",
        "`busbar setup` sets a device up, step by step; `busbar scan URL --save` does it at once.",
    )
}
