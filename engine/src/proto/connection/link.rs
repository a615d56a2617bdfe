//! The half of a connection that sends: its state, what waits to leave, its deadlines.
//!
//! Knows what may be said when; knows nothing of how octets become messages.
//!
//! Methods are sorted: ask, tell (the program), hear (the driver and the receiver), give (to the
//! driver).

use smallvec::SmallVec;

use super::Env;
use crate::close::{Cause, CloseCode, CloseInfo, Side, Timeout};
use crate::config::ProtocolConfig;
use crate::error::{UseError, Violation};
use crate::message::{Kind, Message, Opcode, Role};
use crate::proto::deflate::PerMessageDeflate;
use crate::proto::frame::CONTROL_LEN_MAX;
use crate::proto::handshake::{self, Refusal, Request};
use crate::proto::outbox::{Outbox, Slices};
#[cfg(any(test, feature = "runtime"))]
use crate::proto::prepared::Batch;
use crate::proto::prepared::Prepared;
use crate::proto::send;
use crate::proto::state::{End, State, Step};
use crate::tick::Tick;

/// What became of a message that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "a message may have been dropped"]
pub enum Sent {
    /// It leaves at the end of the turn, as far as the transport takes it.
    Accepted,
    /// It will leave, but more than [`Limits::outbound_high`](crate::Limits::outbound_high)
    /// waits: better wait for `writable`, which is sure to come (or the connection closes).
    Buffered,
    /// It will not leave: too much waits, or the connection is not open.
    Dropped,
}

/// What the driver shall do with the transport of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Whether to read from it.
    pub read: bool,
    /// How to end it, once nothing waits any more.
    pub end: Option<End>,
}

/// What the program answers to an opening handshake it accepts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The subprotocol chosen; must be one the client offered.
    pub subprotocol: Option<String>,
    /// Further headers of the response.
    pub headers: Vec<(String, String)>,
}

/// The half of a connection that sends, its state and its deadlines.
#[derive(Debug)]
pub struct Link {
    pub(super) outbox: Outbox,
    /// What was agreed on about compression, and what is kept for it, both ways.
    pub(super) deflate: PerMessageDeflate,
    /// How the closing began; the rest is filled in as it goes on.
    ending: Option<Box<Ending>>,
    /// When the state was entered.
    since: Tick,
    /// When octets last came.
    heard: Tick,
    /// When a message last came or went.
    pub(super) talked: Tick,
    /// When a ping of ours left that nothing has come after.
    pinged: Option<Tick>,
    /// Since when what waits has not moved.
    stalled: Option<Tick>,
    /// The newest ping that came while the peer took nothing; older ones need no answer (RFC 6455
    /// section 5.5.3), so that pings never make more than one pong wait.
    late_ping: Option<Box<[u8]>>,
    role: Role,
    pub(super) state: State,
    jitter: u8,
    /// More than the high mark waits, or did and not yet less than the low one.
    congested: bool,
    /// The program was told `Buffered` and not yet that it may go on.
    owes_writable: bool,
    /// The next deadline may be earlier than the one that was asked for last.
    hurry: bool,
}

#[derive(Debug)]
struct Ending {
    by: Side,
    cause: Cause,
    sent: bool,
    received: Option<(Option<CloseCode>, String)>,
}

impl Link {
    pub(super) fn new(role: Role, state: State, now: Tick, jitter: u8) -> Self {
        Self {
            outbox: Outbox::default(),
            deflate: PerMessageDeflate::default(),
            ending: None,
            since: now,
            heard: now,
            talked: now,
            pinged: None,
            stalled: None,
            late_ping: None,
            role,
            state,
            jitter,
            congested: false,
            owes_writable: false,
            hurry: true,
        }
    }
}

// Ask.
impl Link {
    /// Where the connection stands.
    #[inline]
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Octets that wait to leave.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.outbox.len()
    }

    /// Which end of the connection this is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// What was agreed on about compression.
    #[must_use]
    pub fn compression(&self) -> &PerMessageDeflate {
        &self.deflate
    }

    /// The next moment at which [`tick`](Self::tick) has something to do.
    #[must_use]
    pub fn deadline(&self, config: &ProtocolConfig) -> Option<Tick> {
        let timeouts = &config.timeouts;
        match self.state {
            State::Opening => Some(self.since.after(timeouts.opening)),
            State::Open => {
                let stall = self.stalled.map(|since| since.after(timeouts.write_stall));
                let idle = timeouts.idle.map(|idle| self.talked.after(idle));
                [stall, idle, self.ping_deadline(config)]
                    .into_iter()
                    .flatten()
                    .min()
            }
            State::Closing | State::Flushing(_) => Some(self.since.after(timeouts.closing)),
            State::Lingering => Some(self.since.after(timeouts.linger)),
            State::Ended => None,
        }
    }

    /// When to ping, or when a ping must have been followed by something. While we do not read,
    /// silence says nothing.
    fn ping_deadline(&self, config: &ProtocolConfig) -> Option<Tick> {
        let interval = config.timeouts.ping_interval?;
        if self.congested {
            return None;
        }
        Some(match self.pinged {
            Some(pinged) => pinged.after(config.timeouts.pong),
            None => self
                .heard
                .after(interval - (interval / 4 / 255) * u32::from(self.jitter)),
        })
    }

    pub(super) fn close_info(&mut self) -> CloseInfo {
        let Ending {
            by,
            cause,
            sent,
            received,
        } = match self.ending.take() {
            Some(ending) => *ending,
            None => Ending {
                by: Side::Remote,
                cause: Cause::Ended,
                sent: false,
                received: None,
            },
        };
        let clean = sent && received.is_some() && cause == Cause::Handshake;
        let (code, reason) = match received {
            None => (CloseCode::ABNORMAL, String::new()),
            Some((code, reason)) => (code.unwrap_or(CloseCode::NO_STATUS), reason),
        };
        CloseInfo {
            clean,
            by,
            code,
            reason,
            cause,
        }
    }
}

// Tell: what the program asks for.
impl Link {
    /// Sends a message in one frame, compressed if that was agreed on and is worth it.
    #[inline]
    pub fn send(&mut self, message: Message<'_>, env: &mut Env<'_>) -> Sent {
        if self.state != State::Open || self.outbox.len() > env.config.limits.outbound_max {
            return Sent::Dropped;
        }
        self.talked = env.now;
        if !self.deflate.is_on() || !self.send_deflated(message.kind(), message.as_bytes(), env) {
            send::message(&mut self.outbox, env.pool, self.role, message);
        }
        self.sent_or_buffered(env)
    }

    /// Sends a message in one frame, as it is.
    pub fn send_uncompressed(&mut self, message: Message<'_>, env: &mut Env<'_>) -> Sent {
        if self.state != State::Open || self.outbox.len() > env.config.limits.outbound_max {
            return Sent::Dropped;
        }
        self.talked = env.now;
        send::message(&mut self.outbox, env.pool, self.role, message);
        self.sent_or_buffered(env)
    }

    /// Sends a message that was encoded before.
    pub fn send_prepared(&mut self, prepared: &Prepared, env: &mut Env<'_>) -> Sent {
        if self.state != State::Open || self.outbox.len() > env.config.limits.outbound_max {
            return Sent::Dropped;
        }
        self.talked = env.now;
        let payload = prepared.payload();
        match self.role {
            Role::Server => {
                let config = &env.config.compression;
                let window = self.deflate.prepared_window(payload.len(), config);
                let deflated = match window {
                    Some(bits) => prepared.deflated(bits, config, env.pool.codecs()),
                    None => None,
                };
                match deflated {
                    Some(frame) => {
                        self.outbox.append_shared(env.pool, frame);
                        self.deflate
                            .sent_prepared(payload, config, env.pool.codecs());
                    }
                    None => self.outbox.append_shared(env.pool, prepared.frame()),
                }
            }
            // A client masks each copy anew, so that there is nothing to share.
            Role::Client => {
                let kind = prepared.kind();
                let deflates = self.deflate.is_on() && prepared.may_compress();
                if !deflates || !self.send_deflated(kind, payload, env) {
                    let opcode = kind.into();
                    send::frame(&mut self.outbox, env.pool, self.role, true, opcode, payload);
                }
            }
        }
        self.sent_or_buffered(env)
    }

    /// Sends messages that were encoded before, for a server's connection.
    #[cfg(any(test, feature = "runtime"))]
    pub(crate) fn send_batch(&mut self, batch: &mut Batch, env: &mut Env<'_>) {
        debug_assert!(self.role == Role::Server && self.state == State::Open);
        self.talked = env.now;
        let Some(agreed) = self.deflate.agreed() else {
            self.outbox.append_shared(env.pool, batch.plain());
            return;
        };
        let config = &env.config.compression;
        let bits = agreed.send.window_bits;
        let frames = batch.deflated(bits, config, env.pool.codecs()).clone();
        self.outbox.append_shared(env.pool, &frames);
        if agreed.send.takeover {
            let codecs = env.pool.codecs();
            for message in batch.messages() {
                if message.deflated(bits, config, codecs).is_some() {
                    self.deflate
                        .sent_prepared(message.payload(), config, codecs);
                }
            }
        }
    }

    /// Sends a message compressed; `false` when it shall be sent as it is.
    fn send_deflated(&mut self, kind: Kind, payload: &[u8], env: &mut Env<'_>) -> bool {
        let codecs = env.pool.codecs();
        let mut out = codecs.out();
        let deflated = self
            .deflate
            .deflate(payload, &env.config.compression, codecs, &mut out);
        if deflated {
            send::compressed(&mut self.outbox, env.pool, self.role, kind, &out);
        }
        env.pool.codecs().keep_out(out);
        deflated
    }

    /// Sends a ping with up to 125 octets.
    ///
    /// # Errors
    /// [`UseError::LongControl`]; [`UseError::NotOpen`].
    pub fn ping(&mut self, payload: &[u8], env: &mut Env<'_>) -> Result<(), UseError> {
        self.control(Opcode::Ping, payload, env)
    }

    /// Sends a pong nobody asked for, with up to 125 octets (RFC 6455 section 5.5.3).
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    pub fn pong(&mut self, payload: &[u8], env: &mut Env<'_>) -> Result<(), UseError> {
        self.control(Opcode::Pong, payload, env)
    }

    /// Begins the closing handshake, behind what waits already. A reason above 123 octets is cut
    /// at a code point. Does nothing when a closing has begun.
    ///
    /// # Errors
    /// [`UseError::CloseCode`] when the code must not travel; [`UseError::NotOpen`] before the
    /// connection was open.
    pub fn close(
        &mut self,
        code: CloseCode,
        reason: &str,
        env: &mut Env<'_>,
    ) -> Result<(), UseError> {
        if !code.may_travel() {
            return Err(UseError::CloseCode(code));
        }
        match self.state {
            State::Opening => return Err(UseError::NotOpen),
            State::Open => {}
            _ => return Ok(()),
        }
        self.send_close(Some(code), reason, env);
        self.begin_ending(Side::Local, Cause::Handshake).sent = true;
        self.step(Step::Close, env.now);
        Ok(())
    }

    /// Fails the connection because the program failed: 1011, then the end.
    pub fn panicked(&mut self, env: &mut Env<'_>) {
        self.fail(Cause::Panic, CloseCode::INTERNAL, "internal error", env);
    }

    /// Cuts the transport, without another word.
    pub fn cut(&mut self, cause: Cause, now: Tick) {
        self.begin_ending(Side::Local, cause);
        self.step(Step::Cut, now);
    }

    /// Accepts the opening handshake.
    ///
    /// # Errors
    /// [`HeaderError`](handshake::HeaderError) when the answer would not be a sound response; the
    /// client is told 500.
    pub fn accept(
        &mut self,
        request: &Request<'_>,
        answer: &Answer,
        env: &mut Env<'_>,
    ) -> Result<(), handshake::HeaderError> {
        let mut response = Vec::with_capacity(256);
        let headers = borrowed(&answer.headers);
        let config = &env.config.compression;
        let (mut deflate, extensions) =
            PerMessageDeflate::answer(request, config, env.pool.codecs()).unzip();
        let offered = |name: &str| request.subprotocols().any(|offer| offer == name);
        let chosen = answer.subprotocol.as_deref();
        let written = match chosen.is_none_or(offered) {
            // RFC 6455 section 4.2.2: what was not offered must not be chosen; clients fail then.
            false => Err(handshake::HeaderError::Subprotocol),
            true => handshake::write_accept(
                &mut response,
                request.key(),
                chosen,
                extensions.as_deref(),
                &headers,
                env.config.server_name.as_deref(),
            ),
        };
        if let Err(error) = written {
            if let Some(deflate) = &mut deflate {
                deflate.clear(env.pool.codecs());
            }
            self.refuse(Refusal::Internal, env);
            return Err(error);
        }
        self.outbox
            .append(env.pool, |block| block.extend_from_slice(&response));
        self.deflate = deflate.unwrap_or_default();
        self.step(Step::Accept, env.now);
        Ok(())
    }

    /// Refuses the opening handshake with an answer of the program's.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub fn deny(
        &mut self,
        denial: &Denial,
        env: &mut Env<'_>,
    ) -> Result<(), handshake::HeaderError> {
        let mut response = Vec::with_capacity(256);
        let headers = borrowed(&denial.headers);
        let server = env.config.server_name.as_deref();
        let written = handshake::write_denial(
            &mut response,
            denial.status,
            denial.reason.as_deref(),
            &headers,
            &denial.body,
            server,
        );
        if let Err(error) = written {
            self.refuse(Refusal::Internal, env);
            return Err(error);
        }
        self.outbox
            .append(env.pool, |block| block.extend_from_slice(&response));
        self.step(Step::Refuse, env.now);
        Ok(())
    }

    /// Refuses the opening handshake for a rule of the protocol or of this endpoint.
    pub fn refuse(&mut self, refusal: Refusal, env: &mut Env<'_>) {
        let server = env.config.server_name.as_deref();
        self.outbox.append(env.pool, |block| {
            handshake::write_refusal(block, refusal, server);
        });
        self.step(Step::Refuse, env.now);
    }

    fn control(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        env: &mut Env<'_>,
    ) -> Result<(), UseError> {
        if payload.len() > CONTROL_LEN_MAX {
            return Err(UseError::LongControl);
        }
        if self.state != State::Open || self.outbox.len() > env.config.limits.outbound_max {
            return Err(UseError::NotOpen);
        }
        send::frame(&mut self.outbox, env.pool, self.role, true, opcode, payload);
        Ok(())
    }

    fn sent_or_buffered(&mut self, env: &Env<'_>) -> Sent {
        if self.outbox.len() > env.config.limits.outbound_high {
            self.owes_writable = true;
            return Sent::Buffered;
        }
        Sent::Accepted
    }
}

// Hear: what the driver and the receiver say.
impl Link {
    /// Octets came.
    #[inline]
    pub fn heard(&mut self, now: Tick) {
        self.heard = now;
        self.pinged = None;
    }

    /// `count` octets of what was gathered have left. Says whether the program, which was told to
    /// wait, may now go on.
    #[inline]
    pub fn sent(&mut self, count: usize, env: &mut Env<'_>) -> bool {
        self.outbox.sent(count, env.pool);
        if self.outbox.is_empty() {
            self.stalled = None;
        } else if count > 0 && self.stalled.is_some() {
            self.stalled = Some(env.now);
        }
        if count > 0 && self.late_ping.is_some() {
            self.answer_late_ping(env);
        }
        let writable = self.owes_writable
            && self.state == State::Open
            && self.outbox.len() <= env.config.limits.outbound_low;
        if writable {
            self.owes_writable = false;
        }
        writable
    }

    /// The transport takes no more for now.
    pub fn blocked(&mut self, now: Tick) {
        if self.stalled.is_none() && !self.outbox.is_empty() {
            self.stalled = Some(now);
            self.hurry = true;
        }
    }

    /// The peer shut its side of the transport.
    pub fn peer_ended(&mut self, now: Tick) {
        if matches!(self.state, State::Opening | State::Open | State::Closing) {
            self.begin_ending(Side::Remote, Cause::Ended);
        }
        self.step(Step::PeerEnd, now);
    }

    /// Our side of the transport was shut, as the [`Wish`] was.
    pub fn shut(&mut self, now: Tick) {
        self.step(Step::Shut, now);
    }

    /// The transport failed.
    pub fn transport_failed(&mut self, error: std::io::ErrorKind, now: Tick) {
        if self.state != State::Ended {
            self.begin_ending(Side::Remote, Cause::Transport(error));
        }
        self.step(Step::Cut, now);
    }

    /// A moment passed: pings, closes or cuts what is due.
    pub fn tick(&mut self, env: &mut Env<'_>) {
        let now = env.now;
        let timeouts = &env.config.timeouts;
        match self.state {
            State::Opening if now >= self.since.after(timeouts.opening) => {
                self.cut(Cause::Timeout(Timeout::Opening), now);
            }
            State::Closing | State::Flushing(_) if now >= self.since.after(timeouts.closing) => {
                self.timed_out(Timeout::Closing, now);
            }
            State::Lingering if now >= self.since.after(timeouts.linger) => {
                self.step(Step::Cut, now);
            }
            State::Open => self.tick_open(env),
            _ => {}
        }
    }

    fn tick_open(&mut self, env: &mut Env<'_>) {
        let now = env.now;
        let timeouts = &env.config.timeouts;
        if self
            .stalled
            .is_some_and(|since| now >= since.after(timeouts.write_stall))
        {
            return self.timed_out(Timeout::WriteStall, now);
        }
        if timeouts
            .idle
            .is_some_and(|idle| now >= self.talked.after(idle))
        {
            // 1000 may always travel.
            let _ = self.close(CloseCode::NORMAL, "idle", env);
            if let Some(ending) = self.ending.as_deref_mut() {
                ending.cause = Cause::Timeout(Timeout::Idle);
            }
            return;
        }
        if self
            .ping_deadline(env.config)
            .is_some_and(|deadline| now >= deadline)
        {
            if self.pinged.is_some() {
                return self.timed_out(Timeout::Pong, now);
            }
            send::frame(
                &mut self.outbox,
                env.pool,
                self.role,
                true,
                Opcode::Ping,
                &[],
            );
            self.pinged = Some(now);
        }
    }

    fn timed_out(&mut self, timeout: Timeout, now: Tick) {
        let ending = self.begin_ending(Side::Local, Cause::Timeout(timeout));
        if ending.cause == Cause::Handshake {
            ending.cause = Cause::Timeout(timeout);
        }
        self.step(Step::Cut, now);
    }

    /// Answers at once while the transport takes what we send. A peer that does not take it is
    /// answered once, when it does, and not read from until then.
    pub(super) fn answer_ping(&mut self, payload: &[u8], env: &mut Env<'_>) {
        if self.state != State::Open {
            return;
        }
        if self.stalled.is_some() {
            self.late_ping = Some(payload.into());
            return;
        }
        send::frame(
            &mut self.outbox,
            env.pool,
            self.role,
            true,
            Opcode::Pong,
            payload,
        );
    }

    /// The peer's Close frame (RFC 6455 section 5.5.1): answered, unless it was the answer.
    pub(super) fn peer_closed(&mut self, code: Option<CloseCode>, reason: &str, env: &mut Env<'_>) {
        let answer = self.state == State::Open;
        if answer {
            let (code, reason) = match code {
                _ if !env.config.echo_close => (Some(CloseCode::NORMAL), ""),
                code => (code, reason),
            };
            self.send_close(code, reason, env);
        }
        let received = Some((code, reason.to_owned()));
        let ending = self.begin_ending(Side::Remote, Cause::Handshake);
        ending.received = received;
        ending.sent = true; // ours now, or it was the first
        self.step(Step::PeerClose, env.now);
    }

    /// Our Close frame. A ping that came before still has its answer, which nothing after the
    /// Close frame could be (RFC 6455 section 5.5.2).
    fn send_close(&mut self, code: Option<CloseCode>, reason: &str, env: &mut Env<'_>) {
        self.answer_late_ping(env);
        send::close(&mut self.outbox, env.pool, self.role, code, reason);
    }

    #[cold]
    fn answer_late_ping(&mut self, env: &mut Env<'_>) {
        if let Some(payload) = self.late_ping.take()
            && self.state == State::Open
        {
            send::frame(
                &mut self.outbox,
                env.pool,
                self.role,
                true,
                Opcode::Pong,
                &payload,
            );
        }
    }

    pub(super) fn violated(&mut self, violation: Violation, env: &mut Env<'_>) {
        let cause = Cause::Violation(violation);
        if env.config.fail_by_drop {
            self.begin_ending(Side::Local, cause);
            self.step(Step::Drop, env.now);
            return;
        }
        self.fail(cause, violation.close_code(), violation.reason(), env);
    }

    /// Fails the connection (RFC 6455 section 7.1.7): behind what waits already, a Close frame if
    /// none was sent before; then nothing more is heard.
    fn fail(&mut self, cause: Cause, code: CloseCode, reason: &str, env: &mut Env<'_>) {
        if self.state == State::Open {
            self.send_close(Some(code), reason, env);
        }
        let ending = self.begin_ending(Side::Local, cause);
        ending.cause = cause;
        ending.sent = true;
        self.step(Step::Fail, env.now);
    }

    /// The record of the ending; made now unless it has begun.
    fn begin_ending(&mut self, by: Side, cause: Cause) -> &mut Ending {
        self.ending.get_or_insert_with(|| {
            Box::new(Ending {
                by,
                cause,
                sent: false,
                received: None,
            })
        })
    }

    fn step(&mut self, step: Step, now: Tick) {
        if let Some(state) = self.state.after(step) {
            self.state = state;
            self.since = now;
            self.hurry = true;
        }
    }
}

// Give: what the driver asks for.
impl Link {
    /// What may leave. Stays where it is until [`sent`](Self::sent) or the end of the connection.
    #[inline]
    pub fn gather<'a>(&'a mut self, slices: &mut Slices<'a>) {
        self.outbox.gather(slices);
    }

    /// What the driver shall do with the transport now.
    #[inline]
    pub fn wish(&mut self, config: &ProtocolConfig, now: Tick) -> Wish {
        let waiting = self.outbox.len();
        if self.congested {
            if waiting <= config.limits.outbound_low && self.late_ping.is_none() {
                self.congested = false;
                self.heard = now; // silence while we did not listen was none
                self.pinged = self.pinged.map(|_| now); // nor did the peer get to answer
                self.hurry = true;
            }
        } else if waiting > config.limits.outbound_high || self.late_ping.is_some() {
            self.congested = true;
        }
        match self.state {
            State::Opening => Wish {
                read: true,
                end: None,
            },
            State::Open | State::Closing => Wish {
                read: !self.congested,
                end: None,
            },
            State::Flushing(end) => Wish {
                read: true,
                end: (waiting == 0).then_some(end),
            },
            State::Lingering => Wish {
                read: true,
                end: None,
            },
            State::Ended => Wish {
                read: false,
                end: Some(End::Close),
            },
        }
    }

    /// Whether the deadline must be asked for again, because it may have come closer.
    #[inline]
    pub fn take_hurry(&mut self) -> bool {
        std::mem::take(&mut self.hurry)
    }
}

/// Headers as the handshake takes them.
fn borrowed(headers: &[(String, String)]) -> SmallVec<[(&str, &str); 4]> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

/// An opening handshake refused by the program: the whole HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    status: u16,
    reason: Option<String>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Denial {
    /// An answer with this status, from 300 to 599, and an empty body.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            status,
            reason: None,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}
