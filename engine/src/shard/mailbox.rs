//! The mailboxes between shards, and from outside to shards.
//!
//! One bounded queue for each ordered pair of shards, so that what one shard sends another arrives
//! in order, and one for everybody else. A shard is woken only if it sleeps, and only once: who
//! puts something in swaps the flag, who goes to sleep sets it and looks once more.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use crossbeam_utils::CachePadded;

use super::counters::{Shared, Statistics};
use crate::close::CloseCode;
use crate::driver::Key;
use crate::proto::prepared::Prepared;

/// What one shard, or any thread, asks of a shard.
#[derive(Debug)]
pub(crate) enum Command {
    /// To every open connection.
    Broadcast(Prepared),
    /// To one connection.
    Send(Key, Prepared),
    /// Begin the closing handshake of one connection.
    Close(Key, CloseCode, String),
}

/// Wakes a shard from its wait; from any thread.
pub(crate) trait Wake: Send + Sync {
    fn wake(&self);
}

/// Commands that fit between two shards. With many shards there are many pairs, and each needs
/// less: all pairs together hold at most 8,192 × shards.
fn lane_len(shards: usize) -> usize {
    (8192 / shards.max(1)).clamp(128, 4096)
}

/// Commands from outside that fit.
const OUTSIDE_LEN: usize = 4096;

/// All mailboxes of a server.
pub(crate) struct Hub {
    inboxes: Box<[Inbox]>,
}

/// What one shard receives from others.
pub(crate) struct Inbox {
    lanes: Box<[ArrayQueue<Command>]>,
    outside: ArrayQueue<Command>,
    sleeping: CachePadded<AtomicBool>,
    waker: OnceLock<std::sync::Arc<dyn Wake>>,
    /// 0: run. 1: drain. 2: stop now.
    stop: AtomicU8,
    drain_ms: AtomicU64,
    /// What the shard counted.
    pub(crate) counters: CachePadded<Shared>,
}

/// How a shard is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Close everything in order, at most for so long.
    Drain(Duration),
    /// Cut everything.
    Now,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hub({} shards)", self.inboxes.len())
    }
}

impl Hub {
    pub(crate) fn new(shards: usize) -> Self {
        Self::with_room(shards, lane_len(shards), OUTSIDE_LEN)
    }

    /// Mailboxes of these lengths, at least 1: between two shards, and from outside.
    pub(crate) fn with_room(shards: usize, lane_len: usize, outside_len: usize) -> Self {
        let inbox = |_| Inbox {
            lanes: (0..shards).map(|_| ArrayQueue::new(lane_len)).collect(),
            outside: ArrayQueue::new(outside_len),
            sleeping: CachePadded::new(AtomicBool::new(false)),
            waker: OnceLock::new(),
            stop: AtomicU8::new(0),
            drain_ms: AtomicU64::new(0),
            counters: CachePadded::new(Shared::default()),
        };
        Self {
            inboxes: (0..shards).map(inbox).collect(),
        }
    }

    pub(crate) fn shards(&self) -> usize {
        self.inboxes.len()
    }

    pub(crate) fn inbox(&self, shard: u16) -> &Inbox {
        &self.inboxes[usize::from(shard)]
    }

    pub(crate) fn try_inbox(&self, shard: u16) -> Option<&Inbox> {
        self.inboxes.get(usize::from(shard))
    }

    pub(crate) fn statistics(&self) -> Vec<Statistics> {
        self.inboxes
            .iter()
            .map(|inbox| inbox.counters.load())
            .collect()
    }

    pub(crate) fn stop(&self, stop: Stop) {
        for inbox in &self.inboxes {
            inbox.stop(stop);
        }
    }
}

impl Inbox {
    pub(crate) fn set_waker(&self, waker: std::sync::Arc<dyn Wake>) {
        // Set once, by the shard, before it runs.
        let _ = self.waker.set(waker);
    }

    /// From another shard; gives the command back when there is no room. Does not wake.
    pub(crate) fn post(&self, from: u16, command: Command) -> Result<(), Command> {
        match self.lanes.get(usize::from(from)) {
            Some(lane) => lane.push(command),
            None => Err(command),
        }
    }

    /// From outside; wakes. Gives the command back when there is no room.
    pub(crate) fn post_outside(&self, command: Command) -> Result<(), Command> {
        self.outside.push(command)?;
        self.wake();
        Ok(())
    }

    /// Wakes the shard if it sleeps.
    pub(crate) fn wake(&self) {
        // Pairs with the fence in `sleep`: either that sees what was put in, or this sees the flag.
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed)
            && self.sleeping.swap(false, Ordering::Relaxed)
            && let Some(waker) = self.waker.get()
        {
            waker.wake();
        }
    }

    /// Declares the shard asleep; `false`, and awake, when there is something in the box.
    pub(crate) fn sleep(&self) -> bool {
        self.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.is_empty() {
            return true;
        }
        self.sleeping.store(false, Ordering::Relaxed);
        false
    }

    /// Declares the shard awake: nobody needs to wake it.
    pub(crate) fn awake(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
    }

    fn is_empty(&self) -> bool {
        self.outside.is_empty() && self.lanes.iter().all(ArrayQueue::is_empty)
    }

    /// Takes one command; each queue in turn, beginning with `*turn`.
    pub(crate) fn take(&self, turn: &mut usize) -> Option<Command> {
        let queues = self.lanes.len() + 1;
        for _ in 0..queues {
            let queue = self.lanes.get(*turn).unwrap_or(&self.outside);
            *turn = (*turn + 1) % queues;
            if let Some(command) = queue.pop() {
                return Some(command);
            }
        }
        None
    }

    fn stop(&self, stop: Stop) {
        let level = match stop {
            Stop::Drain(most) => {
                let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
                self.drain_ms.store(most, Ordering::Relaxed);
                1
            }
            Stop::Now => 2,
        };
        self.stop.fetch_max(level, Ordering::Release);
        self.sleeping.store(false, Ordering::Relaxed);
        if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }

    pub(crate) fn stop_asked(&self) -> Option<Stop> {
        match self.stop.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Stop::Drain(Duration::from_millis(
                self.drain_ms.load(Ordering::Relaxed),
            ))),
            _ => Some(Stop::Now),
        }
    }
}
