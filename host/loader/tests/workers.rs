//! Plugins in workers: how they are started, asked and ended. What becomes of misdeeds is in tests/abuse.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use busbar_loader::{
    Options, PluginDir, PluginError, PluginInfo, PluginState, Plugins, WorkerProgram, worker_main,
};
use busbar_plugin_sdk::{Conversation, Feed, MAX_FEED, Mode, Telegram};
use common::{copy, generic, hostile, poor_kernel, tempdir};
use tempfile::TempDir;

/// Not a test: the worker, in which this program is started again.
#[test]
#[ignore = "started by the other tests"]
fn plugin_worker() {
    worker_main();
    std::process::exit(0);
}

/// Not a test: a host that tells the process id of its worker, and has it sleep for ever.
#[tokio::test]
#[ignore = "started by another test"]
async fn forgetful_host() {
    let (plugins, _dir) = load(&[hostile()]).await;
    eprintln!("{}", info(&plugins, "hostile").worker.unwrap());
    let _ = plugins.discover("hostile", &misdeed(11)).await;
}

/// Not a test: a host on a kernel that has neither Landlock nor seccomp, which tells what its worker is kept from.
#[tokio::test]
#[ignore = "started by another test"]
async fn host_on_a_poor_kernel() {
    poor_kernel();
    let (plugins, _dir) = load(&[hostile()]).await;
    eprintln!("{}", info(&plugins, "hostile").protection.unwrap());
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[test]
fn what_the_kernel_does_not_offer_is_said_and_plugins_work_all_the_same() {
    let host = Command::new("/proc/self/exe")
        .args(["--exact", "host_on_a_poor_kernel", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let told = String::from_utf8(host.stderr).unwrap();
    assert!(host.status.success(), "{told}");
    let why = |shield: &str| {
        told.split_once(shield)
            .and_then(|(_, rest)| rest.split_once(')'))
            .map(|(why, _)| why)
    };
    assert!(why("no Landlock (").is_some_and(|why| !why.is_empty()), "{told}");
    assert!(why("no seccomp (").is_some_and(|why| !why.is_empty()), "{told}");
    let root = rustix::process::geteuid().is_root();
    assert_eq!(told.contains("limits in part ("), root, "{told}");
}

fn options(dir: &Path) -> Options {
    let args = ["--exact", "plugin_worker", "--ignored", "--nocapture"].map(Into::into);
    let mut options = Options::new(vec![PluginDir {
        path: dir.to_path_buf(),
        ours: true,
    }]);
    options.program = WorkerProgram {
        args: args.into(),
        ..WorkerProgram::default()
    };
    options.shipped = vec!["generic".into()];
    // Shorter than in earnest, so that the tests are short.
    options.deadlines.cpu = Duration::from_millis(300);
    options.deadlines.asleep = Duration::from_millis(300);
    options
}

async fn load(libraries: &[std::path::PathBuf]) -> (Plugins, TempDir) {
    let dir = tempdir().unwrap();
    for library in libraries {
        copy(dir.path(), library);
    }
    let plugins = Plugins::load(options(dir.path())).await;
    for info in plugins.list() {
        assert_eq!(info.state, PluginState::Loaded, "{:?}", info.reason);
    }
    (plugins, dir)
}

fn info(plugins: &Plugins, name: &str) -> PluginInfo {
    plugins
        .list()
        .into_iter()
        .find(|info| info.name.as_deref() == Some(name))
        .unwrap()
}

fn misdeed(number: u8) -> Conversation {
    Conversation::new(Mode::Listed, vec![number])
}

#[test]
fn a_worker_ends_with_its_host_whatever_it_does() {
    let mut host = Command::new("/proc/self/exe")
        .args(["--exact", "forgetful_host", "--ignored", "--nocapture"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(host.stderr.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let worker: u32 = line.trim().parse().unwrap();
    host.kill().unwrap();
    host.wait().unwrap();
    until_ended(worker);
}

/// What the hostile plugin notes after this misdeed.
async fn note(plugins: &Plugins, number: u8) -> Result<String, PluginError> {
    plugins
        .discover("hostile", &misdeed(number))
        .await
        .map(|step| step.verdict.unwrap().note)
}

#[tokio::test]
async fn plugins_describe_themselves() {
    let (mut plugins, dir) = load(&[generic(), hostile()]).await;
    let generic = info(&plugins, "generic");
    assert_eq!(generic.state, PluginState::Loaded, "{:?}", generic.reason);
    assert!(generic.ships && !generic.discovers);
    assert_eq!(
        generic.worker, None,
        "one that only brings ledgers is ended after it has described itself"
    );
    let hostile = info(&plugins, "hostile");
    assert_eq!(hostile.state, PluginState::Loaded, "{:?}", hostile.reason);
    assert!(!hostile.ships, "its version is not the host's");
    assert!(hostile.worker.is_some());
    assert_eq!(hostile.ledgers, ["hostile/one.toml"]);
    let ledgers = plugins.take_ledgers();
    assert!(
        ledgers
            .iter()
            .any(|brought| brought.plugin == "hostile" && brought.ledger.text.contains("hostile/one"))
    );
    assert_eq!(plugins.discoverers().collect::<Vec<_>>(), ["hostile"]);
    assert_eq!(note(&plugins, 0).await.unwrap(), "fine");
    assert!(matches!(
        plugins.discover("nobody", &misdeed(0)).await,
        Err(PluginError::Unknown)
    ));
    drop(dir);
}

#[tokio::test]
async fn what_is_loaded_is_what_was_inspected() {
    let (plugins, dir) = load(&[hostile()]).await;
    let before = info(&plugins, "hostile").worker.unwrap();
    std::fs::write(dir.path().join("libbusbar_plugin_hostile.so"), b"changed").unwrap();
    // The next worker is a new one, and loads the copy that was taken.
    kill(before);
    assert_eq!(note(&plugins, 0).await.unwrap(), "fine");
    assert_ne!(info(&plugins, "hostile").worker, Some(before));
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    until_ended(pid.as_raw_nonzero().get().unsigned_abs());
}

fn until_ended(pid: u32) {
    while std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z")) {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_worker_that_was_killed_is_started_again() {
    let (plugins, _dir) = load(&[hostile()]).await;
    for _ in 0..5 {
        kill(info(&plugins, "hostile").worker.unwrap());
        assert_eq!(
            note(&plugins, 0).await.unwrap(),
            "fine",
            "that is not the plugin's failure"
        );
    }
}

#[tokio::test]
async fn a_panic_is_an_error_with_its_message() {
    let (plugins, _dir) = load(&[hostile()]).await;
    let worker = info(&plugins, "hostile").worker;
    for _ in 0..2 {
        assert_eq!(
            note(&plugins, 1).await.unwrap_err().to_string(),
            "it panicked: on purpose"
        );
    }
    assert_eq!(
        note(&plugins, 0).await.unwrap(),
        "fine",
        "a success in between forgives"
    );
    assert_eq!(
        info(&plugins, "hostile").worker,
        worker,
        "a panic does not end the worker"
    );
    for _ in 0..3 {
        assert!(matches!(note(&plugins, 1).await, Err(PluginError::Failed { .. })));
    }
    assert!(matches!(
        note(&plugins, 0).await,
        Err(PluginError::SetAside { .. })
    ));
    let hostile = info(&plugins, "hostile");
    assert_eq!(
        (hostile.state, hostile.reason.as_deref()),
        (PluginState::SetAside, Some("it panicked: on purpose"))
    );
}

/// Calls that end the worker each time, until the plugin is set aside; tests/abuse has the other ways.
#[tokio::test]
async fn a_plugin_that_ends_its_worker_is_set_aside() {
    let (plugins, _dir) = load(&[hostile()]).await;
    let error = note(&plugins, 3).await.unwrap_err();
    assert!(matches!(error, PluginError::SetAside { .. }), "{error}");
    let told = info(&plugins, "hostile");
    assert_eq!(told.state, PluginState::SetAside);
    assert!(told.reason.unwrap().contains("exit code 0"));
}

/// A plugin's only wish is a probe, and a probe reads. It has no way of its own to a device, either: see `a_socket` in
/// tests/abuse.
#[tokio::test]
async fn w21_a_plugin_cannot_ask_for_a_write() {
    let wish = |function: u8| Conversation::new(Mode::Listed, vec![21, 100 + function]);
    let (plugins, _dir) = load(&[hostile()]).await;
    for function in 1..=4 {
        let step = plugins.discover("hostile", &wish(function)).await.unwrap();
        assert_eq!(step.probes[0].function, function);
    }
    // Every function that changes something, and some that might; each time anew, for who asks is soon set aside.
    for function in [0, 5, 6, 8, 15, 16, 21, 22, 23, 43, 90, 127] {
        let (plugins, _dir) = load(&[hostile()]).await;
        let error = plugins.discover("hostile", &wish(function)).await.unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("function {function}; only 1 to 4 read")),
            "{function}: {error}"
        );
    }
}

#[tokio::test]
async fn a_plugin_may_do_what_programs_do() {
    let (plugins, _dir) = load(&[hostile()]).await;
    assert_eq!(note(&plugins, 6).await.unwrap(), (50 << 20).to_string(), "50 MB");
    assert_eq!(note(&plugins, 18).await.unwrap(), "fine", "printing");
}

#[tokio::test]
async fn a_call_that_is_given_up_costs_nothing() {
    let (plugins, _dir) = load(&[hostile()]).await;
    let given_up = tokio::time::timeout(Duration::from_millis(50), note(&plugins, 11)).await;
    assert!(given_up.is_err());
    assert_eq!(note(&plugins, 0).await.unwrap(), "fine");
}

#[tokio::test]
async fn an_idle_worker_is_ended_and_comes_back() {
    let dir = tempdir().unwrap();
    copy(dir.path(), &hostile());
    let mut options = options(dir.path());
    options.idle = Duration::from_millis(20);
    let plugins = Plugins::load(options).await;
    assert_eq!(note(&plugins, 0).await.unwrap(), "fine");
    while info(&plugins, "hostile").worker.is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(note(&plugins, 0).await.unwrap(), "fine");
}

#[tokio::test]
async fn only_the_pinned_file_is_loaded() {
    let dir = tempdir().unwrap();
    copy(dir.path(), &generic());
    let mut options = options(dir.path());
    options.pins.insert("generic".into(), "00".repeat(32));
    let plugins = Plugins::load(options.clone()).await;
    let refused = info(&plugins, "generic");
    assert_eq!(refused.state, PluginState::Refused);
    assert!(refused.reason.unwrap().contains("is pinned"));
    options.pins.insert("generic".into(), "abc".into());
    let reason = info(&Plugins::load(options.clone()).await, "generic")
        .reason
        .unwrap();
    assert!(reason.contains("no sha256 (64 hexadecimal digits)"), "{reason}");
    options.pins.insert("generic".into(), refused.sha256.unwrap());
    assert_eq!(
        info(&Plugins::load(options).await, "generic").state,
        PluginState::Loaded
    );
}

#[tokio::test]
async fn a_pin_that_holds_nothing_is_told() {
    let dir = tempdir().unwrap();
    copy(dir.path(), &generic());
    let mut options = options(dir.path());
    assert_eq!(Plugins::load(options.clone()).await.notes(), [""; 0]);
    options.pins.insert("genric".into(), "00".repeat(32));
    options.pins.insert("gone\n".into(), "xyz".into());
    let plugins = Plugins::load(options).await;
    let [one, other] = plugins.notes() else {
        panic!("{:?}", plugins.notes());
    };
    assert!(one.contains("\"genric\"") && !one.contains("sha256"), "{one}");
    assert!(other.contains("no sha256") && !other.contains('\n'), "{other}");
    assert_eq!(info(&plugins, "generic").state, PluginState::Loaded);
}

/// One that says of itself what a plugin says that ships is still none.
#[tokio::test]
async fn only_what_ships_shares_a_worker() {
    let dir = tempdir().unwrap();
    copy(dir.path(), &generic());
    let mut options = options(dir.path());
    assert!(info(&Plugins::load(options.clone()).await, "generic").ships);
    options.shipped.clear();
    assert!(!info(&Plugins::load(options).await, "generic").ships);
}

#[tokio::test]
async fn without_a_worker_no_plugin_is_to_blame() {
    let dir = tempdir().unwrap();
    copy(dir.path(), &generic());
    let mut options = options(dir.path());
    options.program.path = "/nonexistent/busbar".into();
    let refused = info(&Plugins::load(options).await, "generic");
    assert_eq!(refused.state, PluginState::Refused);
    assert!(refused.reason.unwrap().contains("cannot start a plugin worker"));
}

/// A feed of which the hostile plugin makes this misdeed.
fn stream(bytes: &[u8]) -> Feed<'_> {
    Feed {
        bytes,
        key: &[7; 16],
        ..Feed::default()
    }
}

#[tokio::test]
async fn a_stream_is_heard_by_the_plugin_that_takes_telegrams() {
    let (plugins, _dir) = load(&[generic(), hostile()]).await;
    assert_eq!(plugins.listeners().collect::<Vec<_>>(), ["hostile"]);
    assert!(info(&plugins, "hostile").telegrams && !info(&plugins, "generic").telegrams);
    let heard = plugins.telegram("hostile", &stream(&[0, 0, 0])).await.unwrap();
    assert_eq!((heard.consumed, heard.telegrams.len()), (3, 1));
    assert_eq!(heard.telegrams[0].lines, ["3 bytes, 16 of a key"]);
    // More than a feed may hold is handed over from its beginning.
    let heard = plugins
        .telegram("hostile", &stream(&[0; MAX_FEED + 5]))
        .await
        .unwrap();
    assert_eq!(heard.telegrams[0].lines, ["65536 bytes, 16 of a key"]);
    let verdict = plugins.recognise("hostile", &heard.telegrams[0]).await.unwrap();
    let found = &verdict.devices[0];
    assert_eq!(
        (found.id.as_str(), found.name.as_deref()),
        ("", Some("65536 bytes, 16 of a key"))
    );
    let named = Telegram {
        variant: "named".into(),
        ..Telegram::default()
    };
    let verdict = plugins.recognise("hostile", &named).await.unwrap();
    assert_eq!(verdict.devices[0].id, "hostile_1");
    assert!(matches!(
        plugins.telegram("nobody", &stream(&[0])).await,
        Err(PluginError::Unknown)
    ));
    let generic = plugins.telegram("generic", &stream(b"/")).await.unwrap();
    assert_eq!(
        (generic.consumed, generic.telegrams.len()),
        (1, 0),
        "one that takes none lets all go"
    );
}

#[tokio::test]
async fn what_is_heard_is_believed_only_within_bounds() {
    for (misdeed, why) in [
        (1, "on purpose"),
        (4, "consumed"),
        (5, "consumed nothing"),
        (6, "control character"),
        (7, "telegrams"),
        (8, "lines"),
    ] {
        let (plugins, _dir) = load(&[hostile()]).await;
        let error = plugins
            .telegram("hostile", &stream(&[misdeed]))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(why), "{misdeed}: {error}");
        assert!(
            plugins.telegram("hostile", &stream(&[0])).await.is_ok(),
            "{misdeed}"
        );
    }
    let (plugins, _dir) = load(&[hostile()]).await;
    let heard = plugins.telegram("hostile", &stream(&[9])).await.unwrap();
    assert_eq!(heard.note.as_deref(), Some("a [31m b"));
    for (variant, why) in [("panic", "on purpose"), ("odd", "../../etc")] {
        let telegram = Telegram {
            variant: variant.into(),
            ..Telegram::default()
        };
        let error = plugins
            .recognise("hostile", &telegram)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn a_stream_that_crashes_or_hangs_a_plugin_sets_it_aside() {
    for misdeed in [2, 3] {
        let (plugins, _dir) = load(&[hostile()]).await;
        let error = plugins
            .telegram("hostile", &stream(&[misdeed]))
            .await
            .unwrap_err();
        assert!(matches!(error, PluginError::SetAside { .. }), "{error}");
        assert_eq!(info(&plugins, "hostile").state, PluginState::SetAside);
    }
}
