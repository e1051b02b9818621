//! The host, started by the wizard: the first values, once, and then as `busbar run`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::page::{Paint, page};
use crate::bus::{Availability, Bus};
use crate::catalog::Catalog;
use crate::cli::output::Output;
use crate::cli::run;
use crate::config::Config;
use crate::error::Result;
use crate::host::Host;
use crate::setup::hands::live;
use crate::setup::{Ask, Block, End, Screen};
use crate::view;

/// How often it is looked whether all devices have answered.
const LOOK: Duration = Duration::from_millis(100);
/// And how long.
const PATIENCE: Duration = Duration::from_secs(15);

/// Runs until it is told to stop.
///
/// # Errors
/// As `busbar run`.
pub async fn run(
    connection: &str,
    data_dir: &Path,
    config: Config,
    catalog: Arc<Catalog>,
    output: Output,
) -> Result<()> {
    let listen = config.web.listen;
    let host = Host::open(data_dir, config, catalog).await?;
    let cancel = run::stop_on_signal();
    let done = match run::listen(listen).await {
        Ok(listener) => {
            let (bus, connection) = (Arc::clone(&host.bus), connection.to_owned());
            let first = tokio::spawn(async move { first_values(&bus, &connection, output).await });
            let done = run::serve_until_stopped(&host, data_dir, listener, &cancel, output).await;
            first.abort();
            done
        }
        Err(error) => Err(error),
    };
    let stopped = host.stop().await;
    done.and(stopped)
}

/// Shows what each device says first, once all have answered or are known not to.
async fn first_values(bus: &Bus, connection: &str, output: Output) {
    let until = Instant::now() + PATIENCE;
    let devices = loop {
        tokio::time::sleep(LOOK).await;
        let mut devices = bus.devices();
        if !connection.is_empty() {
            devices.retain(|device| device.meta.connection == connection);
        }
        let waits = devices
            .iter()
            .any(|device| matches!(device.state().availability, Availability::Unknown));
        if (!devices.is_empty() && !waits) || Instant::now() > until {
            break devices;
        }
    };
    let block = |device: &Arc<crate::bus::Device>| {
        let live = live(&view::device(bus, device));
        // What answers and has nothing to say now is no news.
        let quiet = live.values.is_empty() && live.state == "online";
        (!quiet).then_some(Block::Device {
            name: live.name,
            about: live.state,
            values: live.values,
            rest: Vec::new(),
        })
    };
    let screen = Screen {
        title: "The first values".to_owned(),
        step: None,
        blocks: devices.iter().filter_map(block).collect(),
        ask: Ask::End { end: End::Done },
        help: String::new(),
        back: false,
        fault: None,
    };
    let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
    for line in page(&screen, Paint::new(output.colour(), width)) {
        output.line(&line);
    }
    output.line("  Busbar goes on reading. Ctrl-C ends it; `busbar` starts it again.");
}
