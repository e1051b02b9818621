//! The plugins of one worker: started when one is called, started again when it ended, ended when nobody calls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::inspect::Image;
use crate::line::{MAX_CAUSE, one_line};
use crate::process::{Deadlines, Death, Process, WorkerProgram};
use crate::protocol::{Reply, Request};
use crate::{PluginError, Protection};

/// A plugin that failed this often in a row is set aside.
const MAX_FAILURES: u32 = 3;

/// How workers are run.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) program: WorkerProgram,
    pub(crate) deadlines: Deadlines,
    pub(crate) idle: Duration,
}

/// What is known of a plugin's conduct.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health {
    /// Failures in a row.
    failures: u32,
    /// Failures since the host started.
    pub(crate) ever: u64,
    /// Why it failed last.
    pub(crate) reason: Option<String>,
}

impl Health {
    pub(crate) fn is_set_aside(&self) -> bool {
        self.failures >= MAX_FAILURES
    }
}

/// Plugins that share a worker.
pub(crate) struct Group {
    rules: Rules,
    label: String,
    images: Vec<Arc<Image>>,
    /// Calls take turns.
    turn: tokio::sync::Mutex<Turn>,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Turn {
    process: Option<Process>,
    /// After a failure: not to be started again before.
    rest_until: Option<Instant>,
    ends_when_idle: Option<AbortHandle>,
}

#[derive(Default)]
struct Shown {
    health: Vec<Health>,
    protection: Option<Protection>,
    worker: Option<u32>,
}

impl Group {
    pub(crate) fn new(rules: Rules, images: Vec<Image>) -> Group {
        let names: Vec<_> = images.iter().map(|image| image.inspected.name.as_str()).collect();
        let label = names.join("+");
        let shown = Shown {
            health: vec![Health::default(); images.len()],
            ..Shown::default()
        };
        let images = images.into_iter().map(Arc::new).collect();
        Group {
            rules,
            label,
            images,
            turn: Default::default(),
            shown: Mutex::new(shown),
        }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The conduct of a member.
    pub(crate) fn health(&self, member: usize) -> Health {
        self.shown().health.get(member).cloned().unwrap_or_default()
    }

    /// What its worker is kept from, and the process, if one runs.
    pub(crate) fn worker(&self) -> (Option<Protection>, Option<u32>) {
        let shown = self.shown();
        (shown.protection.clone(), shown.worker)
    }

    /// Ends the worker; the next call starts one.
    pub(crate) async fn end(&self) {
        let mut turn = self.turn.lock().await;
        turn.process = None;
        self.shown().worker = None;
    }

    /// Calls a member. A call that ends the worker is made again, since calls have no memory, until it succeeds or the
    /// plugin is set aside; one that the plugin itself fails is not. A caller that goes away ends the worker.
    pub(crate) async fn call<T>(
        self: &Arc<Group>,
        member: usize,
        request: impl Fn(usize) -> Request,
        accept: impl Fn(Reply) -> Result<T, String>,
    ) -> Result<T, PluginError> {
        let mut turn = self.turn.lock().await;
        if let Some(timer) = turn.ends_when_idle.take() {
            timer.abort();
        }
        loop {
            let health = self.health(member);
            if health.is_set_aside() {
                return Err(PluginError::SetAside {
                    reason: health.reason.unwrap_or_default(),
                });
            }
            if let Some(until) = turn.rest_until.take() {
                sleep_until(until).await;
            }
            // Taken out, so that a call that is given up leaves no process with half an answer.
            let mut process = match turn.process.take_if(Process::is_alive) {
                Some(process) => process,
                None => self.start().await?,
            };
            let reply = process.call(member, &request).await;
            let outcome = match reply {
                Ok(Reply::Failed(reason)) => Err(cause(&reason)),
                Ok(reply) => accept(reply).map_err(|reason| cause(&reason)),
                Err(Death::Start(error)) => return Err(PluginError::Start(error)),
                Err(Death::Call(reason)) => {
                    drop(process);
                    let reason = cause(&reason);
                    turn.rest_until = Some(Instant::now() + self.failed(member, reason));
                    continue;
                }
            };
            turn.process = Some(process);
            turn.ends_when_idle = Some(self.end_when_idle());
            return match outcome {
                Ok(answer) => {
                    if let Some(health) = self.shown().health.get_mut(member) {
                        let ever = health.ever;
                        *health = Health {
                            ever,
                            ..Health::default()
                        };
                    }
                    Ok(answer)
                }
                Err(reason) => {
                    self.failed(member, reason.clone());
                    Err(PluginError::Failed { reason })
                }
            };
        }
    }

    async fn start(&self) -> Result<Process, PluginError> {
        self.shown().worker = None;
        let started = Process::start(
            &self.rules.program,
            &self.label,
            self.images.clone(),
            self.rules.deadlines,
        );
        let (process, protection) = started.await.map_err(|death| match death {
            Death::Start(error) => PluginError::Start(error),
            Death::Call(reason) => PluginError::Start(std::io::Error::other(reason)),
        })?;
        let mut shown = self.shown();
        (shown.protection, shown.worker) = (Some(protection), Some(process.pid()));
        Ok(process)
    }

    /// Notes a failure; how long to rest before the next start.
    fn failed(&self, member: usize, reason: String) -> Duration {
        let plugin = self.images.get(member).map_or("", |image| &image.inspected.name);
        let mut shown = self.shown();
        let Some(health) = shown.health.get_mut(member) else {
            return Duration::ZERO;
        };
        health.failures += 1;
        health.ever += 1;
        if health.is_set_aside() {
            tracing::error!(plugin, reason, "set aside after {MAX_FAILURES} failures in a row");
        } else {
            tracing::warn!(plugin, reason, failures = health.failures, "plugin failed");
        }
        health.reason = Some(reason);
        Duration::from_millis(100) * 4_u32.saturating_pow(health.failures - 1)
    }

    fn end_when_idle(self: &Arc<Group>) -> AbortHandle {
        let (group, idle) = (Arc::downgrade(self), self.rules.idle);
        let timer = tokio::spawn(async move {
            sleep(idle).await;
            if let Some(group) = group.upgrade() {
                group.end().await;
            }
        });
        timer.abort_handle()
    }
}

/// Why a call failed, on one line, whatever the plugin said.
fn cause(reason: &str) -> String {
    let line = one_line(reason, MAX_CAUSE);
    if line.is_empty() {
        "it failed without a reason".into()
    } else {
        line
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;
    use crate::inspect::take;
    use crate::place::Place;

    /// A directory that only its owner can change, whatever the umask is.
    fn private_dir() -> tempfile::TempDir {
        let mode = PermissionsExt::from_mode(0o755);
        tempfile::Builder::new().permissions(mode).tempdir().unwrap()
    }

    /// Not a test: the worker, in which this program is started again.
    #[test]
    #[ignore = "started by the other tests"]
    fn plugin_worker() {
        crate::worker_main();
        std::process::exit(0);
    }

    /// A copy of the generic plugin, as if this system had no memory files that may be executed.
    fn unsealed() -> (Image, PathBuf, tempfile::TempDir) {
        let dir = private_dir();
        let path = dir.path().join("plugin.so");
        let built = std::env::current_exe()
            .unwrap()
            .with_file_name("libbusbar_plugin_generic.so");
        std::fs::write(&path, std::fs::read(built).unwrap()).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        let mut image = take(&Place::check(dir.path()).unwrap(), &path).unwrap();
        assert!(image.sealed.take().is_some(), "this system has them");
        (image, path, dir)
    }

    async fn describe(image: Image) -> Result<String, String> {
        let args = [
            "--exact",
            "group::tests::plugin_worker",
            "--ignored",
            "--nocapture",
        ]
        .map(Into::into);
        let program = WorkerProgram {
            args: args.into(),
            ..WorkerProgram::default()
        };
        let rules = Rules {
            program,
            deadlines: Deadlines::default(),
            idle: Duration::from_secs(10),
        };
        let group = Arc::new(Group::new(rules, vec![image]));
        let accept = |reply| match reply {
            Reply::Described(described) => Ok(described.title),
            other => Err(format!("{other:?}")),
        };
        let answer = group.call(0, |plugin| Request::Describe { plugin }, accept).await;
        answer.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn without_a_sealed_copy_the_file_is_loaded() {
        let (image, _, _dir) = unsealed();
        assert_eq!(describe(image).await.unwrap(), "Meters and inverters");
    }

    #[tokio::test]
    async fn without_a_sealed_copy_a_changed_file_is_refused() {
        let (image, path, _dir) = unsealed();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.push(0);
        std::fs::write(&path, bytes).unwrap();
        assert!(
            describe(image)
                .await
                .unwrap_err()
                .contains("changed after it was inspected")
        );
    }

    #[tokio::test]
    async fn a_record_that_differs_in_memory_is_refused() {
        let (mut image, _, _dir) = unsealed();
        image.record[40] ^= 1;
        assert!(
            describe(image)
                .await
                .unwrap_err()
                .contains("differs from the one in its file")
        );
    }
}
