//! `busbar capture` and `busbar replay`: what a wire carried, as a file, and a device made from it.

use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use busbar_simulate::Site;
use busbar_simulate::capture::{Capture, MAX_BYTES};
use busbar_wire::{Endpoint, Link};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::args::{CaptureArgs, ReplayArgs};
use super::output::Output;
use super::progress::Shown;
use super::{endpoint, simulate};
use crate::capture::{Captured, Wanted, capture};
use crate::catalog::Catalog;
use crate::control::{CaptureCall, Client};
use crate::discover::Request;
use crate::error::{HostError, Result};
use crate::registry;

/// Runs `busbar capture`, by the host that owns the endpoint where one does.
pub async fn run(
    args: &CaptureArgs,
    data_dir: &Path,
    output: Output,
    catalog: impl AsyncFnOnce() -> Result<Catalog>,
) -> Result<()> {
    let endpoint = endpoint::parse(&args.url)?;
    let url = endpoint.to_string();
    let path = args
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from("busbar-capture.jsonl"));
    // Nobody waits a minute for a file that cannot be written.
    let mut file = create(&path, args.force)?;
    output.say(&format!(
        "capturing {url} for {}; Ctrl-C ends it and keeps what there is",
        crate::config::format_duration(args.duration)
    ));
    let progress = Shown::default();
    let captured = match endpoint::owner(data_dir, &url).await? {
        Some(mut host) => {
            let call = CaptureCall {
                url,
                units: args.units.clone().map(|list| list.0).unwrap_or_default(),
                ledger: args.ledger.as_deref().map(endpoint::ledger_for_host),
                for_ms: millis(args.duration),
                every_ms: millis(args.interval),
                keep_texts: args.keep_texts,
            };
            by_host(&mut host, &call, &progress, data_dir).await
        }
        None => here(args, endpoint, &catalog().await?, &progress).await,
    };
    drop(progress);
    let captured = match captured {
        Ok(captured) => captured,
        Err(error) => {
            // Nothing was captured: no empty file stays behind.
            discard(&path);
            return Err(error);
        }
    };
    let text = captured.capture.to_string();
    let written = file.write_all(text.as_bytes()).and_then(|()| sync(&file));
    written.map_err(|e| {
        // Half a capture is none.
        discard(&path);
        HostError::io(
            format_args!("cannot write {}", path.display()),
            &e,
            "Is the disk full?",
        )
    })?;
    tell(&captured, &path, output)
}

/// Removes what was begun; what is no file (a pipe, a terminal) was never made here.
fn discard(path: &Path) {
    if std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file()) {
        let _ = std::fs::remove_file(path);
    }
}

/// What is no file cannot be brought to a disk.
fn sync(file: &std::fs::File) -> std::io::Result<()> {
    match file.metadata()?.is_file() {
        true => file.sync_all(),
        false => Ok(()),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

async fn here(
    args: &CaptureArgs,
    endpoint: Endpoint,
    catalog: &Catalog,
    progress: &Shown,
) -> Result<Captured> {
    let units = args.units.clone().map(|list| list.0).unwrap_or_default();
    let request = request(&endpoint.to_string(), catalog, args.ledger.as_deref(), units)?;
    let options = request.considerate(endpoint::one_shot(args.timeout));
    let link = Link::open(endpoint, options);
    let wanted = Wanted {
        request: &request,
        duration: args.duration,
        interval: args.interval,
        keep_texts: args.keep_texts,
        others: Vec::new(),
    };
    let cancel = CancellationToken::new();
    let on_interrupt = cancel.clone();
    let interrupt = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            on_interrupt.cancel();
        }
    });
    let captured = capture(&link, catalog, &wanted, progress, &cancel).await;
    interrupt.abort();
    link.close().await;
    captured
}

/// What a capture's scan looks for.
pub fn request(url: &str, catalog: &Catalog, ledger: Option<&str>, units: Vec<u8>) -> Result<Request> {
    Ok(Request {
        connection: url.to_owned(),
        connection_id: registry::UNSAVED.to_owned(),
        plugin: None,
        ledger: ledger.map(|name| catalog.ledger_or_file(name)).transpose()?,
        mode: match units.is_empty() {
            true => busbar_plugin_sdk::Mode::Quick,
            false => busbar_plugin_sdk::Mode::Listed,
        },
        units,
        known: Vec::new(),
    })
}

async fn by_host(
    host: &mut Client,
    call: &CaptureCall,
    progress: &Shown,
    data_dir: &Path,
) -> Result<Captured> {
    let capturing = host.capture(call, progress);
    tokio::pin!(capturing);
    tokio::select! {
        captured = &mut capturing => captured,
        _ = tokio::signal::ctrl_c() => {
            if let Some(mut second) = Client::connect(data_dir).await? {
                second.stop_scan().await?;
            }
            capturing.await
        }
    }
}

/// A new file, that only its owner may read.
fn create(path: &Path, force: bool) -> Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).mode(0o600);
    match force {
        true => options.create(true).truncate(true),
        false => options.create_new(true),
    };
    options.open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => HostError::failed(
            "exists",
            format!("{} is there already", path.display()),
            "Name another file with --output, or write over it with --force.",
        ),
        _ => HostError::io(
            format_args!("cannot write {}", path.display()),
            &e,
            "Name another file with --output.",
        ),
    })
}

fn tell(captured: &Captured, path: &Path, output: Output) -> Result<()> {
    let Captured {
        capture,
        found,
        notes,
    } = captured;
    if output.is_json() {
        return output.document(&json!({
            "file": path, "frames": capture.frames.len(), "found": found,
            "redacted": capture.head.redacted, "notes": notes,
        }));
    }
    let seconds = capture.length() as f64 / 1e6;
    output.line(&format!("{} frames in {seconds:.1} s", capture.frames.len()));
    for what in found {
        output.line(&format!("  {what}"));
    }
    match capture.head.redacted.as_slice() {
        [] => output.line("nothing in it had to be taken out"),
        redacted => output.line(&format!("taken out: {}", redacted.join(", "))),
    }
    for note in notes {
        output.line(&output.yellow(note));
    }
    let path = path.display();
    output.line(&format!(
        "\n{path} can be sent to somebody else; look at it first. A device made from it:"
    ));
    // Where its ledger looks for it: another wire may not be looked at.
    let wire = match capture.head.wire.as_str() {
        "modbus+rtu" => "modbus+rtu+tcp",
        wire => wire,
    };
    output.line(&format!(
        "  busbar replay {path} --listen {wire}://127.0.0.1:5020"
    ));
    Ok(())
}

/// Runs `busbar replay`.
pub async fn replay(args: &ReplayArgs, output: Output) -> Result<()> {
    let capture = load(&args.file)?;
    let name = args.file.display().to_string();
    let url = match &args.listen {
        Some(url) => url.clone(),
        // As it was captured, on any free port; a serial line has to be named.
        None => match capture.head.wire.as_str() {
            wire @ ("modbus+udp" | "modbus+rtu+tcp") => format!("{wire}://127.0.0.1:0"),
            "modbus+rtu" => "modbus+rtu+tcp://127.0.0.1:0".to_owned(),
            _ => "modbus+tcp://127.0.0.1:0".to_owned(),
        },
    };
    let site = Site::of_capture(&name, capture, &url)
        .map_err(|e| HostError::usage(e.to_string(), "An example: --listen modbus+tcp://127.0.0.1:5020"))?;
    simulate::serve(&site, &[], args.duration, output).await
}

/// A capture from a file.
fn load(path: &Path) -> Result<Capture> {
    let hint = "`busbar capture URL` makes such a file.";
    let cannot = |e: std::io::Error| HostError::io(format_args!("cannot read {}", path.display()), &e, hint);
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut text = String::new();
    // What is no file has no length, and perhaps no end.
    let size = file
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(cannot)?;
    if size as u64 > MAX_BYTES {
        let message = format!(
            "{} is too large; a capture has at most {} MB",
            path.display(),
            MAX_BYTES >> 20
        );
        return Err(HostError::failed("capture", message, hint));
    }
    Capture::parse(&text).map_err(|e| HostError::failed("capture", format!("{}: {e}", path.display()), hint))
}
