//! `busbar.toml`: every key has a default, an unknown key is an error with its line.
//!
//! What a scan with `--save` stores lives in the registry; this file, where present, wins.

pub mod names;
mod site;
mod writes;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use busbar_sinks::file::FileConfig;
use busbar_sinks::influxdb::InfluxConfig;
use busbar_sinks::mqtt::MqttConfig;
use busbar_sinks::prometheus::MetricsConfig;
use busbar_sinks::sparkplug::SparkplugConfig;
use busbar_sinks::vscp::VscpConfig;
use serde::Deserialize;

use crate::error::{HostError, Result};
use crate::units::UnitList;

pub use busbar_sinks::duration::{self, format_duration, parse_duration};
pub use site::{BatteryValue, CustomBattery, PhasesValue, SiteConfig, VoltageValue};
pub use writes::{AllowEntry, AllowValue, WritesConfig, moment};

/// The name looked for in the working directory when none is given.
pub const DEFAULT_FILE: &str = "busbar.toml";
/// The port of the live page, and the first that the demo tries.
pub const DEFAULT_PORT: u16 = 8510;
/// How often a connection is polled when nobody says otherwise.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
/// The fastest polling that is accepted: quicker only heats devices.
pub const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
/// How long a connection is silent before its devices are looked for elsewhere.
pub const DEFAULT_FOLLOW_AFTER: Duration = Duration::from_secs(60);
/// A configuration is small; anything larger is a mistake.
const MAX_BYTES: u64 = 1 << 20;

/// The whole configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The live page and the HTTP interface.
    pub web: WebConfig,
    /// Where plugins are looked for.
    pub plugins: PluginsConfig,
    /// What is kept of the past.
    pub history: HistoryConfig,
    /// How devices are found, and found again.
    pub discover: DiscoverConfig,
    /// The limits of the site, for writes.
    pub site: SiteConfig,
    /// What `/metrics` shows.
    pub metrics: MetricsConfig,
    /// Where readings are sent as line protocol.
    pub influxdb: Option<InfluxConfig>,
    /// Where readings are written down.
    #[serde(rename = "file")]
    pub files: Vec<FileConfig>,
    /// Endpoints to poll; each replaces a connection of the same name in the registry.
    #[serde(rename = "connection")]
    pub connections: Vec<ConnectionConfig>,
    /// The broker to publish on.
    pub mqtt: Option<MqttConfig>,
    /// How VSCP events look.
    pub vscp: Option<VscpConfig>,
    /// This host as an edge node of Sparkplug B.
    pub sparkplug: Option<SparkplugConfig>,
    serve: Option<toml::Value>,
}

impl Config {
    /// What reads the bus, as far as this file asks for it.
    pub fn sinks(&self) -> busbar_sinks::sinks::Config {
        busbar_sinks::sinks::Config {
            mqtt: self.mqtt.clone(),
            metrics: self.metrics.clone(),
            influxdb: self.influxdb.clone(),
            files: self.files.clone(),
            vscp: self.vscp.clone(),
            sparkplug: self.sparkplug.clone(),
        }
    }
}

/// `[web]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebConfig {
    /// The address of the live page. Only loopback is accepted: there is no authentication yet.
    pub listen: SocketAddr,
}

impl Default for WebConfig {
    fn default() -> Self {
        WebConfig {
            listen: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
        }
    }
}

/// `[plugins]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PluginsConfig {
    /// One more directory, searched behind `--plugin-dir`.
    pub dir: Option<PathBuf>,
    /// Plugin name to the sha256, in hexadecimal, that its file must have.
    pub pin: BTreeMap<String, String>,
}

/// `[history]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HistoryConfig {
    /// Days that readings are kept; 0 keeps none.
    pub days: u32,
}

impl Default for HistoryConfig {
    fn default() -> Self {
        HistoryConfig { days: 30 }
    }
}

/// `[discover]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiscoverConfig {
    /// The port of multicast DNS. Another one than 5353 finds nothing but what announces itself there.
    pub mdns_port: u16,
    /// Whether devices are followed that announce themselves at another address.
    pub follow: bool,
    /// How long a connection has to be silent before its devices are looked for elsewhere.
    #[serde(default, with = "duration::optional")]
    pub follow_after: Option<Duration>,
}

impl DiscoverConfig {
    /// After how long a silent connection is looked for elsewhere; `None` where it never is.
    pub fn follow_after(&self) -> Option<Duration> {
        self.follow
            .then(|| self.follow_after.unwrap_or(DEFAULT_FOLLOW_AFTER))
    }
}

impl Default for DiscoverConfig {
    fn default() -> Self {
        DiscoverConfig {
            mdns_port: crate::find::mdns::PORT,
            follow: true,
            follow_after: None,
        }
    }
}

/// `[[connection]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionConfig {
    /// A name for people; unique.
    pub name: String,
    /// How it is reached.
    pub url: String,
    /// The plugin that recognises it; left out: all are asked.
    pub plugin: Option<String>,
    /// The ledger that describes it; left out: recognised.
    pub ledger: Option<String>,
    /// Units to look at, as a list `1,3-9`; left out: the usual ones.
    pub units: Option<UnitsValue>,
    /// `quick` or `full`.
    pub mode: Option<ScanModeValue>,
    /// How often it is polled.
    #[serde(default, with = "duration::optional")]
    pub interval: Option<Duration>,
    /// The longest wait for one answer.
    #[serde(default, with = "duration::optional")]
    pub timeout: Option<Duration>,
    /// The longest read, in registers; the ledger's own bound still holds.
    pub max_words: Option<u16>,
    key: Option<String>,
    auth_key: Option<String>,
    /// What may be written; left out: what the registry has.
    pub writes: Option<WritesConfig>,
    item: Option<toml::Value>,
}

/// `units` of a connection: `"1,3-9"`, `7` or `[1, 3]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum UnitsValue {
    /// One unit.
    One(u8),
    /// Several.
    List(Vec<u8>),
    /// A list as text.
    Text(String),
}

impl UnitsValue {
    /// The units, checked.
    pub fn units(&self) -> Result<UnitList, String> {
        match self {
            UnitsValue::One(u) => u.to_string().parse(),
            UnitsValue::List(all) => all
                .iter()
                .map(u8::to_string)
                .collect::<Vec<_>>()
                .join(",")
                .parse(),
            UnitsValue::Text(t) => t.parse(),
        }
    }
}

/// `mode` of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScanModeValue {
    /// The usual units.
    Quick,
    /// All units.
    Full,
}

/// A configuration and what has to be said about it.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// Keys that are understood but not carried out by this version, in words.
    pub warnings: Vec<String>,
}

/// The file that is read: the named one, or `busbar.toml` where it exists.
pub fn file(named: Option<&Path>) -> Option<PathBuf> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    path.exists().then(|| path.to_owned())
}

/// Reads the configuration: the named file, or `busbar.toml` where it exists.
///
/// # Errors
/// A named file that is missing, a file that cannot be read, is not TOML, or has an unknown or impossible key; each
/// with the line.
pub fn load(named: Option<&Path>) -> Result<Loaded> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    let hint = "Check the path given with --config, and that the file can be read.";
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() > MAX_BYTES => Err(HostError::failed(
            "config",
            format!(
                "{}: larger than 1 MiB; this is no Busbar configuration",
                path.display()
            ),
            hint,
        )),
        Ok(_) => {
            let text = std::fs::read_to_string(path)
                .map_err(|e| HostError::io(format_args!("cannot read {}", path.display()), &e, hint))?;
            parse(&path.display().to_string(), &text)
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && named.is_none() => Ok(Loaded::default()),
        Err(e) => Err(HostError::io(
            format_args!("cannot read {}", path.display()),
            &e,
            hint,
        )),
    }
}

/// Checks the text of a configuration. Pure.
///
/// # Errors
/// As [`load`], without those of the file itself.
pub fn parse(file: &str, text: &str) -> Result<Loaded> {
    let fault = |message: String| {
        HostError::failed(
            "config",
            format!("{file}: {message}"),
            "Correct the line and start again; the README lists every key.",
        )
    };
    let config: Config = toml::from_str(text).map_err(|e| fault(e.to_string().trim_end().to_owned()))?;
    if !config.web.listen.ip().is_loopback() {
        return Err(fault(format!(
            "web.listen = \"{}\" can be reached from other machines, and this version has no log-in: write a \
             loopback address such as \"127.0.0.1:{DEFAULT_PORT}\"",
            config.web.listen
        )));
    }
    config.site.site().map_err(fault)?;
    config.sinks().check().map_err(fault)?;
    for (i, c) in config.connections.iter().enumerate() {
        let place = format!("connection \"{}\"", c.name);
        if c.name.trim().is_empty() {
            return Err(fault(format!("connection {}: the name is empty", i + 1)));
        }
        if config.connections[..i].iter().any(|other| other.name == c.name) {
            return Err(fault(format!("{place} stands twice: names must differ")));
        }
        if let Some(units) = &c.units {
            units.units().map_err(|e| fault(format!("{place}: units: {e}")))?;
        }
        if c.interval.is_some_and(|i| i < SHORTEST_INTERVAL) {
            return Err(fault(format!(
                "{place}: interval is below 100ms, the shortest that is polled"
            )));
        }
        if let Some(writes) = &c.writes {
            writes.check().map_err(|e| fault(format!("{place}: {e}")))?;
        }
        if c.max_words.is_some_and(|w| !(1..=125).contains(&w)) {
            return Err(fault(format!(
                "{place}: max_words must be 1 to 125, the most that Modbus reads"
            )));
        }
    }
    let mut warnings = not_built_yet(&config);
    if config.vscp.is_some() && !config.mqtt.as_ref().is_some_and(|mqtt| mqtt.vscp) {
        warnings.push(
            "[vscp] says how events look, and nobody sends any: write vscp = true in [mqtt]".to_owned(),
        );
    }
    Ok(Loaded { config, warnings })
}

/// Keys of the contract that this version reads but does not carry out.
fn not_built_yet(config: &Config) -> Vec<String> {
    let mut keys = Vec::new();
    let mut note = |present: bool, key: &str| {
        if present {
            keys.push(format!(
                "`{key}` is not carried out by this version of Busbar and has no effect"
            ));
        }
    };
    note(config.serve.is_some(), "[[serve]]");
    for c in &config.connections {
        note(c.item.is_some(), &format!("connection.item of \"{}\"", c.name));
        note(
            c.key.is_some() || c.auth_key.is_some(),
            &format!("key and auth_key of \"{}\"", c.name),
        );
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_at_all_is_a_configuration() {
        let loaded = parse("busbar.toml", "").unwrap();
        assert_eq!(loaded.config.web.listen.to_string(), "127.0.0.1:8510");
        assert!(loaded.warnings.is_empty());
    }

    #[test]
    fn the_contract_example_is_understood_and_what_is_missing_is_said() {
        let text = r#"
[web]
listen = "127.0.0.1:8510"
[mqtt]
url = "mqtt://user@broker:1883"
[site]
ac_voltage = 230
[[connection]]
name = "home"
url = "modbus+tcp://gx.local:502"
plugin = "victron-gx"
interval = "5s"
[connection.writes]
level = 2
"#;
        let loaded = parse("busbar.toml", text).unwrap();
        assert_eq!(
            loaded.config.connections[0].interval,
            Some(Duration::from_secs(5))
        );
        assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
        assert_eq!(
            loaded.config.connections[0].writes.as_ref().map(|w| w.level),
            Some(2)
        );
    }

    #[test]
    fn faults_name_their_line() {
        let error = parse("busbar.toml", "[web]\nlisten = \"127.0.0.1:8510\"\nport = 1\n").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("line 3") && text.contains("port"), "{text}");
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_write() {
        for (text, word) in [
            ("[web]\nlisten = \"0.0.0.0:8510\"", "127.0.0.1"),
            ("[[connection]]\nname=\"a\"\nurl=\"x\"\ninterval=\"1ms\"", "100ms"),
            ("[[connection]]\nname=\"a\"\nurl=\"x\"\nmax_words=126", "1 to 125"),
            ("[[connection]]\nname=\"a\"\nurl=\"x\"\nunits=\"9-3\"", "3-9"),
            (
                "[[connection]]\nname=\"a\"\nurl=\"x\"\n[[connection]]\nname=\"a\"\nurl=\"y\"",
                "twice",
            ),
            ("[[connection]]\nname=\"a\"\nurl=\"x\"\ninterval=\"soon\"", "5s"),
            ("[site]\nac_current = 0", "site.ac_current"),
            (
                "[[connection]]\nname=\"a\"\nurl=\"x\"\n[connection.writes]\nlevel = 4",
                "read-only",
            ),
            (
                "[[connection]]\nname=\"a\"\nurl=\"x\"\n[connection.writes]\nallow = [\"2716\"]",
                "victron/gx-hub4:2716",
            ),
            (
                "[[connection]]\nname=\"a\"\nurl=\"x\"\n[connection.writes]\nuntil = 2027-01-31",
                "2027-01-31T18:00:00+01:00",
            ),
        ] {
            let error = parse("busbar.toml", text).unwrap_err().to_string();
            assert!(error.contains(word), "{text}\n{error}");
        }
    }
}
