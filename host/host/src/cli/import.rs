//! `busbar import TOOL FILE`: the configuration of a tool that Busbar replaces becomes Busbar's.

use std::path::{Path, PathBuf};

use busbar_ledger::map::Title;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::map;
use super::output::Output;
use crate::error::{HostError, Result};
use crate::format::visible;
use crate::import::energy_meter::{self, Device};

/// The tools that Busbar replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tool {
    /// The register map of FlexpowerTech's energy-meter, a meter reader in Python (PyPI: flex-modbus-reader)
    EnergyMeter,
    /// The config.ini of mqtt-p1-power-meter.py, which sends VSCP events of a P1 meter (vscp-python-p1-power-meter)
    VscpP1,
}

/// `busbar import`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    busbar import energy-meter my_meter.py\n  \
    busbar import energy-meter my_meter.py --output em3.toml --name acme/em3\n  \
    busbar import vscp-p1 config.ini\n\n\
    energy-meter is FlexpowerTech's reader (PyPI: flex-modbus-reader). The file is read, never executed. \
    vscp-p1 writes busbar.toml, and the password into a file of its own. What was not understood is told with its line.")]
pub struct ImportArgs {
    /// The tool
    #[arg(value_enum)]
    pub tool: Tool,
    /// Its configuration
    pub file: PathBuf,
    /// Where to write what was taken over [default: for energy-meter the device's name, .toml; for vscp-p1 busbar.toml]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The ledger's name, MAKER/MODEL [default: generic/ and the device's name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Take only the device of this name, where the file has several
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// Write over a file that is there
    #[arg(long)]
    pub force: bool,
}

/// Runs the command.
///
/// # Errors
/// A file that cannot be read or written, and [`HostError::NothingFound`] where nothing in it was understood.
pub fn run(args: &ImportArgs, output: Output) -> Result<()> {
    let text = map::read_text(&args.file)?;
    match args.tool {
        Tool::EnergyMeter => energy_meter(args, &text, output),
        Tool::VscpP1 => super::import_vscp_p1::run(args, &text, output),
    }
}

fn energy_meter(args: &ImportArgs, text: &str, output: Output) -> Result<()> {
    let file = visible(&args.file.display().to_string());
    let mut found = energy_meter::read(text);
    let all: Vec<String> = found
        .devices
        .iter()
        .map(|device| visible(&device.title))
        .collect();
    if let Some(wanted) = &args.device {
        found
            .devices
            .retain(|d| d.title == *wanted || d.variable.as_deref() == Some(wanted));
    }
    let notes: Vec<String> = found
        .notes
        .iter()
        .map(|(line, what)| match line {
            0 => format!("{file}: {}", visible(what)),
            line => format!("{file}:{line}: {}", visible(what)),
        })
        .collect();
    if found.devices.is_empty() {
        let mut message = format!("{file} has no register map that can be understood");
        for note in &notes {
            message.push_str(&format!("\n  {note}"));
        }
        let hint = if all.is_empty() {
            "A map is a list of Register(\"name\", 3000, 2, DATATYPE.FLOAT32), of dictionaries or of tuples; or write a CSV list and use --map.".to_owned()
        } else {
            format!("The devices in it are: {}.", all.join(", "))
        };
        return Err(HostError::nothing_found(message, hint));
    }
    if found.devices.len() > 1 && (args.output.is_some() || args.name.is_some()) {
        return Err(HostError::usage(
            format!("{file} has {} devices, for one --output or --name", all.len()),
            format!("Choose one with --device: {}.", all.join(", ")),
        ));
    }
    let address = found.address.unwrap_or_else(|| "HOST".to_owned());
    let mut written = Vec::new();
    for device in &found.devices {
        written.push(write(args, device, &address, output)?);
    }
    for note in &notes {
        output.say(&output.yellow(&format!("not taken over: {note}")));
    }
    if output.is_json() {
        let notes: Vec<_> = found
            .notes
            .iter()
            .map(|(line, what)| json!({ "line": line, "what": what }))
            .collect();
        return output.document(&json!({
            "tool": "energy-meter", "file": args.file, "devices": written, "not_understood": notes,
        }));
    }
    Ok(())
}

/// Writes one device's ledger and says how to go on.
fn write(args: &ImportArgs, device: &Device, address: &str, output: Output) -> Result<serde_json::Value> {
    let map = &device.map;
    let own_name = map::generic_name(&device.title);
    let name = args.name.as_deref().unwrap_or(&own_name);
    let stem = name.rsplit('/').next().unwrap_or(name);
    let path = args
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{stem}.toml")));
    let source = args
        .file
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let title = Title {
        name,
        title: &device.title,
        source: &format!("{} of energy-meter", visible(&source)),
    };
    let (text, ledger) = map
        .ledger(&path.display().to_string(), &title)
        .map_err(|faults| map::faulty(&source, &faults))?;
    put(&path, &text, args.force)?;
    let unit = map.unit_id.unwrap_or(1);
    let read = format!(
        "busbar read modbus+tcp://{address} --ledger {} --unit {unit}",
        path.display()
    );
    output.say(&format!(
        "{} {}: {} registers of {} are in {} (ledger {})",
        output.green("ok"),
        visible(&source),
        map.entries.len(),
        visible(&device.title),
        path.display(),
        ledger.name
    ));
    output.say(&format!("   {}", output.bold(&read)));
    Ok(json!({
        "title": device.title, "ledger": ledger.name, "output": path, "registers": map.entries.len(), "unit_id": unit,
        "index_shift": map.index_shift, "message_size": map.message_size, "lines": device.lines, "read": read,
    }))
}

/// Writes a new file; one that is there only when asked to.
///
/// # Errors
/// A usage error where it is there, else what the system says.
pub(super) fn put(path: &Path, text: &str, force: bool) -> Result<()> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let shown = path.display();
    match options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
    {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Err(HostError::usage(
            format!("{shown} is there already"),
            "Name another with --output, or write over it with --force.",
        )),
        Err(e) => Err(HostError::io(
            format_args!("cannot write {shown}"),
            &e,
            "Check the directory and its permissions, or name another file with --output.",
        )),
    }
}
