//! Serial ports, and what to try on them: settings and units, likeliest first, with the time that takes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use busbar_wire::{Parity, SerialLine};

/// What nearly every meter leaves its factory with.
const QUICK: [(u32, Parity); 4] = [
    (9600, Parity::None),
    (19200, Parity::Even),
    (19200, Parity::None),
    (115_200, Parity::None),
];
/// Rates of a full search, likeliest first.
const RATES: [u32; 8] = [9600, 19200, 38400, 57600, 115_200, 4800, 2400, 1200];
/// Units of a quick search, beside those that ledgers name.
const USUAL_UNITS: std::ops::RangeInclusive<u8> = 1..=10;
/// What a device may take to begin its answer.
const THINKING: Duration = Duration::from_millis(150);
/// Characters of a request of one register, its answer, and the silences around them.
const CHARACTERS: u32 = 8 + 7 + 2 * 4;
/// Ports that are looked at.
const MOST_PORTS: usize = 32;

/// One setting of a port, and the units that are asked with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The port and how the line is set.
    pub line: SerialLine,
    /// In the order in which they are asked.
    pub units: Vec<u8>,
}

impl Setting {
    /// The longest wait for one answer.
    pub fn patience(&self) -> Duration {
        THINKING + self.line.character() * CHARACTERS
    }

    /// What it takes when nobody answers.
    pub fn time(&self) -> Duration {
        self.patience() * u32::try_from(self.units.len()).unwrap_or(u32::MAX)
    }
}

/// What to try on these ports. Pure.
pub fn settings(ports: &[PathBuf], named: &[u8], full: bool) -> Vec<Setting> {
    let mut units: Vec<u8> = USUAL_UNITS.collect();
    let mut more = |unit: u8| {
        if (1..=247).contains(&unit) && !units.contains(&unit) {
            units.push(unit);
        }
    };
    named.iter().copied().for_each(&mut more);
    if full {
        (1..=247).for_each(&mut more);
    }
    let mut lines: Vec<(u32, Parity)> = QUICK.to_vec();
    if full {
        for rate in RATES {
            for parity in [Parity::None, Parity::Even, Parity::Odd] {
                if !lines.contains(&(rate, parity)) {
                    lines.push((rate, parity));
                }
            }
        }
    }
    let of_port = |port: &PathBuf| {
        let settings = lines.iter().map(|&(baud, parity)| Setting {
            line: SerialLine {
                baud,
                parity,
                ..SerialLine::new(port.clone())
            },
            units: units.clone(),
        });
        settings.collect::<Vec<_>>()
    };
    ports.iter().flat_map(of_port).collect()
}

/// How long all of it takes when nobody answers. Pure.
pub fn time(settings: &[Setting]) -> Duration {
    settings.iter().map(Setting::time).sum()
}

/// What is tried on each port, in order. Pure.
pub fn by_port(settings: &[Setting]) -> impl Iterator<Item = &[Setting]> {
    settings.chunk_by(|a, b| a.line.path == b.line.path)
}

/// The serial ports of this machine, each by the name that survives a replug where it has one.
pub fn ports() -> Vec<PathBuf> {
    ports_in(Path::new("/dev"), Path::new("/sys/class/tty"))
}

fn ports_in(dev: &Path, sys: &Path) -> Vec<PathBuf> {
    let list = |dir: &Path| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|e| e.path()).collect();
        paths.sort();
        paths
    };
    // By what it really is, so that a port with two names is one.
    let mut ports: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for stable in list(&dev.join("serial/by-id")) {
        if let Ok(real) = stable.canonicalize() {
            ports.entry(real).or_insert(stable);
        }
    }
    for path in list(dev) {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let hardware = ["ttyUSB", "ttyACM", "ttyAMA"]
            .iter()
            .any(|kind| name.starts_with(kind));
        if (hardware || name.starts_with("ttyS") && is_real(sys, name))
            && let Ok(real) = path.canonicalize()
        {
            ports.entry(real).or_insert(path);
        }
    }
    ports.into_values().take(MOST_PORTS).collect()
}

/// Kernels list ports of chips that are not there: their type is 0.
fn is_real(sys: &Path, name: &str) -> bool {
    let kind = std::fs::read_to_string(sys.join(name).join("type"));
    kind.is_ok_and(|kind| kind.trim().parse::<u32>().is_ok_and(|kind| kind != 0))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_likeliest_setting_is_tried_first_and_none_twice() {
        let ports = [PathBuf::from("/dev/ttyUSB0"), PathBuf::from("/dev/ttyUSB1")];
        let quick = settings(&ports, &[3, 126, 0, 250], false);
        assert_eq!(quick.len(), 8);
        assert_eq!(quick[0].line.to_string(), "/dev/ttyUSB0?baud=9600&parity=none");
        assert_eq!(quick[0].units, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 126]);
        assert_eq!(quick[4].line.path, ports[1]);

        let full = settings(&ports[..1], &[126], true);
        assert_eq!(full.len(), RATES.len() * 3);
        assert_eq!(
            full[..4].iter().map(|s| &s.line).collect::<Vec<_>>(),
            quick[..4].iter().map(|s| &s.line).collect::<Vec<_>>()
        );
        assert!(full.iter().all(|s| s.units.len() == 247));
    }

    #[test]
    fn the_time_is_what_silence_costs() {
        let setting = |baud| Setting {
            line: SerialLine {
                baud,
                ..SerialLine::new("/dev/ttyUSB0")
            },
            units: vec![1, 2],
        };
        // 23 characters of 10 bits.
        assert_eq!(setting(9600).patience().as_millis(), 173);
        assert_eq!(setting(1200).patience().as_millis(), 341);
        assert_eq!(
            time(&[setting(9600), setting(9600)]),
            setting(9600).patience() * 4
        );
        let quick = settings(&[PathBuf::from("/dev/ttyUSB0")], &[], false);
        assert!(time(&quick) < Duration::from_secs(10), "{:?}", time(&quick));
    }

    #[test]
    fn a_port_is_listed_once_by_the_name_that_lasts() {
        let root = tempfile::tempdir().unwrap();
        let (dev, sys) = (root.path().join("dev"), root.path().join("sys"));
        fs::create_dir_all(dev.join("serial/by-id")).unwrap();
        for name in ["ttyUSB0", "ttyUSB1", "ttyACM0", "ttyS0", "ttyS1", "tty1", "null"] {
            fs::write(dev.join(name), "").unwrap();
        }
        symlink("../../ttyUSB1", dev.join("serial/by-id/usb-FTDI_A1-if00")).unwrap();
        symlink("../../gone", dev.join("serial/by-id/usb-gone")).unwrap();
        for (name, kind) in [("ttyS0", "4\n"), ("ttyS1", "0\n")] {
            fs::create_dir_all(sys.join(name)).unwrap();
            fs::write(sys.join(name).join("type"), kind).unwrap();
        }
        let mut ports = ports_in(&dev, &sys);
        ports.sort();
        let shown: Vec<_> = ports
            .iter()
            .map(|p| p.strip_prefix(&dev).unwrap().display().to_string())
            .collect();
        assert_eq!(
            shown,
            ["serial/by-id/usb-FTDI_A1-if00", "ttyACM0", "ttyS0", "ttyUSB0"]
        );
        assert!(ports_in(&root.path().join("none"), &sys).is_empty());
    }
}
