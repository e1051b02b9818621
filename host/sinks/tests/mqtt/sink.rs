//! The sink as a host runs it.

use busbar_sinks::health::{Health, Link, Report};
use busbar_sinks::mqtt::{self, MqttConfig};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::broker::PATIENCE;
use crate::house::House;

/// A sink at work.
pub struct Sink {
    pub health: Health,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Sink {
    /// Begins one with these lines of `[mqtt]`.
    pub fn start(house: &House, lines: &str) -> Self {
        let config: MqttConfig = toml::from_str(lines).unwrap();
        config.check().unwrap();
        let health = Health::new("mqtt", mqtt::run::target(&config));
        let cancel = CancellationToken::new();
        let run = mqtt::run::run(config, None, house.site(), health.clone(), cancel.clone());
        Sink {
            task: tokio::spawn(run),
            health,
            cancel,
        }
    }

    /// Ends it as a host does.
    pub async fn stop(self) {
        self.cancel.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }

    /// Ends it as a fault does: without a goodbye.
    pub fn abort(self) {
        self.task.abort();
    }

    /// How it is, once this is true of it.
    pub async fn report(&self, wanted: impl Fn(&Report) -> bool) -> Report {
        let reached = async {
            loop {
                let report = self.health.report();
                if wanted(&report) {
                    return report;
                }
                // Counters have no event; the others on this runtime go on meanwhile.
                tokio::task::yield_now().await;
            }
        };
        let last = || format!("{:?}", self.health.report());
        tokio::time::timeout(PATIENCE, reached)
            .await
            .unwrap_or_else(|_| panic!("{}", last()))
    }

    /// Why it is down, once it is.
    pub async fn cause(&self) -> String {
        match self
            .report(|report| matches!(report.link, Link::Down(_)))
            .await
            .link
        {
            Link::Down(cause) => cause,
            link => panic!("{link:?}"),
        }
    }
}

/// For tests of both versions.
pub const VERSIONS: [&str; 2] = ["version = 5", "version = \"3.1.1\""];
