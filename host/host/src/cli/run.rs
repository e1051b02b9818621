//! `busbar run`: the host.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use busbar_sinks::file::FileConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::args::RunArgs;
use super::output::Output;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::control;
use crate::error::{HostError, Result};
use crate::find::follow::follow;
use crate::host::Host;
use crate::view;
use crate::web::{self, Shared, server::serve};

/// Runs the command.
pub async fn run(
    args: &RunArgs,
    data_dir: &Path,
    config: Config,
    catalog: Catalog,
    output: Output,
) -> Result<()> {
    let listen = config.web.listen;
    let output = match (config.files.iter().any(FileConfig::is_stdout), output.is_json()) {
        (true, true) => {
            return Err(HostError::usage(
                "a [[file]] of the configuration writes to standard output, where --json prints its document",
                "Give the [[file]] a path, or leave out --json.",
            ));
        }
        // Standard output is for readings alone.
        (true, false) => output.aside(),
        (false, _) => output,
    };
    let host = Host::open(data_dir, config, Arc::new(catalog)).await?;
    let cancel = stop_on_signal();
    let done = if args.once {
        once(&host, &cancel, output).await
    } else {
        match self::listen(listen).await {
            Ok(listener) => serve_until_stopped(&host, data_dir, listener, &cancel, output).await,
            Err(error) => Err(error),
        }
    };
    let stopped = host.stop().await;
    done.and(stopped)
}

/// Takes the address of the live page.
///
/// # Errors
/// Where another program has it.
pub async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| {
        let hint =
            "Another program uses this address: stop it, or choose another with [web] listen in busbar.toml.";
        HostError::io(format_args!("cannot serve the live page on {address}"), &e, hint)
    })
}

async fn once(host: &Arc<Host>, cancel: &CancellationToken, output: Output) -> Result<()> {
    let (_, unscanned) = host.scan_unscanned(cancel).await?;
    host.start_sinks().await?;
    tokio::select! {
        polled = host.poll_once() => polled?,
        // What was read until then is told and kept.
        () = cancel.cancelled() => {}
    }
    host.tell_strays();
    let devices = view::devices(&host.bus);
    let unread = host.unread().await?;
    let nothing_answered = || {
        HostError::failed(
            "no_answer",
            "no device answered",
            "Check the network and the devices.",
        )
    };
    if devices.devices.is_empty() && unread.is_empty() {
        if unscanned > 0 {
            return Err(nothing_answered());
        }
        return Err(HostError::nothing_found(
            "there is nothing to poll",
            "`busbar setup` sets a device up, step by step; `busbar scan URL --save` does it at once.",
        ));
    }
    let online = devices
        .devices
        .iter()
        .filter(|d| d.availability == "online")
        .count();
    if output.is_json() {
        return match online {
            0 => Err(nothing_answered()),
            _ => output.document(&devices),
        };
    }
    output.line(&format!(
        "{online} of {} devices answered",
        devices.devices.len() + unread.len()
    ));
    for device in devices.devices.iter().filter(|d| d.availability != "online") {
        let reason = device.reason.as_deref().unwrap_or("it did not answer");
        output.line(&format!("  {}: {}", device.id, crate::format::visible(reason)));
    }
    for id in &unread {
        output.line(&format!(
            "  {id}: not read, because its ledger is missing; see `busbar plugin list`"
        ));
    }
    match online {
        0 => Err(nothing_answered()),
        _ => Ok(()),
    }
}

/// Polls and serves until the host is told to stop.
///
/// # Errors
/// The store's, and those of the control socket.
pub async fn serve_until_stopped(
    host: &Arc<Host>,
    data_dir: &Path,
    listener: TcpListener,
    cancel: &CancellationToken,
    output: Output,
) -> Result<()> {
    let hint = "Start Busbar again.";
    let address = listener
        .local_addr()
        .map_err(|e| HostError::io("cannot serve the live page", &e, hint))?;
    let _door = control::listen(host, data_dir, cancel.clone())?;
    let shared = Shared::of(host);
    tokio::spawn(serve(listener, web::site(shared), cancel.clone()));
    host.start_sinks().await?;
    host.start().await?;
    host.take_up_writing(cancel).await?;
    tokio::spawn(follow(Arc::clone(host), host.discover_config(), cancel.clone()));
    let url = format!("http://{address}/");
    if output.is_json() {
        output.json_line(&serde_json::json!({ "url": url }))?;
    } else {
        let empty = match host.bus.devices().is_empty() {
            true => {
                "Nothing is set up yet: `busbar setup` does it step by step, and this host takes it up at once.\n"
            }
            false => "",
        };
        // In one piece: a reader that only wants the address (`| head -1`) must not end the host.
        output.line(&format!("Busbar is running: {url}\n{empty}Ctrl-C stops it."));
    }
    host.adopt_config(cancel).await?;
    cancel.cancelled().await;
    info!("stopping");
    Ok(())
}

/// A token that SIGINT and SIGTERM cancel.
pub fn stop_on_signal() -> CancellationToken {
    let cancel = CancellationToken::new();
    let on_signal = cancel.clone();
    tokio::spawn(async move {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
        let terminated = async {
            match &mut terminate {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated => {}
        }
        on_signal.cancel();
    });
    cancel
}
