//! What the handles of a link share with its owner task.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::sync::{Semaphore, oneshot};

use crate::error::WireError;
use crate::identity::Asked;
use crate::queue::{Priority, Queue};
use crate::stats::Stats;
use crate::tap::Tap;
use crate::write::{WriteAnswer, WriteError, Writing};

/// The most requests of one priority that wait in the queue; further callers wait outside.
const LANE: usize = 256;

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) unit: u8,
    pub(crate) asked: Asked,
    pub(crate) priority: Priority,
    pub(crate) reply: oneshot::Sender<Result<Vec<u16>, WireError>>,
    /// How often the device said that it is busy.
    pub(crate) busy: u8,
    /// How often its connection was lost under it.
    pub(crate) lost: u8,
    /// How long the way itself takes for it, beside what the device needs.
    pub(crate) line: Duration,
    /// Whether it was asked again because its answer was lost on the line.
    pub(crate) again: bool,
    /// Whether it has the wire for itself: a read that is asked once more, or a write.
    pub(crate) alone: bool,
    /// What makes it a write. It goes out once; nothing that asks a second time may be given it.
    pub(crate) write: Option<Arc<Writing>>,
}

impl Job {
    /// Tells the caller. Whether it still listens makes no difference.
    pub(crate) fn finish(self, result: Result<Vec<u16>, WireError>) {
        let _ = self.reply.send(result);
    }
}

/// What the owner task waits for from its handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// A request waits.
    Work,
    /// Nobody needs the link any more.
    Closed,
}

/// A queue of requests, the counters, and the bell that wakes the owner.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) endpoint: Arc<str>,
    lanes: [Semaphore; Priority::COUNT],
    waiting: Mutex<Waiting>,
    owner: AtomicWaker,
    stats: Mutex<Stats>,
    pub(crate) tap: Tap,
}

#[derive(Debug)]
struct Waiting {
    queue: Queue<Job>,
    closed: bool,
}

impl Inbox {
    pub(crate) fn new(endpoint: Arc<str>) -> Self {
        Inbox {
            endpoint,
            lanes: std::array::from_fn(|_| Semaphore::new(LANE)),
            waiting: Mutex::new(Waiting {
                queue: Queue::new(),
                closed: false,
            }),
            owner: AtomicWaker::new(),
            stats: Mutex::new(Stats::default()),
            tap: Tap::default(),
        }
    }

    /// One read, from its place in the queue to its end. Dropping this withdraws it.
    pub(crate) async fn read(
        &self,
        unit: u8,
        asked: Asked,
        priority: Priority,
    ) -> Result<Vec<u16>, WireError> {
        self.wait_for(unit, asked, priority, None).await
    }

    /// One write, likewise. Dropping this withdraws what has not gone out; what has is not called back.
    pub(crate) async fn write(&self, writing: Writing) -> Result<WriteAnswer, WriteError> {
        let writing = Arc::new(writing);
        let mut watch = Watch {
            inbox: self,
            writing: &writing,
            settled: false,
        };
        let (unit, asked) = (writing.unit(), writing.asked());
        let result = self
            .wait_for(unit, asked, Priority::Write, Some(writing.clone()))
            .await;
        let outcome = writing.outcome(result);
        watch.settled = !matches!(outcome, Err(WriteError::Unconfirmed(_)));
        outcome
    }

    async fn wait_for(
        &self,
        unit: u8,
        asked: Asked,
        priority: Priority,
        write: Option<Arc<Writing>>,
    ) -> Result<Vec<u16>, WireError> {
        let closed = || WireError::Closed {
            endpoint: self.endpoint.clone(),
        };
        let _place = self.lanes[priority as usize]
            .acquire()
            .await
            .map_err(|_| closed())?;
        let (reply, result) = oneshot::channel();
        {
            let mut waiting = self.waiting();
            if waiting.closed {
                return Err(closed());
            }
            waiting.queue.push(
                priority,
                unit,
                Job {
                    unit,
                    asked,
                    priority,
                    reply,
                    busy: 0,
                    lost: 0,
                    line: Duration::ZERO,
                    again: false,
                    alone: write.is_some(),
                    write,
                },
            );
        }
        self.owner.wake();
        result.await.unwrap_or_else(|_| Err(closed()))
    }

    /// The next request to send.
    pub(crate) fn pop(&self) -> Option<Job> {
        self.waiting().queue.pop()
    }

    /// Whether no request waits to be sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting().queue.is_empty()
    }

    /// Puts back a request that was not sent, or a read that is to be sent again.
    pub(crate) fn put_back(&self, job: Job) {
        self.waiting().queue.put_back(job.priority, job);
    }

    /// Ends all waiting requests with one error.
    pub(crate) fn fail_all(&self, error: &WireError) {
        let jobs: Vec<Job> = self.waiting().queue.drain().collect();
        for job in jobs {
            job.finish(Err(error.clone()));
        }
    }

    /// Waits, as the owner, for work (where it has room for any) or for the end.
    pub(crate) fn poll_call(&self, cx: &Context<'_>, room: bool) -> Poll<Call> {
        self.owner.register(cx.waker());
        let waiting = self.waiting();
        if waiting.closed {
            Poll::Ready(Call::Closed)
        } else if room && !waiting.queue.is_empty() {
            Poll::Ready(Call::Work)
        } else {
            Poll::Pending
        }
    }

    /// Nobody needs the link any more: requests fail from now on, and the owner ends.
    pub(crate) fn close(&self) {
        self.waiting().closed = true;
        self.owner.wake();
    }

    /// The counters, for a moment.
    pub(crate) fn stats(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits with the caller of a write, and sees when it goes before the answer comes.
struct Watch<'a> {
    inbox: &'a Inbox,
    writing: &'a Writing,
    /// Whether it is known what became of the write.
    settled: bool,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.writing.withdraw();
        if self.writing.is_gone() && !self.settled {
            self.inbox.stats().unconfirmed += 1;
        }
    }
}
