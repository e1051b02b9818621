//! A host in a process of its own, to be killed. It is this test binary, told by its environment what to do; every
//! line that it writes is something that it was promised.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use busbar_store::{History, Quality, Registry, Sample, StoreError};

use crate::{connection, names};

const DIR: &str = "BUSBAR_STORE_CHILD_DIR";

/// A command that runs the child on `dir`, behind `wrapper` (a tracer, for instance).
pub(crate) fn command(dir: &Path, wrapper: &[&str]) -> Command {
    let this = std::env::current_exe().unwrap();
    let mut line: Vec<PathBuf> = wrapper.iter().map(PathBuf::from).collect();
    line.push(this);
    let mut command = Command::new(&line[0]);
    command
        .args(&line[1..])
        .args(["--exact", "child::child", "--nocapture", "--test-threads=1"]);
    command
        .env(DIR, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

pub(crate) fn spawn(dir: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = command(dir, &[]).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    (child, lines)
}

/// The lines of the child, without what the test harness says around them.
pub(crate) fn promises(lines: impl BufRead) -> impl Iterator<Item = String> {
    let said = lines.lines().map_while(Result::ok);
    said.filter_map(|line| line.split_once("child: ").map(|(_, said)| said.to_owned()))
}

/// Runs the child until right before its nth write, and returns what it had promised by then.
pub(crate) fn killed_at(dir: &Path, nth: usize) -> Vec<String> {
    let inject = format!("inject=pwrite64,ftruncate,rename,fdatasync:signal=KILL:when={nth}");
    let trace = [
        "strace",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=pwrite64,ftruncate,rename,fdatasync",
    ];
    let output = command(dir, &[&trace[..], &["-e", &inject]].concat())
        .output()
        .unwrap();
    promises(&output.stdout[..]).collect()
}

fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "child: {what}")
        .and_then(|()| out.flush())
        .expect("the parent listens");
}

/// Does nothing unless it is the child.
#[tokio::test]
async fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    say("begin");
    if let Err(error) = write_for_ever(Path::new(&dir)).await {
        say(&format!("error {}", error.code()));
    }
}

async fn write_for_ever(dir: &Path) -> Result<(), StoreError> {
    let (registry, _) = Registry::open(dir).await?;
    say("open");
    let (history, _) = History::open(&registry).await?;
    let first = names(&registry).await.len();
    for number in first.. {
        registry
            .add_connection(connection(&format!("n{number:06}")), 1)
            .await?;
        say(&format!("name n{number:06}"));
        let value = Some(number as f64);
        history
            .append(
                number as i64,
                &[Sample {
                    entity: "d.k",
                    value,
                    quality: Quality::Good,
                }],
            )
            .await?;
        say(&format!("sample {number}"));
        if number % 40 == 39 {
            registry.backup_if_due(number as i64 * 86_400_000).await?;
        }
    }
    Ok(())
}
