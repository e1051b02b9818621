//! Where misdeeds are played: libraries made for them, a host with a good plugin beside the bad one, and what is measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use busbar_loader::{Options, PluginDir, PluginError, PluginInfo, PluginState, Plugins, WorkerProgram};
use busbar_plugin_sdk::{Conversation, Mode};
use tempfile::TempDir;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::time::interval;

use super::cases::{Case, Deed};
use super::common::{copy, folder, generic, hostile, put, tempdir};

/// How often the good plugin is asked while the other one misbehaves.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// What became of a misdeed.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Why it was refused or ended, or what the plugin itself notes of its attempt.
    pub(crate) cause: String,
    /// What the host calls the plugin afterwards.
    pub(crate) state: PluginState,
    /// How long it took to be refused, answered, or ended; the first time, where it was tried again.
    pub(crate) after: Duration,
    /// For how much of that time this machine had not enough processors.
    pub(crate) stalled: Duration,
    /// The longest that the good plugin beside it took for an answer.
    pub(crate) worst: Duration,
    /// Whether it got as far as a worker.
    pub(crate) ran: bool,
}

/// The longest that a misdeed may take.
const ENDED: Duration = Duration::from_secs(2);
/// The longest that the good plugin may take, on a machine that does much else.
const ANSWERED: Duration = Duration::from_secs(1);
/// The longest that either may take on a machine that does too much.
const EVER: Duration = Duration::from_secs(15);

impl Outcome {
    /// Whether the case ended as it must: refused or ended in time, for a cause of one line, and harmless to the good
    /// plugin.
    pub(crate) fn is_as_it_must_be(&self, case: &Case) -> Result<(), String> {
        // A machine that has not enough processors for all who want one is not the plugin's doing.
        let in_time = |took: Duration, most| took < EVER && took.saturating_sub(self.stalled) < most;
        let checks = [
            (
                case.words.split('|').any(|words| self.cause.contains(words)),
                "the cause is another one",
            ),
            (
                !self.cause.contains(char::is_control) && self.cause.len() < 600,
                "the cause is not one short line",
            ),
            (self.state == case.state, "the plugin is in another state"),
            (
                self.ran != matches!(case.deed, Deed::File(_)),
                "a file is refused before it runs, and nothing else is",
            ),
            (in_time(self.after, ENDED), "it took too long"),
            (
                in_time(self.worst, ANSWERED),
                "the good plugin did not answer on time",
            ),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, fault)) => Err(format!("{}: {fault}; expected: {:?}", case.name, case.words)),
        }
    }
}

/// A directory for one misdeed.
pub(crate) struct Stage {
    dir: TempDir,
    program: WorkerProgram,
}

impl Stage {
    /// An empty one. Workers are this program, started with these arguments.
    pub(crate) fn new(worker: &[&str]) -> Stage {
        let args = worker.iter().map(Into::into).collect();
        Stage {
            dir: tempdir().unwrap(),
            program: WorkerProgram {
                args,
                ..WorkerProgram::default()
            },
        }
    }

    /// The directory of the bad plugin.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Puts a library here under the name of a plugin.
    pub(crate) fn bad(&self, bytes: &[u8]) -> PathBuf {
        put(self.path(), "libbusbar_plugin_bad.so", bytes)
    }

    /// A host whose plugins are those of this directory.
    pub(crate) async fn host(&self, dir: &Path) -> Plugins {
        let mut options = Options::new(vec![PluginDir {
            path: dir.to_path_buf(),
            ours: false,
        }]);
        options.program = self.program.clone();
        Plugins::load(options).await
    }
}

/// Compiles the plugin in C, with these definitions besides its name.
pub(crate) fn in_c(name: &str, defines: &[&str]) -> Vec<u8> {
    let dir = tempdir().unwrap();
    let (source, library) = (dir.path().join("hostile.c"), dir.path().join("hostile.so"));
    fs::write(&source, include_str!("hostile.c")).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-pthread", "-o"])
        .arg(&library)
        .arg(&source);
    cc.arg(format!("-DNAME=\"{name}\""));
    cc.arg(format!("-DLAYOUT={:#x}ULL", busbar_plugin_sdk::abi::layout()));
    cc.args(defines.iter().map(|define| format!("-D{define}")));
    let made = cc.output().expect("a C compiler is there");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::read(library).unwrap()
}

/// The usual one, compiled once.
pub(crate) fn plain_c() -> &'static [u8] {
    static LIBRARY: OnceLock<Vec<u8>> = OnceLock::new();
    LIBRARY.get_or_init(|| in_c("hostile", &[]))
}

/// The one that does nothing wrong.
fn good() -> &'static [u8] {
    static LIBRARY: OnceLock<Vec<u8>> = OnceLock::new();
    LIBRARY.get_or_init(|| in_c("good", &[]))
}

/// The library of the generic plugin, as bytes.
pub(crate) fn sound() -> Vec<u8> {
    fs::read(generic()).unwrap()
}

/// Plays one case.
pub(crate) async fn play(case: &Case, worker: &[&str]) -> Outcome {
    let stage = Stage::new(worker);
    let beside = folder(&stage.path().join("beside"));
    put(&beside, "libbusbar_plugin_good.so", good());
    let good = stage.host(&beside).await;
    assert_eq!(good.list()[0].state, PluginState::Loaded, "{:?}", good.list());

    let (done, mut is_done) = oneshot::channel::<()>();
    let watch = tokio::spawn(async move {
        let mut worst = Duration::ZERO;
        let mut turns = interval(ASK_EVERY);
        loop {
            tokio::select! {
                _ = &mut is_done => return worst,
                _ = turns.tick() => {
                    let began = Instant::now();
                    ask(&good, "good", 0).await.unwrap();
                    worst = worst.max(began.elapsed());
                }
            }
        }
    });
    let mut outcome = misbehave(case, &stage).await;
    done.send(()).unwrap();
    outcome.worst = watch.await.unwrap();
    outcome
}

/// What a plugin notes of this misdeed.
pub(crate) async fn ask(plugins: &Plugins, name: &str, number: u8) -> Result<String, PluginError> {
    let talk = Conversation::new(Mode::Listed, vec![number]);
    let step = plugins.discover(name, &talk).await?;
    Ok(step.verdict.map(|verdict| verdict.note).unwrap_or_default())
}

async fn misbehave(case: &Case, stage: &Stage) -> Outcome {
    let number = match case.deed {
        Deed::File(make) => {
            make(stage);
            None
        }
        Deed::Load(defines) => {
            let mark = format!("MARK=\"{}\"", stage.path().join("mark").display());
            stage.bad(&in_c("hostile", &[defines, &[&mark]].concat()));
            None
        }
        Deed::C(number) => {
            stage.bad(plain_c());
            Some(number)
        }
        Deed::Rust(number) => {
            copy(stage.path(), &hostile());
            Some(number)
        }
    };
    let mut clock = Clock::begin();
    let plugins = stage.host(stage.path()).await;
    let Some(number) = number else {
        let bad = info(&plugins);
        // A plugin that ends its worker is started three times, with pauses of 100 and 400 ms between.
        let attempts = if bad.state == PluginState::SetAside { 3 } else { 1 };
        let (after, stalled) = clock.read();
        return Outcome {
            cause: bad.reason.or(bad.title).unwrap_or_default(),
            state: bad.state,
            after: after.saturating_sub(Duration::from_millis(250) * (attempts - 1)) / attempts,
            stalled: stalled / attempts,
            worst: Duration::ZERO,
            ran: bad.protection.is_some(),
        };
    };
    let worker = info(&plugins).worker.expect("it has a worker");
    let first = pidfd(worker);
    clock = Clock::begin();
    let call = ask(&plugins, "hostile", number);
    tokio::pin!(call);
    let (ended, answer) = tokio::select! {
        answer = &mut call => (clock.read(), Some(answer)),
        _ = first.readable() => (clock.read(), None),
    };
    let answer = match answer {
        Some(answer) => answer,
        None => call.await,
    };
    Outcome {
        cause: answer.unwrap_or_else(|error| error.to_string()),
        state: info(&plugins).state,
        after: ended.0,
        stalled: ended.1,
        worst: Duration::ZERO,
        ran: true,
    }
}

/// What the host says of the one plugin that is there.
fn info(plugins: &Plugins) -> PluginInfo {
    let mut all = plugins.list();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// Readable when the process has ended.
#[allow(unsafe_code, reason = "registers a descriptor")]
fn pidfd(pid: u32) -> AsyncFd<rustix::fd::OwnedFd> {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let descriptor = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::NONBLOCK).unwrap();
    // SAFETY: the descriptor is owned by what is returned, which never gives another number for it.
    unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }.unwrap()
}

/// Time, and how much of it somebody waited for a processor.
struct Clock {
    began: Instant,
    stalled: Duration,
}

impl Clock {
    fn begin() -> Clock {
        Clock {
            began: Instant::now(),
            stalled: stalled(),
        }
    }

    fn read(&self) -> (Duration, Duration) {
        (self.began.elapsed(), stalled().saturating_sub(self.stalled))
    }
}

/// For how long some process waited for a processor, ever; none where the kernel does not count it.
fn stalled() -> Duration {
    let text = fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    let total = text.lines().next().and_then(|some| some.rsplit_once("total="));
    Duration::from_micros(total.and_then(|(_, micros)| micros.parse().ok()).unwrap_or(0))
}
