//! `busbar ledger new`: a ledger from a register list, or from a conversation with a device at hand.

mod flow;

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use busbar_ledger::map::{Map, Title};
use busbar_wire::{Link, Priority, ReadPlan};
use clap::Args;
use serde_json::json;

use super::args::FunctionArg;
use super::import::put;
use super::map::args::ListFlags;
use super::output::Output;
use super::{endpoint, map};
use crate::error::{HostError, Result};
use crate::format::visible;
use flow::{Flow, Step};

/// `busbar ledger new`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    busbar ledger new registers.csv --name acme/em3 --output em3.toml\n  \
    busbar ledger new --url modbus+tcp://192.168.1.40 --unit 1 --output em3.toml\n\n\
    The first makes a ledger of a register list; the second reads registers, shows what they could mean and asks.\n\
    Without --output the ledger is printed.")]
pub struct NewArgs {
    /// A register list (CSV or TOML); without one, registers are read and asked about
    pub file: Option<PathBuf>,
    /// The device to read, where there is no list
    #[arg(long, value_name = "URL", conflicts_with = "file")]
    pub url: Option<String>,
    /// The unit id [default: 1, or what the list says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=247))]
    pub unit: Option<u8>,
    /// Which registers to read, where there is no list
    #[arg(long, value_enum, default_value_t)]
    pub function: FunctionArg,
    /// The ledger's name, MAKER/MODEL [default: generic/ and the file's name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// A name for people
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Where to write it
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long)]
    pub force: bool,
    /// What holds for the whole list.
    #[command(flatten)]
    pub list: ListFlags,
}

/// Runs the command.
///
/// # Errors
/// A list with faults, a file that cannot be written, a usage error where there is nobody to ask.
pub async fn run(args: &NewArgs, output: Output) -> Result<()> {
    if args.list.is_auto() {
        return Err(HostError::usage(
            "a ledger says one order, not auto",
            "Find it with `busbar read URL --map FILE --wordorder auto`, then name it.",
        ));
    }
    let (mut map, stem, source) = match &args.file {
        Some(file) => {
            let map = map::load(file, &args.list.settings())?.map;
            let part = |part: Option<&std::ffi::OsStr>| {
                part.map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
            };
            (map, part(file.file_stem()), part(file.file_name()))
        }
        None => {
            let map = conversation(args, output).await?;
            if map.entries.is_empty() {
                return Err(HostError::nothing_found(
                    "no register was named, so there is no ledger",
                    "Begin again, or write a list: name,address,length,type.",
                ));
            }
            (map, "my-meter".to_owned(), args.url.clone().unwrap_or_default())
        }
    };
    map.unit_id = args.unit.or(map.unit_id);
    if let Some(title) = &args.title {
        map.title = Some(title.clone());
    }
    let own_name = map::generic_name(&stem);
    let name = args.name.as_deref().unwrap_or(&own_name);
    let title = Title {
        name,
        title: &stem,
        source: &source,
    };
    let (text, ledger) = map
        .ledger("the new ledger", &title)
        .map_err(|faults| HostError::ledger(name, &faults))?;
    if let Some(path) = &args.output {
        put(path, &text, args.force)?;
    }
    if output.is_json() {
        return output.document(&json!({
            "ledger": ledger.name, "points": ledger.points.len(), "output": args.output, "text": text,
        }));
    }
    match &args.output {
        Some(path) => say_next(args, path, ledger.points.len(), output),
        None => output.line(text.trim_end()),
    }
    Ok(())
}

fn say_next(args: &NewArgs, path: &Path, points: usize, output: Output) {
    let shown = visible(&path.display().to_string());
    let url = args.url.as_deref().map_or("URL".to_owned(), visible);
    output.line(&format!("{} {shown}: {points} points", output.green("ok")));
    let next = [
        format!("busbar ledger check {shown}"),
        format!("busbar read {url} --ledger {shown}"),
        format!("busbar scan {url} --ledger {shown} --save"),
    ];
    for line in next {
        output.line(&format!("   {}", output.bold(&line)));
    }
}

/// Asks and reads until there is a ledger.
async fn conversation(args: &NewArgs, output: Output) -> Result<Map> {
    let Some(url) = &args.url else {
        return Err(HostError::usage(
            "there is neither a list nor a device",
            "Name a FILE, or a device with --url.",
        ));
    };
    let endpoint = endpoint::parse(url)?;
    if output.is_json() || !std::io::stdin().is_terminal() {
        return Err(HostError::usage(
            "there is no terminal to ask on",
            "Write a list (name,address,length,type) and use `busbar ledger new FILE --name MAKER/MODEL --output FILE`; \
             `busbar raw URL --unit N --at ADDR --count N` shows what registers could mean.",
        ));
    }
    let function = args.function.function();
    if function.is_bit() {
        return Err(HostError::usage(
            "coils and discrete inputs have nothing to interpret",
            "Write them into a list, with function coils or discrete.",
        ));
    }
    let unit = args.unit.unwrap_or(1);
    let map = Map {
        index_shift: 0,
        message_size: args.list.message_size,
        ..Map::default()
    };
    let mut flow = Flow::new(function, map);
    output.line(
        "Registers are read, never written. At every question: `done` writes the ledger, `back` goes back, `?` helps.\n\
         Ctrl-C throws away what was agreed on. Addresses count from 0: where the manual counts from 1, take one off.\n",
    );
    loop {
        let say = match flow.step() {
            Step::Done => return Ok(flow.map),
            Step::Ask(question) => match answer(question).await? {
                Some(line) => flow.answer(&line),
                None => return Ok(flow.map),
            },
            Step::Read(span) => {
                // People think for minutes, and a link for one read gives up after seconds: each read has its own.
                let link = Link::open(endpoint.clone(), endpoint::one_shot(Some(Duration::from_secs(2))));
                let plan = ReadPlan {
                    unit,
                    span,
                    priority: Priority::Poll,
                };
                flow.words(link.read(plan).await.map_err(|e| e.to_string()))
            }
        };
        for line in say {
            output.line(&visible(&line));
        }
    }
}

/// One line from the terminal; `None` at its end.
async fn answer(question: String) -> Result<Option<String>> {
    let asked = tokio::task::spawn_blocking(move || {
        let mut out = std::io::stdout().lock();
        write!(out, "{question}: ")?;
        out.flush()?;
        let mut line = String::new();
        let read = std::io::Read::take(std::io::stdin().lock(), 4096).read_line(&mut line)?;
        Ok::<_, std::io::Error>((read > 0).then_some(line))
    });
    let fault = |e: &std::io::Error| {
        HostError::io(
            "cannot read the answer",
            e,
            "Use a list instead: busbar ledger new FILE.",
        )
    };
    match asked.await {
        Ok(Ok(line)) => Ok(line),
        Ok(Err(e)) => Err(fault(&e)),
        Err(_) => Ok(None),
    }
}
