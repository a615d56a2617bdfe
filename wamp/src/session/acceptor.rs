//! A router's way into a session: HELLO heard, decisions taken from whoever makes them, WELCOME
//! given. Sans I/O: messages and decisions in, messages and outcomes out.

use std::borrow::Cow;

use super::state::{Side, State, Verdict, verdict};
use super::{Session, abort_for};
use crate::auth::{Authenticator, Decision, Identity, Timestamp};
use crate::error::Violation;
use crate::id::Id;
use crate::message::{
    Abort, Authenticate, Challenge, Hello, Message, Roles, Welcome, WelcomeDetails,
};
use crate::uri::known;

/// A session being opened, on the router's side.
///
/// What it is told to decide may be decided at once ([`decide_with`](Self::decide_with)) or
/// later, from anywhere; until then the client has nothing to say.
///
/// ```
/// use wirebahn_wamp::auth::{Decision, Identity};
/// use wirebahn_wamp::id::GlobalIds;
/// use wirebahn_wamp::message::{Features, Message, Roles};
/// use wirebahn_wamp::session::{Accepting, Acceptor, Joiner, Opening};
/// use wirebahn_wamp::Uri;
///
/// let opening = Opening::anonymous(Uri::constant("realm1"), Roles::client(Features::NONE));
/// let (_, hello) = Joiner::open(opening);
///
/// let id = GlobalIds::new().draw()?;
/// let mut acceptor = Acceptor::new(id, Roles::router(Features::NONE), None);
/// let Accepting::Decide(asked) = acceptor.hear(hello.into()) else { panic!() };
/// # let _ = asked;
/// // Look the realm up, find out who this is, and decide:
/// let accepting = acceptor.decide(Decision::Accept(Identity {
///     authid: "joe".into(),
///     authrole: "user".into(),
///     authmethod: "anonymous".into(),
///     authprovider: "static".into(),
///     authextra: None,
/// }));
/// assert!(matches!(accepting, Accepting::Joined { .. }));
/// # Ok::<(), wirebahn_wamp::id::EntropyError>(())
/// ```
#[derive(Debug)]
pub struct Acceptor {
    state: State,
    session: Id,
    roles: Roles,
    agent: Option<Cow<'static, str>>,
    hello: Option<Box<Hello<'static>>>,
    /// A challenge by this method is out.
    challenged: Option<Cow<'static, str>>,
    /// Challenges sent so far.
    challenges: usize,
}

/// What a router must decide on.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// A client wants to join.
    Hello(Box<Hello<'static>>),
    /// It answered the challenge.
    Proof(Authenticate<'static>),
}

/// What became of a message or decision while accepting.
#[derive(Debug)]
pub enum Accepting {
    /// Decide on this, now or later: [`Acceptor::decide`].
    Decide(Asked),
    /// Send this, and go on hearing.
    Send(Challenge<'static>),
    /// Send the WELCOME; the session is open.
    Joined {
        /// The session.
        session: Box<Session>,
        /// What to send.
        welcome: Box<Welcome<'static>>,
        /// What the client opened it with.
        hello: Box<Hello<'static>>,
    },
    /// Send this; the client is not let in. It may try again on the same transport.
    Refused(Abort<'static>),
    /// The client gave up.
    Gone(Abort<'static>),
    /// The client broke the protocol: send the ABORT, if there is one, and drop the transport.
    Failed {
        /// What to send before.
        abort: Option<Abort<'static>>,
        /// Why.
        why: Violation,
    },
    /// Nothing: it was over before, or was not asked for.
    Ignored,
}

impl Acceptor {
    /// The most challenges that are sent: two factors, and some more.
    const CHALLENGES_MAX: usize = 4;

    /// Waits for a HELLO. `session` is the identifier a session will have: fresh, drawn at
    /// random, no other's.
    pub fn new(session: Id, roles: Roles, agent: Option<Cow<'static, str>>) -> Self {
        Self {
            state: State::Closed,
            session,
            roles,
            agent,
            hello: None,
            challenged: None,
            challenges: 0,
        }
    }

    /// Where the opening stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// The identifier the session will have.
    pub fn session_id(&self) -> Id {
        self.session
    }

    /// Hears a message of the client.
    pub fn hear(&mut self, message: Message<'_>) -> Accepting {
        match verdict(Side::Router, self.state, message.message_type()) {
            Verdict::Take => {}
            Verdict::Ignore => return Accepting::Ignored,
            Verdict::Violation(when) => {
                return self.violated(Violation::Unexpected {
                    message: message.message_type(),
                    when,
                });
            }
        }
        match message {
            Message::Hello(hello) => {
                let hello = Box::new(hello.into_owned());
                self.state = State::Establishing;
                self.hello = Some(hello.clone());
                Accepting::Decide(Asked::Hello(hello))
            }
            Message::Authenticate(proof) => {
                self.state = State::Establishing;
                Accepting::Decide(Asked::Proof(proof.into_owned()))
            }
            Message::Abort(abort) => {
                self.state = State::Failed;
                Accepting::Gone(abort.into_owned())
            }
            other => self.violated(Violation::Unexpected {
                message: other.message_type(),
                when: "before the session was established",
            }),
        }
    }

    /// Hears that what the client sent is no message.
    pub fn violated(&mut self, why: Violation) -> Accepting {
        self.state = State::Failed;
        Accepting::Failed {
            abort: abort_for(&why),
            why,
        }
    }

    /// Takes the decision that was asked for. One that comes late, when the client is gone or
    /// nothing was asked, is ignored: no session comes of it.
    pub fn decide(&mut self, decision: Decision) -> Accepting {
        if self.state != State::Establishing {
            return Accepting::Ignored;
        }
        match decision {
            Decision::Accept(identity) => self.welcome(identity),
            Decision::Challenge(challenge) if self.challenges < Self::CHALLENGES_MAX => {
                self.challenges += 1;
                self.state = State::Challenging;
                self.challenged = Some(challenge.method.clone());
                Accepting::Send(challenge)
            }
            Decision::Challenge(_) => self.refuse(Abort::new(
                known::AUTHENTICATION_FAILED,
                "there is no end of challenges",
            )),
            Decision::Refuse(abort) => self.refuse(abort),
        }
    }

    /// Decides at once.
    pub fn decide_with(
        &mut self,
        authenticator: &mut dyn Authenticator,
        asked: &Asked,
        now: Timestamp,
    ) -> Accepting {
        let decision = match asked {
            Asked::Hello(hello) => authenticator.hello(hello, self.session, now),
            Asked::Proof(proof) => authenticator.proof(proof, now),
        };
        self.decide(decision)
    }

    fn refuse(&mut self, abort: Abort<'static>) -> Accepting {
        // (7), (11): another HELLO may follow.
        self.state = State::Closed;
        self.hello = None;
        self.challenged = None;
        Accepting::Refused(abort)
    }

    fn welcome(&mut self, identity: Identity) -> Accepting {
        let Some(hello) = self.hello.take() else {
            return Accepting::Ignored;
        };
        self.state = State::Established;
        let theirs = hello.details.roles.unwrap_or_default();
        let session = Session::established(Side::Router, self.session, self.roles, theirs);
        let welcome = Welcome {
            session: self.session,
            details: WelcomeDetails {
                roles: Some(self.roles),
                agent: self.agent.clone(),
                realm: Some(hello.realm.clone().into_text()),
                authid: Some(identity.authid.into()),
                authrole: Some(identity.authrole.into()),
                authmethod: Some(identity.authmethod.into()),
                authprovider: Some(identity.authprovider.into()),
                authextra: identity.authextra,
                ..WelcomeDetails::default()
            },
        };
        Accepting::Joined {
            session: Box::new(session),
            welcome: Box::new(welcome),
            hello,
        }
    }
}
