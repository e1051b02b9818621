//! Who may do what: the files of the data directory, the configuration, and serial ports.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use busbar_wire::Endpoint;
use rustix::fs::{Access, access};

use super::findings::finding;
use super::{Finding, Level};

/// What in a data directory is nobody else's business.
const PRIVATE: [&str; 5] = [
    "registry.db",
    "registry.db-wal",
    "history.db",
    "history.db-wal",
    "backups",
];
/// A configuration is small.
const MAX_CONFIG: u64 = 1 << 20;
/// Words of a configuration after which something secret stands.
const SECRET_KEYS: [&str; 3] = ["key", "auth_key", "password"];

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    /// The user that this process runs as.
    pub user: String,
    /// Its number.
    pub uid: u32,
    /// The files that are there.
    pub files: Vec<FileRights>,
    /// The serial ports that connections use.
    pub ports: Vec<PortRights>,
}

/// Who may read and write a file.
#[derive(Clone, Debug, Default)]
pub struct FileRights {
    /// The file.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner's number.
    pub owner: u32,
    /// Whether this process may write it.
    pub writable: bool,
}

/// Who may use a serial port.
#[derive(Clone, Debug, Default)]
pub struct PortRights {
    /// The connection that needs it.
    pub connection: String,
    /// The port.
    pub path: PathBuf,
    /// Whether it is there.
    pub there: bool,
    /// Whether this process may use it.
    pub usable: bool,
    /// The group that may.
    pub group: Option<String>,
}

/// Looks. `connections` are names and URLs.
pub(super) fn look<'a>(
    data_dir: &Path,
    config: Option<&Path>,
    connections: impl Iterator<Item = (&'a str, &'a str)>,
) -> Rights {
    let uid = rustix::process::geteuid().as_raw();
    let mut files: Vec<FileRights> = file(data_dir, true).into_iter().collect();
    files.extend(PRIVATE.iter().filter_map(|name| file(&data_dir.join(name), true)));
    // The control socket: only its owner talks to the host.
    files.extend(file(&data_dir.join("control.sock"), true));
    if let Some(config) = config.filter(|path| holds_secrets(path)) {
        files.extend(file(config, false));
    }
    let named = config.map(secret_files).unwrap_or_default();
    files.extend(named.iter().filter_map(|path| file(path, false)));
    Rights {
        user: user(uid).unwrap_or_else(|| uid.to_string()),
        uid,
        files,
        ports: connections.filter_map(|(name, url)| port(name, url)).collect(),
    }
}

fn file(path: &Path, must_write: bool) -> Option<FileRights> {
    let meta = fs::metadata(path).ok()?;
    Some(FileRights {
        path: path.to_owned(),
        mode: meta.mode() & 0o777,
        owner: meta.uid(),
        writable: !must_write || access(path, Access::WRITE_OK).is_ok(),
    })
}

/// The files with passwords and keys that a configuration names.
fn secret_files(config: &Path) -> Vec<PathBuf> {
    if fs::metadata(config).map_or(u64::MAX, |m| m.len()) > MAX_CONFIG {
        return Vec::new();
    }
    let text = fs::read_to_string(config).unwrap_or_default();
    let mut files = Vec::new();
    if let Ok(config) = text.parse::<toml::Table>() {
        gather_secret_files(&config, &mut files);
    }
    files
}

fn gather_secret_files(table: &toml::Table, files: &mut Vec<PathBuf>) {
    for (key, value) in table {
        let secret = key
            .strip_suffix("_file")
            .is_some_and(|of| ["password", "key", "token"].iter().any(|word| of.ends_with(word)));
        match value {
            toml::Value::String(path) if secret => files.push(path.into()),
            toml::Value::Table(table) => gather_secret_files(table, files),
            toml::Value::Array(all) => {
                let tables = all.iter().filter_map(toml::Value::as_table);
                tables.for_each(|table| gather_secret_files(table, files));
            }
            _ => {}
        }
    }
}

/// Whether a configuration holds something that others should not read.
fn holds_secrets(path: &Path) -> bool {
    if fs::metadata(path).map_or(u64::MAX, |m| m.len()) > MAX_CONFIG {
        return false;
    }
    let text = fs::read_to_string(path).unwrap_or_default();
    let line_tells = |line: &str| {
        let line = line.trim_start();
        let key = line.split('=').next().unwrap_or_default().trim();
        let user_in_url = line.split("://").nth(1).is_some_and(|rest| {
            let place = rest.split(['/', '"']).next().unwrap_or_default();
            place.split('@').next().is_some_and(|user| user.contains(':')) && place.contains('@')
        });
        SECRET_KEYS.contains(&key) || user_in_url
    };
    text.lines().any(line_tells)
}

fn port(connection: &str, url: &str) -> Option<PortRights> {
    let endpoint: Endpoint = url.parse().ok()?;
    let path = endpoint.line()?.path.clone();
    Some(PortRights {
        connection: connection.to_owned(),
        there: path.exists(),
        usable: access(&path, Access::READ_OK | Access::WRITE_OK).is_ok(),
        group: group(&path),
        path,
    })
}

fn user(uid: u32) -> Option<String> {
    named("/etc/passwd", uid)
}

fn group(path: &Path) -> Option<String> {
    named("/etc/group", fs::metadata(path).ok()?.gid())
}

/// The name of a number in `/etc/passwd` or `/etc/group`, where it is the third field.
fn named(file: &str, id: u32) -> Option<String> {
    let id = id.to_string();
    fs::read_to_string(file).ok()?.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    })
}

/// Judges it. Pure.
pub(super) fn findings(rights: &Rights) -> Vec<Finding> {
    let mut found = Vec::new();
    let area = "permissions";
    for file in &rights.files {
        let path = file.path.display();
        if file.owner != rights.uid && rights.uid != 0 {
            found.push(finding(
                area,
                Level::Warning,
                format!("{path} belongs to another user, and you are {}", rights.user),
                format!(
                    "Run Busbar as its owner, or give it to you: `sudo chown -R {} {path}`",
                    rights.user
                ),
            ));
        } else if !file.writable {
            found.push(finding(
                area,
                Level::Error,
                format!("{path} cannot be written (mode {:03o})", file.mode),
                format!("`chmod u+w {path}`"),
            ));
        } else if file.mode & 0o077 != 0 {
            let mode = if file.path.is_dir() { "700" } else { "600" };
            found.push(finding(
                area,
                Level::Warning,
                format!("{path} can be opened by other users (mode {:03o})", file.mode),
                format!("`chmod {mode} {path}`"),
            ));
        }
    }
    for port in &rights.ports {
        let path = port.path.display();
        if !port.there {
            found.push(finding(
                area,
                Level::Error,
                format!("{path}, which \"{}\" needs, is not there", port.connection),
                "Is the adapter plugged in? `ls -l /dev/serial/by-id` shows those that are.",
            ));
        } else if !port.usable {
            let (why, hint) = match &port.group {
                Some(group) if group != "root" => (
                    format!("you are not in group {group}"),
                    format!("`sudo usermod -aG {group} {}`, then log in again.", rights.user),
                ),
                _ => (
                    "only root may".to_owned(),
                    "Give it to a group with a udev rule, and be in that group.".to_owned(),
                ),
            };
            found.push(finding(
                area,
                Level::Error,
                format!("{path} cannot be opened: {why}"),
                hint,
            ));
        }
    }
    if found.is_empty() && !rights.files.is_empty() {
        found.push(finding(
            area,
            Level::Ok,
            format!("only {} may read and write what lies there", rights.user),
            "",
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(uid: u32, file: FileRights, port: PortRights) -> String {
        let rights = Rights {
            user: "ann".to_owned(),
            uid,
            files: vec![file],
            ports: vec![port],
        };
        let worst = findings(&rights).into_iter().max_by_key(|f| f.level).unwrap();
        format!("{:?}: {} {}", worst.level, worst.message, worst.hint)
    }

    #[test]
    fn who_may_not_is_told_how_to() {
        let file = FileRights {
            path: "d/registry.db".into(),
            mode: 0o600,
            owner: 1000,
            writable: true,
        };
        let port = PortRights {
            connection: "meter".to_owned(),
            path: "/dev/ttyUSB0".into(),
            there: true,
            usable: true,
            group: Some("dialout".to_owned()),
        };
        let of = |file: &FileRights, port: &PortRights| rights(1000, file.clone(), port.clone());
        assert!(of(&file, &port).starts_with("Ok: only ann may"));
        let denied = PortRights {
            usable: false,
            ..port.clone()
        };
        let said = of(&file, &denied);
        assert!(
            said.contains("you are not in group dialout") && said.contains("usermod -aG dialout ann"),
            "{said}"
        );
        let gone = PortRights {
            there: false,
            ..port.clone()
        };
        assert!(of(&file, &gone).contains("is not there"));
        let another = FileRights {
            owner: 0,
            ..file.clone()
        };
        assert!(of(&another, &port).contains("belongs to another user, and you are ann"));
        let open = FileRights {
            mode: 0o644,
            ..file.clone()
        };
        assert!(of(&open, &port).contains("`chmod 600 d/registry.db`"));
        let fixed = FileRights {
            writable: false,
            ..file
        };
        assert!(of(&fixed, &port).starts_with("Error"));
    }

    #[test]
    fn files_with_passwords_and_keys_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("busbar.toml");
        let text = "[mqtt]\npassword_file = \"/a\"\nclient_key_file = \"/b\"\nca_file = \"/c\"\n[[x]]\ntoken_file = \"/d\"\n";
        fs::write(&path, text).unwrap();
        let mut found = secret_files(&path);
        found.sort();
        assert_eq!(found, ["/a", "/b", "/d"].map(PathBuf::from));
    }

    #[test]
    fn a_configuration_with_a_password_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("busbar.toml");
        for (text, secret) in [
            ("[web]\nlisten = \"127.0.0.1:8510\"\n", false),
            ("[[connection]]\n  auth_key = \"00\"\n", true),
            ("[mqtt]\nurl = \"mqtt://ann:word@broker\"\n", true),
            ("[mqtt]\nurl = \"mqtt://ann@broker\"\n", false),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(holds_secrets(&path), secret, "{text}");
        }
    }
}
