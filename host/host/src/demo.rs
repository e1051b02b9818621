//! `busbar demo`: a simulated house and the host on it, from scan to live page; nothing is kept.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use busbar_simulate::{DEMO, Running, Site};
use busbar_sinks::mqtt::MqttConfig;
use busbar_wire::{Endpoint, InFlight, Options};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::cli::args::DemoArgs;
use crate::cli::output::Output;
use crate::cli::{run, simulate};
use crate::config::{Config, DEFAULT_PORT, format_duration};
use crate::discover::{self, Request, progress::Quiet};
use crate::error::{HostError, Result};
use crate::host::Host;
use crate::profile::Profile;
use crate::registry;
use crate::settings::ConnectionOptions;
use crate::telegrams::keys::Keys;
use crate::telegrams::way::Way;

/// Ports tried for the live page, from the usual one up.
const PORTS: u16 = 100;

/// Runs the command.
///
/// # Errors
/// No free port, no temporary directory, or a fault in any part that the demo shows.
pub async fn run(args: &DemoArgs, catalog: Catalog, output: Output) -> Result<()> {
    let cancel = run::stop_on_signal();
    if let Some(time) = args.duration {
        let cancel = cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            cancel.cancel();
        });
    }
    let dir = tempfile::Builder::new()
        .prefix("busbar-demo-")
        .tempdir()
        .map_err(|e| {
            HostError::io(
                "cannot make a temporary directory",
                &e,
                "Free some space, or set TMPDIR to another disk.",
            )
        })?;
    let mut site = Site::parse("demo", DEMO).map_err(|e| {
        HostError::failed(
            "simulate",
            e.to_string(),
            "This is a fault of Busbar: please report it.",
        )
    })?;
    site.on_free_ports();
    let running = busbar_simulate::start(&site, &simulate::all_ledgers(&catalog)?)
        .await
        .map_err(|e| simulate::simulate_error(&e))?;
    let done = show(args, dir.path(), &running, catalog, output, &cancel).await;
    running.stop().await;
    done
}

async fn show(
    args: &DemoArgs,
    dir: &Path,
    site: &Running,
    catalog: Catalog,
    output: Output,
    cancel: &CancellationToken,
) -> Result<()> {
    output.say(&output.bold("A simulated house, reached over sockets like a real one:"));
    let host = Host::open(dir, config(args)?, Arc::new(catalog)).await?;
    for (name, url) in site.devices() {
        scan(&host, name, url, args.interval, output, cancel).await?;
    }
    let listener = free_port().await?;
    let done = run::serve_until_stopped(&host, dir, listener, cancel, output).await;
    let stopped = host.stop().await;
    done.and(stopped)
}

/// What is asked for besides: everything else is as it is without a file.
fn config(args: &DemoArgs) -> Result<Config> {
    let mut config = Config::default();
    if let Some(url) = &args.mqtt {
        let mqtt = MqttConfig::at(url);
        mqtt.check().map_err(|e| {
            HostError::usage(
                e.replace("mqtt.url", "--mqtt"),
                "Write for example mqtt://user@broker:1883, and give the password in BUSBAR_MQTT_PASSWORD.",
            )
        })?;
        config.mqtt = Some(mqtt);
    }
    Ok(config)
}

async fn scan(
    host: &Arc<Host>,
    name: &str,
    url: &str,
    interval: Duration,
    output: Output,
    cancel: &CancellationToken,
) -> Result<()> {
    let endpoint: Endpoint = url
        .parse()
        .map_err(|e: busbar_wire::EndpointError| HostError::usage(e.to_string(), e.hint()))?;
    let url = endpoint.to_string();
    let in_flight = InFlight {
        start: 4,
        ..InFlight::default()
    };
    let link = Way::open(
        endpoint,
        Options {
            in_flight,
            ..Options::one_shot()
        },
        Keys::default(),
        &Profile::default(),
    );
    let request = Request {
        connection: name.to_owned(),
        connection_id: registry::UNSAVED.to_owned(),
        plugin: None,
        ledger: None,
        mode: busbar_plugin_sdk::Mode::Quick,
        units: Vec::new(),
        known: Vec::new(),
    };
    let mut scan = discover::scan(&link, &host.catalog, &request, &Quiet, cancel).await?;
    link.close().await;
    let mut connection =
        registry::connection(&host.registry, &url, Some(name), scan.report.plugin.as_deref()).await?;
    let options = ConnectionOptions {
        interval: Some(format_duration(interval)),
        ..ConnectionOptions::default()
    };
    connection.options = serde_json::to_value(options)
        .map_err(|e| HostError::failed("internal", e.to_string(), "Please report this."))?;
    host.registry.update_connection(&connection).await?;
    let saved = registry::save(&host.registry, &host.catalog, connection, &mut scan).await?;
    output.say(&format!(
        "  {name} at {url}: {} devices, {} entities found in {} ms",
        saved.diff.new.devices.len(),
        saved.diff.new.entities.len(),
        scan.report.elapsed_ms
    ));
    Ok(())
}

/// The first free port from the usual one up.
async fn free_port() -> Result<TcpListener> {
    let mut last = None;
    for port in DEFAULT_PORT..DEFAULT_PORT + PORTS {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => return Ok(listener),
            Err(e) => last = Some(e),
        }
    }
    let why = last.map_or_else(String::new, |e| e.to_string());
    Err(HostError::failed(
        "no_port",
        format!(
            "no free port from {DEFAULT_PORT} to {}: {why}",
            DEFAULT_PORT + PORTS - 1
        ),
        "Stop another Busbar.",
    ))
}
