//! One worker process, as its host sees it: started, asked, watched, ended.
#![allow(
    unsafe_code,
    reason = "lets descriptors pass to the worker, between fork and exec"
)]

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{RecvFlags, recv};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::Protection;
use crate::inspect::Image;
use crate::protocol::{FrameError, Load, Reply, Request, exchange};
use crate::stderr::{Log, MAX_PRINTED};

/// The single argument with which the program starts itself as a worker.
pub const WORKER_COMMAND: &str = "plugin-worker";

/// How a worker is started.
#[derive(Debug, Clone)]
pub struct WorkerProgram {
    /// The program.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl Default for WorkerProgram {
    /// This program itself, also when its file was replaced meanwhile.
    fn default() -> WorkerProgram {
        WorkerProgram {
            path: "/proc/self/exe".into(),
            args: vec![WORKER_COMMAND.into()],
        }
    }
}

/// How long one call may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Processor time of the worker. A busy machine costs a plugin nothing.
    pub cpu: Duration,
    /// Time that it sleeps or stands still, for which a pure function has no reason.
    pub asleep: Duration,
    /// The outer bound.
    pub wall: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines {
            cpu: Duration::from_secs(1),
            asleep: Duration::from_secs(1),
            wall: Duration::from_secs(15),
        }
    }
}

/// How often a worker that has not answered is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long to wait for a process to end that has closed its channel, and for its last words.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Why a worker is no more.
#[derive(Debug)]
pub(crate) enum Death {
    /// It could not be started; no plugin is to blame.
    Start(io::Error),
    /// While a plugin was called.
    Call(String),
}

/// A running worker. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    pid: u32,
    channel: UnixStream,
    log: Log,
    deadlines: Deadlines,
    images: Vec<Arc<Image>>,
    /// Which of the images are loaded, in the worker's order.
    loaded: Vec<usize>,
    /// How many questions were asked.
    asked: u64,
}

impl Process {
    /// Starts a worker that can load these images.
    pub(crate) async fn start(
        program: &WorkerProgram,
        label: &str,
        images: Vec<Arc<Image>>,
        deadlines: Deadlines,
    ) -> Result<(Process, Protection), Death> {
        let (mut process, request) =
            Process::spawn(program, label, images, deadlines).map_err(Death::Start)?;
        // No plugin is loaded yet: whatever holds it up, it is the system.
        let patient = Deadlines {
            cpu: deadlines.wall,
            asleep: deadlines.wall,
            ..deadlines
        };
        match process.ask_within(patient, &request).await? {
            Reply::Began(protection) => Ok((process, protection)),
            _ => Err(Death::Start(io::Error::other(
                "it does not begin as a worker does",
            ))),
        }
    }

    fn spawn(
        program: &WorkerProgram,
        label: &str,
        images: Vec<Arc<Image>>,
        deadlines: Deadlines,
    ) -> io::Result<(Process, Request)> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let files: Vec<i32> = images.iter().map(|image| image.file.as_raw_fd()).collect();
        let sealed = images
            .iter()
            .filter_map(|image| image.sealed.as_ref())
            .map(AsRawFd::as_raw_fd);
        let keep: Vec<i32> = files.iter().copied().chain(sealed).collect();
        let mut command = Command::new(&program.path);
        command
            .args(&program.args)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C on the terminal is for the host, which may still need the worker to judge what it found.
            .process_group(0)
            .kill_on_drop(true);
        let passed = keep.clone();
        let pass_on = move || {
            for &descriptor in &passed {
                // SAFETY: the images outlive the start, and with them their descriptors.
                fcntl_setfd(unsafe { BorrowedFd::borrow_raw(descriptor) }, FdFlags::empty())?;
            }
            Ok(())
        };
        // SAFETY: between fork and exec it only makes system calls.
        unsafe { command.pre_exec(pass_on) };
        let mut child = command.spawn()?;
        let pid = child.id().ok_or_else(|| io::Error::other("it ended at once"))?;
        let log = Log::follow(child.stderr.take(), label);
        let channel = UnixStream::from_std(ours)?;
        let process = Process {
            child,
            pid,
            channel,
            log,
            deadlines,
            images,
            loaded: Vec::new(),
            asked: 0,
        };
        Ok((process, Request::Begin { keep, files }))
    }

    /// The process' id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it still runs. One that ended between two calls is nobody's failure.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Calls the plugin of an image, which is loaded first where it is not yet; `request` is given its number.
    pub(crate) async fn call(
        &mut self,
        image: usize,
        request: impl FnOnce(usize) -> Request,
    ) -> Result<Reply, Death> {
        let plugin = match self.loaded.iter().position(|&loaded| loaded == image) {
            Some(plugin) => plugin,
            None => match self.load(image).await? {
                Reply::Done => {
                    self.loaded.push(image);
                    self.loaded.len() - 1
                }
                other => return Ok(other),
            },
        };
        self.ask(&request(plugin)).await
    }

    async fn load(&mut self, image: usize) -> Result<Reply, Death> {
        let Some(each) = self.images.get(image) else {
            return Ok(Reply::Failed("no such image".into()));
        };
        let load = Load {
            sealed: each.sealed.as_ref().map(AsRawFd::as_raw_fd),
            file: each.file.as_raw_fd(),
            hash: each.hash,
            record: each.record.to_vec(),
            vtable_size: each.vtable_size,
            alone: self.images.len() == 1,
        };
        self.ask(&Request::Load(load)).await
    }

    async fn ask(&mut self, request: &Request) -> Result<Reply, Death> {
        self.ask_within(self.deadlines, request).await
    }

    async fn ask_within(&mut self, deadlines: Deadlines, request: &Request) -> Result<Reply, Death> {
        if self.has_leftovers() {
            return Err(Death::Call("it sent more than it was asked for".into()));
        }
        self.log.begin_call();
        let mut watch = Watch::begin(self.pid, deadlines);
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let outcome = {
            let number = self.asked;
            self.asked += 1;
            let (answer, log) = (exchange(&mut self.channel, number, request), &self.log);
            tokio::pin!(answer);
            loop {
                tokio::select! {
                    biased;
                    outcome = &mut answer => break Ok(outcome),
                    _ = look.tick() => {
                        if log.is_flooded() {
                            break Err(format!("it printed more than {MAX_PRINTED} bytes in one call"));
                        }
                        if let Some(overdue) = watch.look() {
                            break Err(overdue);
                        }
                    }
                }
            }
        };
        match outcome {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(FrameError::Io(_))) => Err(Death::Call(self.how_it_ended().await)),
            Ok(Err(garbage)) => Err(Death::Call(format!("it sent {garbage}"))),
            Err(overdue) => Err(Death::Call(overdue)),
        }
    }

    /// Whether something waits in the channel that nobody asked for. A plugin can write there itself: what it left would
    /// be taken for the answer to the next question.
    fn has_leftovers(&self) -> bool {
        let mut byte = [0; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        matches!(recv(&self.channel, &mut byte, flags), Ok((1.., _)))
    }

    /// It closed its channel: in what way, and what it said last.
    async fn how_it_ended(&mut self) -> String {
        let Ok(Ok(status)) = timeout(LAST_WORDS, self.child.wait()).await else {
            return "it closed its channel".into();
        };
        // Whatever it may have started, where seccomp did not keep it from that.
        end_group(self.pid);
        let mut reason = describe_end(status);
        if let Some(words) = self.log.last_words(LAST_WORDS).await {
            reason.push_str(": ");
            reason.push_str(&words);
        }
        reason
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // While it is not reaped, its number is its own. The child itself is ended by `kill_on_drop`, too.
        if self.child.id().is_some() {
            end_group(self.pid);
        }
    }
}

/// Ends all processes of a worker's group.
fn end_group(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // There may be none left.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

fn describe_end(status: ExitStatus) -> String {
    let Some(signal) = status.signal() else {
        return format!(
            "it ended its process with exit code {}",
            status.code().unwrap_or_default()
        );
    };
    let known = match signal {
        libc::SIGABRT => "it aborted",
        libc::SIGSEGV => "it touched memory that is not its own",
        libc::SIGBUS => "it touched memory that does not exist",
        libc::SIGILL => "it ran an instruction that this processor does not have",
        libc::SIGFPE => "it divided by zero",
        libc::SIGSYS => "it made a system call that plugins may not make",
        libc::SIGKILL => "its process was killed (by somebody, or for want of memory)",
        _ => return format!("its process was ended by signal {signal}"),
    };
    format!("{known} (signal {signal})")
}

/// Looks at how a worker spends its time.
struct Watch {
    pid: u32,
    deadlines: Deadlines,
    began: Instant,
    looked: Instant,
    cpu_at_begin: Duration,
    asleep: Duration,
}

impl Watch {
    fn begin(pid: u32, deadlines: Deadlines) -> Watch {
        let now = Instant::now();
        let cpu_at_begin = usage(pid).map_or(Duration::ZERO, |(_, cpu)| cpu);
        Watch {
            pid,
            deadlines,
            began: now,
            looked: now,
            cpu_at_begin,
            asleep: Duration::ZERO,
        }
    }

    /// Which bound was passed, if any.
    fn look(&mut self) -> Option<String> {
        let now = Instant::now();
        // A host that was held up itself saw only a moment of the time between.
        let since = (now - self.looked).min(2 * LOOK);
        self.looked = now;
        let Deadlines { cpu, asleep, wall } = self.deadlines;
        // Without /proc only the outer bound holds.
        if let Some((_, used)) = usage(self.pid) {
            if is_asleep(self.pid) {
                self.asleep += since;
            }
            if used.saturating_sub(self.cpu_at_begin) > cpu {
                return Some(format!(
                    "it used more than {cpu:?} of processor time for one call"
                ));
            }
            if self.asleep > asleep {
                return Some(format!("it slept for more than {asleep:?} in one call"));
            }
        }
        (now - self.began > wall).then(|| format!("it took more than {wall:?} for one call"))
    }
}

/// Whether all threads of a process stand still: asleep, stopped or ended. One that waits for a processor does not, nor
/// one that waits for a disk.
fn is_asleep(pid: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    // A worker has two; a kernel that could not keep it from making more will not keep this from ending.
    let mut stats = threads
        .take(64)
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("stat")).ok());
    stats.all(|stat| parse_stat(&stat).is_some_and(|(state, _)| !b"RD".contains(&state)))
}

/// State letter (of its first thread) and processor time of a process.
fn usage(pid: u32) -> Option<(u8, Duration)> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(stat: &str) -> Option<(u8, Duration)> {
    // USER_HZ, which is 100 on every architecture that is supported.
    const TICK: Duration = Duration::from_millis(10);
    // The second field is the program's name, which may hold anything; the others follow its last parenthesis.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let mut ticks = fields.skip(10).map_while(|field| field.parse::<u32>().ok());
    let (user, system) = (ticks.next()?, ticks.next()?);
    Some((state, TICK.saturating_mul(user.saturating_add(system))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_may_hold_anything() {
        let stat = "4711 (a ) R 9 (x) S 1 4711 4711 0 -1 4194560 1 2 3 4 25 17 0 0 20 0 1 0 99 0 0";
        assert_eq!(parse_stat(stat), Some((b'S', Duration::from_millis(420))));
        assert_eq!(parse_stat("4711 (a"), None);
        assert_eq!(parse_stat("4711 (a) S 1 2"), None);
    }

    #[test]
    fn an_end_is_told_in_words() {
        assert_eq!(
            describe_end(ExitStatus::from_raw(0)),
            "it ended its process with exit code 0"
        );
        assert!(describe_end(ExitStatus::from_raw(libc::SIGSYS)).contains("system call"));
    }
}
