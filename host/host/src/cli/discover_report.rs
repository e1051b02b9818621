//! What a search asks the owner, and what it found, for people.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::output::Output;
use crate::config::format_duration;
use crate::error::{HostError, Result};
use crate::find::networks::Own;
use crate::find::progress::{Event, Progress};
use crate::find::serial;
use crate::find::{Confidence, Found, Plan, Report, Via};
use crate::format::visible;

/// The question before a search: exactly what will be asked.
pub fn question(plan: &Plan, own: &[Own]) -> String {
    let mut text = "To find devices, Busbar will ask:\n".to_owned();
    for own in own {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "  {} ({}): {} addresses{}",
            own.network,
            own.interface,
            own.network.size(),
            match own.whole {
                Some(whole) => format!(", the part of {whole} around this machine"),
                None => String::new(),
            }
        );
    }
    for settings in serial::by_port(&plan.serial) {
        let units = settings.first().map_or(0, |s| s.units.len());
        let port = settings.first().map(|s| s.line.path.display().to_string());
        let _ = writeln!(
            text,
            "  {}: {} settings with {units} units each, {} or so",
            visible(&port.unwrap_or_default()),
            settings.len(),
            about(serial::time(settings))
        );
    }
    if !own.is_empty() {
        let _ = writeln!(
            text,
            "Each address is tried on {}; {} or so.",
            doors(plan),
            about(plan.time())
        );
    }
    text += "What answers is asked what it is. Busbar only reads.\nGo on?";
    text
}

/// The doors that are knocked at.
pub fn doors(plan: &Plan) -> String {
    let join = |ports: Vec<String>| match ports.len() {
        1 => format!("port {}", ports.concat()),
        _ => format!("ports {}", ports.join(", ")),
    };
    let mut udp: Vec<u16> = plan.places.udp.iter().map(|d| d.port).collect();
    udp.sort_unstable();
    udp.dedup();
    let tcp = plan.places.tcp.iter().map(|p| p.number.to_string()).collect();
    let mut text = format!("TCP {}", join(tcp));
    if !udp.is_empty() {
        let udp = udp.iter().map(u16::to_string).collect();
        text += &format!(", and with a small read on UDP {}", join(udp));
    }
    text
}

fn about(time: Duration) -> String {
    format_duration(Duration::from_secs(time.as_secs().max(1)))
}

/// A finished search.
pub struct Summary<'a> {
    /// What was found.
    pub report: &'a Report,
    /// What was searched.
    pub plan: &'a Plan,
    /// Whether open ports are shown, too.
    pub verbose: bool,
    /// How long it took.
    pub took: Duration,
}

/// The document that `busbar discover --json` prints.
#[derive(Serialize)]
struct Document<'a> {
    found: Vec<&'a Found>,
    cancelled: bool,
    notes: &'a [String],
    elapsed_ms: u64,
}

/// Shows what was found.
///
/// # Errors
/// [`HostError::NothingFound`] where that is nothing, with what to check.
pub fn show(summary: &Summary<'_>, output: Output) -> Result<()> {
    let report = summary.report;
    let shown = |f: &&Found| summary.verbose || f.confidence < Confidence::Open || f.known;
    let found: Vec<&Found> = report.found.iter().filter(shown).collect();
    if found.is_empty() {
        return Err(nothing(summary));
    }
    if output.is_json() {
        return output.document(&Document {
            found,
            cancelled: report.cancelled,
            notes: &report.notes,
            elapsed_ms: u64::try_from(summary.took.as_millis()).unwrap_or(u64::MAX),
        });
    }
    for one in &found {
        show_one(one, output);
    }
    let known = found.iter().filter(|f| f.known).count();
    output.line(&format!(
        "{} in {:.1} s, {} of them new{}",
        output.bold(&format!("{} found", found.len())),
        summary.took.as_secs_f64(),
        found.len() - known,
        if report.cancelled {
            "; the search was stopped before its end"
        } else {
            ""
        },
    ));
    for note in &report.notes {
        output.line(&output.yellow(&visible(note)));
    }
    Ok(())
}

/// Three lines: what it is, where it is, what to do.
fn show_one(one: &Found, output: Output) {
    let what = match (&one.title, one.confidence) {
        (Some(title), _) => title.as_str(),
        (None, Confidence::Open) => "something",
        (None, _) => "a Modbus device",
    };
    let mut about = Vec::new();
    if let Some(model) = one
        .model
        .as_deref()
        .filter(|m| !what.contains(m) && !m.is_empty())
    {
        about.push(model.to_owned());
    }
    about.extend(one.serial.as_ref().map(|s| format!("serial {s}")));
    about.extend(one.firmware.as_ref().map(|f| format!("firmware {f}")));
    about.push(sure(one).to_owned());
    output.line(&format!(
        "{}  {}",
        output.bold(&visible(what)),
        output.dim(&visible(&about.join(" · ")))
    ));
    let unit = match one.unit_id {
        Some(unit) => format!(", unit {unit}"),
        None => String::new(),
    };
    let via = match (one.via, &one.name) {
        (Via::Mdns, Some(name)) => format!("announces itself as \"{name}\""),
        (Via::Mdns, None) => "announces itself".to_owned(),
        (Via::Subnet, _) => "answered when asked".to_owned(),
        (Via::Serial, _) => "on a serial line".to_owned(),
    };
    output.line(&format!("  {}{unit}; {}", visible(&one.url), visible(&via)));
    if let Some(note) = &one.note {
        output.line(&format!("  {}", output.yellow(&visible(note))));
    }
    let connection = one.connection.as_deref().map(visible).unwrap_or_default();
    // A serial line's URL has characters that a shell takes for its own.
    let url = match one.via {
        Via::Serial => format!("'{}' --units {}", one.url, one.unit_id.unwrap_or(1)),
        _ => one.url.clone(),
    };
    let next = match (&one.moved_from, one.known, one.confidence) {
        (Some(from), ..) if one.adopted => {
            let moved = format!(
                "\"{connection}\" has moved here from {}; ids and history stay.",
                visible(from)
            );
            output.line(&format!("  {}", output.green(&moved)));
            return output.line("");
        }
        (Some(from), ..) => {
            let moved = format!(
                "It has moved: \"{connection}\" still looks for it at {}.",
                visible(from)
            );
            output.line(&format!("  {}", output.yellow(&moved)));
            "busbar discover --adopt, or busbar scan URL --save".replace("URL", &one.url)
        }
        (None, true, _) => {
            output.line(&format!(
                "  {}",
                output.green(&format!("known as \"{connection}\""))
            ));
            return output.line("");
        }
        (None, false, Confidence::Certain | Confidence::Likely) => format!("busbar scan {url} --save"),
        (None, false, Confidence::Unknown) if one.via == Via::Serial => format!("busbar scan {url}"),
        (None, false, Confidence::Unknown) => format!("busbar scan {url} --mode full"),
        (None, false, Confidence::Open) => return output.line(""),
    };
    output.line(&format!("  {} {}", output.dim("next:"), visible(&next)));
    output.line("");
}

/// How sure it is, in words.
fn sure(one: &Found) -> &'static str {
    match one.confidence {
        Confidence::Certain => "certain",
        Confidence::Likely => "likely",
        Confidence::Unknown if one.note.is_some() => "not identified",
        Confidence::Unknown => "speaks Modbus, not identified",
        Confidence::Open => "an open port",
    }
}

fn nothing(summary: &Summary<'_>) -> HostError {
    let report = summary.report;
    let networks: Vec<String> = summary.plan.networks.iter().map(ToString::to_string).collect();
    let mut message = match &networks[..] {
        [] if summary.plan.serial.is_empty() => "no device announces itself here".to_owned(),
        [] => "no device announces itself here, and none answers on a serial line".to_owned(),
        some => format!("no device was found in {}", some.join(", ")),
    };
    if report.cancelled {
        message += " before the search was stopped";
    }
    let open = report
        .found
        .iter()
        .filter(|f| f.confidence == Confidence::Open)
        .count();
    if open > 0 {
        message += &format!("; {open} open ports do not answer Modbus (-v lists them)");
    }
    for note in &report.notes {
        message += &format!("\n{note}");
    }
    if networks.is_empty() && !summary.plan.serial.is_empty() {
        return HostError::nothing_found(
            message,
            "Check that the device is on, A and B are not swapped, and the adapter is the right one; --full tries every \
             setting and unit.",
        );
    }
    let network = match networks.is_empty() {
        true => {
            "Most devices do not announce themselves: search their network, too (without --mdns-only; \
                 --network names one). "
        }
        false => "Is the device in one of these networks (--network names another)? ",
    };
    HostError::nothing_found(
        message,
        format!(
            "{network}Check that it is on and that Modbus is switched on in it (on a GX: Settings, Integrations, Modbus TCP \
             server). If you know its address: busbar scan modbus+tcp://ADDRESS."
        ),
    )
}

/// Shows the progress of a search on standard error: a line that moves on a terminal, nothing elsewhere.
pub struct Shown {
    bar: Option<ProgressBar>,
}

impl Default for Shown {
    fn default() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Shown { bar }
    }
}

impl Shown {
    fn step(&self, done: u32, of: u32, what: String) {
        let Some(bar) = &self.bar else { return };
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}") {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar.set_length(u64::from(of));
        bar.set_position(u64::from(done));
    }
}

impl Progress for Shown {
    fn event(&self, event: Event) {
        match event {
            Event::Listening => {
                if let Some(bar) = &self.bar {
                    bar.set_message("listening for devices that announce themselves");
                }
            }
            Event::Knocking { done, of } => self.step(done, of, "asking addresses".to_owned()),
            Event::Asking { done, of } => self.step(done, of, "asking what they are".to_owned()),
            Event::Trying { port, done, of } => self.step(done, of, format!("trying {}", visible(&port))),
            Event::Found(found) => {
                if let Some(bar) = self.bar.as_ref().filter(|_| found.confidence < Confidence::Open) {
                    let what = found.title.as_deref().unwrap_or("a Modbus device");
                    bar.println(format!("found: {} at {}", visible(what), visible(&found.url)));
                }
            }
            Event::Note(text) => {
                if let Some(bar) = &self.bar {
                    bar.println(visible(&text));
                }
            }
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
