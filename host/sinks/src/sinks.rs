//! The sinks of one host: begun together, ended together.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::bus::Bus;
use crate::door::Door;
use crate::file::{self, FileConfig};
use crate::health::{Health, Report};
use crate::influxdb::{self, InfluxConfig};
use crate::mqtt::{self, MqttConfig};
use crate::prometheus::MetricsConfig;
use crate::sparkplug::{self, SparkplugConfig};
use crate::vscp::VscpConfig;

/// How long sinks have, when a host ends, to send what they still hold.
const FAREWELL: Duration = Duration::from_secs(5);

/// The sections of `busbar.toml` that make sinks; each in the file `config` of its sink.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `[mqtt]`
    pub mqtt: Option<MqttConfig>,
    /// `[metrics]`
    pub metrics: MetricsConfig,
    /// `[influxdb]`
    pub influxdb: Option<InfluxConfig>,
    /// `[[file]]`
    pub files: Vec<FileConfig>,
    /// `[vscp]`; whether there are events at all is in `[mqtt]`.
    pub vscp: Option<VscpConfig>,
    /// `[sparkplug]`
    pub sparkplug: Option<SparkplugConfig>,
}

impl Config {
    /// Checks what a type cannot say. Pure.
    ///
    /// # Errors
    /// A sentence that names the key, and says what to write instead.
    pub fn check(&self) -> Result<(), String> {
        self.mqtt.as_ref().map_or(Ok(()), MqttConfig::check)?;
        self.metrics.check()?;
        if let Some(influxdb) = &self.influxdb {
            influxdb.check()?;
        }
        file::config::check_all(&self.files)?;
        self.vscp.as_ref().map_or(Ok(()), VscpConfig::check)?;
        let sparkplug = self.sparkplug.as_ref();
        sparkplug.map_or(Ok(()), |sparkplug| sparkplug.check(self.mqtt.as_ref()))
    }
}

/// What a sink is given of the host.
#[derive(Clone)]
pub struct Site {
    /// The readings.
    pub bus: Arc<Bus>,
    /// Where writes are asked for.
    pub door: Arc<dyn Door>,
    /// The data directory of the host. A sink that keeps files has them in a directory of its own name in it.
    pub data_dir: PathBuf,
    /// What tells this host from others, for good: 1 to 32 of `a-z`, `0-9`.
    pub host_id: String,
    /// The host's version.
    pub version: &'static str,
}

/// The sinks at work.
pub struct Sinks {
    tasks: JoinSet<()>,
    cancel: CancellationToken,
    health: Vec<Health>,
}

impl Sinks {
    /// Begins those that the configuration names. None of them is waited for.
    pub fn start(config: &Config, site: &Site) -> Self {
        let mut sinks = Sinks {
            tasks: JoinSet::new(),
            cancel: CancellationToken::new(),
            health: Vec::new(),
        };
        if let Some(mqtt) = &config.mqtt {
            let (mqtt, site) = (mqtt.clone(), site.clone());
            let vscp = mqtt.vscp.then(|| config.vscp.clone().unwrap_or_default());
            let health = Health::new("mqtt", mqtt::run::target(&mqtt));
            sinks.spawn(health, |health, cancel| {
                mqtt::run::run(mqtt, vscp, site, health, cancel)
            });
        }
        if let Some(sparkplug) = &config.sparkplug
            && let Some(broker) = sparkplug.broker(config.mqtt.as_ref())
        {
            let (sparkplug, broker, site) = (sparkplug.clone(), broker.clone(), site.clone());
            let health = Health::new("sparkplug", mqtt::run::target(&broker));
            sinks.spawn(health, |health, cancel| {
                sparkplug::run::run(sparkplug, broker, site, health, cancel)
            });
        }
        if let Some(config) = config.influxdb.clone() {
            let health = Health::new("influxdb", influxdb::run::target(&config));
            let site = site.clone();
            sinks.spawn(health, |health, cancel| {
                influxdb::run::run(config, site, health, cancel)
            });
        }
        for config in config.files.clone() {
            let health = Health::new("file", file::run::target(&config));
            let site = site.clone();
            sinks.spawn(health, |health, cancel| {
                file::run::run(config, site, health, cancel)
            });
        }
        sinks
    }

    /// Begins one. `run` ends soon after its token is cancelled, with everything sent that can be.
    fn spawn<F>(&mut self, health: Health, run: impl FnOnce(Health, CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.health.push(health.clone());
        self.tasks.spawn(run(health, self.cancel.clone()));
    }

    /// How each of them is.
    pub fn reports(&self) -> Vec<Report> {
        self.health.iter().map(Health::report).collect()
    }

    /// The same for whoever outlives this moment.
    pub fn health(&self) -> Vec<Health> {
        self.health.clone()
    }

    /// Ends them: each sends what it still holds, as far as a few seconds allow.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                if let Err(fault) = ended {
                    error!("a sink ended by a fault of Busbar: {fault}");
                }
            }
        };
        if tokio::time::timeout(FAREWELL, all).await.is_err() {
            warn!("what was still to be sent could not be sent in time, and is dropped");
        }
    }
}
