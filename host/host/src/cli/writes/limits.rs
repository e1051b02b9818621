//! `busbar limits`

use std::path::Path;

use super::args::LimitsArgs;
use crate::catalog::Catalog;
use crate::cli::output::Output;
use crate::clock;
use crate::config::{Config, format_duration};
use crate::control::Client;
use crate::error::{HostError, Result};
use crate::format::visible;
use crate::registry::{kept, stored_views};
use crate::write::limits;
use crate::write::limits::{EntityLimits, Limits};
use crate::write::policy::{Kept, Policy};
use crate::write::target::find;
use busbar_store::Registry;

/// Runs the command.
pub async fn run(
    args: &LimitsArgs,
    data_dir: &Path,
    config: &Config,
    output: Output,
    catalog: impl AsyncFnOnce() -> Result<Catalog>,
) -> Result<()> {
    if args.confirm {
        return confirm(data_dir, output).await;
    }
    let mut limits = gather(args, data_dir, config, catalog).await?;
    if !output.is_json() && is_outdated(&limits, data_dir, config).await? {
        output.line(
            &output.yellow(
                "What you allow has changed since the host started: restart it to have it carried out.",
            ),
        );
    }
    if let Some(device) = &args.device {
        let prefix = format!("{device}.");
        limits
            .entities
            .retain(|entity| entity.entity.starts_with(&prefix));
        if limits.entities.is_empty() {
            return Err(HostError::nothing_found(
                format!("{device:?} has nothing that could be written, or is not there"),
                "`busbar devices` lists the devices.",
            ));
        }
    }
    if !args.all && args.entity.is_none() {
        limits.entities.retain(|entity| entity.never.is_none());
    }
    if output.is_json() {
        output.document(&limits)?;
    } else if let (Some(_), [one]) = (&args.entity, limits.entities.as_slice()) {
        in_full(one, output);
    } else {
        table(&limits, output);
    }
    match limits.strays.first() {
        None => Ok(()),
        Some(stray) => Err(HostError::outcome(
            "config",
            format!(
                "connection \"{}\": writes.allow \"{}\": {}",
                stray.connection,
                visible(&stray.entry),
                stray.why
            ),
            "Correct the entry in busbar.toml; `busbar limits --all` lists what can be written.",
            output.is_json(),
        )),
    }
}

/// Whether what is allowed now is something else than what the limits were made of.
async fn is_outdated(limits: &Limits, data_dir: &Path, config: &Config) -> Result<bool> {
    let registry = Registry::open_read_only(data_dir).await?;
    let now = Policy::of(config, &kept(&registry).await?);
    Ok(limits.configuration != now.fingerprint())
}

/// From the running host, or from the registry as it lies on disk.
async fn gather(
    args: &LimitsArgs,
    data_dir: &Path,
    config: &Config,
    catalog: impl AsyncFnOnce() -> Result<Catalog>,
) -> Result<Limits> {
    if let Some(mut host) = Client::connect(data_dir).await? {
        let mut limits: Limits = host.get("/control/limits").await?;
        if let Some(name) = &args.entity {
            let named = name.contains(':');
            let known = |entity: &EntityLimits| match named {
                true => {
                    let (ledger, point) = name.rsplit_once(':').unwrap_or_default();
                    let key = entity.entity.split_once('.').map_or("", |(_, key)| key);
                    let at = entity.at.map(|at| at.to_string()).unwrap_or_default();
                    let place = format!("{}/{}/{}", entity.connection, entity.unit_id, entity.ledger);
                    (ledger == entity.ledger || ledger == place) && (point == key || point == at)
                }
                false => entity.entity == *name,
            };
            limits.entities.retain(known);
            if limits.entities.is_empty() {
                return Err(HostError::nothing_found(
                    format!("{} is nothing that could be written", visible(name)),
                    "`busbar limits --all` lists all that the makers let one set.",
                ));
            }
        }
        return Ok(limits);
    }
    let registry = Registry::open_read_only(data_dir).await?;
    let catalog = catalog().await?;
    let bus = stored_views(&registry, &catalog).await?;
    Policy::of(config, &Kept::default())
        .check(|name| catalog.ledger(name).ok())
        .map_err(crate::write::policy::Stray::into_error)?;
    let killed = std::fs::symlink_metadata(data_dir.join("kill-switch"))
        .ok()
        .map(|_| String::new());
    let policy = Policy::of(config, &kept(&registry).await?);
    let devices = bus.devices();
    let mut limits = limits::limits(&registry, &policy, &devices, None, killed).await?;
    if let Some(name) = &args.entity {
        let target = find(&devices, name)?;
        limits.entities.retain(|entity| entity.entity == target.id());
    }
    Ok(limits)
}

async fn confirm(data_dir: &Path, output: Output) -> Result<()> {
    let Some(mut host) = Client::connect(data_dir).await? else {
        return Err(HostError::failed(
            "no_host",
            "no host runs here that could ask the devices who they are",
            "Start it with `busbar`, then confirm.",
        ));
    };
    let confirmed: serde_json::Value = host
        .post("/control/limits/confirm", &serde_json::json!({}))
        .await?;
    if output.is_json() {
        return output.document(&confirmed);
    }
    output.line(&format!(
        "Confirmed: {} may be written, on the devices as they are now.",
        match confirmed["confirmed"].as_u64() {
            Some(1) => "1 entity".to_owned(),
            n => format!("{} entities", n.unwrap_or_default()),
        }
    ));
    for change in confirmed["changes"].as_array().into_iter().flatten() {
        output.line(&format!("  {}", visible(change.as_str().unwrap_or_default())));
    }
    Ok(())
}

/// The widest column of ranges: who wants to see more asks for one entity.
const WIDEST_RANGE: usize = 44;
/// With less than this, what may be written has a line of its own.
const NARROWEST_RANGE: usize = 18;
/// A terminal that is not one: a pipe.
pub(super) const PIPE: usize = 110;

fn table(limits: &Limits, output: Output) {
    if let Some(reason) = &limits.kill_switch {
        let why = if reason.is_empty() {
            String::new()
        } else {
            format!(" ({})", visible(reason))
        };
        output.line(&output.yellow(&format!("The kill switch is on{why}: nothing is written.")));
    }
    if limits.unconfirmed {
        output.line(&output.yellow(
            "The registry was restored from a backup: nothing is written until you confirm with --confirm.",
        ));
    }
    site(limits, output);
    let of = |choose: &dyn Fn(&EntityLimits) -> bool| -> Vec<&EntityLimits> {
        limits.entities.iter().filter(|entity| choose(entity)).collect()
    };
    let allowed = of(&|entity| entity.allowed);
    let possible = of(&|entity| !entity.allowed && entity.never.is_none());
    section("You have allowed", &allowed, output);
    section("You could allow", &possible, output);
    section(
        "Busbar never writes",
        &of(&|entity| entity.never.is_some()),
        output,
    );
    let levels: Vec<String> = limits
        .connections
        .iter()
        .map(|c| format!("\"{}\" has level {} ({})", c.connection, c.level, level(c.level)))
        .collect();
    output.line(&format!(
        "{} of {} can be written; {}.",
        allowed.iter().filter(|entity| entity.writable).count(),
        allowed.len() + possible.len(),
        levels.join(", ")
    ));
    output.line(&output.dim("`busbar limits ENTITY` shows one with each of its limits."));
    if allowed.is_empty() {
        output.line(&output.dim(
            "To allow one: `busbar setup`, or in busbar.toml below its connection: [connection.writes] level = 2, allow = [\"…\"]",
        ));
    }
}

/// The site, and what it lacks.
fn site(limits: &Limits, output: Output) {
    output.line(&output.bold("Your site"));
    for limit in &limits.site {
        let name = limit.name.replace('_', " ");
        let value = busbar_guard::Amount(limit.value, Some(&limit.unit)).to_string();
        let how = if limit.how == value {
            String::new()
        } else {
            format!("  {}", limit.how)
        };
        output.line(format!("    {name:20}  {value:>10}{}", output.dim(&how)).trim_end());
    }
    if !limits.site_unset.is_empty() {
        output.line(&format!(
            "    {}",
            output.dim(&format!(
                "not said: {}; what needs it is refused ([site] in busbar.toml)",
                limits.site_unset.join(", ")
            ))
        ));
    }
    output.line("");
}

/// Entities device by device, a line each where there is room.
fn section(title: &str, entities: &[&EntityLimits], output: Output) {
    if entities.is_empty() {
        return;
    }
    output.line(&output.bold(title));
    let width = output.table([]).width().map_or(PIPE, usize::from);
    let key = |entity: &EntityLimits| {
        entity
            .entity
            .split_once('.')
            .map_or("", |(_, key)| key)
            .to_owned()
    };
    let keys = entities
        .iter()
        .map(|entity| key(entity).len())
        .max()
        .unwrap_or_default();
    let room = width.saturating_sub(keys + 13);
    // What binds, and what is left of the day, have their columns behind the range.
    let widest = |text: fn(&EntityLimits) -> String| {
        let length = |entity: &&EntityLimits| text(entity).chars().count();
        entities.iter().map(length).max().unwrap_or_default()
    };
    let (binding, behind) = (widest(by), widest(left));
    let range = room.saturating_sub(binding + behind + 4).min(WIDEST_RANGE);
    let mut device = "";
    for entity in entities {
        let of = entity.entity.split_once('.').map_or("", |(device, _)| device);
        if of != device {
            device = of;
            output.line(&format!("  {device}  {}", output.dim(&entity.ledger)));
        }
        let at = entity.at.map(|at| at.to_string()).unwrap_or_default();
        let head = format!("    {at:>5}  {:keys$}", key(entity));
        let (what, binds, left) = match (&entity.never, &entity.reason) {
            (Some(why), _) => (visible(why), String::new(), String::new()),
            (None, _) if !entity.needs.is_empty() => (
                format!("needs {}", entity.needs.join(", ")),
                String::new(),
                String::new(),
            ),
            // In the way of what is allowed; of the others everybody knows.
            (None, Some(why)) if entity.allowed || entity.limits.is_none() => {
                (visible(why), String::new(), String::new())
            }
            _ => (visible(&entity.range()), by(entity), left(entity)),
        };
        // Why something is never written is to be read whole.
        if range >= NARROWEST_RANGE && entity.never.is_none() {
            let what = match binds.is_empty() && left.is_empty() {
                true => cut(&what, room),
                false => format!("{:range$}", cut(&what, range)),
            };
            let tail = format!("{what}  {binds:binding$}  {left}");
            output.line(&format!("{head}  {}", paint(entity, tail.trim_end(), output)));
            continue;
        }
        // Too narrow for one line: what may be written stands below.
        output.line(head.trim_end());
        let parts: Vec<&str> = [what.as_str(), &binds, &left]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect();
        for line in wrapped(&parts.join(" · "), width.saturating_sub(11).max(40)) {
            output.line(&format!("           {}", paint(entity, &line, output)));
        }
    }
    output.line("");
}

fn paint(entity: &EntityLimits, text: &str, output: Output) -> String {
    match (entity.writable, entity.allowed) {
        (true, _) => text.to_owned(),
        (false, true) => output.yellow(text),
        (false, false) => output.dim(text),
    }
}

/// A range that is too long to be looked over is cut.
fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.to_owned(),
        Some(_) => {
            let kept: String = text.chars().take(width.saturating_sub(1)).collect();
            format!("{kept}…")
        }
    }
}

/// What is left of the day's budget.
fn left(entity: &EntityLimits) -> String {
    match (entity.budget_left, entity.daily_budget, entity.allowed) {
        (Some(left), Some(budget), true) => format!("{left} of {budget} today"),
        // What it takes is part of the choice.
        (_, _, false) => entity
            .needs_level
            .map_or(String::new(), |level| format!("level {level}")),
        _ => String::new(),
    }
}

/// What binds, in one or two words.
fn by(entity: &EntityLimits) -> String {
    let Some((low, high)) = entity.limits.as_ref().and_then(|limits| limits.range.as_ref()) else {
        return String::new();
    };
    match high.by == low.by || low.by == "ledger" {
        true => high.by.clone(),
        false => format!("{}, {}", low.by, high.by),
    }
}

/// Words in lines of at most so many characters.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

fn level(level: u8) -> &'static str {
    match level {
        0 => "read-only",
        1 => "dry run",
        2 => "volatile settings",
        _ => "stored settings, too",
    }
}

/// One entity with all that is known of writing it.
pub fn in_full(entity: &EntityLimits, output: Output) {
    output.line(&format!(
        "{}  {}",
        output.bold(&visible(&entity.name)),
        output.dim(&entity.entity)
    ));
    let width = output.table([]).width().map_or(PIPE, usize::from).max(40);
    for line in lines(entity) {
        for (n, part) in wrapped(&visible(&line), width - 4).into_iter().enumerate() {
            output.line(&format!("{}{part}", if n == 0 { "  " } else { "    " }));
        }
    }
}

/// The same in sentences, for `explain` too.
pub fn lines(entity: &EntityLimits) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(why) = &entity.never {
        lines.push(format!("never written by Busbar: {why}"));
        return lines;
    }
    match (&entity.reason, entity.writable) {
        (_, true) => lines.push("may be written".to_owned()),
        (Some(why), false) => lines.push(format!("cannot be written: {why}")),
        (None, false) => lines.push("cannot be written".to_owned()),
    }
    if let Some(hint) = entity.hint.as_ref().filter(|hint| !hint.is_empty()) {
        lines.push(hint.clone());
    }
    if entity.limits.is_some() {
        lines.push(format!("effective range: {}", entity.range()));
    }
    for each in &entity.each {
        lines.push(each.clone());
    }
    if let Some(step) = entity.limits.as_ref().and_then(|limits| limits.step).filter(|_| {
        entity
            .limits
            .as_ref()
            .is_some_and(|limits| limits.range.is_some())
    }) {
        lines.push(format!(
            "in steps of {}",
            busbar_guard::Amount(step, entity.unit.as_deref())
        ));
    }
    if let Some(storage) = entity.storage {
        let kept = match storage {
            busbar_ledger::write::Storage::Volatile => "in memory, which wears nothing out (level 2)",
            busbar_ledger::write::Storage::Stored => "in memory that wears out (level 3)",
            busbar_ledger::write::Storage::Unknown => "perhaps in memory that wears out (level 3)",
        };
        lines.push(format!("the device keeps it {kept}"));
    }
    if let Some(ms) = entity.min_interval_ms {
        let pause = format_duration(std::time::Duration::from_millis(ms));
        let budget = match (entity.budget_left, entity.daily_budget) {
            (Some(left), Some(budget)) => format!(", at most {budget} in 24 hours ({left} left)"),
            _ => String::new(),
        };
        lines.push(format!("at least {pause} between two writes{budget}"));
    }
    if entity.leased {
        let safe = match entity.safe {
            Some(safe) => format!(
                "then {} is written",
                busbar_guard::Amount(safe, entity.unit.as_deref())
            ),
            None => "what is written then is for you to name (safe = …)".to_owned(),
        };
        lines.push(format!(
            "it lapses: the host keeps it alive for a while (--for), {safe}"
        ));
    }
    if !entity.identified {
        lines.push(
            "the device tells no serial number: whoever answers at its address is written to".to_owned(),
        );
    }
    if entity.risky {
        lines.push("it is risky, so it is asked once more".to_owned());
    }
    if let Some(until) = entity.until_ms {
        lines.push(format!("your leave ends at {}", clock::show(until)));
    }
    if let Some(source) = &entity.source {
        lines.push(format!("source of its bounds: {source}"));
    }
    lines
}
