//! A host that runs beside the test.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{Home, PATIENCE, Run, http, list, signal, text, until};

/// A program that runs in the background; its output is gathered line by line.
pub struct Background {
    child: Child,
    out: Lines,
    err: Lines,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<String>>);

impl Lines {
    fn gather(stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let lines = Lines::default();
        let all = lines.clone();
        tokio::spawn(async move {
            let mut reader = BufReader::new(stream).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                let mut text = all.0.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
            }
        });
        lines
    }

    fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

impl Background {
    pub fn start(home: &Home, args: &[&str]) -> Self {
        Self::of(home.command(args))
    }

    pub fn of(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Background {
            child,
            out: Lines::gather(out),
            err: Lines::gather(err),
        }
    }

    pub fn stdout(&self) -> String {
        self.out.text()
    }

    pub fn stderr(&self) -> String {
        self.err.text()
    }

    /// Waits for a line of standard output that holds this.
    pub async fn says(&self, what: &str) -> String {
        let line = async || {
            self.stdout()
                .lines()
                .find(|line| line.contains(what))
                .map(str::to_owned)
        };
        until(
            &format!("{what:?} on standard output; standard error: {}", self.stderr()),
            line,
        )
        .await
    }

    /// Waits for a line of standard error that holds this.
    pub async fn logs(&self, what: &str) -> String {
        let line = async || {
            self.stderr()
                .lines()
                .find(|line| line.contains(what))
                .map(str::to_owned)
        };
        until(&format!("{what:?} on standard error"), line).await
    }

    /// Kilobytes of memory that it holds.
    pub fn memory(&self) -> u64 {
        let pid = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        number.unwrap_or_else(|| panic!("no memory in {status}"))
    }

    pub fn signal(&self, number: Signal) {
        signal(&self.child, number);
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Run {
        let status = timeout(PATIENCE, self.child.wait())
            .await
            .expect("it ends in time")
            .unwrap();
        Run {
            status,
            stdout: self.stdout(),
            stderr: self.stderr(),
            took: PATIENCE,
        }
    }
}

/// A host that serves.
pub struct Host {
    pub process: Background,
    pub address: SocketAddr,
}

impl Home {
    /// Starts a host on this home's data, on any free port; ready when it serves.
    pub async fn host(&self) -> Host {
        self.host_with("").await
    }

    /// The same with more lines of configuration.
    pub async fn host_with(&self, config: &str) -> Host {
        self.write(
            "busbar.toml",
            &format!("[web]\nlisten = \"127.0.0.1:0\"\n{config}"),
        );
        let process = Background::start(self, &["run"]);
        let line = process.says("Busbar is running: ").await;
        let url = line.rsplit("http://").next().unwrap().trim_end_matches('/');
        let address = url.parse().unwrap_or_else(|e| panic!("{e}: {line}"));
        Host { process, address }
    }
}

impl Host {
    pub async fn get(&self, path: &str) -> Value {
        http::get(self.address, path).await
    }

    /// A device as it is now.
    pub async fn device(&self, id: &str) -> Value {
        let devices = self.get("/api/v1/devices").await;
        let device = list(&devices, "devices").iter().find(|d| d["id"] == id);
        device.unwrap_or_else(|| panic!("no device {id}")).clone()
    }

    /// Waits until a device is `online` or `offline`.
    pub async fn device_is(&self, id: &str, availability: &str) -> Value {
        until(&format!("{id} to be {availability}"), async || {
            let device = self.device(id).await;
            (text(&device, "availability") == availability).then_some(device)
        })
        .await
    }

    /// Ends it the orderly way.
    pub async fn stop(self) -> Run {
        self.process.signal(Signal::TERM);
        let run = self.process.end().await;
        assert_eq!(run.code(), 0, "{run:#?}");
        run
    }
}
