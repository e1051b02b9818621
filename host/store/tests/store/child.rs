//! A host in a process of its own, to be killed. It is this test binary, told by its environment what to do; every
//! line that it writes is something that it was promised.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use busbar_store::{AuditKind, History, NewAudit, Quality, Registry, Sample, StoreError};

use crate::{accounts, connection, names};

const DIR: &str = "BUSBAR_STORE_CHILD_DIR";
const JOB: &str = "BUSBAR_STORE_CHILD_JOB";
const FROM: &str = "BUSBAR_STORE_CHILD_FROM";

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

/// A command that runs the child that writes to the audit.
pub(crate) fn auditor(dir: &Path, wrapper: &[&str]) -> Command {
    let mut command = command(dir, wrapper);
    command.env(JOB, "audit");
    command
}

pub(crate) fn spawn(dir: &Path) -> (Child, BufReader<ChildStdout>) {
    run(command(dir, &[]))
}

pub(crate) fn run(mut command: Command) -> (Child, BufReader<ChildStdout>) {
    let mut child = command.spawn().unwrap();
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
    let output = killing_at(nth, |wrapper| command(dir, wrapper)).output().unwrap();
    promises(&output.stdout[..]).collect()
}

/// A command that restores this copy.
pub(crate) fn restorer(dir: &Path, from: &Path, wrapper: &[&str]) -> Command {
    let mut command = command(dir, wrapper);
    command.env(JOB, "restore").env(FROM, from);
    command
}

/// The command, made by `command`, that dies right before its nth write.
pub(crate) fn killing_at(nth: usize, command: impl FnOnce(&[&str]) -> Command) -> Command {
    let inject = format!("inject=pwrite64,ftruncate,rename,fdatasync:signal=KILL:when={nth}");
    let trace = [
        "strace",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=pwrite64,ftruncate,rename,fdatasync",
    ];
    command(&[&trace[..], &["-e", &inject]].concat())
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
    let dir = Path::new(&dir);
    let done = match std::env::var_os(JOB) {
        None => write_for_ever(dir).await,
        Some(job) if job == "restore" => {
            let from = std::env::var_os(FROM).expect("a copy is named");
            let restored = busbar_store::restore(dir, Path::new(&from)).await;
            restored.map(|_| say("restored"))
        }
        Some(_) => audit_for_ever(dir).await,
    };
    if let Err(error) = done {
        say(&format!("error {}", error.code()));
    }
}

async fn write_for_ever(dir: &Path) -> Result<(), StoreError> {
    let (registry, _) = Registry::open(dir).await?;
    say("open");
    let (history, _) = History::open(&registry).await?;
    let first = names(&registry).await.len();
    for number in first.. {
        let added = registry
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
        if registry.devices().await?.is_empty() {
            registry.apply_scan(&added.id, &accounts::meter(), 1).await?;
        }
        let account = accounts::account("energy", number as f64, 0.0);
        registry.keep_accounts(&[account], &[]).await?;
        say(&format!("account {number}"));
        if number % 40 == 39 {
            registry.backup_if_due(number as i64 * 86_400_000).await?;
        }
    }
    Ok(())
}

/// As a host that writes to a device: no request without an intent that is on the disk, no result without its row.
async fn audit_for_ever(dir: &Path) -> Result<(), StoreError> {
    let (registry, _) = Registry::open(dir).await?;
    say("open");
    for number in 0.. {
        let entity = Some("tower.setpoint".to_owned());
        let intent = registry
            .audit(NewAudit {
                entity: entity.clone(),
                words: vec![number as u16, 7],
                ..NewAudit::new(AuditKind::Intent, number, "ann", "http")
            })
            .await?;
        say(&format!("intent {}", intent.seq));
        let outcome = registry
            .audit(NewAudit {
                entity,
                intent: Some(intent.seq),
                outcome: Some("applied".into()),
                ..NewAudit::new(AuditKind::Outcome, number, "ann", "http")
            })
            .await?;
        say(&format!("outcome {}", outcome.seq));
    }
    Ok(())
}
