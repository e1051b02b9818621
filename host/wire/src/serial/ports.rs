//! Which serial ports there are, what they are called, and who holds them.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Where the system names serial adapters by maker, model and serial number.
const BY_ID: &str = "/dev/serial/by-id";

/// The serial ports of this machine, each under the name that lasts where it has one.
pub(super) fn ports() -> Vec<PathBuf> {
    let mut ports: Vec<PathBuf> = serial2_tokio::SerialPort::available_ports()
        .unwrap_or_default()
        .into_iter()
        .map(|port| stable_path(&port).unwrap_or(port))
        .collect();
    ports.sort();
    ports.dedup();
    ports
}

/// The name of a port that stays the same after a replug, where there is one and it is not the given one:
/// `/dev/ttyUSB0` is whichever adapter was found first.
pub fn stable_path(port: &Path) -> Option<PathBuf> {
    stable_in(Path::new(BY_ID), port)
}

fn stable_in(dir: &Path, port: &Path) -> Option<PathBuf> {
    if port.starts_with(dir) {
        return None;
    }
    let target = fs::canonicalize(port).ok()?;
    let mut names: Vec<PathBuf> = fs::read_dir(dir)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| fs::canonicalize(path).is_ok_and(|to| to == target))
        .collect();
    names.sort();
    names.into_iter().next()
}

/// Who else has a port, as `NAME (pid N)`, as far as this user may know: who locked it, else who has it open.
pub(super) fn holder(port: &Path) -> Option<String> {
    let file = fs::metadata(port).ok()?;
    let pid = locked_by(&file).or_else(|| opened_by(&file))?;
    if pid == std::process::id() {
        return Some("another connection of this program".to_owned());
    }
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(format!("{} (pid {pid})", name.trim()))
}

fn locked_by(file: &fs::Metadata) -> Option<u32> {
    let (major, minor) = (rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
    let wanted = format!("{major:02x}:{minor:02x}:{}", file.ino());
    fs::read_to_string("/proc/locks").ok()?.lines().find_map(|line| {
        // As in `1: FLOCK  ADVISORY  WRITE 708 00:13:1234 0 EOF`.
        let mut fields = line.split_whitespace().skip(4);
        let pid = fields.next()?.parse().ok()?;
        (fields.next()? == wanted).then_some(pid)
    })
}

fn opened_by(file: &fs::Metadata) -> Option<u32> {
    let device = file.rdev();
    let has = |fd: &Path| {
        fs::metadata(fd).is_ok_and(|file| file.file_type().is_char_device() && file.rdev() == device)
    };
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let open = fs::read_dir(process.path().join("fd")).ok()?;
        open.flatten().any(|fd| has(&fd.path())).then_some(pid)
    })
}

/// The group that may use a port.
pub(super) fn group(port: &Path) -> Option<String> {
    let gid = fs::metadata(port).ok()?.gid().to_string();
    fs::read_to_string("/etc/group").ok()?.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == gid).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_port_is_found_under_the_name_that_lasts() {
        let dir = std::env::temp_dir().join(format!("busbar-by-id-{}", std::process::id()));
        let by_id = dir.join("by-id");
        fs::create_dir_all(&by_id).unwrap();
        for port in ["ttyUSB0", "ttyUSB1"] {
            fs::write(dir.join(port), "").unwrap();
        }
        let name = by_id.join("usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0");
        symlink("../ttyUSB1", &name).unwrap();
        symlink("../ttyUSB7", by_id.join("usb-gone-if00")).unwrap();
        assert_eq!(stable_in(&by_id, &dir.join("ttyUSB1")), Some(name.clone()));
        assert_eq!(
            stable_in(&by_id, &dir.join("ttyUSB0")),
            None,
            "it has no such name"
        );
        assert_eq!(stable_in(&by_id, &dir.join("ttyUSB9")), None, "it is not there");
        assert_eq!(stable_in(&by_id, &name), None, "it is one");
        assert_eq!(stable_in(&dir.join("none"), &dir.join("ttyUSB1")), None);
        fs::remove_dir_all(&dir).unwrap();
    }
}
