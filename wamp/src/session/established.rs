//! A session that is open, on either side: which messages have their place, whose request
//! identifiers follow one another, which features were announced, and how it ends. Sans I/O.

use super::abort_for;
use super::state::{Side, State, Verdict, verdict};
use crate::error::{Reply, Violation};
use crate::id::{Id, Sequence};
use crate::message::{
    Abort, Error, Feature, Goodbye, Message, MessageType, Passthru, Role, Roles, Withdrawn,
};
use crate::uri::{Uri, known};

/// An open session.
///
/// ```
/// use wirebahn_wamp::message::{Features, Message, Roles, Unsubscribe};
/// use wirebahn_wamp::session::{Hearing, Session, Side};
/// use wirebahn_wamp::Id;
///
/// let mut session = Session::established(
///     Side::Router,
///     Id::new(7).unwrap(),
///     Roles::router(Features::NONE),
///     Roles::client(Features::NONE),
/// );
/// let skipped = Unsubscribe { request: Id::new(2).unwrap(), subscription: Id::MIN };
/// // The first request of a session is 1.
/// assert!(matches!(session.hear(skipped.into()), Hearing::Violated { .. }));
/// ```
#[derive(Debug, Clone)]
pub struct Session {
    side: Side,
    state: State,
    id: Id,
    ours: Roles,
    theirs: Roles,
    /// Requests we made: CALL, SUBSCRIBE and so on, or INVOCATION.
    sent: Sequence,
    /// Requests the peer made.
    heard: Sequence,
}

/// What became of a message heard in an open session.
#[derive(Debug)]
pub enum Hearing<'a> {
    /// It is for the application, or for the router's broker and dealer.
    Message(Message<'a>),
    /// It came between our GOODBYE and its answer, or after the end: nothing becomes of it.
    Ignored,
    /// The session ended in peace. Send the reply, if there is one; another session may follow
    /// on the same transport.
    Closed {
        /// What the peer said.
        goodbye: Goodbye<'a>,
        /// Our answer; none if this was the answer to ours.
        reply: Option<Goodbye<'static>>,
    },
    /// The peer ended the session at once. It is not answered.
    Aborted(Abort<'a>),
    /// The peer broke the protocol: send the ABORT, if there is one, dispose of what the session
    /// holds, and drop the transport.
    Violated {
        /// What to send before.
        abort: Option<Abort<'static>>,
        /// Why.
        why: Violation,
    },
}

/// What becomes of octets that are no message.
#[derive(Debug)]
pub enum Refusal {
    /// Send this; the session goes on.
    Answer(Error<'static>),
    /// Nothing; the session goes on.
    Discard,
    /// As [`Hearing::Violated`].
    Violated {
        /// What to send before.
        abort: Option<Abort<'static>>,
        /// Why.
        why: Violation,
    },
}

impl Session {
    /// A session as WELCOME opens it.
    pub fn established(side: Side, id: Id, ours: Roles, theirs: Roles) -> Self {
        Self {
            side,
            state: State::Established,
            id,
            ours,
            theirs,
            sent: Sequence::new(),
            heard: Sequence::new(),
        }
    }

    /// Its identifier.
    pub fn id(&self) -> Id {
        self.id
    }

    /// Which side this is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether requests can be made.
    pub fn is_open(&self) -> bool {
        self.state == State::Established
    }

    /// The roles the peer announced.
    pub fn peer_roles(&self) -> &Roles {
        &self.theirs
    }

    /// Whether both sides announced a feature, we for our role and the peer for its own: only
    /// then it may be used.
    pub fn agrees(&self, feature: Feature, ours: Role, theirs: Role) -> bool {
        self.ours.has(ours, feature) && self.theirs.has(theirs, feature)
    }

    /// The identifier of our next request, used up: each request is sent with its own, in order.
    pub fn request(&mut self) -> Id {
        self.sent.draw()
    }

    /// Begins to end the session in peace: send the GOODBYE. None if it is ending already.
    pub fn goodbye(&mut self, reason: Uri<'static>) -> Option<Goodbye<'static>> {
        // (3)
        if self.state != State::Established {
            return None;
        }
        self.state = State::ShuttingDown;
        Some(Goodbye::new(reason))
    }

    /// Ends the session at once: send the ABORT and drop the transport. None if it is over
    /// already.
    pub fn abort(
        &mut self,
        reason: Uri<'static>,
        message: impl Into<std::borrow::Cow<'static, str>>,
    ) -> Option<Abort<'static>> {
        if matches!(self.state, State::Closed | State::Failed) {
            return None;
        }
        self.state = State::Failed;
        Some(Abort::new(reason, message))
    }

    /// Hears a message.
    pub fn hear<'a>(&mut self, message: Message<'a>) -> Hearing<'a> {
        match verdict(self.side, self.state, message.message_type()) {
            Verdict::Take => {}
            Verdict::Ignore => return Hearing::Ignored,
            Verdict::Violation(when) => {
                return self.fail(Violation::Unexpected {
                    message: message.message_type(),
                    when,
                });
            }
        }
        match message {
            Message::Goodbye(goodbye) => {
                // (4), or (5) and (6) at once: nothing stands between hearing and answering.
                let reply = (self.state == State::Established)
                    .then(|| Goodbye::new(known::GOODBYE_AND_OUT));
                self.state = State::Closed;
                Hearing::Closed { goodbye, reply }
            }
            Message::Abort(abort) => {
                self.state = State::Failed;
                Hearing::Aborted(abort)
            }
            message => match self.check(&message) {
                Ok(()) => Hearing::Message(message),
                Err(why) => self.fail(why),
            },
        }
    }

    /// Hears that octets were no message, and says what to answer. A request that is answered
    /// with an ERROR still takes its place in the sequence.
    pub fn refuse(&mut self, violation: Violation) -> Refusal {
        match self.state {
            State::Established => {}
            // (14)
            State::ShuttingDown | State::Failed => return Refusal::Discard,
            _ => return self.refuse_for_good(violation),
        }
        if let Violation::Uri {
            message,
            request: Some(request),
            ..
        } = violation
        {
            let verdict = verdict(self.side, self.state, message);
            if let Verdict::Violation(when) = verdict {
                return self.refuse_for_good(Violation::Unexpected { message, when });
            }
            // Such a CALL continues none: its procedure is none that was ever called.
            if let Err(why) = self.in_sequence(message, request) {
                return self.refuse_for_good(why);
            }
        }
        match violation.reply() {
            Reply::Error {
                request_type,
                request,
                error,
            } => Refusal::Answer(Error::new(request_type, request, error)),
            Reply::Discard => Refusal::Discard,
            Reply::Abort { .. } | Reply::Silence => self.refuse_for_good(violation),
        }
    }

    fn refuse_for_good(&mut self, why: Violation) -> Refusal {
        self.state = State::Failed;
        Refusal::Violated {
            abort: abort_for(&why),
            why,
        }
    }

    fn fail<'a>(&mut self, why: Violation) -> Hearing<'a> {
        self.state = State::Failed;
        Hearing::Violated {
            abort: abort_for(&why),
            why,
        }
    }

    /// What the message says must fit what was said before.
    fn check(&mut self, message: &Message<'_>) -> Result<(), Violation> {
        let message_type = message.message_type();
        match message {
            // A router hears requests, each with the next identifier.
            Message::Subscribe(m) => self.in_sequence(message_type, m.request),
            Message::Unsubscribe(m) => self.in_sequence(message_type, m.request),
            Message::Register(m) => self.in_sequence(message_type, m.request),
            Message::Unregister(m) => self.in_sequence(message_type, m.request),
            Message::Publish(m) => {
                self.in_sequence(message_type, m.request)?;
                self.passthru_announced(
                    message_type,
                    m.options.passthru.as_deref(),
                    Role::Publisher,
                    Role::Broker,
                )
            }
            Message::Call(m) => {
                self.call_in_sequence(m.request, m.options.progress == Some(true))?;
                self.passthru_announced(
                    message_type,
                    m.options.passthru.as_deref(),
                    Role::Caller,
                    Role::Dealer,
                )
            }
            Message::Yield(m) => {
                self.was_requested(message_type, m.request)?;
                self.passthru_announced(
                    message_type,
                    m.options.passthru.as_deref(),
                    Role::Callee,
                    Role::Dealer,
                )
            }
            // Both sides hear replies, to requests that were made.
            Message::Error(m) => {
                let answers_ours = match self.side {
                    Side::Router => m.request_type == MessageType::Invocation,
                    Side::Client => m.request_type != MessageType::Invocation,
                };
                if !answers_ours {
                    return Err(Violation::RequestType(m.request_type.code().into()));
                }
                self.was_requested(message_type, m.request)
            }
            Message::Published(m) => self.was_requested(message_type, m.request),
            Message::Subscribed(m) => self.was_requested(message_type, m.request),
            Message::Registered(m) => self.was_requested(message_type, m.request),
            Message::Result(m) => self.was_requested(message_type, m.request),
            Message::Unsubscribed(m) => self.withdrawn(message_type, &m.of),
            Message::Unregistered(m) => self.withdrawn(message_type, &m.of),
            // The text holds INVOCATIONs to a sequence, too; routers in use leave gaps, and a
            // client that ended the session for it would have nobody to talk to.
            _ => Ok(()),
        }
    }

    fn in_sequence(&mut self, message: MessageType, request: Id) -> Result<(), Violation> {
        if self.heard.accept(request) {
            Ok(())
        } else {
            Err(Violation::OutOfSequence {
                message,
                found: request,
                expected: self.heard.expected(),
            })
        }
    }

    /// "Progressive Call Invocations", Verification of CALL Request IDs: the next identifier is a
    /// new call; one used before may continue a call, which the dealer knows; a gap is a
    /// violation.
    fn call_in_sequence(&mut self, request: Id, progress: bool) -> Result<(), Violation> {
        let feature = Feature::ProgressiveCallInvocations;
        let agreed = self.agrees(feature, Role::Dealer, Role::Caller);
        if progress && !agreed {
            return Err(Violation::NotAnnounced {
                message: MessageType::Call,
                feature: feature.as_str(),
            });
        }
        if agreed && self.heard.is_past(request) {
            return Ok(());
        }
        self.in_sequence(MessageType::Call, request)
    }

    /// "Payload Passthru Mode", Feature Announcement: to be used only where both announced it.
    fn passthru_announced(
        &self,
        message: MessageType,
        passthru: Option<&Passthru<'_>>,
        theirs: Role,
        ours: Role,
    ) -> Result<(), Violation> {
        let used = passthru
            .and_then(|passthru| passthru.ppt_scheme.as_deref())
            .is_some_and(|scheme| !scheme.is_empty());
        let feature = Feature::PayloadPassthruMode;
        if used && !self.agrees(feature, ours, theirs) {
            return Err(Violation::NotAnnounced {
                message,
                feature: feature.as_str(),
            });
        }
        Ok(())
    }

    /// A reply to what was never asked. Whether it was answered before, who keeps the table of
    /// requests knows: replies to calls that were canceled come late, and rightly.
    fn was_requested(&self, message: MessageType, request: Id) -> Result<(), Violation> {
        if self.sent.is_past(request) {
            Ok(())
        } else {
            Err(Violation::UnknownRequest { message, request })
        }
    }

    fn withdrawn(&self, message: MessageType, of: &Withdrawn<'_>) -> Result<(), Violation> {
        match of {
            Withdrawn::Request(request) => self.was_requested(message, *request),
            Withdrawn::Revoked { .. } => Ok(()),
        }
    }
}
