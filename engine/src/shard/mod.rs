//! A shard: the connections of one core, and all that happens to them.
//!
//! It is the [`Sink`] of a driver. It owns the connection table, the handler, the timer wheel, the
//! buffers lent to connections, and what leaves for other shards; it owns no socket and no clock.
//!
//! What concerns a connection is done when the driver calls for it. What concerns others, a
//! broadcast or a command from elsewhere, waits for the end of the turn, where
//! [`next_due`](Sink::next_due) hands out one connection after the other to be settled: so one
//! buffer serves them all, and nothing is re-entered.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::close::{Cause, CloseCode};
use crate::config::{CompressionMode, ProtocolConfig, SlowPolicy};
use crate::driver::{Key, Sink, Slices, Wish};
use crate::handler::Handler;
use crate::proto::connection::{Connection, Env, Sent};
use crate::proto::pool::Pool;
use crate::proto::prepared::{Batch, Prepared};
use crate::proto::state::State;
use crate::remote::ConnectionId;
use crate::tick::Tick;

#[cfg(any(test, feature = "sim"))]
pub(crate) mod audit;
pub(crate) mod counters;
pub(crate) mod mailbox;
pub(crate) mod outside;
pub(crate) mod pin;
mod scene;
mod table;
mod wheel;

use mailbox::{Command, Hub, Stop};
use outside::Outside;
use scene::Scene;
use table::Table;
use wheel::Wheel;

/// Commands from mailboxes carried out in one turn; the rest waits for the next, so that sockets
/// have their turn too.
const COMMANDS_PER_TURN: usize = 4096;

/// Deadlines that are looked at in one turn: a storm of them is spread over turns.
const DEADLINES_PER_TURN: usize = 1024;

/// Broadcasts of one turn are copied together up to this length, so that a subscriber's write has
/// one segment however many messages it carries. A longer message is shared, not copied.
const BATCH_LEN: usize = 64 << 10;

/// How often a full mailbox is tried again.
const BACKLOG_RETRY: Duration = Duration::from_millis(1);

/// When draining: how long the shard goes on answering what still comes before it says goodbye,
/// unless nothing comes any more. Never more than half of the time there is: peers need some to
/// answer.
const DRAIN_GRACE: Duration = Duration::from_millis(200);

/// The connections of one core.
pub(crate) struct Shard<H: Handler> {
    handler: H,
    table: Table<Entry<H::Session>>,
    config: Arc<ProtocolConfig>,
    pool: Pool,
    wheel: Wheel,
    outside: Outside,
    now: Tick,
    index: u16,
    turn: Turn,
    /// Which mailbox is looked into first.
    lane: usize,
    batch: Option<Broadcast>,
    /// A command that came after the broadcasts of the batch, and must not overtake them.
    postponed: Option<Command>,
    /// Connections to settle at the end of this turn.
    due: VecDeque<Key>,
    /// Publishers that are not read from until the backlog is gone.
    held: Vec<Key>,
    /// Accepted connections in order, those that are still opening and some that no longer are.
    opening: VecDeque<Key>,
    drain: Drain,
}

struct Entry<S> {
    connection: Connection,
    /// Present from `open` to `close`.
    session: Option<S>,
    peer: SocketAddr,
    /// A publisher ahead of another shard: not read from.
    held: bool,
}

/// What was done in this turn already.
#[derive(Default)]
struct Turn {
    commands: usize,
    deadlines: usize,
    received: bool,
}

/// Broadcasts on their way to the connections of this shard.
struct Broadcast {
    batch: Batch,
    messages: u64,
    octets: u64,
    /// The next slot of the table.
    cursor: usize,
}

/// How far the end of this shard has come.
enum Drain {
    No,
    /// Nothing new is accepted; what comes is still answered.
    Grace {
        since: Tick,
        until: Tick,
        deadline: Tick,
    },
    /// Goodbyes go out, in order of the table.
    Goodbye {
        cursor: usize,
        deadline: Tick,
    },
    /// What is left is cut.
    Cut {
        cursor: usize,
    },
}

impl<H: Handler> Shard<H> {
    pub(crate) fn new(index: u16, handler: H, config: Arc<ProtocolConfig>, hub: Arc<Hub>) -> Self {
        Self {
            handler,
            table: Table::new(),
            config,
            pool: Pool::new(),
            wheel: Wheel::new(),
            outside: Outside::new(hub, index),
            now: Tick::default(),
            index,
            turn: Turn::default(),
            lane: 0,
            batch: None,
            postponed: None,
            due: VecDeque::new(),
            held: Vec::new(),
            opening: VecDeque::new(),
            drain: Drain::No,
        }
    }

    /// How long the driver may wait, were nothing to come.
    pub(crate) fn wait(&self, now: Tick) -> Option<Duration> {
        let backlog = self.outside.is_backlogged().then_some(BACKLOG_RETRY);
        let drain = match self.drain {
            Drain::No => None,
            Drain::Grace { until, .. } => Some(until.since(now)),
            Drain::Goodbye { deadline, .. } => Some(deadline.since(now)),
            Drain::Cut { .. } => Some(Duration::ZERO),
        };
        [self.wheel.wait(now), backlog, drain]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether the shard was asked to end and has.
    pub(crate) fn is_finished(&self) -> bool {
        !matches!(self.drain, Drain::No | Drain::Grace { .. }) && self.table.is_empty()
    }

    /// Lets other threads see what was counted.
    pub(crate) fn publish_counters(&self) {
        let mut counted = self.outside.counters;
        let compression = self.pool.compression();
        counted.compression_held = compression.held() as u64;
        counted.compression_reserved = compression.reserved() as u64;
        counted.compression_declined = compression.declined;
        self.outside
            .hub()
            .inbox(self.index)
            .counters
            .store(&counted);
    }

    /// The entry of a key and what its connection needs.
    fn parts(&mut self, key: Key) -> Option<(&mut Entry<H::Session>, Env<'_>)> {
        let entry = self.table.get_mut(key)?;
        Some((
            entry,
            Env {
                config: &self.config,
                pool: &mut self.pool,
                now: self.now,
            },
        ))
    }

    fn set_deadline(&mut self, key: Key) {
        let Some(entry) = self.table.get_mut(key) else {
            return;
        };
        match entry.connection.link().deadline(&self.config) {
            // What is past already is looked at in the next slot, never again in this one.
            Some(deadline) => self
                .wheel
                .set(key.index, deadline.max(Tick(self.now.0 + 1))),
            None => self.wheel.cancel(key.index),
        }
    }

    /// The next connection whose deadline passed.
    fn next_deadline_due(&mut self) -> Option<Key> {
        while self.turn.deadlines < DEADLINES_PER_TURN {
            let index = self.wheel.expired(self.now)?;
            self.turn.deadlines += 1;
            let Some(key) = self.table.key(index) else {
                continue;
            };
            if let Some((entry, mut env)) = self.parts(key) {
                entry.connection.link_mut().tick(&mut env);
                self.set_deadline(key);
                return Some(key);
            }
        }
        None
    }

    /// The next connection that a broadcast was put into the outbox of.
    fn next_in_batch(&mut self) -> Option<Key> {
        let batch = self.batch.as_mut()?;
        while batch.cursor < self.table.slots() {
            let index = batch.cursor;
            batch.cursor += 1;
            let Some((key, entry)) = self.table.at_mut(index) else {
                continue;
            };
            let link = entry.connection.link_mut();
            if link.state() != State::Open {
                continue;
            }
            let mut env = Env {
                config: &self.config,
                pool: &mut self.pool,
                now: self.now,
            };
            let counters = &mut self.outside.counters;
            if link.buffered() <= self.config.limits.outbound_high {
                link.send_batch(&mut batch.batch, &mut env);
                counters.messages_out += batch.messages;
                counters.octets_out += batch.octets;
                return Some(key);
            }
            counters.dropped += batch.messages;
            if self.config.slow == SlowPolicy::Close {
                // 1013 may always travel, and the state was checked.
                let _ = link.close(CloseCode::TRY_LATER, "too slow", &mut env);
                return Some(key);
            }
        }
        self.batch = None;
        None
    }

    /// Forms the next batch, of this shard's own broadcasts first, and carries out commands for
    /// single connections on the way. `false` when there is nothing to do.
    fn take_commands(&mut self) -> bool {
        if let Some(command) = self.postponed.take() {
            self.carry_out(command);
        }
        let mut forming = Forming::default();
        while forming.has_room() {
            let message = match self.outside.own().pop_front() {
                Some(message) => message,
                None => {
                    if self.turn.commands >= COMMANDS_PER_TURN {
                        break;
                    }
                    let command = self.outside.hub().inbox(self.index).take(&mut self.lane);
                    let Some(command) = command else { break };
                    self.turn.commands += 1;
                    match command {
                        Command::Broadcast(message) => message,
                        other if !forming.is_empty() => {
                            self.postponed = Some(other);
                            break;
                        }
                        other => {
                            self.carry_out(other);
                            continue;
                        }
                    }
                }
            };
            forming.add(message);
        }
        let compression = self.config.compression.mode != CompressionMode::Off;
        self.batch = forming.finish(compression);
        self.batch.is_some() || !self.due.is_empty()
    }

    fn carry_out(&mut self, command: Command) {
        let (key, dropped) = match command {
            Command::Broadcast(_) => return,
            Command::Send(key, message) => {
                let Some((entry, mut env)) = self.parts(key) else {
                    return;
                };
                let sent = entry
                    .connection
                    .link_mut()
                    .send_prepared(&message, &mut env);
                self.outside.counters.sent(sent, message.payload().len());
                (key, sent == Sent::Dropped)
            }
            Command::Close(key, code, reason) => {
                let Some((entry, mut env)) = self.parts(key) else {
                    return;
                };
                (
                    key,
                    entry
                        .connection
                        .link_mut()
                        .close(code, &reason, &mut env)
                        .is_err(),
                )
            }
        };
        if !dropped {
            self.due.push_back(key);
        }
    }

    /// Makes room for an opening handshake: who has been at it longest is cut. A crowd that never
    /// finishes, or only drips, so cannot keep others out.
    fn shed_opening(&mut self) {
        let max = self.config.limits.opening_max;
        let open = usize::try_from(self.outside.counters.connected).unwrap_or(usize::MAX);
        if self.table.len().saturating_sub(open) < max {
            return;
        }
        while let Some(key) = self.opening.pop_front() {
            let Some(entry) = self.table.get_mut(key) else {
                continue;
            };
            let link = entry.connection.link_mut();
            if link.state() == State::Opening {
                link.cut(Cause::Shed, self.now);
                self.outside.counters.shed += 1;
                self.due.push_back(key);
                return;
            }
        }
    }

    /// Remembers the order in which connections came, at most twice as many as may be opening.
    fn queue_opening(&mut self, key: Key) {
        self.opening.push_back(key);
        if self.opening.len() > 2 * self.config.limits.opening_max {
            let table = &mut self.table;
            self.opening.retain(|&key| {
                table
                    .get_mut(key)
                    .is_some_and(|entry| entry.connection.link().state() == State::Opening)
            });
        }
    }

    /// Publishers may be read from again once nothing waits for another shard.
    fn release_held(&mut self) {
        if self.held.is_empty() || self.outside.is_backlogged() {
            return;
        }
        for key in std::mem::take(&mut self.held) {
            if let Some(entry) = self.table.get_mut(key) {
                entry.held = false;
                self.due.push_back(key);
            }
        }
    }

    /// The end of this shard, one connection at a time.
    fn next_goodbye(&mut self) -> Option<Key> {
        loop {
            match &mut self.drain {
                Drain::No | Drain::Grace { .. } => return None,
                Drain::Goodbye { cursor, deadline } => {
                    let index = *cursor;
                    if index >= self.table.slots() {
                        // However late it is, everybody was told.
                        if self.now < *deadline {
                            return None;
                        }
                        self.drain = Drain::Cut { cursor: 0 };
                        continue;
                    }
                    *cursor += 1;
                    let Some((key, entry)) = self.table.at_mut(index) else {
                        continue;
                    };
                    let mut env = Env {
                        config: &self.config,
                        pool: &mut self.pool,
                        now: self.now,
                    };
                    let link = entry.connection.link_mut();
                    match link.state() {
                        State::Opening => link.cut(Cause::Stopped, env.now),
                        _ => {
                            let _ =
                                link.close(CloseCode::GOING_AWAY, "server going away", &mut env);
                        }
                    }
                    return Some(key);
                }
                Drain::Cut { cursor } => {
                    let index = *cursor;
                    if index >= self.table.slots() {
                        return None;
                    }
                    *cursor += 1;
                    let Some((key, entry)) = self.table.at_mut(index) else {
                        continue;
                    };
                    entry.connection.link_mut().cut(Cause::Stopped, self.now);
                    return Some(key);
                }
            }
        }
    }

    /// Looks whether the shard is asked to end, and how far that has come.
    fn advance_drain(&mut self) {
        match (
            self.outside.hub().inbox(self.index).stop_asked(),
            &self.drain,
        ) {
            (Some(Stop::Now), Drain::Cut { .. }) | (None, _) => {}
            (Some(Stop::Now), _) => self.drain = Drain::Cut { cursor: 0 },
            (Some(Stop::Drain(most)), Drain::No) => {
                self.drain = Drain::Grace {
                    since: self.now,
                    until: self.now.after(DRAIN_GRACE.min(most / 2)),
                    deadline: self.now.after(most),
                };
            }
            (
                Some(Stop::Drain(_)),
                &Drain::Grace {
                    since,
                    until,
                    deadline,
                },
            ) => {
                // A turn in which nothing came: all that was on its way has been answered.
                let quiet = !self.turn.received && self.now > since;
                if quiet || self.now >= until {
                    self.drain = Drain::Goodbye {
                        cursor: 0,
                        deadline,
                    };
                }
            }
            (Some(Stop::Drain(_)), _) => {}
        }
    }
}

impl<H: Handler> Sink for Shard<H> {
    fn accepted(&mut self, peer: SocketAddr) -> Option<Key> {
        if self.table.len() >= self.config.limits.connections_max {
            self.outside.counters.refused += 1;
            return None;
        }
        self.shed_opening();
        self.outside.counters.accepted += 1;
        let now = self.now;
        let key = self.table.insert(|key| Entry {
            // Multiplying spreads neighbours; the top octet is the most mixed one.
            connection: Connection::server(now, (key.index.wrapping_mul(0x9E37_79B1) >> 24) as u8),
            session: None,
            peer,
            held: false,
        });
        self.set_deadline(key);
        self.queue_opening(key);
        Some(key)
    }

    fn accept_failed(&mut self, error: &io::Error) {
        self.outside.counters.accept_errors += 1;
        tracing::debug!(shard = self.index, %error, "accepting failed");
    }

    fn received(&mut self, key: Key, octets: &mut [u8]) {
        let Some(entry) = self.table.get_mut(key) else {
            return;
        };
        self.turn.received = true;
        self.outside.counters.wire_in += octets.len() as u64;
        entry.connection.link_mut().heard(self.now);
        let mut scene = Scene {
            handler: &mut self.handler,
            env: Env {
                config: &self.config,
                pool: &mut self.pool,
                now: self.now,
            },
            outside: &mut self.outside,
            id: ConnectionId {
                shard: self.index,
                key,
            },
            refuse: !matches!(self.drain, Drain::No),
        };
        // The handler is the program's code. If it panics, its connection is failed; the rest of
        // this shard holds no half-done state, since the protocol core is not on the stack then.
        let outcome = catch_unwind(AssertUnwindSafe(|| scene.play(entry, octets)));
        if outcome.is_err() {
            scene.outside.counters.panics += 1;
            entry.connection.link_mut().panicked(&mut scene.env);
        }
        if self.outside.is_backlogged() && !entry.held {
            entry.held = true;
            self.held.push(key);
        }
    }

    fn ended(&mut self, key: Key) {
        if let Some(entry) = self.table.get_mut(key) {
            entry.connection.link_mut().peer_ended(self.now);
        }
    }

    fn gather<'a>(&'a mut self, key: Key, slices: &mut Slices<'a>) {
        if let Some(entry) = self.table.get_mut(key) {
            entry.connection.link_mut().gather(slices);
        }
    }

    fn sent(&mut self, key: Key, count: usize) {
        let Some(entry) = self.table.get_mut(key) else {
            return;
        };
        self.outside.counters.wire_out += count as u64;
        let mut env = Env {
            config: &self.config,
            pool: &mut self.pool,
            now: self.now,
        };
        if !entry.connection.link_mut().sent(count, &mut env) {
            return;
        }
        let mut scene = Scene {
            handler: &mut self.handler,
            env,
            outside: &mut self.outside,
            id: ConnectionId {
                shard: self.index,
                key,
            },
            refuse: false,
        };
        if catch_unwind(AssertUnwindSafe(|| scene.writable(entry))).is_err() {
            scene.outside.counters.panics += 1;
            entry.connection.link_mut().panicked(&mut scene.env);
        }
    }

    fn blocked(&mut self, key: Key) {
        if let Some(entry) = self.table.get_mut(key) {
            entry.connection.link_mut().blocked(self.now);
        }
    }

    fn wish(&mut self, key: Key) -> Wish {
        let Some(entry) = self.table.get_mut(key) else {
            return Wish {
                read: false,
                end: None,
            };
        };
        let link = entry.connection.link_mut();
        let mut wish = link.wish(&self.config, self.now);
        wish.read &= !entry.held;
        if link.take_hurry() {
            self.set_deadline(key);
        }
        wish
    }

    fn shut(&mut self, key: Key) {
        if let Some(entry) = self.table.get_mut(key) {
            entry.connection.link_mut().shut(self.now);
            self.set_deadline(key);
        }
    }

    fn closed(&mut self, key: Key, error: Option<io::ErrorKind>) {
        let Some(mut entry) = self.table.remove(key) else {
            return;
        };
        self.wheel.cancel(key.index);
        if let Some(error) = error {
            entry
                .connection
                .link_mut()
                .transport_failed(error, self.now);
        }
        let info = entry.connection.finish(&mut self.pool);
        let counters = &mut self.outside.counters;
        match info.cause {
            Cause::Violation(_) => counters.violations += 1,
            Cause::Timeout(_) => counters.timeouts += 1,
            _ => {}
        }
        let id = ConnectionId {
            shard: self.index,
            key,
        };
        let Some(session) = entry.session.take() else {
            tracing::trace!(%id, cause = ?info.cause, "ended before it was open");
            return;
        };
        counters.connected -= 1;
        tracing::trace!(%id, ?info, "closed");
        let handler = &mut self.handler;
        if catch_unwind(AssertUnwindSafe(|| handler.close(session, id, &info))).is_err() {
            self.outside.counters.panics += 1;
        }
    }

    fn sleep(&mut self) -> bool {
        let quiet = self.outside.own().is_empty() && self.due.is_empty();
        quiet && self.outside.hub().inbox(self.index).sleep()
    }

    fn woke(&mut self, now: Tick) {
        self.outside.hub().inbox(self.index).awake();
        self.now = now;
        self.advance_drain();
        self.turn = Turn::default();
    }

    fn next_due(&mut self) -> Option<Key> {
        loop {
            let key = self
                .next_in_batch()
                .or_else(|| self.due.pop_front())
                .or_else(|| self.next_deadline_due())
                .or_else(|| self.next_goodbye());
            if key.is_some() {
                return key;
            }
            if !self.take_commands() {
                self.outside.flush();
                self.release_held();
                if self.due.is_empty() {
                    return None;
                }
            }
        }
    }

    fn accepts(&self) -> bool {
        matches!(self.drain, Drain::No)
    }
}

/// A batch in the making.
#[derive(Default)]
struct Forming {
    messages: Vec<Prepared>,
    octets: u64,
    len: usize,
}

impl Forming {
    fn has_room(&self) -> bool {
        self.len < BATCH_LEN
    }

    fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    fn add(&mut self, message: Prepared) {
        self.octets += message.payload().len() as u64;
        self.len += message.frame().len();
        self.messages.push(message);
    }

    fn finish(self, compression: bool) -> Option<Broadcast> {
        let Self {
            messages, octets, ..
        } = self;
        if messages.is_empty() {
            return None;
        }
        Some(Broadcast {
            messages: messages.len() as u64,
            batch: Batch::new(messages, compression),
            octets,
            cursor: 0,
        })
    }
}
