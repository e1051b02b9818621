//! Runs the program and looks at what it says.

pub mod host;
pub mod http;
pub mod peers;
pub mod pty;
pub mod site;
pub mod writes;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// Longer than anything here takes on a busy machine; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A working directory of its own, with what the program keeps there.
pub struct Home {
    dir: TempDir,
}

impl Home {
    pub fn new() -> Self {
        // Only its owner may change it, whatever the umask is: plugins lie in it.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        let home = tempfile::Builder::new()
            .prefix("busbar-e2e-")
            .permissions(mode)
            .tempdir();
        let dir = home.unwrap();
        Home { dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The data directory that the program uses when nobody names one.
    pub fn data(&self) -> PathBuf {
        self.path().join("busbar-data")
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The program with these arguments, ready to be started here.
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_busbar"));
        command
            .args(args)
            .current_dir(self.path())
            .env_remove("BUSBAR_DATA_DIR")
            .env_remove("BUSBAR_CONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs the program to its end.
    pub async fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Run {
        finish(self.command(args).spawn().unwrap()).await
    }
}

/// A run of the program that has ended.
pub struct Run {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl std::fmt::Debug for Run {
    /// Enough of what it said to see what went wrong.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let some = |text: &str| text.chars().take(2000).collect::<String>();
        write!(
            f,
            "{} after {:?}\n-- out\n{}\n-- err\n{}",
            self.status,
            self.took,
            some(&self.stdout),
            some(&self.stderr)
        )
    }
}

/// What the contract prints when something fails.
#[derive(Debug)]
pub struct Failure {
    pub code: String,
    pub message: String,
    pub hint: String,
}

impl Run {
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// Everything on standard output as the one JSON document that it must be; the run must have succeeded.
    pub fn json(&self) -> Value {
        assert_eq!(self.code(), 0, "{self:#?}");
        self.document()
    }

    /// The same, however the run ended.
    pub fn document(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("no single document: {e}\n{self:#?}"))
    }

    /// The contract's failure: one document on standard output, cause and hint on standard error.
    pub fn failure(&self, exit: i32) -> Failure {
        assert_eq!(self.code(), exit, "{self:#?}");
        let document = self.document();
        let text = |key: &str| {
            let text = document["error"][key].as_str();
            text.unwrap_or_else(|| panic!("no error.{key}: {self:#?}"))
                .to_owned()
        };
        let failure = Failure {
            code: text("code"),
            message: text("message"),
            hint: text("hint"),
        };
        assert!(
            !failure.code.is_empty() && !failure.message.is_empty(),
            "{self:#?}"
        );
        assert!(
            !failure.hint.is_empty(),
            "every failure has a next step: {self:#?}"
        );
        let cause = failure.message.lines().next().unwrap_or_default();
        assert!(
            self.stderr.contains(cause),
            "the cause is on standard error: {self:#?}"
        );
        failure
    }

    /// The lines of standard output, without the blanks that pad tables.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.stdout.lines();
        lines
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    }
}

/// Waits for the end of a run.
pub async fn finish(child: Child) -> Run {
    let began = Instant::now();
    let output = timeout(PATIENCE, child.wait_with_output())
        .await
        .expect("the program ends in time")
        .unwrap();
    Run {
        status: output.status,
        stdout: String::from_utf8(output.stdout).expect("UTF-8 on standard output"),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: began.elapsed(),
    }
}

/// Sends a signal to a child that still runs.
pub fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = child
        .id()
        .and_then(|id| rustix::process::Pid::from_raw(id.try_into().ok()?));
    rustix::process::kill_process(pid.expect("the program runs"), signal).unwrap();
}

/// Asks again and again until there is an answer; fails when patience ends.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The elements of a JSON array.
pub fn list<'a>(document: &'a Value, key: &str) -> &'a [Value] {
    let list = document[key].as_array();
    list.unwrap_or_else(|| panic!("no list `{key}` in {document:#}"))
}

/// A text in a JSON object.
pub fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    let text = object[key].as_str();
    text.unwrap_or_else(|| panic!("no text `{key}` in {object:#}"))
}

/// The keys of a JSON object.
pub fn keys(object: &Value) -> BTreeSet<&str> {
    object
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect()
}
