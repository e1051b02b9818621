//! Programs that Busbar did not write, as clients and as devices.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;
use tokio::sync::OnceCell;

use super::host::Background;
use super::{Run, finish};

const MBPOLL: &str = "mbpoll is not installed (apt install mbpoll)";
const PROMTOOL: &str = "promtool is not installed (apt install prometheus)";
const INFLUXD: &str = "influxd is not installed (apt install influxdb)";
const POSTGRES: &str = "PostgreSQL is not installed (apt install postgresql)";
const PROMETHEUS_CLIENT: &str =
    "prometheus_client is not installed (target/peers/bin/pip install prometheus_client)";
const PYMODBUS: &str = "pymodbus 3.16 is not installed (python3 -m venv target/peers && target/peers/bin/pip install \
    'pymodbus==3.16.*' pyserial)";

/// `None` where a test that needs what is missing is to be skipped, which is then said.
fn missing<T>(what: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none(), "{what}");
    eprintln!("skipped: {what}");
    None
}

fn command<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: &[S]) -> Command {
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Whether a program runs to a good end.
async fn runs(program: impl AsRef<OsStr>, args: &[&str]) -> bool {
    let output = command(program, args).output().await;
    output.is_ok_and(|output| output.status.success())
}

const SER2NET: &str = "ser2net is not installed (apt install ser2net)";

/// ser2net 4: a real gateway before a serial port.
pub struct Ser2net {
    /// It ends when this is dropped.
    _process: Background,
    pub address: SocketAddr,
}

impl Ser2net {
    /// Before this port, over `tcp` or `telnet,tcp`. Its configuration lies in this directory.
    pub async fn before(port: &Path, accepter: &str, dir: &Path) -> Option<Self> {
        let program = ["/usr/sbin/ser2net", "/usr/bin/ser2net"]
            .into_iter()
            .find(|path| Path::new(path).exists());
        let Some(program) = program else {
            return missing(SER2NET);
        };
        let address = busbar_zoo::closed_port().await;
        let config = dir.join("ser2net.yaml");
        let text = format!(
            "connection: &meter\n  accepter: {accepter},{},{}\n  connector: serialdev,{},115200n81,local\n",
            address.ip(),
            address.port(),
            port.display()
        );
        std::fs::write(&config, text).unwrap();
        let arguments: [&OsStr; 4] = ["-n".as_ref(), "-d".as_ref(), "-c".as_ref(), config.as_os_str()];
        let _process = Background::of(command(program, &arguments));
        Some(Ser2net { _process, address })
    }
}

/// A Python that has pymodbus.
#[derive(Clone, Copy, Debug)]
pub struct Pymodbus(&'static Path);

impl Pymodbus {
    /// The one beside the build, else the system's.
    pub async fn find() -> Option<Self> {
        static PYTHON: OnceCell<Option<PathBuf>> = OnceCell::const_new();
        let find = async || {
            let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers/bin/python3");
            let has_it = "import pymodbus, serial; assert pymodbus.__version__.startswith('3.16.')";
            for python in [beside, "python3"] {
                if runs(python, &["-c", has_it]).await {
                    return Some(python.into());
                }
            }
            None
        };
        match PYTHON.get_or_init(find).await {
            Some(python) => Some(Pymodbus(python)),
            None => missing(PYMODBUS),
        }
    }

    fn script(self, name: &str, list: &Path, line: &[&str]) -> Command {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/e2e/peers/");
        // Nothing is left behind among the sources.
        let mut script = command(self.0, &["-B", &format!("{dir}{name}")]);
        script.arg(list).args(line);
        script
    }

    /// A device with the registers of a list, on `tcp` or `udp`, or on a serial port at a baud rate. Gives the network
    /// port, if it has one.
    pub async fn serve(self, list: &Path, line: &[&str]) -> (Background, String) {
        let device = Background::of(self.script("serve.py", list, line));
        let ready = device.says("ready").await;
        let port = ready.trim_start_matches("ready").trim().to_owned();
        (device, port)
    }

    /// What it reads: `{"KEY": {"raw", "value"}}`.
    pub async fn read(self, list: &Path, line: &[&str]) -> Value {
        finish(self.script("read.py", list, line).spawn().unwrap())
            .await
            .json()
    }
}

/// mbpoll, which knows TCP and serial lines.
#[derive(Clone, Copy, Debug)]
pub struct Mbpoll;

impl Mbpoll {
    pub async fn find() -> Option<Self> {
        if runs("mbpoll", &["-V"]).await {
            Some(Mbpoll)
        } else {
            missing(MBPOLL)
        }
    }

    /// The numbers that it shows, each as it says it.
    pub async fn read(self, args: &[&str]) -> Vec<String> {
        let run: Run = finish(command("mbpoll", args).spawn().unwrap()).await;
        assert_eq!(run.code(), 0, "{run:#?}");
        let value = |line: &str| {
            let (_, value) = line.strip_prefix('[')?.split_once("]:")?;
            value.split_whitespace().next().map(str::to_owned)
        };
        run.stdout.lines().filter_map(value).collect()
    }
}

/// What Prometheus' own tool says of metrics in the text format.
pub async fn promtool(text: &str) -> Option<Run> {
    if !runs("promtool", &["--version"]).await {
        return missing(PROMTOOL);
    }
    Some(fed("promtool", &["check", "metrics"], text).await)
}

/// What Prometheus' own parser of OpenMetrics says: the number of families.
pub async fn openmetrics(text: &str) -> Option<Run> {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers/bin/python3");
    if !runs(python, &["-c", "import prometheus_client.openmetrics.parser"]).await {
        return missing(PROMETHEUS_CLIENT);
    }
    let script = "import sys\nfrom prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
                  print(len(list(parse(sys.stdin.read()))))";
    Some(fed(python, &["-c", script], text).await)
}

/// Runs a program with this on its standard input.
async fn fed(program: &str, args: &[&str], text: &str) -> Run {
    let mut child = command(program, args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = text.to_owned();
    tokio::spawn(async move { tokio::io::AsyncWriteExt::write_all(&mut stdin, text.as_bytes()).await });
    finish(child).await
}

/// The program of InfluxDB 1.x.
pub async fn influxd() -> Option<&'static str> {
    match runs("influxd", &["version"]).await {
        true => Some("influxd"),
        false => missing(INFLUXD),
    }
}

/// Whether there is a PostgreSQL to start.
pub fn postgres() -> bool {
    let there = Path::new("/usr/lib/postgresql").exists() || Path::new("/usr/bin/initdb").exists();
    there || missing::<()>(POSTGRES).is_some()
}
