//! A serial line without hardware: two pseudo terminals that `socat` joins.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// What socat says, at this level of talk, when both ends are there.
const READY: &str = "starting data transfer loop";
/// Longer than socat takes to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// A line with two ends, each a port at a path that stays over unplugging. It ends when it is dropped.
#[derive(Debug)]
pub struct Pair {
    dir: TempDir,
    socat: Option<Child>,
}

impl Pair {
    /// A line, or `None` where a test that needs one is to be skipped, which is then said.
    ///
    /// # Panics
    /// `socat` is missing although `CI` is set, or does not do what it should.
    pub async fn new() -> Option<Pair> {
        match Pair::start().await {
            Ok(pair) => Some(pair),
            Err(error) if error.kind() == io::ErrorKind::NotFound && std::env::var_os("CI").is_none() => {
                eprintln!("skipped: socat is not installed (apt install socat)");
                None
            }
            Err(error) => panic!("socat (apt install socat): {error}"),
        }
    }

    async fn start() -> io::Result<Pair> {
        let dir = tempfile::Builder::new().prefix("line-").tempdir()?;
        let mut pair = Pair { dir, socat: None };
        pair.replug().await?;
        Ok(pair)
    }

    /// The end that a client opens.
    pub fn client(&self) -> PathBuf {
        self.end("client")
    }

    /// The end that a device opens.
    pub fn device(&self) -> PathBuf {
        self.end("device")
    }

    /// The client's end as a URL with these settings, such as `baud=19200&parity=none`.
    pub fn client_url(&self, settings: &str) -> String {
        url(&self.client(), settings)
    }

    /// The device's end as a URL with these settings.
    pub fn device_url(&self, settings: &str) -> String {
        url(&self.device(), settings)
    }

    /// Takes the line away: both ports are gone, and whoever holds one hears the end of it.
    pub async fn unplug(&mut self) {
        if let Some(mut socat) = self.socat.take() {
            // Fails only where it has ended by itself; the ports are gone all the same.
            let _ = socat.kill().await;
        }
        // It cannot tidy up when it is killed.
        for end in [self.client(), self.device()] {
            let _ = std::fs::remove_file(end);
        }
    }

    /// Brings the line back under the same paths; returns when both ends are there.
    ///
    /// # Errors
    /// `socat` is missing, or ended at once.
    pub async fn replug(&mut self) -> io::Result<()> {
        self.unplug().await;
        let port = |end: PathBuf| format!("pty,raw,echo=0,link={}", end.display());
        let mut socat = Command::new("socat")
            .args(["-d", "-d", &port(self.client()), &port(self.device())])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let said = socat.stderr.take().map(BufReader::new);
        let mut lines = said.ok_or(io::ErrorKind::BrokenPipe)?.lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if line.contains(READY) {
                    return Ok(());
                }
            }
            Err(io::Error::other("socat ended before both ports were there"))
        };
        timeout(PATIENCE, ready).await??;
        // Its further talk goes nowhere, but must go.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        self.socat = Some(socat);
        Ok(())
    }

    fn end(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn url(port: &Path, settings: &str) -> String {
    format!("modbus+rtu://{}?{settings}", port.display())
}
