//! Serial ports as the system has them: pseudo terminals stand for the cable.

// Helpers of tests fail a test as its body does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::fs;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use busbar_wire::{Endpoint, Link, LinkState, Options, SerialLine, WireError};
use common::line::OnLine;
use common::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A cable with a meter at its end that answers every request rightly. Dropping it unplugs the cable.
struct Cable {
    port: PathBuf,
    unplugged: Arc<AtomicBool>,
    meter: Option<JoinHandle<()>>,
}

impl Cable {
    fn new() -> Self {
        let end = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&end).unwrap();
        unlockpt(&end).unwrap();
        let port: PathBuf = ptsname(&end, vec![]).unwrap().into_string().unwrap().into();
        // Held, so that the meter's end never finds the other one closed.
        let flags = (OFlags::NOCTTY | OFlags::NONBLOCK).bits() as i32;
        let mut options = fs::OpenOptions::new();
        let other_end = options
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(&port)
            .unwrap();
        let unplugged = Arc::new(AtomicBool::new(false));
        let stop = unplugged.clone();
        let meter = std::thread::spawn(move || {
            let _other_end = other_end;
            let mut heard = vec![];
            let soon = Timespec {
                tv_sec: 0,
                tv_nsec: 20_000_000,
            };
            while !stop.load(Ordering::Relaxed) {
                if poll(&mut [PollFd::new(&end, PollFlags::IN)], Some(&soon)).unwrap() == 0 {
                    continue;
                }
                let mut bytes = [0; 64];
                let count = rustix::io::read(&end, &mut bytes).unwrap();
                heard.extend(&bytes[..count]);
                while heard.len() >= 8 {
                    let request: Vec<u8> = heard.drain(..8).collect();
                    let word = |i: usize| u16::from_be_bytes([request[i], request[i + 1]]);
                    let asked = OnLine {
                        unit: request[0],
                        function: request[1],
                        at: word(2),
                        count: word(4),
                    };
                    rustix::io::write(&end, &asked.answer()).unwrap();
                }
            }
        });
        Cable {
            port,
            unplugged,
            meter: Some(meter),
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.unplugged.store(true, Ordering::Relaxed);
        if let Some(meter) = self.meter.take() {
            let _ = meter.join();
        }
    }
}

/// A folder of its own for the names of ports.
struct Names(PathBuf);

impl Names {
    fn new(test: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("busbar-serial-{}-{test}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Names(dir)
    }

    fn name(&self, name: &str, port: &Path) -> PathBuf {
        let path = self.0.join(name);
        symlink(port, &path).unwrap();
        path
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(port: &Path) -> Link {
    let line = SerialLine {
        baud: 115_200,
        ..SerialLine::new(port)
    };
    Link::open(Endpoint::Rtu(line), Options::default())
}

fn reason(error: WireError) -> (String, String, String) {
    (error.code().to_owned(), error.to_string(), error.hint())
}

#[tokio::test]
async fn a_meter_is_read_over_a_port() {
    let cable = Cable::new();
    let line = SerialLine {
        parity: busbar_wire::Parity::Even,
        ..SerialLine::new(&cable.port)
    };
    let link = Link::open(Endpoint::Rtu(line), Options::default());
    for at in [0, 100, 200] {
        assert_eq!(read(&link, 7, at, 125).await.unwrap(), words(7, at, 125));
    }
    assert_eq!(link.stats().timeouts, 0);
}

#[tokio::test]
async fn a_port_has_one_master() {
    let names = Names::new("lock");
    let cable = Cable::new();
    let first = open(&names.name("first", &cable.port));
    let second = open(&names.name("second", &cable.port));
    assert_eq!(read(&first, 1, 0, 2).await.unwrap(), words(1, 0, 2));
    let (code, text, hint) = reason(read(&second, 1, 0, 2).await.unwrap_err());
    assert_eq!(code, "port_busy");
    assert!(
        text.contains("in use by another connection of this program"),
        "{text}"
    );
    assert!(hint.contains("one master"), "{hint}");
    first.close().await;
    read_within(&second, 1, Duration::from_secs(5)).await;
}

#[tokio::test]
async fn an_adapter_that_is_unplugged_is_used_again_when_it_is_back() {
    let names = Names::new("replug");
    let cable = Cable::new();
    let name = names.name("usb-adapter", &cable.port);
    let link = open(&name);
    assert_eq!(read(&link, 1, 0, 2).await.unwrap(), words(1, 0, 2));

    fs::remove_file(&name).unwrap();
    drop(cable);
    let mut state = link.state();
    let down = async {
        // A port that is gone is noticed at once, and looked for at the next read.
        state.wait_for(|state| *state != LinkState::Up).await.unwrap();
        reason(read(&link, 1, 0, 2).await.unwrap_err())
    };
    let (code, text, hint) = tokio::time::timeout(Duration::from_secs(5), down).await.unwrap();
    assert_eq!(code, "no_such_port", "{text}");
    assert!(text.contains("there is no such port"), "{text}");
    assert!(!hint.is_empty());
    // So many failures that the next attempt would be far away.
    for _ in 0..3 {
        assert!(read(&link, 1, 0, 2).await.is_err());
    }

    let cable = Cable::new();
    symlink(&cable.port, &name).unwrap();
    let result = tokio::time::timeout(Duration::from_secs(2), read(&link, 1, 10, 2))
        .await
        .unwrap();
    assert_eq!(
        result.unwrap(),
        words(1, 10, 2),
        "the first read after it is back finds it"
    );
}

/// A port that cannot switch an RS485 driver says so instead of leaving it as it is.
#[tokio::test]
async fn rs485_is_switched_or_refused() {
    let cable = Cable::new();
    let line = SerialLine {
        rs485: true,
        ..SerialLine::new(&cable.port)
    };
    let link = Link::open(Endpoint::Rtu(line), Options::default());
    let (code, text, _) = reason(read(&link, 1, 0, 1).await.unwrap_err());
    assert_eq!(code, "port_failed");
    assert!(text.contains("leave out rs485=yes"), "{text}");
}

#[tokio::test]
async fn what_is_no_port_is_said_in_words() {
    let names = Names::new("no-port");
    let file = names.0.join("file");
    fs::write(&file, "").unwrap();
    for (path, code, word) in [
        (file.as_path(), "not_a_port", "not a serial port"),
        (Path::new("/dev/null"), "not_a_port", "not a serial port"),
        (Path::new("/dev/ttyNone9"), "no_such_port", "no such port"),
    ] {
        let (got, text, _) = reason(read(&open(path), 1, 0, 1).await.unwrap_err());
        assert_eq!(got, code, "{text}");
        assert!(text.contains(word), "{text}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"", "nothing was written to it");
}
