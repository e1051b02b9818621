//! `busbar read` where a meter speaks by itself: telegram by telegram.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use busbar_wire::Endpoint;

use super::{once, options, through_host};
use crate::catalog::Catalog;
use crate::cli::args::ReadArgs;
use crate::cli::output::Output;
use crate::cli::{endpoint, live};
use crate::config::Config;
use crate::control::ReadCall;
use crate::error::{HostError, Result};
use crate::one_device::ReadReport;
use crate::profile::Profile;
use crate::telegrams::device::HeardDevice;
use crate::telegrams::keys::Keys;
use crate::telegrams::way::Way;

/// Runs the command: by the host that owns the endpoint, where one does.
pub(super) async fn run(
    args: &ReadArgs,
    endpoint: Endpoint,
    data_dir: &Path,
    config: &Config,
    output: Output,
    catalog: Catalog,
) -> Result<()> {
    let url = endpoint.to_string();
    let Some(ledger) = args.ledger.as_deref() else {
        return Err(HostError::usage(
            "a list of registers says nothing of a meter that speaks by itself",
            "Name a ledger of telegrams: --ledger dsmr/p1.",
        ));
    };
    if let Some(host) = endpoint::owner(data_dir, &url).await? {
        let call = ReadCall {
            url,
            ledger: endpoint::ledger_for_host(ledger),
            text: None,
            unit: args.unit,
        };
        return through_host(host, call, args.every(), output).await;
    }
    let keys = Keys::find(config, &url, None)?;
    let way = Way::open(endpoint, options(args), keys, &Profile::default());
    let Way::Heard(ear) = way else {
        return Err(HostError::failed(
            "internal",
            format!("{url} cannot be heard"),
            "Please report this.",
        ));
    };
    let device = HeardDevice::open(ear, &catalog, ledger, args.unit)?;
    let mut reader = Listening {
        device,
        catalog: Arc::new(catalog),
        every: args.every().unwrap_or_default(),
    };
    match args.every() {
        None => {
            let report = live::Reader::read(&mut reader).await?;
            once(&report, output)
        }
        Some(interval) => live::run(reader, &url, interval, output).await,
    }
}

/// A device that is heard by this command.
struct Listening {
    device: HeardDevice,
    catalog: Arc<Catalog>,
    every: Duration,
}

/// Whoever asks this often wants to see each telegram.
const EACH: Duration = Duration::from_secs(2);
/// And looks for the next one this soon.
const SOON: Duration = Duration::from_millis(50);
/// The slowest meters speak every ten seconds.
const SILENT: Duration = Duration::from_secs(15);

impl live::Reader for Listening {
    async fn read(&mut self) -> Result<ReadReport> {
        if self.every > EACH {
            // What came meanwhile is old.
            self.device.forget();
        }
        self.device.next(&self.catalog).await
    }

    fn by_itself(&self) -> Option<(Duration, Duration)> {
        let pause = if self.every > EACH { self.every } else { SOON };
        Some((pause, SILENT))
    }
}
