//! Writes lines.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::config::FileConfig;
use super::output::{Output, day_of};
use crate::health::Health;
use crate::queue::Queue;
use crate::samples::Gatherer;
use crate::ship::collect;
use crate::sinks::Site;

/// Samples that wait for a slow disk.
const WAITING: usize = 20_000;
/// Lines that are written at once.
const BATCH: usize = 2000;
/// How long lines wait for more.
const LINGER: Duration = Duration::from_secs(1);

/// Where this sink writes to, for people.
pub fn target(config: &FileConfig) -> String {
    match config.is_stdout() {
        true => "standard output".to_owned(),
        false => config.path.display().to_string(),
    }
}

/// Writes until the host ends.
pub async fn run(config: FileConfig, site: Site, health: Health, cancel: CancellationToken) {
    let checked = match config.check() {
        Ok(checked) => checked,
        Err(cause) => return health.down(cause),
    };
    let place = if config.is_stdout() {
        Place::Stdout { begun: false }
    } else {
        let (path, format) = (&config.path, config.format);
        Place::File(Output::new(
            path,
            format,
            checked.rotation,
            checked.keep,
            config.compress,
        ))
    };
    let format = config.format;
    let jobs = match begin(place, format) {
        Ok(jobs) => jobs,
        Err(error) => return health.down(format!("no thread can be started for it: {error}")),
    };
    let queue = Queue::new(WAITING);
    let gatherer = Gatherer::new(checked.select, checked.rhythm);
    let collecting = collect(
        Arc::clone(&site.bus),
        gatherer,
        queue.clone(),
        health.clone(),
        cancel,
    );
    let writing = async {
        while let Some(samples) = queue.take(BATCH, LINGER).await {
            health.waiting(queue.len());
            let mut lines = String::with_capacity(samples.len() * 80);
            samples.iter().for_each(|sample| format.line(&mut lines, sample));
            if lines.is_empty() {
                continue;
            }
            match ask(&jobs, Job::Write(lines)).await {
                Ok(()) => {
                    health.up();
                    health.sent(samples.len());
                }
                Err(error) => {
                    health.down(error.to_string());
                    health.dropped(samples.len());
                }
            }
        }
        if let Err(error) = ask(&jobs, Job::Sync).await {
            health.down(error.to_string());
        }
    };
    tokio::join!(collecting, writing);
}

enum Place {
    File(Output),
    Stdout { begun: bool },
}

enum Job {
    Write(String),
    Sync,
}

type Jobs = mpsc::Sender<(Job, oneshot::Sender<io::Result<()>>)>;

/// A thread of its own: a disk or a reader that hangs holds nobody else up, not even the end of the program.
fn begin(mut place: Place, format: super::encode::Format) -> io::Result<Jobs> {
    let (jobs, mut todo) = mpsc::channel::<(Job, oneshot::Sender<io::Result<()>>)>(1);
    let work = move || {
        while let Some((job, done)) = todo.blocking_recv() {
            let result = match (&mut place, job) {
                (Place::File(output), Job::Write(lines)) => {
                    output.write(&lines, day_of(crate::clock::now_ms() / 1000))
                }
                (Place::File(output), Job::Sync) => output.sync(),
                (Place::Stdout { begun }, Job::Write(lines)) => print(begun, format.header(), &lines),
                (Place::Stdout { .. }, Job::Sync) => io::stdout().flush(),
            };
            let _ = done.send(result);
        }
    };
    std::thread::Builder::new()
        .name("busbar-file".to_owned())
        .spawn(work)?;
    Ok(jobs)
}

fn print(begun: &mut bool, header: &str, lines: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if !std::mem::replace(begun, true) {
        out.write_all(header.as_bytes())?;
    }
    out.write_all(lines.as_bytes())?;
    out.flush()
}

async fn ask(jobs: &Jobs, job: Job) -> io::Result<()> {
    let (done, result) = oneshot::channel();
    let gone = || io::Error::other("the thread that writes to it has ended");
    jobs.send((job, done)).await.map_err(|_| gone())?;
    result.await.map_err(|_| gone())?
}
