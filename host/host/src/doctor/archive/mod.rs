//! What somebody who is to find a fault needs to see of an installation, and nothing that tells whose it is.

mod config;
mod pack;
mod redact;
mod stored;

use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::Report;
use crate::catalog::Catalog;
use crate::format::count;
use redact::{Redactor, What};

pub use pack::{DIR, pack};

/// The longest configuration.
const MAX_CONFIG: u64 = 1 << 20;

/// One file of the archive.
#[derive(Debug, Serialize)]
pub struct Piece {
    /// Its name in the archive.
    pub name: &'static str,
    /// What is in it.
    pub what: &'static str,
    /// Bytes that it takes.
    pub bytes: usize,
    /// Its text.
    #[serde(skip)]
    pub text: String,
}

/// Everything that goes into the archive.
#[derive(Debug)]
pub struct Pieces {
    /// The files.
    pub files: Vec<Piece>,
    /// What was replaced in them, as in `2 names, 1 serial`.
    pub replaced: String,
}

/// Gathers it. What cannot be read is told in its place: an installation that is broken is what this is for.
pub async fn pieces(
    data_dir: &Path,
    config_file: Option<&Path>,
    catalog: &Catalog,
    report: &Report,
) -> Pieces {
    let mut redactor = Redactor::default();
    publish(&mut redactor, catalog);
    people(&mut redactor, data_dir);
    let config = config_file.map(read_config);
    if let Some(Ok(table)) = &config {
        config::learn(table, &mut redactor);
    }
    for link in &report.connections {
        redactor.know(What::Name, &link.connection);
        redactor.url(&link.url);
    }
    let stored = stored::Stored::read(data_dir).await;
    stored.learn(&mut redactor);

    let mut files = Vec::new();
    let mut put = |name, what, document: Value| {
        let text = serde_json::to_string_pretty(&document).unwrap_or_default() + "\n";
        files.push(Piece {
            name,
            what,
            bytes: text.len(),
            text,
        });
    };
    put(
        "doctor.json",
        "what is well and what is not, and what was learned about talking to each device",
        redactor.value(serde_json::to_value(report).unwrap_or_default()),
    );
    put(
        "system.json",
        "Busbar's version, the kernel, the architecture",
        redactor.value(system()),
    );
    put(
        "plugins.json",
        "the plugins with the hashes of their files, and why one is refused",
        redactor.value(plugins(catalog)),
    );
    let document = match &config {
        Some(Ok(table)) => config::redacted(table, &mut redactor),
        Some(Err(error)) => json!({ "cannot be read": redactor.text(error) }),
        None => json!({ "file": null }),
    };
    put(
        "config.json",
        "busbar.toml, without what is not known to be harmless",
        document,
    );
    put(
        "registry.json",
        "connections, devices and entities, without values",
        stored.registry(&mut redactor),
    );
    put(
        "scans.json",
        "the scans, and how many probes were answered how",
        stored.scans(&mut redactor),
    );
    put(
        "audit.json",
        "the last writes and refusals",
        stored.audit(&mut redactor),
    );
    put(
        "backups.json",
        "the copies of the registry",
        stored.backups(&mut redactor),
    );
    let replaced: Vec<String> = redactor
        .counts()
        .iter()
        .map(|(what, n)| count(*n, what))
        .collect();
    let replaced = match replaced.is_empty() {
        true => "nothing".to_owned(),
        false => replaced.join(", "),
    };
    Pieces { files, replaced }
}

/// What the plugins bring is no secret: their names, the ledgers' names and titles.
fn publish(redactor: &mut Redactor, catalog: &Catalog) {
    for plugin in catalog.plugins().list() {
        for name in plugin.name.iter().filter(|_| plugin.ships) {
            redactor.publish(name);
        }
        for file in plugin.ledgers.iter().filter(|_| plugin.ships) {
            let name = file.trim_end_matches(".toml");
            redactor.publish(name);
            if let Ok(ledger) = catalog.ledger(name) {
                redactor.publish(&ledger.title);
            }
        }
    }
}

/// The names of this machine and of who uses it.
fn people(redactor: &mut Redactor, data_dir: &Path) {
    redactor.know(
        What::Host,
        rustix::system::uname().nodename().to_str().unwrap_or_default(),
    );
    let absolute = std::path::absolute(data_dir).unwrap_or_default();
    let home = std::env::var_os("HOME").unwrap_or_default();
    for path in [Path::new(&home), &absolute] {
        let mut parts = path.iter().map(|part| part.to_string_lossy().into_owned());
        while let Some(part) = parts.next() {
            if part == "home"
                && let Some(user) = parts.next()
            {
                redactor.know(What::User, &user);
            }
        }
    }
    for name in ["USER", "LOGNAME", "SUDO_USER"] {
        if let Ok(user) = std::env::var(name)
            && user != "root"
        {
            redactor.know(What::User, &user);
        }
    }
}

fn read_config(path: &Path) -> Result<toml::Table, String> {
    if std::fs::metadata(path).map_or(0, |m| m.len()) > MAX_CONFIG {
        return Err("it is larger than 1 MiB".to_owned());
    }
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    // A fault would be quoted with its line.
    text.parse().map_err(|_| "it is no TOML".to_owned())
}

fn system() -> Value {
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    json!({
        "busbar": { "version": env!("CARGO_PKG_VERSION") },
        "kernel": text(uname.release()),
        "machine": text(uname.machine()),
        "arch": std::env::consts::ARCH,
        "system": name.map(|name| name.trim_matches('"')),
        "memory": memory.lines().next(),
        "cpus": std::thread::available_parallelism().map(usize::from).ok(),
        "time_ms": crate::clock::now_ms(),
    })
}

fn plugins(catalog: &Catalog) -> Value {
    serde_json::to_value(catalog.plugins().list()).unwrap_or_default()
}
