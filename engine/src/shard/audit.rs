//! What a shard holds, for tests that want to know whether anything was left behind.

use super::Shard;
use crate::handler::Handler;

/// What a shard holds at a moment between two turns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audit {
    /// Entries of the connection table.
    pub connections: usize,
    /// Connections between `open` and `close`.
    pub sessions: usize,
    /// Deadlines that are set.
    pub deadlines: usize,
    /// Octets of buffers held for messages and heads that are torn.
    pub held: usize,
    /// Octets that wait to leave.
    pub buffered: usize,
    /// Publishers that are not read from until other shards have caught up.
    pub paused: usize,
    /// Commands for other shards that found their mailboxes full.
    pub backlog: usize,
    /// Connections, and broadcasts, that wait for the end of a turn.
    pub due: usize,
    /// Octets of spare buffers, as the pool accounts for them.
    pub spare: usize,
    /// The same, added up.
    pub spare_counted: usize,
}

impl<H: Handler> Shard<H> {
    pub(crate) fn audit(&self) -> Audit {
        let mut audit = Audit {
            connections: self.table.len(),
            deadlines: self.wheel.count(),
            paused: self.held.len(),
            backlog: self.outside.backlog(),
            due: self.due.len() + usize::from(self.batch.is_some()),
            spare: self.pool.kept(),
            spare_counted: self.pool.recount(),
            ..Audit::default()
        };
        for entry in self.table.iter() {
            audit.sessions += usize::from(entry.session.is_some());
            audit.held += entry.connection.held();
            audit.buffered += entry.connection.link().buffered();
        }
        audit
    }
}
