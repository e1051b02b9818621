//! A real mosquitto for one test, on a port and in a directory of its own, and peers that are not Busbar's own code:
//! mosquitto_sub and mosquitto_pub.

#![allow(dead_code, reason = "each test takes of this what it needs")]

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longer than anything here takes on a busy machine; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A broker that can be stopped, and comes back where it was.
pub struct Broker {
    dir: TempDir,
    port: u16,
    second_port: u16,
    process: Option<(Child, Log)>,
}

/// What a broker says of itself. It is read as it comes: a broker whose words nobody takes stands still.
type Log = mpsc::UnboundedReceiver<String>;

impl Broker {
    /// One that lets everybody in.
    pub async fn start() -> Self {
        Self::with(|_, _| "allow_anonymous true\n".to_owned()).await
    }

    /// One with these lines of configuration for its listener. They are made of its directory, for the files that they
    /// name, and of a second free port, for another listener. It keeps nothing over a restart.
    pub async fn with(configure: impl Fn(&Path, u16) -> String) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("busbar-broker-")
            .tempdir()
            .unwrap();
        // Between the look for a free port and its use somebody else may take it.
        for _ in 0..20 {
            let (port, second_port) = (free_port(), free_port());
            let lines = configure(dir.path(), second_port);
            let text = format!("listener {port} 127.0.0.1\n{lines}log_dest stderr\n");
            std::fs::write(dir.path().join("mosquitto.conf"), text).unwrap();
            if let Some(process) = run(dir.path()).await {
                return Broker {
                    dir,
                    port,
                    second_port,
                    process: Some(process),
                };
            }
        }
        panic!(
            "mosquitto does not start: see {}",
            dir.keep().join("mosquitto.conf").display()
        );
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its second listener listens, if it was given one.
    pub fn second_port(&self) -> u16 {
        self.second_port
    }

    /// Its URL for the plain listener.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// A file in its directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Kills it; what it kept is gone.
    pub async fn kill(&mut self) {
        let (mut process, _) = self.process.take().unwrap();
        process.kill().await.unwrap();
    }

    /// Starts it anew where it was.
    pub async fn restart(&mut self) {
        assert!(self.process.is_none(), "kill it first");
        // Its port is its own as long as nobody else is given it, which takes a while.
        self.process = Some(run(self.dir.path()).await.unwrap());
    }

    /// Stops it as a debugger does: it holds its connections and does nothing at all.
    pub fn freeze(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    /// Waits for a line of its log.
    pub async fn log(&mut self, part: &str) -> String {
        let (_, log) = self.process.as_mut().unwrap();
        let find = async {
            while let Some(line) = log.recv().await {
                if line.contains(part) {
                    return line;
                }
            }
            panic!("the broker ended and never said {part:?}")
        };
        timeout(PATIENCE, find)
            .await
            .unwrap_or_else(|_| panic!("the broker never said {part:?}"))
    }

    /// Publishes by mosquitto_pub: arguments behind those that say where.
    pub async fn publish(&self, args: &[&str]) {
        let output = self.try_publish(args).await;
        assert!(output.status.success(), "{output:?}");
    }

    /// The same, however it ends.
    pub async fn try_publish(&self, args: &[&str]) -> Output {
        let mut command = Self::peer("mosquitto_pub", &[]);
        command.args(self.place()).args(args);
        timeout(PATIENCE, command.output()).await.unwrap().unwrap()
    }

    /// Listens by mosquitto_sub: arguments behind those that say where, such as `-t` and a filter.
    pub async fn listen(&self, args: &[&str]) -> Ear {
        // By itself it keeps back what is no message, until much of it has come together.
        let mut command = Self::peer("stdbuf", &["-oL", "mosquitto_sub"]);
        command.args(self.place()).args(args).args(["-F", "%j", "-d"]);
        let mut process = command
            .spawn()
            .expect("mosquitto_sub is not installed (apt install mosquitto-clients)");
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut ear = Ear { process, lines };
        next_line(&mut ear.lines, "Subscribed")
            .await
            .expect("mosquitto_sub has not subscribed");
        ear
    }

    fn place(&self) -> [String; 8] {
        let port = self.port.to_string();
        ["-h", "127.0.0.1", "-p", &port, "-V", "mqttv5", "-q", "1"].map(str::to_owned)
    }

    fn peer(program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let (process, _) = self.process.as_ref().unwrap();
        let pid = rustix::process::Pid::from_raw(process.id().unwrap().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.process.is_some() {
            // One that stands still cannot be ended.
            self.thaw();
        }
    }
}

/// Hears what is published.
pub struct Ear {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// A message that was heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    pub topic: String,
    pub payload: String,
    /// Whether the broker had kept it.
    pub retained: bool,
}

impl Heard {
    /// The payload as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.payload).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

impl Ear {
    /// The next message.
    pub async fn next(&mut self) -> Heard {
        loop {
            let line = timeout(PATIENCE, self.lines.next_line()).await;
            let line = line
                .expect("nothing is published")
                .unwrap()
                .expect("mosquitto_sub ended");
            // What it tells of itself begins otherwise.
            let Ok(Value::Object(message)) = serde_json::from_str(&line) else {
                continue;
            };
            return Heard {
                topic: message["topic"].as_str().unwrap().to_owned(),
                payload: message["payload"].as_str().unwrap_or_default().to_owned(),
                retained: message["retain"] == 1,
            };
        }
    }

    /// The next message of which this is true; the others are passed over.
    pub async fn until(&mut self, wanted: impl Fn(&Heard) -> bool) -> Heard {
        loop {
            let heard = self.next().await;
            if wanted(&heard) {
                return heard;
            }
        }
    }

    /// The next message on a topic.
    pub async fn on(&mut self, topic: &str) -> Heard {
        self.until(|heard| heard.topic == topic).await
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Starts mosquitto; `None` when it ended at once.
async fn run(dir: &Path) -> Option<(Child, Log)> {
    // Debian keeps it where only the administrator looks.
    let path = format!(
        "{}:/usr/sbin:/usr/local/sbin",
        std::env::var("PATH").unwrap_or_default()
    );
    let mut process = Command::new("mosquitto")
        .env("PATH", path)
        .arg("-c")
        .arg(dir.join("mosquitto.conf"))
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("mosquitto is not installed (apt install mosquitto mosquitto-clients)");
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    next_line(&mut lines, " running").await?;
    let (sender, log) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            let _ = sender.send(line);
        }
    });
    Some((process, log))
}

async fn next_line<R: tokio::io::AsyncRead + Unpin>(
    lines: &mut Lines<BufReader<R>>,
    part: &str,
) -> Option<String> {
    let find = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(part) {
                return Some(line);
            }
        }
        None
    };
    timeout(PATIENCE, find)
        .await
        .unwrap_or_else(|_| panic!("nobody said {part:?}"))
}
