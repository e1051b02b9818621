//! `busbar discover`: what is on the network and on serial lines, asked for only with the owner's consent.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use busbar_store::{Registry, StoreError};
use tokio_util::sync::CancellationToken;

use super::args::DiscoverArgs;
use super::ask;
use super::discover_report::{self, Shown, Summary};
use super::output::Output;
use crate::catalog::Catalog;
use crate::config::DiscoverConfig;
use crate::control::{Client, MoveCall};
use crate::error::{HostError, Result};
use crate::find::known::Registered;
use crate::find::networks::{self, Network, Own, WIDEST, WIDEST_FULL};
use crate::find::places::Places;
use crate::find::serial;
use crate::find::{self, Confidence, Found, Plan};
use crate::registry;

/// What a shell makes of a program that SIGINT has ended.
const INTERRUPTED: i32 = 130;

/// Runs the command.
pub async fn run(
    args: &DiscoverArgs,
    data_dir: &Path,
    config: &DiscoverConfig,
    verbose: bool,
    output: Output,
    catalog: impl AsyncFnOnce() -> Result<Catalog>,
) -> Result<()> {
    let wanted = wanted(args, ask::can_ask(output))?;
    let catalog = catalog().await?;
    let places = Places::of(&catalog).with_ports(&args.port);
    let plan = Plan {
        serial: serial::settings(&wanted.ports, &places.units, args.full),
        places,
        mdns: Some(config.mdns_port),
        networks: wanted.networks.clone(),
        timeout: args.timeout,
        taken: taken(data_dir).await?,
    };
    let Some(plan) = agreed(plan, &wanted)? else {
        output.say("Nothing was asked.");
        return Ok(());
    };
    let registered = registered(data_dir).await?;

    let cancel = CancellationToken::new();
    let on_interrupt = cancel.clone();
    let interrupt = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            on_interrupt.cancel();
        }
        // Whoever asks twice does not want to wait for what was found.
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(INTERRUPTED);
        }
    });
    let started = tokio::time::Instant::now();
    let shown = Shown::default();
    let mut report = find::find(&plan, &catalog, &registered, &shown, &cancel).await;
    interrupt.abort();
    drop(shown);
    if args.adopt {
        adopt(&mut report.found, data_dir).await?;
    }
    let summary = Summary {
        report: &report,
        plan: &plan,
        verbose,
        took: started.elapsed(),
    };
    discover_report::show(&summary, output)
}

/// What the command line asks for.
#[derive(Default)]
struct Wanted {
    networks: Vec<Network>,
    /// Serial ports.
    ports: Vec<PathBuf>,
    /// This machine's networks, when they are what is meant.
    own: Vec<Own>,
    /// Whether the owner has to be asked first.
    ask: bool,
}

/// What is to be searched, by flags and what this machine has; `asks` tells whether somebody can be asked.
fn wanted(args: &DiscoverArgs, asks: bool) -> Result<Wanted> {
    if args.mdns_only {
        return Ok(Wanted::default());
    }
    let serial = args.serial || !args.serial_port.is_empty();
    let ports = match (serial, &args.serial_port[..]) {
        (false, _) => Vec::new(),
        (true, []) => serial::ports(),
        (true, named) => named.to_vec(),
    };
    if serial && ports.is_empty() {
        return Err(HostError::usage(
            "this machine has no serial port",
            "Plug the adapter in, or name the port with --serial-port /dev/...; `ls /dev/serial/by-id` shows adapters.",
        ));
    }
    if !args.network.is_empty() {
        within_bounds(&args.network, args.full)?;
        return Ok(Wanted {
            networks: args.network.clone(),
            ports,
            ..Wanted::default()
        });
    }
    if serial && !args.yes && !asks {
        // Who asks for the serial ports where nobody can be asked means these and nothing else.
        return Ok(Wanted {
            ports,
            ..Wanted::default()
        });
    }
    if !args.yes && !asks {
        return Err(HostError::usage(
            "a search of the network needs your consent, and there is no terminal to ask on",
            "Add --network 192.168.1.0/24 for one that you name, --yes for all that this machine is in, --serial for its serial ports, or --mdns-only.",
        ));
    }
    let own = networks::own().map_err(|e| {
        HostError::io(
            "cannot list this machine's networks",
            &e,
            "Name one with --network.",
        )
    })?;
    Ok(Wanted {
        networks: own.iter().map(|o| o.network).collect(),
        ask: !args.yes && (!own.is_empty() || !ports.is_empty()),
        ports,
        own,
    })
}

/// Whether so many addresses were meant: many small networks are a large one.
fn within_bounds(networks: &[Network], full: bool) -> Result<()> {
    let prefix = if full { WIDEST_FULL } else { WIDEST };
    let count: u64 = networks.iter().map(|n| u64::from(n.size())).sum();
    if count < 1 << (32 - prefix) {
        return Ok(());
    }
    let what = match networks {
        [one] => format!("{one} has"),
        all => format!("{} networks together have", all.len()),
    };
    let hint = match full {
        true => format!("Name a part at a time (as many addresses as a /{prefix} has at most)."),
        false => format!("Name a part (as many addresses as a /{prefix} has at most), or add --full."),
    };
    Err(HostError::usage(
        format!("{what} {count} addresses, which takes long"),
        hint,
    ))
}

/// The plan, if the owner agrees to it. Who declines the network still hears what announces itself.
fn agreed(plan: Plan, wanted: &Wanted) -> Result<Option<Plan>> {
    if !wanted.ask || ask::confirmed(&discover_report::question(&plan, &wanted.own))? {
        return Ok(Some(plan));
    }
    let nothing = plan.mdns.is_none();
    Ok((!nothing).then(|| Plan {
        networks: Vec::new(),
        serial: Vec::new(),
        ..plan
    }))
}

/// The endpoints that a running host talks to.
async fn taken(data_dir: &Path) -> Result<Vec<String>> {
    match Client::connect(data_dir).await? {
        Some(mut host) => host.get("/control/urls").await,
        None => Ok(Vec::new()),
    }
}

/// Gives connections whose devices have moved their new addresses: by the running host where there is one.
async fn adopt(found: &mut [Found], data_dir: &Path) -> Result<()> {
    let mut adopted = BTreeSet::new();
    for one in found.iter_mut().filter(|f| f.confidence == Confidence::Certain) {
        let (Some(connection), Some(_)) = (&one.connection, &one.moved_from) else {
            continue;
        };
        // Of several new addresses of one device the first is as good as the others.
        if adopted.insert(connection.clone()) {
            relocate(connection, &one.url, data_dir).await?;
            one.adopted = true;
        }
    }
    Ok(())
}

async fn relocate(connection: &str, url: &str, data_dir: &Path) -> Result<()> {
    if let Some(mut host) = Client::connect(data_dir).await? {
        let call = MoveCall {
            connection: connection.to_owned(),
            url: url.to_owned(),
        };
        let _: serde_json::Value = host.post("/control/move", &call).await?;
        return Ok(());
    }
    let (store, _) = Registry::open(data_dir).await?;
    registry::relocate(&store, connection, url).await?;
    Ok(store.close().await?)
}

/// What the registry has; nothing where there is none yet.
async fn registered(data_dir: &Path) -> Result<Registered> {
    match Registry::open_read_only(data_dir).await {
        Ok(registry) => Registered::load(&registry).await,
        Err(StoreError::Missing { .. }) => Ok(Registered::default()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_networks_are_a_large_one() {
        let networks = |count: u8, prefix: u8| -> Vec<Network> {
            (0..count)
                .map(|n| format!("10.{n}.0.0/{prefix}").parse().unwrap())
                .collect()
        };
        assert!(within_bounds(&networks(1, WIDEST), false).is_ok());
        let refused = within_bounds(&networks(2, WIDEST), false).unwrap_err();
        assert!(refused.to_string().contains("2044 addresses"), "{refused}");
        assert!(within_bounds(&networks(2, WIDEST), true).is_ok());
        assert!(within_bounds(&networks(1, WIDEST_FULL), true).is_ok());
        assert!(within_bounds(&networks(2, WIDEST_FULL), true).is_err());
    }
}
