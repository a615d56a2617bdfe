//! Authentication: what a client shows, what a router decides, and the methods anonymous, ticket
//! and WAMP-CRA. Both sides are seams: a [`Credential`] answers challenges, an [`Authenticator`]
//! makes and judges them, and others than those here fit as well. Knows nothing of transports;
//! the time is told, not asked for.
//!
//! Advanced Profile, "Authentication Methods".

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::id::Id;
use crate::message::{Abort, Authenticate, Challenge, Hello};
use crate::uri::{Uri, known};
use crate::value::Dict;

mod cra;
mod ticket;
mod time;

pub use cra::{CraLimits, Salt, Wampcra, derive_key, sign, verify};
pub use ticket::Ticket;
pub use time::Timestamp;

/// What a client shows, for one method.
pub trait Credential: Send {
    /// The method's name, as HELLO offers it.
    fn method(&self) -> &str;

    /// Who the client wants to be.
    fn authid(&self) -> Option<&str>;

    /// What HELLO's `authextra` must hold for the method.
    fn authextra(&self) -> Option<Dict> {
        None
    }

    /// Answers a challenge of the method.
    ///
    /// # Errors
    /// When the challenge is not one of the method, or asks for more than the client grants.
    fn answer(&mut self, challenge: &Challenge<'_>) -> Result<Authenticate<'static>, AuthError>;
}

/// Why a client does not answer a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The router challenges by a method that was not offered.
    #[error("the router challenges by a method that was not offered")]
    NotOffered,
    /// The challenge lacks something of its method, or holds it in another type.
    #[error("the challenge lacks {0}, or holds something else there")]
    Malformed(&'static str),
    /// The challenge asks for a derivation cheaper or costlier than the client grants.
    #[error("the challenge's {0} is beyond what is granted")]
    Cost(&'static str),
}

/// Nothing to show: the router may take whoever comes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anonymous;

impl Credential for Anonymous {
    fn method(&self) -> &'static str {
        "anonymous"
    }

    fn authid(&self) -> Option<&str> {
        None
    }

    fn answer(&mut self, _challenge: &Challenge<'_>) -> Result<Authenticate<'static>, AuthError> {
        // There is nothing to be asked for.
        Err(AuthError::NotOffered)
    }
}

/// What a router decides about a client.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// It is who this says.
    Accept(Identity),
    /// It must answer this first.
    Challenge(Challenge<'static>),
    /// It is not let in.
    Refuse(Abort<'static>),
}

impl Decision {
    /// Not let in, for this reason.
    pub fn refuse(reason: Uri<'static>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Refuse(Abort::new(reason, message))
    }

    /// Not let in, for not showing what is right. One answer to every way of being wrong: who
    /// tries learns nothing of who exists.
    pub fn denied() -> Self {
        Self::refuse(known::AUTHENTICATION_DENIED, "the authentication is wrong")
    }
}

/// Who a client is: what WELCOME tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// The principal.
    pub authid: String,
    /// Its role in the realm.
    pub authrole: String,
    /// How it was authenticated.
    pub authmethod: String,
    /// By whom.
    pub authprovider: String,
    /// What else it is told.
    pub authextra: Option<Dict>,
}

/// Decides about one client, from its HELLO to its last proof. A router makes one for each
/// transport connection.
///
/// Decisions that take long (a database, a procedure to be called, a costly derivation) need not
/// be made in here: an [`Acceptor`](crate::session::Acceptor) takes them from anywhere, whenever
/// they come.
pub trait Authenticator {
    /// A client wants to join. `session` is the identifier it will get.
    fn hello(&mut self, hello: &Hello<'_>, session: Id, now: Timestamp) -> Decision;

    /// It answered the challenge.
    fn proof(&mut self, proof: &Authenticate<'_>, now: Timestamp) -> Decision;
}

/// The most principals' names that are looked at, in octets: they are keys of a table.
const AUTHID_LEN_MAX: usize = 256;

/// A fixed set of principals, and whether others may come anonymously. Shared by all
/// connections; each takes a [`Login`] of it.
///
/// ```
/// use wirebahn_wamp::auth::{Secret, Users};
///
/// let users = Users::new("static")
///     .anonymous("guest")
///     .user("joe", "user", Secret::ticket("secret!!!"))
///     .user("peter", "user", Secret::cra("secret1"));
/// # let _ = users;
/// ```
#[derive(Clone)]
pub struct Users {
    provider: String,
    anonymous: Option<String>,
    users: HashMap<String, User>,
    /// How long a challenge may be answered, in milliseconds.
    patience_ms: u64,
    /// The salt shown for who does not exist, if those who do are salted.
    decoy: Option<Salt>,
}

#[derive(Clone)]
struct User {
    authrole: String,
    secret: Secret,
}

/// What a principal's proof is judged by.
#[derive(Clone)]
pub struct Secret(SecretKind);

#[derive(Clone)]
enum SecretKind {
    /// The ticket's hash: what is stored opens nothing elsewhere.
    Ticket([u8; 32]),
    Cra {
        key: Vec<u8>,
        salt: Option<Salt>,
    },
}

impl Secret {
    /// A ticket.
    pub fn ticket(ticket: &str) -> Self {
        Self(SecretKind::Ticket(ticket::digest(ticket)))
    }

    /// A secret shared for WAMP-CRA.
    pub fn cra(secret: &str) -> Self {
        Self(SecretKind::Cra {
            key: secret.as_bytes().to_vec(),
            salt: None,
        })
    }

    /// A key derived from a password for WAMP-CRA, as [`derive_key`] gives it, and how it was
    /// derived: the password itself is not stored.
    pub fn cra_salted(derived: &str, salt: Salt) -> Self {
        Self(SecretKind::Cra {
            key: derived.as_bytes().to_vec(),
            salt: Some(salt),
        })
    }

    fn method(&self) -> &'static str {
        match self.0 {
            SecretKind::Ticket(_) => "ticket",
            SecretKind::Cra { .. } => "wampcra",
        }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({})", self.method())
    }
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users")
            .field("provider", &self.provider)
            .field("users", &self.users.len())
            .finish_non_exhaustive()
    }
}

impl Users {
    /// How long a challenge may be answered by default: ten seconds, as every handshake.
    const PATIENCE_MS: u64 = 10_000;

    /// Nobody yet; `provider` is what WELCOME names as `authprovider`.
    pub fn new(provider: impl Into<String>) -> Self {
        Self {
            provider: provider.into(),
            anonymous: None,
            users: HashMap::new(),
            patience_ms: Self::PATIENCE_MS,
            decoy: None,
        }
    }

    /// Whoever comes without credentials gets this role.
    #[must_use]
    pub fn anonymous(mut self, authrole: impl Into<String>) -> Self {
        self.anonymous = Some(authrole.into());
        self
    }

    /// A principal, its role, and how it is judged.
    #[must_use]
    pub fn user(
        mut self,
        authid: impl Into<String>,
        authrole: impl Into<String>,
        secret: Secret,
    ) -> Self {
        if let SecretKind::Cra {
            salt: Some(salt), ..
        } = &secret.0
        {
            self.decoy.get_or_insert_with(|| salt.clone());
        }
        let user = User {
            authrole: authrole.into(),
            secret,
        };
        self.users.insert(authid.into(), user);
        self
    }

    /// How long a challenge may be answered, in milliseconds. Default 10,000.
    #[must_use]
    pub fn patience_ms(mut self, patience_ms: u64) -> Self {
        self.patience_ms = patience_ms;
        self
    }

    /// The decisions for one connection. `nonce` is what a WAMP-CRA challenge is made unique by:
    /// 16 random octets, fresh for each.
    pub fn login(self: &Arc<Self>, nonce: [u8; 16]) -> Login {
        Login {
            users: Arc::clone(self),
            nonce,
            pending: None,
        }
    }
}

/// Judges one client by a set of [`Users`].
#[derive(Debug)]
pub struct Login {
    users: Arc<Users>,
    nonce: [u8; 16],
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    /// Who it is if the proof is right; none for who does not exist, whose proof is judged all
    /// the same, with the same work.
    identity: Option<Identity>,
    secret: Secret,
    /// What was to be signed.
    challenge: String,
    asked: Timestamp,
}

impl Login {
    /// The best method the client offers that the principal has.
    fn challenge(&mut self, hello: &Hello<'_>, session: Id, now: Timestamp) -> Option<Decision> {
        let methods = hello.details.authmethods.as_deref().unwrap_or_default();
        let authid = hello.details.authid.as_deref().unwrap_or_default();
        let user = self
            .users
            .users
            .get(authid)
            .filter(|_| authid.len() <= AUTHID_LEN_MAX);
        for method in methods {
            if !matches!(&**method, "ticket" | "wampcra") || authid.is_empty() {
                continue;
            }
            let known = user.filter(|user| user.secret.method() == *method);
            if user.is_some() && known.is_none() {
                continue;
            }
            // Nobody of that name: challenged like anybody, with a secret nobody knows.
            let secret = known.map_or_else(
                || self.users.decoy_secret(method, &self.nonce),
                |user| user.secret.clone(),
            );
            let identity = known.map(|user| Identity {
                authid: authid.to_owned(),
                authrole: user.authrole.clone(),
                authmethod: (**method).to_owned(),
                authprovider: self.users.provider.clone(),
                authextra: None,
            });
            let authrole = identity
                .as_ref()
                .map_or("user", |identity| identity.authrole.as_str());
            let (challenge, extra) = match &secret.0 {
                SecretKind::Ticket(_) => (String::new(), Dict::new()),
                SecretKind::Cra { salt, .. } => {
                    let provider = &self.users.provider;
                    let text =
                        cra::challenge_text(authid, authrole, provider, &self.nonce, session, now);
                    let Some(text) = text else {
                        return Some(Decision::denied());
                    };
                    let extra = cra::challenge_extra(&text, salt.as_ref());
                    (text, extra)
                }
            };
            self.pending = Some(Pending {
                identity,
                secret,
                challenge,
                asked: now,
            });
            return Some(Decision::Challenge(Challenge {
                method: Cow::Owned((**method).to_owned()),
                extra,
            }));
        }
        None
    }
}

impl Users {
    /// A secret for who does not exist: random, so that no proof fits it.
    fn decoy_secret(&self, method: &str, nonce: &[u8; 16]) -> Secret {
        Secret(if method == "ticket" {
            // No ticket has this digest that anybody could find.
            SecretKind::Ticket([0; 32])
        } else {
            SecretKind::Cra {
                key: nonce.to_vec(),
                salt: self.decoy.clone(),
            }
        })
    }
}

impl Authenticator for Login {
    fn hello(&mut self, hello: &Hello<'_>, session: Id, now: Timestamp) -> Decision {
        let methods = hello.details.authmethods.as_deref().unwrap_or_default();
        // Who offers nothing comes anonymously.
        if methods.is_empty() || methods.iter().any(|method| method == "anonymous") {
            if let Some(authrole) = &self.users.anonymous {
                return Decision::Accept(Identity {
                    authid: format!("anonymous-{session}"),
                    authrole: authrole.clone(),
                    authmethod: "anonymous".to_owned(),
                    authprovider: self.users.provider.clone(),
                    authextra: None,
                });
            }
            if methods.is_empty() {
                return Decision::refuse(
                    known::AUTHENTICATION_REQUIRED,
                    "the realm cannot be joined anonymously",
                );
            }
        }
        self.challenge(hello, session, now).unwrap_or_else(|| {
            Decision::refuse(
                known::NO_MATCHING_AUTH_METHOD,
                "no method offered is accepted",
            )
        })
    }

    fn proof(&mut self, proof: &Authenticate<'_>, now: Timestamp) -> Decision {
        // One try for each challenge.
        let Some(pending) = self.pending.take() else {
            return Decision::refuse(known::AUTHENTICATION_FAILED, "nothing was asked for");
        };
        let right = match &pending.secret.0 {
            SecretKind::Ticket(digest) => ticket::digest(&proof.signature).ct_eq(digest).into(),
            SecretKind::Cra { key, .. } => verify(key, &pending.challenge, &proof.signature),
        };
        let late = now.since_ms(pending.asked) > self.users.patience_ms;
        match pending.identity {
            Some(identity) if right && !late => Decision::Accept(identity),
            _ => Decision::denied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{HelloDetails, Roles};

    const NOW: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);

    fn hello(methods: &[&'static str], authid: Option<&'static str>) -> Hello<'static> {
        Hello {
            realm: Uri::constant("realm1"),
            details: HelloDetails {
                roles: Some(Roles::client(crate::message::Features::NONE)),
                authmethods: (!methods.is_empty()).then(|| {
                    methods
                        .iter()
                        .map(|method| Cow::Borrowed(*method))
                        .collect()
                }),
                authid: authid.map(Cow::Borrowed),
                ..HelloDetails::default()
            },
        }
    }

    fn users() -> Arc<Users> {
        let salt = Salt::new("salt123", 1000, 32);
        let derived = derive_key("secret2", &salt);
        Arc::new(
            Users::new("static")
                .user("joe", "user", Secret::ticket("secret!!!"))
                .user("peter", "admin", Secret::cra("secret1"))
                .user("paul", "admin", Secret::cra_salted(&derived, salt)),
        )
    }

    fn session() -> Id {
        Id::new(3_251_278_072_152_162).unwrap()
    }

    /// Plays both sides to the end.
    fn play(login: &mut Login, credential: &mut dyn Credential, late_ms: u64) -> Decision {
        let methods = [match credential.method() {
            "ticket" => "ticket",
            _ => "wampcra",
        }];
        let authid: Option<&'static str> = credential
            .authid()
            .map(|authid| &*Box::leak(authid.to_owned().into_boxed_str()));
        match login.hello(&hello(&methods, authid), session(), NOW) {
            Decision::Challenge(challenge) => {
                let proof = credential.answer(&challenge).expect("a fair challenge");
                login.proof(&proof, NOW.later_ms(late_ms))
            }
            other => other,
        }
    }

    #[test]
    fn the_right_secret_is_let_in() {
        for (mut credential, authid, authrole) in [
            (
                Box::new(Ticket::new("joe", "secret!!!")) as Box<dyn Credential>,
                "joe",
                "user",
            ),
            (Box::new(Wampcra::new("peter", "secret1")), "peter", "admin"),
            (Box::new(Wampcra::new("paul", "secret2")), "paul", "admin"),
        ] {
            let decision = play(&mut users().login([1; 16]), &mut *credential, 100);
            let Decision::Accept(identity) = decision else {
                panic!("{authid}: {decision:?}");
            };
            assert_eq!(
                (identity.authid.as_str(), identity.authrole.as_str()),
                (authid, authrole)
            );
        }
    }

    #[test]
    fn every_wrong_way_ends_the_same() {
        let mut ways: Vec<(Box<dyn Credential>, u64)> = vec![
            (Box::new(Ticket::new("joe", "secret!!")), 0),
            (Box::new(Ticket::new("joe", "")), 0),
            (Box::new(Ticket::new("nobody", "secret!!!")), 0),
            (Box::new(Wampcra::new("peter", "secret2")), 0),
            (Box::new(Wampcra::new("nobody", "secret1")), 0),
            (Box::new(Wampcra::new("paul", "secret1")), 0),
            (Box::new(Ticket::new("joe", "secret!!!")), 10_001),
            (Box::new(Wampcra::new("peter", "secret1")), 10_001),
        ];
        for (credential, late_ms) in &mut ways {
            let decision = play(&mut users().login([1; 16]), &mut **credential, *late_ms);
            assert_eq!(decision, Decision::denied(), "{:?}", credential.authid());
        }
    }

    #[test]
    fn a_challenge_is_answered_once() {
        let users = users();
        let mut login = users.login([1; 16]);
        let decision = login.hello(&hello(&["ticket"], Some("joe")), session(), NOW);
        assert!(matches!(decision, Decision::Challenge(_)));
        let wrong = Authenticate {
            signature: "x".into(),
            extra: Dict::new(),
        };
        let right = Authenticate {
            signature: "secret!!!".into(),
            extra: Dict::new(),
        };
        assert_eq!(login.proof(&wrong, NOW), Decision::denied());
        assert!(matches!(login.proof(&right, NOW), Decision::Refuse(_)));
    }

    #[test]
    fn methods_are_matched() {
        let reason = |decision: Decision| match decision {
            Decision::Refuse(abort) => abort.reason,
            other => panic!("{other:?}"),
        };
        let users = users();
        let mut login = users.login([1; 16]);
        assert_eq!(
            reason(login.hello(&hello(&[], None), session(), NOW)),
            known::AUTHENTICATION_REQUIRED
        );
        assert_eq!(
            reason(login.hello(&hello(&["wamp-scram"], Some("joe")), session(), NOW)),
            known::NO_MATCHING_AUTH_METHOD
        );
        assert_eq!(
            reason(login.hello(&hello(&["anonymous"], None), session(), NOW)),
            known::NO_MATCHING_AUTH_METHOD
        );
        // A method unknown here is passed by, for one that is known.
        let decision = login.hello(
            &hello(&["wamp-scram", "wampcra", "ticket"], Some("joe")),
            session(),
            NOW,
        );
        assert!(matches!(decision, Decision::Challenge(challenge) if challenge.method == "ticket"));
        let open = Arc::new(Users::new("static").anonymous("guest"));
        for methods in [&[][..], &["anonymous"]] {
            let decision = open
                .login([1; 16])
                .hello(&hello(methods, None), session(), NOW);
            assert!(matches!(decision, Decision::Accept(identity) if identity.authrole == "guest"));
        }
    }
}
