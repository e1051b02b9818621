//! Programs in Python that Busbar did not write.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::broker::PATIENCE;

/// One that speaks lines of JSON.
pub struct Peer {
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    /// Starts a script of this folder; `None` where the packages that it needs are missing, which is then said.
    pub async fn start(script: &str, packages: &str, args: &[&str]) -> Option<Self> {
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let beside = here.join("../../target/peers/bin/python3");
        let imports = format!("import {packages}");
        for python in [beside, PathBuf::from("python3")] {
            let has_them = Command::new(&python).args(["-c", &imports]).output().await;
            if has_them.is_ok_and(|output| output.status.success()) {
                let mut process = Command::new(python)
                    // Nothing is left behind among the sources.
                    .arg("-B")
                    .arg(here.join("tests/peers").join(script))
                    .args(args)
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .kill_on_drop(true)
                    .spawn()
                    .unwrap();
                let output = BufReader::new(process.stdout.take().unwrap()).lines();
                let input = process.stdin.take().unwrap();
                return Some(Peer {
                    _process: process,
                    input,
                    output,
                });
            }
        }
        let what = format!("the Python packages {packages} are not installed; .ci/run does it");
        assert!(std::env::var_os("CI").is_none(), "{what}");
        eprintln!("skipped: {what}");
        None
    }

    /// Gives it a line.
    pub async fn tell(&mut self, line: &str) {
        self.input
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
        self.input.flush().await.unwrap();
    }

    /// The next that it says.
    pub async fn says(&mut self) -> Value {
        let line = timeout(PATIENCE, self.output.next_line())
            .await
            .expect("it says nothing");
        let line = line.unwrap().expect("it ended");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
    }
}
