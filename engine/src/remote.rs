//! A handle on a running server for other threads and later times.

use std::sync::Arc;

use crate::close::CloseCode;
use crate::driver::Key;
use crate::error::UseError;
use crate::message::Message;
use crate::proto::prepared::Prepared;
use crate::shard::counters::Statistics;
use crate::shard::mailbox::{Command, Hub};

/// The name of a connection, unique while the server runs: a slot that is used again gets another
/// generation, so a late message never reaches the wrong peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    pub(crate) shard: u16,
    pub(crate) key: Key,
}

impl std::fmt::Display for ConnectionId {
    /// Shard, slot and generation: `0.17.3`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}.{}.{}",
            self.shard, self.key.index, self.key.generation
        )
    }
}

/// Sends to connections, and closes them, from any thread. Cheap to clone.
///
/// What is asked travels through a bounded mailbox of the shard in question and happens there at
/// the end of its turn; from one thread it happens in order. A connection that is gone meanwhile
/// is no error.
#[derive(Debug, Clone)]
pub struct Remote {
    hub: Arc<Hub>,
}

impl Remote {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }

    /// Sends a message to one connection.
    ///
    /// # Errors
    /// [`UseError::MailboxFull`]; nothing was sent, try later or drop.
    pub fn send<'m>(
        &self,
        to: ConnectionId,
        message: impl Into<Message<'m>>,
    ) -> Result<(), UseError> {
        self.post(to, Command::Send(to.key, Prepared::new(message)))
    }

    /// Sends a message to every open connection on every shard. Encoded once.
    ///
    /// # Errors
    /// [`UseError::MailboxFull`] when at least one shard had no room; the others send it.
    pub fn broadcast<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), UseError> {
        let message = Prepared::new(message);
        let mut result = Ok(());
        for shard in 0..self.hub.shards() as u16 {
            if self
                .hub
                .inbox(shard)
                .post_outside(Command::Broadcast(message.clone()))
                .is_err()
            {
                result = Err(UseError::MailboxFull);
            }
        }
        result
    }

    /// Begins the closing handshake of one connection.
    ///
    /// # Errors
    /// [`UseError::CloseCode`] for a code that must not travel; [`UseError::MailboxFull`].
    pub fn close(
        &self,
        connection: ConnectionId,
        code: CloseCode,
        reason: &str,
    ) -> Result<(), UseError> {
        if !code.may_travel() {
            return Err(UseError::CloseCode(code));
        }
        self.post(
            connection,
            Command::Close(connection.key, code, reason.to_owned()),
        )
    }

    /// What each worker has counted since the start, as of its last turn.
    #[must_use]
    pub fn statistics(&self) -> Vec<Statistics> {
        self.hub.statistics()
    }

    fn post(&self, to: ConnectionId, command: Command) -> Result<(), UseError> {
        let Some(inbox) = self.hub.try_inbox(to.shard) else {
            return Ok(()); // a name of another server: gone
        };
        inbox
            .post_outside(command)
            .map_err(|_| UseError::MailboxFull)
    }
}
