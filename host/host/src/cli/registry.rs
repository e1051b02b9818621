//! `busbar devices`, `busbar entities`, `busbar explain`: from the running host where there is one, else from the
//! registry as it lies on disk.

use std::path::Path;

use busbar_ledger::value::Quality;
use busbar_store::Registry;

use super::args::ExplainArgs;
use super::grid::{Column, Grid, Room, Style};
use super::output::{Output, number};
use super::select::{self, DevicesArgs, EntitiesArgs};
use crate::catalog::Catalog;
use crate::config::Config;
use crate::control::Client;
use crate::error::{HostError, Result};
use crate::explain::{self, Explanation};
use crate::format::{self, visible};
use crate::profile::DeviceProfile;
use crate::registry::{adopt_ledgers, kept, stored_views};
use crate::view::{self, DeviceView, Devices, Entities, EntityView};
use crate::write::policy::Policy;

/// A terminal of so many columns has room for what is nice to know.
const ROOMY: usize = 110;

/// A few keys are very long: the others need not stand so far from their values.
const KEYS: usize = 44;
/// The same where there is less room.
const KEYS_NARROW: usize = 32;

/// All devices with their entities: from the running host, or from the registry.
async fn gather(data_dir: &Path, catalog: impl AsyncFnOnce() -> Result<Catalog>) -> Result<Devices> {
    match Client::connect(data_dir).await? {
        Some(mut host) => host.get("/api/v1/devices").await,
        None => {
            let registry = Registry::open_read_only(data_dir).await?;
            Ok(view::devices(&stored_views(&registry, &catalog().await?).await?))
        }
    }
}

/// `busbar devices`
pub async fn devices(
    args: &DevicesArgs,
    data_dir: &Path,
    output: Output,
    catalog: impl AsyncFnOnce() -> Result<Catalog>,
) -> Result<()> {
    let mut devices = gather(data_dir, catalog).await?;
    select::devices(args, &mut devices)?;
    if output.is_json() {
        return output.document(&devices);
    }
    if devices.devices.is_empty() {
        return Err(empty());
    }
    let mut columns = vec![
        Column::new("device", Room::Whole),
        Column::new("name", Room::Elastic),
        Column::right("unit", Room::Whole),
        Column::new("ledger", Room::Optional),
        Column::right("entities", Room::Optional),
        Column::new("state", Room::Whole),
        Column::right("age", Room::Whole),
    ];
    // What was learned about talking to it is for those who have the room; `doctor` tells more.
    if output.width().is_none_or(|width| width >= ROOMY) {
        columns.push(Column::new("answers", Room::Optional));
    }
    let mut grid = Grid::new(&columns);
    for device in &devices.devices {
        let plain = |text: String| (text, Style::Plain);
        let newest = device.entities.iter().filter_map(|entity| entity.age_ms).min();
        let mut row = vec![
            plain(device.id.clone()),
            plain(visible(&device.name)),
            plain(device.unit_id.to_string()),
            plain(device.ledger.clone()),
            plain(device.entities.len().to_string()),
            state(device),
            plain(newest.map(format::age).unwrap_or_default()),
        ];
        row.push((
            device.profile.as_ref().map(manners).unwrap_or_default(),
            Style::Dim,
        ));
        row.truncate(columns.len());
        grid.row(row);
    }
    grid.print(output);
    reasons(&devices.devices, output);
    Ok(())
}

/// Why some are offline; those of one cause together.
fn reasons(devices: &[DeviceView], output: Output) {
    let mut causes: Vec<(&str, Vec<&DeviceView>)> = Vec::new();
    for device in devices {
        let Some(reason) = &device.reason else { continue };
        match causes.iter_mut().find(|(of, _)| of == reason) {
            Some((_, devices)) => devices.push(device),
            None => causes.push((reason, vec![device])),
        }
    }
    for (reason, of) in causes {
        let who = match of[..] {
            [one] => visible(&one.id),
            _ => format::count(of.len(), "device"),
        };
        output.line("");
        output.hanging("", &format!("{who}: {}", visible(reason)), |line| {
            output.yellow(line)
        });
    }
}

fn state(device: &DeviceView) -> (String, Style) {
    let style = match device.availability.as_str() {
        "online" => Style::Green,
        "offline" => Style::Yellow,
        _ => Style::Dim,
    };
    (device.availability.clone(), style)
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
    let mut devices = gather(data_dir, catalog).await?;
    select::entities(args, &mut devices)?;
    if output.is_json() {
        let entities = devices.devices.into_iter().flat_map(|device| device.entities);
        return output.document(&Entities {
            entities: entities.collect(),
        });
    }
    if devices.devices.is_empty() {
        return Err(empty());
    }
    match output.is_terminal() {
        true => below_their_devices(&devices, output),
        false => line_by_line(&devices, output),
    }
    Ok(())
}

/// For people: each device with its entities below it, by their keys.
fn below_their_devices(devices: &Devices, output: Output) {
    let keys = match output.width() {
        Some(width) if width < ROOMY => KEYS_NARROW,
        _ => KEYS,
    };
    for (n, device) in devices.devices.iter().enumerate() {
        if n > 0 {
            output.line("");
        }
        let (availability, style) = state(device);
        let availability = match style {
            Style::Green => output.green(&availability),
            Style::Yellow => output.yellow(&availability),
            _ => output.dim(&availability),
        };
        output.line(&format!(
            "{}  {}  {availability}",
            output.bold(&device.id),
            visible(&device.name)
        ));
        if let Some(reason) = &device.reason {
            output.hanging("  ", &visible(reason), |line| output.yellow(line));
        }
        let mut grid = Grid::new(&[
            Column::new("", Room::Overhang(keys)),
            Column::right("", Room::Elastic),
            Column::right("", Room::Whole),
            Column::new("", Room::Whole),
            Column::new("", Room::Spare),
        ])
        .indented(2);
        for view in &device.entities {
            let entity = &view.entity;
            let style = match entity.quality {
                Quality::Good => Style::Plain,
                Quality::Stale => Style::Yellow,
                _ => Style::Dim,
            };
            grid.row(vec![
                (entity.key.clone(), Style::Plain),
                (shown(view), style),
                (age(view), style),
                (remarks(view), Style::Dim),
                (visible(&entity.name), Style::Dim),
            ]);
        }
        grid.print_rows(output);
    }
}

/// What is not as one would think: good and present.
fn remarks(view: &EntityView) -> String {
    let quality = match view.entity.quality {
        Quality::Stale => Some("stale"),
        // A dash or its words tell the others.
        _ => None,
    };
    let status = Some(view.entity.status.name()).filter(|name| *name != "present");
    [quality, status]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

/// For scripts: each on a line of its own, with its whole id.
fn line_by_line(devices: &Devices, output: Output) {
    let mut table = output.table(["entity", "value", "age", "status", "name"]);
    for view in devices.devices.iter().flat_map(|device| &device.entities) {
        table.add_row(vec![
            view.entity.id.as_str().into(),
            number(shown(view)),
            number(age(view)),
            view.entity.status.name().into(),
            visible(&view.entity.name).into(),
        ]);
    }
    output.whole_columns(&mut table, &[0]);
    output.table_lines(&table);
}

fn shown(view: &EntityView) -> String {
    let entity = &view.entity;
    format::value(
        view.shown().as_ref(),
        entity.label.as_deref(),
        entity.unit.as_deref(),
        entity.quality,
    )
}

fn age(view: &EntityView) -> String {
    let known = view
        .age_ms
        .filter(|_| view.entity.quality != Quality::Unavailable);
    known.map(format::age).unwrap_or_default()
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
    tell(&explanation, output);
    Ok(())
}

/// How an entity comes about, as a text that fits the terminal.
fn tell(explanation: &Explanation, output: Output) {
    output.line(&output.bold(&visible(&explanation.name)));
    output.line(&explanation.entity);
    let mut about = vec![
        explanation.ledger.clone(),
        format!("unit {}", explanation.unit_id),
    ];
    about.extend(explanation.origin.clone());
    output.hanging("", &visible(&about.join(" · ")), |line| output.dim(line));
    output.line("");
    for (i, step) in explanation.steps.iter().enumerate() {
        let last = i + 1 == explanation.steps.len();
        output.hanging(&format!("{:>3}. ", i + 1), &visible(step), |line| match last {
            true => output.bold(line),
            false => line.to_owned(),
        });
    }
    output.line("");
    let proof = explanation.proof.as_deref().unwrap_or("nothing is recorded");
    let status = format!("{}: ", explanation.status.name());
    output.hanging("", &format!("{status}{}", visible(proof)), str::to_owned);
    if let Some(write) = &explanation.write {
        output.line("");
        output.line(&output.bold("Writing it"));
        for line in super::writes::limits::lines(write) {
            for (n, part) in output.lines_of(4, &visible(&line)).iter().enumerate() {
                output.line(&format!("{}{part}", if n == 0 { "  " } else { "    " }));
            }
        }
    }
    for (what, extra) in [("Note", &explanation.note), ("Source", &explanation.source)] {
        if let Some(extra) = extra {
            output.line("");
            output.hanging(&format!("{what}: "), &visible(extra), |line| output.dim(line));
        }
    }
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
