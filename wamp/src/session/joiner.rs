//! A client's way into a session: HELLO, the answers to challenges, and what comes of it. Sans
//! I/O: messages in, messages and outcomes out.

use std::borrow::Cow;

use super::state::{Side, State, Verdict, verdict};
use super::{Session, abort_for};
use crate::auth::Credential;
use crate::error::Violation;
use crate::message::{
    Abort, Authenticate, Challenge, Hello, HelloDetails, Message, Roles, Welcome,
};
use crate::uri::{Uri, known};

/// What a client opens a session with.
pub struct Opening {
    /// The realm to join.
    pub realm: Uri<'static>,
    /// The roles to announce, one of a client's at least.
    pub roles: Roles,
    /// Which software this is, if it is told.
    pub agent: Option<Cow<'static, str>>,
    /// The role of the realm that is wanted, if any in particular.
    pub authrole: Option<Cow<'static, str>>,
    /// What there is to show, the best first. None: the client comes anonymously.
    pub credentials: Vec<Box<dyn Credential>>,
}

impl Opening {
    /// An anonymous opening.
    pub fn anonymous(realm: Uri<'static>, roles: Roles) -> Self {
        Self {
            realm,
            roles,
            agent: None,
            authrole: None,
            credentials: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Opening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opening")
            .field("realm", &self.realm)
            .field("roles", &self.roles)
            .field("credentials", &self.credentials.len())
            .finish_non_exhaustive()
    }
}

/// A session being opened, on the client's side.
///
/// ```
/// use wirebahn_wamp::message::{Feature, Features, Message, Roles, Welcome, WelcomeDetails};
/// use wirebahn_wamp::session::{Joiner, Joining, Opening};
/// use wirebahn_wamp::{Id, Uri};
///
/// let roles = Roles::client(Features::of(&[Feature::CallCanceling]));
/// let (mut joiner, hello) = Joiner::open(Opening::anonymous(Uri::constant("realm1"), roles));
/// // Send `hello`, and hear what the router answers:
/// let welcome = Message::from(Welcome {
///     session: Id::new(9_129_137_332).unwrap(),
///     details: WelcomeDetails {
///         roles: Some(Roles::router(Features::NONE)),
///         ..WelcomeDetails::default()
///     },
/// });
/// let Joining::Joined(session, _) = joiner.hear(welcome) else { panic!("it was welcomed") };
/// assert_eq!(session.id().get(), 9_129_137_332);
/// # let _ = hello;
/// ```
#[derive(Debug)]
pub struct Joiner {
    state: State,
    roles: Roles,
    credentials: Credentials,
    /// Challenges answered so far.
    answered: usize,
}

struct Credentials(Vec<Box<dyn Credential>>);

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|credential| credential.method()))
            .finish()
    }
}

/// What became of a message heard while joining.
#[derive(Debug)]
pub enum Joining {
    /// Send this, and go on hearing.
    Send(Message<'static>),
    /// The session is open. WELCOME says who the client is in it.
    Joined(Session, Box<Welcome<'static>>),
    /// The router does not let the client in. Another opening may be tried on the same transport.
    Refused(Abort<'static>),
    /// The opening failed on this side: send the ABORT, if there is one, and drop the transport.
    Failed {
        /// What to send before.
        abort: Option<Abort<'static>>,
        /// Why.
        why: JoinError,
    },
    /// Nothing: it was over before.
    Ignored,
}

/// Why an opening fails on the client's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The router broke the protocol.
    #[error("the router broke the protocol: {0}")]
    Violation(#[from] Violation),
    /// The challenge was not answered.
    #[error("the challenge was not answered: {0}")]
    Auth(#[from] crate::auth::AuthError),
}

impl Joiner {
    /// The most challenges that are answered: two factors, and some more. A router cannot make a
    /// client compute for ever.
    const CHALLENGES_MAX: usize = 4;

    /// Begins to open a session: send the HELLO.
    pub fn open(opening: Opening) -> (Self, Hello<'static>) {
        let Opening {
            realm,
            roles,
            agent,
            authrole,
            credentials,
        } = opening;
        let mut details = HelloDetails {
            roles: Some(roles),
            agent,
            authrole,
            ..HelloDetails::default()
        };
        if !credentials.is_empty() {
            let methods = credentials
                .iter()
                .map(|credential| Cow::Owned(credential.method().to_owned()));
            details.authmethods = Some(methods.collect());
            let authid = credentials
                .iter()
                .find_map(|credential| credential.authid());
            details.authid = authid.map(|authid| Cow::Owned(authid.to_owned()));
            for credential in &credentials {
                for (key, value) in credential.authextra().into_iter().flatten() {
                    details.authextra.get_or_insert_default().insert(key, value);
                }
            }
        }
        let joiner = Self {
            state: State::Establishing,
            roles,
            credentials: Credentials(credentials),
            answered: 0,
        };
        (joiner, Hello { realm, details })
    }

    /// Where the opening stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Hears a message of the router.
    pub fn hear(&mut self, message: Message<'_>) -> Joining {
        match verdict(Side::Client, self.state, message.message_type()) {
            Verdict::Take => {}
            Verdict::Ignore => return Joining::Ignored,
            Verdict::Violation(when) => {
                return self.violated(Violation::Unexpected {
                    message: message.message_type(),
                    when,
                });
            }
        }
        match message {
            Message::Welcome(welcome) => self.welcomed(welcome.into_owned()),
            Message::Challenge(challenge) => self.challenged(&challenge),
            Message::Abort(abort) => {
                self.state = State::Closed;
                Joining::Refused(abort.into_owned())
            }
            other => self.violated(Violation::Unexpected {
                message: other.message_type(),
                when: "before the session was established",
            }),
        }
    }

    /// Hears that what the router sent is no message.
    pub fn violated(&mut self, why: Violation) -> Joining {
        self.state = State::Failed;
        Joining::Failed {
            abort: abort_for(&why),
            why: why.into(),
        }
    }

    fn welcomed(&mut self, welcome: Welcome<'static>) -> Joining {
        self.state = State::Established;
        let theirs = welcome.details.roles.unwrap_or_default();
        let session = Session::established(Side::Client, welcome.session, self.roles, theirs);
        Joining::Joined(session, Box::new(welcome))
    }

    fn challenged(&mut self, challenge: &Challenge<'_>) -> Joining {
        match self.answer(challenge) {
            Ok(proof) => {
                self.answered += 1;
                Joining::Send(proof.into())
            }
            Err(why) => {
                self.state = State::Failed;
                Joining::Failed {
                    abort: Some(Abort::new(known::AUTHENTICATION_FAILED, why.to_string())),
                    why: why.into(),
                }
            }
        }
    }

    fn answer(
        &mut self,
        challenge: &Challenge<'_>,
    ) -> Result<Authenticate<'static>, crate::auth::AuthError> {
        if self.answered >= Self::CHALLENGES_MAX {
            return Err(crate::auth::AuthError::Cost("number of challenges"));
        }
        self.credentials
            .0
            .iter_mut()
            .find(|credential| credential.method() == challenge.method)
            .ok_or(crate::auth::AuthError::NotOffered)?
            .answer(challenge)
    }
}
