//! What a handler reaches beyond its own connection: the broadcast, the mailboxes of the other
//! shards, the counters. Everything it is told waits for the end of the turn.

use std::collections::VecDeque;
use std::sync::Arc;

use super::counters::Statistics;
use super::mailbox::{Command, Hub};
use crate::proto::prepared::Prepared;
use crate::remote::Remote;

/// Messages that wait here because another shard's mailbox is full. Their publishers are not read
/// from meanwhile, so what comes on top is one receive buffer of each; beyond this it is dropped
/// and counted.
const BACKLOG_MAX: usize = 1 << 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) counters: Statistics,
    hub: Arc<Hub>,
    shard: u16,
    /// Broadcasts of this turn for the shard's own connections.
    own: VecDeque<Prepared>,
    /// For each shard, what did not fit into its mailbox.
    backlog: Vec<VecDeque<Command>>,
    backlog_len: usize,
    /// Shards that were sent something since they were last woken.
    to_wake: Vec<u16>,
}

impl Outside {
    pub(crate) fn new(hub: Arc<Hub>, shard: u16) -> Self {
        let backlog = (0..hub.shards()).map(|_| VecDeque::new()).collect();
        Self {
            counters: Statistics::default(),
            hub,
            shard,
            own: VecDeque::new(),
            backlog,
            backlog_len: 0,
            to_wake: Vec::new(),
        }
    }

    pub(crate) fn remote(&self) -> Remote {
        Remote::new(Arc::clone(&self.hub))
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    pub(crate) fn broadcast(&mut self, message: Prepared) {
        for shard in 0..self.hub.shards() as u16 {
            if shard != self.shard {
                self.post(shard, Command::Broadcast(message.clone()));
            }
        }
        self.own.push_back(message);
    }

    pub(crate) fn own(&mut self) -> &mut VecDeque<Prepared> {
        &mut self.own
    }

    /// Whether something waits because a mailbox was full.
    pub(crate) fn is_backlogged(&self) -> bool {
        self.backlog_len > 0
    }

    /// Messages that wait because a mailbox was full, counted anew.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn backlog(&self) -> usize {
        let waiting = self.backlog.iter().map(VecDeque::len).sum();
        debug_assert_eq!(waiting, self.backlog_len);
        waiting
    }

    /// Tries again what waits, in order; wakes who was sent something.
    pub(crate) fn flush(&mut self) {
        if self.backlog_len > 0 {
            for shard in 0..self.backlog.len() {
                self.flush_backlog(shard as u16);
            }
        }
        for shard in self.to_wake.drain(..) {
            self.hub.inbox(shard).wake();
        }
    }

    fn flush_backlog(&mut self, shard: u16) {
        let waiting = &mut self.backlog[usize::from(shard)];
        while let Some(command) = waiting.pop_front() {
            if let Err(command) = self.hub.inbox(shard).post(self.shard, command) {
                waiting.push_front(command);
                return;
            }
            self.backlog_len -= 1;
            if !self.to_wake.contains(&shard) {
                self.to_wake.push(shard);
            }
        }
    }

    fn post(&mut self, shard: u16, command: Command) {
        let waiting = &mut self.backlog[usize::from(shard)];
        let refused = if waiting.is_empty() {
            self.hub.inbox(shard).post(self.shard, command).err()
        } else {
            Some(command) // behind what waits already
        };
        match refused {
            None => {}
            Some(command) if waiting.len() < BACKLOG_MAX => {
                waiting.push_back(command);
                self.backlog_len += 1;
            }
            Some(_) => self.counters.dropped += 1,
        }
        if !self.to_wake.contains(&shard) {
            self.to_wake.push(shard);
        }
    }
}
