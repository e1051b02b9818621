//! What waits between the task that listens to the bus and the one that sends: bounded, and the newest is never the one
//! that is lost.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// A queue with an end for each of two tasks; every clone is the same.
#[derive(Debug)]
pub struct Queue<T>(Arc<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    most: usize,
    waiting: Mutex<Waiting<T>>,
    changed: Notify,
}

#[derive(Debug)]
struct Waiting<T> {
    items: VecDeque<T>,
    closed: bool,
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Queue(Arc::clone(&self.0))
    }
}

impl<T> Queue<T> {
    /// Holds at most so many.
    pub fn new(most: usize) -> Self {
        Queue(Arc::new(Inner {
            most: most.max(1),
            waiting: Mutex::new(Waiting {
                items: VecDeque::new(),
                closed: false,
            }),
            changed: Notify::new(),
        }))
    }

    /// Adds some, and tells how many of the oldest had to go for them. Never waits.
    pub fn push(&self, items: impl IntoIterator<Item = T>) -> usize {
        let mut waiting = self.waiting();
        let mut dropped = 0;
        for item in items {
            if waiting.items.len() >= self.0.most {
                waiting.items.pop_front();
                dropped += 1;
            }
            waiting.items.push_back(item);
        }
        drop(waiting);
        self.0.changed.notify_one();
        dropped
    }

    /// Nothing more will come.
    pub fn close(&self) {
        self.waiting().closed = true;
        self.0.changed.notify_one();
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting().items.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits for the first, then until there are `most` or `linger` has passed; gives at most `most`, the oldest first.
    /// `None` when nothing waits and nothing more will come. Nothing is lost when this is dropped while it waits.
    pub async fn take(&self, most: usize, linger: Duration) -> Option<Vec<T>> {
        if !self.reaches(1).await {
            return None;
        }
        let _ = tokio::time::timeout(linger, self.reaches(most)).await;
        let mut waiting = self.waiting();
        let count = waiting.items.len().min(most);
        Some(waiting.items.drain(..count).collect())
    }

    /// Waits until there are `count`; `false` when there are fewer and nothing more will come. One task waits at a time.
    pub async fn reaches(&self, count: usize) -> bool {
        loop {
            {
                let waiting = self.waiting();
                if waiting.items.len() >= count {
                    return true;
                }
                if waiting.closed {
                    return false;
                }
            }
            self.0.changed.notified().await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<T>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINGER: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_loses_the_oldest_and_says_so() {
        let queue = Queue::new(3);
        assert_eq!(queue.push(1..=2), 0);
        assert_eq!(queue.push(3..=10), 7);
        assert_eq!(queue.take(10, LINGER).await, Some(vec![8, 9, 10]));
        queue.close();
        assert_eq!(queue.take(10, LINGER).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_full_or_lingers() {
        let queue = Queue::new(100);
        let began = tokio::time::Instant::now();
        queue.push(0..5);
        assert_eq!(queue.take(3, LINGER).await, Some(vec![0, 1, 2]));
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(queue.take(3, LINGER).await, Some(vec![3, 4]));
        assert_eq!(began.elapsed(), LINGER);
        queue.push([6]);
        queue.close();
        assert_eq!(
            queue.take(3, LINGER).await,
            Some(vec![6]),
            "what waits is not lost at the end"
        );
        assert_eq!(began.elapsed(), LINGER);
    }
}
