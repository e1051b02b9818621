//! `/metrics`: the readings and the host's own health, for Prometheus.

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use busbar_sinks::health::{Link, Report};
use busbar_sinks::prometheus::MetricsConfig;
use busbar_sinks::prometheus::encode::Scrape;
use busbar_sinks::prometheus::text::{Format, Kind, Labels, Writer};
use busbar_sinks::select::Select;
use futures_util::stream;

use super::{ApiError, Shared};
use crate::bus::{Availability, Device};
use crate::doctor::LinkReport;
use crate::host::Host;

/// Everything that is known, a part at a time.
///
/// # Errors
/// Refused when too many scrapes are under way.
pub async fn metrics(State(shared): State<Shared>, headers: HeaderMap) -> Result<Response, ApiError> {
    let Ok(place) = Arc::clone(&shared.scrapes).try_acquire_owned() else {
        return Err(ApiError {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "busy",
            message: "too many scrapes are under way".to_owned(),
            hint: "Scrape less often, or from fewer places.".to_owned(),
        });
    };
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::asked(accept.unwrap_or_default());
    let host = shared.host.upgrade();
    let config = host
        .as_ref()
        .map_or_else(MetricsConfig::default, |host| host.metrics_config());
    // It was checked when the configuration was read.
    let select = Select::of(&config.entities).unwrap_or_default();
    let devices = shared.bus.devices();
    let health = host.map(|host| HostHealth::of(&host));
    let uptime = shared.started.elapsed().as_secs_f64();
    let scrape = Scrape::new(format, &devices, &select, &config.tags, |writer| {
        writer.family("busbar_build", Kind::Info, "", "The program.");
        let version = Labels::default().and("version", env!("CARGO_PKG_VERSION"));
        writer.sample("busbar_build", Kind::Info, &version, 1.0);
        let help = "For how long the host has been running.";
        writer.single("busbar_uptime_seconds", Kind::Gauge, "seconds", help, uptime);
        about_devices(writer, &devices);
        if let Some(health) = &health {
            health.write(writer);
        }
        about_process(writer);
    });
    let parts = stream::unfold((scrape, place), |(mut scrape, place)| async move {
        // A large house takes a while to write: others are served in between.
        tokio::task::yield_now().await;
        let part = scrape.next()?;
        Some((Ok::<_, std::convert::Infallible>(part), (scrape, place)))
    });
    let kind = [(header::CONTENT_TYPE, format.content_type())];
    Ok((kind, Body::from_stream(parts)).into_response())
}

/// Who the devices are, and how many answer.
fn about_devices(writer: &mut Writer, devices: &[Arc<Device>]) {
    let states: Vec<Availability> = devices.iter().map(|d| d.state().availability.clone()).collect();
    writer.family("busbar_devices", Kind::Gauge, "", "Devices, by availability.");
    for word in ["online", "offline", "unknown"] {
        let count = states.iter().filter(|state| state.name() == word).count();
        let labels = Labels::default().and("availability", word);
        writer.sample("busbar_devices", Kind::Gauge, &labels, count as f64);
    }
    if devices.is_empty() {
        return;
    }
    writer.family("busbar_device_up", Kind::Gauge, "", "Whether a device answers.");
    for (device, state) in devices.iter().zip(&states) {
        let mut labels = Labels::default().and("device", &device.meta.id);
        labels.add("connection", &device.meta.connection);
        let up = f64::from(u8::from(*state == Availability::Online));
        writer.sample("busbar_device_up", Kind::Gauge, &labels, up);
    }
    writer.family("busbar_device", Kind::Info, "", "What a device is.");
    for device in devices {
        let meta = &device.meta;
        let mut labels = Labels::default().and("device", &meta.id);
        for (name, value) in [
            ("connection", Some(&meta.connection)),
            ("ledger", Some(&meta.ledger.name)),
            ("unit_id", Some(&meta.unit.to_string())),
            ("name", Some(&meta.name)),
            ("model", meta.model.as_ref()),
            ("serial", meta.serial.as_ref()),
            ("firmware", meta.firmware.as_ref()),
        ] {
            if let Some(value) = value {
                labels.add(name, value);
            }
        }
        writer.sample("busbar_device", Kind::Info, &labels, 1.0);
    }
}

/// What only the host itself knows.
struct HostHealth {
    links: Vec<LinkReport>,
    sinks: Vec<Report>,
    /// Each plugin with how often it failed, and whether it is used.
    plugins: Vec<(String, u64, bool)>,
    /// Each database with its bytes, its log included.
    databases: Vec<(&'static str, u64)>,
}

impl HostHealth {
    fn of(host: &Host) -> Self {
        let plugins = host.catalog.plugins().list().into_iter();
        let plugins = plugins.filter_map(|plugin| {
            let used = plugin.state == busbar_loader::PluginState::Loaded;
            Some((plugin.name?, plugin.failures, used))
        });
        let databases = ["registry", "history"].into_iter();
        HostHealth {
            links: host.links(),
            sinks: host.sinks(),
            plugins: plugins.collect(),
            databases: databases
                .filter_map(|name| Some((name, size(host.data_dir(), name)?)))
                .collect(),
        }
    }

    fn write(&self, writer: &mut Writer) {
        self.write_links(writer);
        self.write_sinks(writer);
        if !self.plugins.is_empty() {
            let name = "busbar_plugin_failures";
            writer.family(
                name,
                Kind::Counter,
                "",
                "How often a plugin failed; its worker was started anew.",
            );
            for (plugin, failures, _) in &self.plugins {
                let labels = Labels::default().and("plugin", plugin);
                writer.sample(name, Kind::Counter, &labels, *failures as f64);
            }
            writer.family("busbar_plugin_up", Kind::Gauge, "", "Whether a plugin is used.");
            for (plugin, _, used) in &self.plugins {
                let labels = Labels::default().and("plugin", plugin);
                writer.sample(
                    "busbar_plugin_up",
                    Kind::Gauge,
                    &labels,
                    f64::from(u8::from(*used)),
                );
            }
        }
        let name = "busbar_database_size_bytes";
        writer.family(
            name,
            Kind::Gauge,
            "bytes",
            "What a database takes on the disk, its log included.",
        );
        for (database, bytes) in &self.databases {
            let labels = Labels::default().and("database", database);
            writer.sample(name, Kind::Gauge, &labels, *bytes as f64);
        }
    }

    fn write_links(&self, writer: &mut Writer) {
        type Of = fn(&LinkReport) -> f64;
        let counters: [(&str, &str, Of); 9] = [
            ("requests", "Requests that were sent.", |l| l.requests as f64),
            ("answers", "Answers that held what was asked for.", |l| {
                l.answers as f64
            }),
            ("timeouts", "Requests without an answer in time.", |l| {
                l.timeouts as f64
            }),
            ("late_answers", "Answers that came too late.", |l| l.late as f64),
            (
                "foreign_answers",
                "Answers that nobody here had asked for.",
                |l| l.foreign as f64,
            ),
            ("bad_answers", "Answers that did not fit their request.", |l| {
                l.bad_answers as f64
            }),
            ("connects", "Connections that were made.", |l| l.connects as f64),
            ("failed_connects", "Attempts to connect that failed.", |l| {
                l.failed_connects as f64
            }),
            ("lost", "Connections that were lost.", |l| l.lost as f64),
        ];
        if self.links.is_empty() {
            return;
        }
        let of = |link: &LinkReport| Labels::default().and("connection", &link.connection);
        for (what, help, count) in counters {
            let name = format!("busbar_link_{what}");
            writer.family(&name, Kind::Counter, "", help);
            for link in &self.links {
                writer.sample(&name, Kind::Counter, &of(link), count(link));
            }
        }
        writer.family(
            "busbar_link_exceptions",
            Kind::Counter,
            "",
            "Refusals, by exception code.",
        );
        for link in &self.links {
            for (code, count) in &link.exceptions {
                let labels = of(link).and("code", &code.to_string());
                writer.sample("busbar_link_exceptions", Kind::Counter, &labels, *count as f64);
            }
        }
        let gauges: [(&str, &str, &str, fn(&LinkReport) -> Option<f64>); 4] = [
            ("busbar_link_up", "", "Whether a connection is up.", |l| {
                Some(f64::from(u8::from(l.state == "up")))
            }),
            (
                "busbar_link_latency_seconds",
                "seconds",
                "The smoothed time from request to answer.",
                |l| l.latency_us.map(|us| us as f64 / 1e6),
            ),
            (
                "busbar_link_timeout_seconds",
                "seconds",
                "What an answer is given now.",
                |l| Some(l.timeout_ms as f64 / 1e3),
            ),
            (
                "busbar_link_in_flight",
                "",
                "Requests that may be on the wire at once now.",
                |l| Some(f64::from(l.in_flight)),
            ),
        ];
        for (name, unit, help, value) in gauges {
            writer.family(name, Kind::Gauge, unit, help);
            for link in &self.links {
                if let Some(value) = value(link) {
                    writer.sample(name, Kind::Gauge, &of(link), value);
                }
            }
        }
    }

    fn write_sinks(&self, writer: &mut Writer) {
        if self.sinks.is_empty() {
            return;
        }
        let of = |sink: &Report| {
            Labels::default()
                .and("sink", sink.name)
                .and("target", &sink.target)
        };
        type Of = fn(&Report) -> f64;
        let families: [(&str, Kind, &str, Of); 4] = [
            (
                "busbar_sink_up",
                Kind::Gauge,
                "Whether a sink's other end takes what it is sent.",
                |s| f64::from(u8::from(s.link == Link::Up)),
            ),
            (
                "busbar_sink_waiting",
                Kind::Gauge,
                "What waits to be sent.",
                |s| s.waiting as f64,
            ),
            ("busbar_sink_sent", Kind::Counter, "What was taken.", |s| {
                s.sent as f64
            }),
            ("busbar_sink_dropped", Kind::Counter, "What was given up.", |s| {
                s.dropped as f64
            }),
        ];
        for (name, kind, help, value) in families {
            writer.family(name, kind, "", help);
            for sink in &self.sinks {
                writer.sample(name, kind, &of(sink), value(sink));
            }
        }
    }
}

fn size(data_dir: &Path, database: &str) -> Option<u64> {
    let bytes = |ending: &str| {
        Some(
            std::fs::metadata(data_dir.join(format!("{database}.{ending}")))
                .ok()?
                .len(),
        )
    };
    Some(bytes("db")? + bytes("db-wal").unwrap_or_default())
}

/// The process, under the names that every exporter uses.
fn about_process(writer: &mut Writer) {
    let Some(process) = Process::read() else { return };
    let (name, help) = ("process_cpu_seconds", "CPU time that was used.");
    writer.single(name, Kind::Counter, "seconds", help, process.cpu_seconds);
    let (name, help) = ("process_resident_memory_bytes", "Memory that is in use.");
    writer.single(name, Kind::Gauge, "bytes", help, process.resident_bytes);
    if let Some(open) = process.open_files {
        writer.single("process_open_fds", Kind::Gauge, "", "Files that are open.", open);
    }
}

struct Process {
    cpu_seconds: f64,
    resident_bytes: f64,
    open_files: Option<f64>,
}

impl Process {
    fn read() -> Option<Process> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
        let open = std::fs::read_dir("/proc/self/fd").ok();
        let (cpu, pages) = (ticks(&stat)?, statm.split(' ').nth(1)?.parse::<f64>().ok()?);
        Some(Process {
            cpu_seconds: cpu / rustix::param::clock_ticks_per_second() as f64,
            resident_bytes: pages * rustix::param::page_size() as f64,
            open_files: open.map(|all| all.count() as f64),
        })
    }
}

/// The clock ticks of `/proc/self/stat`. The program's name stands in brackets and may hold anything.
fn ticks(stat: &str) -> Option<f64> {
    let mut rest = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: f64 = rest.next()?.parse().ok()?;
    let system: f64 = rest.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_whatever_the_program_is_called() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0";
        assert_eq!(ticks(stat), Some(300.0));
        assert_eq!(ticks("7"), None);
        let process = Process::read().unwrap();
        assert!(process.resident_bytes > 1e5 && process.cpu_seconds >= 0.0);
    }
}
