//! Roles and the features announced for them: what HELLO and WELCOME say of their senders.
//! Basic Profile, "Sessions"; Advanced Profile, "Feature Announcement".

use std::fmt;

use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::own::owns_itself;
use crate::token::{KeySet, Reader, Token, Writer};

/// What a peer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Receives events.
    Subscriber,
    /// Publishes events.
    Publisher,
    /// Calls procedures.
    Caller,
    /// Offers procedures.
    Callee,
    /// Routes events.
    Broker,
    /// Routes calls.
    Dealer,
}

impl Role {
    /// Every role; those of clients first.
    pub const ALL: [Self; 6] = [
        Self::Subscriber,
        Self::Publisher,
        Self::Caller,
        Self::Callee,
        Self::Broker,
        Self::Dealer,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subscriber => "subscriber",
            Self::Publisher => "publisher",
            Self::Caller => "caller",
            Self::Callee => "callee",
            Self::Broker => "broker",
            Self::Dealer => "dealer",
        }
    }

    /// Whether it is a router's.
    pub const fn is_router(self) -> bool {
        matches!(self, Self::Broker | Self::Dealer)
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

macro_rules! features {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal $(| $alias:literal)*;)+) => {
        /// A feature of the Advanced Profile, or of clients in use.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Feature {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Feature {
            /// Every feature known here.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }

            fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word $(| $alias)* => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

features! {
    /// Results in parts.
    ProgressiveCallResults = "progressive_call_results";
    /// Arguments in parts.
    ProgressiveCallInvocations = "progressive_call_invocations";
    /// Calls that end by themselves.
    CallTimeout = "call_timeout";
    /// Calls that can be taken back. One section of the text spells it with two l.
    CallCanceling = "call_canceling" | "call_cancelling";
    /// Callees learn who calls.
    CallerIdentification = "caller_identification";
    /// Callees learn how far a caller is trusted.
    CallTrustlevels = "call_trustlevels";
    /// Callees that pass a call on.
    CallReroute = "call_reroute";
    /// Procedures and events about registrations.
    RegistrationMetaApi = "registration_meta_api";
    /// Registrations by prefix and wildcard.
    PatternBasedRegistration = "pattern_based_registration";
    /// Several callees of one procedure.
    SharedRegistration = "shared_registration";
    /// Procedures spread over callees by key.
    ShardedRegistration = "sharded_registration";
    /// The router takes registrations back.
    RegistrationRevocation = "registration_revocation";
    /// Descriptions of procedures.
    ProcedureReflection = "procedure_reflection";
    /// Publishers choose who receives.
    SubscriberBlackwhiteListing = "subscriber_blackwhite_listing";
    /// Publishers may receive their own events.
    PublisherExclusion = "publisher_exclusion";
    /// Subscribers learn who publishes.
    PublisherIdentification = "publisher_identification";
    /// Subscribers learn how far a publisher is trusted.
    PublicationTrustlevels = "publication_trustlevels";
    /// Procedures and events about subscriptions.
    SubscriptionMetaApi = "subscription_meta_api";
    /// Subscriptions by prefix and wildcard.
    PatternBasedSubscription = "pattern_based_subscription";
    /// Topics spread over subscribers by key.
    ShardedSubscription = "sharded_subscription" | "shareded_subscriptions";
    /// Events of the past can be asked for.
    EventHistory = "event_history";
    /// The last event of a topic is kept for who comes later.
    EventRetention = "event_retention";
    /// The router takes subscriptions back.
    SubscriptionRevocation = "subscription_revocation";
    /// Descriptions of topics.
    TopicReflection = "topic_reflection";
    /// Procedures and events about sessions.
    SessionMetaApi = "session_meta_api";
    /// Events published when a session ends.
    TestamentMetaApi = "testament_meta_api";
    /// Payloads the router does not look into, as the specification has them.
    PayloadPassthruMode = "payload_passthru_mode";
    /// Payloads the router does not look into, as Autobahn has them.
    PayloadTransparency = "payload_transparency";
    /// End-to-end encryption of such payloads.
    PayloadEncryptionCryptobox = "payload_encryption_cryptobox";
    /// Subscribers confirm what they received.
    AcknowledgeEventReceived = "acknowledge_event_received";
    /// Publishers learn of the confirmations.
    AcknowledgeSubscriberReceived = "acknowledge_subscriber_received";
    /// Subscribers confirm what they received, by the name of an extension.
    AcknowledgedEventDelivery = "x_acknowledged_event_delivery";
    /// Descriptions of the router's interfaces.
    Reflection = "reflection";
}

const _: () = assert!(Feature::ALL.len() <= 64, "a bit for every feature");

/// A set of features.
///
/// ```
/// use wirebahn_wamp::message::{Feature, Features};
///
/// let features = Features::of(&[Feature::CallCanceling, Feature::CallTimeout]);
/// assert!(features.has(Feature::CallTimeout));
/// assert!(!features.has(Feature::CallReroute));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Features(u64);

impl Features {
    /// None: what the Basic Profile announces.
    pub const NONE: Self = Self(0);

    /// These.
    pub const fn of(features: &[Feature]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < features.len() {
            bits |= 1 << features[index] as u64;
            index += 1;
        }
        Self(bits)
    }

    /// These and one more.
    #[must_use]
    pub const fn with(self, feature: Feature) -> Self {
        Self(self.0 | 1 << feature as u64)
    }

    /// Whether it holds a feature.
    pub const fn has(self, feature: Feature) -> bool {
        self.0 & (1 << feature as u64) != 0
    }

    /// What both hold.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether it holds none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The features it holds.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        Feature::ALL
            .iter()
            .copied()
            .filter(move |feature| self.has(*feature))
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The roles a peer announces, each with its features.
///
/// ```
/// use wirebahn_wamp::message::{Feature, Features, Role, Roles};
///
/// let roles = Roles::new()
///     .with(Role::Publisher, Features::NONE)
///     .with(Role::Caller, Features::of(&[Feature::CallCanceling]));
/// assert!(roles.has(Role::Caller, Feature::CallCanceling));
/// assert_eq!(roles.get(Role::Callee), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Roles([Option<Features>; 6]);

impl Roles {
    /// No roles yet.
    pub const fn new() -> Self {
        Self([None; 6])
    }

    /// All four roles of a client, with these features for each.
    pub const fn client(features: Features) -> Self {
        let some = Some(features);
        Self([some, some, some, some, None, None])
    }

    /// Both roles of a router, with these features for each.
    pub const fn router(features: Features) -> Self {
        Self([None, None, None, None, Some(features), Some(features)])
    }

    /// These and one more.
    #[must_use]
    pub const fn with(mut self, role: Role, features: Features) -> Self {
        self.0[role as usize] = Some(features);
        self
    }

    /// The features of a role, if it is announced.
    pub fn get(&self, role: Role) -> Option<Features> {
        self.0[role as usize]
    }

    /// Whether a role is announced with a feature.
    pub fn has(&self, role: Role, feature: Feature) -> bool {
        self.get(role).is_some_and(|features| features.has(feature))
    }

    /// The roles and their features.
    pub fn iter(&self) -> impl Iterator<Item = (Role, Features)> {
        Role::ALL
            .into_iter()
            .filter_map(|role| self.get(role).map(|features| (role, features)))
    }

    /// Whether none is announced.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Whether a role of the router's side, or of the client's, is among them.
    pub(crate) fn any_of(&self, router: bool) -> bool {
        self.iter().any(|(role, _)| role.is_router() == router)
    }

    /// Reads the dictionary that begins with this token. Unknown roles and features are passed
    /// by; none is returned when something is not of its type.
    pub(crate) fn read<'a, R: Reader<'a>>(
        first: &Token<'a>,
        reader: &mut R,
    ) -> Result<Option<Self>, DecodeError> {
        let Token::Dict(_) = first else {
            return Ok(None);
        };
        let mut roles = Self::new();
        let mut seen = KeySet::default();
        while let Some(key) = unique_key(reader, &mut seen)? {
            let Some(role) = Role::from_word(&key) else {
                reader.skip()?;
                continue;
            };
            match read_role(reader)? {
                Some(features) => roles = roles.with(role, features),
                None => return Ok(None),
            }
        }
        Ok(Some(roles))
    }

    pub(crate) fn write<W: Writer>(&self, writer: &mut W) -> Result<(), EncodeError> {
        writer.dict(Some(self.iter().count()))?;
        for (role, features) in self.iter() {
            writer.key(role.as_str())?;
            writer.dict(Some(usize::from(!features.is_empty())))?;
            if !features.is_empty() {
                writer.key("features")?;
                writer.dict(Some(features.iter().count()))?;
                for feature in features.iter() {
                    writer.key(feature.as_str())?;
                    writer.bool(true);
                }
                writer.end()?;
            }
            writer.end()?;
        }
        writer.end()
    }
}

fn read_role<'a, R: Reader<'a>>(reader: &mut R) -> Result<Option<Features>, DecodeError> {
    let Token::Dict(_) = reader.token()? else {
        return Ok(None);
    };
    let mut features = Features::NONE;
    let mut seen = KeySet::default();
    while let Some(key) = unique_key(reader, &mut seen)? {
        if key != "features" {
            reader.skip()?;
            continue;
        }
        let Token::Dict(_) = reader.token()? else {
            return Ok(None);
        };
        let mut seen = KeySet::default();
        while let Some(key) = unique_key(reader, &mut seen)? {
            let Some(feature) = Feature::from_word(&key) else {
                reader.skip()?;
                continue;
            };
            match reader.token()? {
                Token::Bool(true) => features = features.with(feature),
                Token::Bool(false) => {}
                _ => return Ok(None),
            }
        }
    }
    Ok(Some(features))
}

fn unique_key<'a, R: Reader<'a>>(
    reader: &mut R,
    seen: &mut KeySet<'a>,
) -> Result<Option<std::borrow::Cow<'a, str>>, DecodeError> {
    let at = reader.offset()?;
    let key = reader.key()?;
    if let Some(key) = &key
        && !seen.insert(key.clone())
    {
        return Err(DecodeErrorKind::DuplicateKey.at(at));
    }
    Ok(key)
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

owns_itself!(Roles);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_lead_back() {
        for &feature in Feature::ALL {
            assert_eq!(Feature::from_word(feature.as_str()), Some(feature));
        }
        assert_eq!(
            Feature::from_word("call_cancelling"),
            Some(Feature::CallCanceling)
        );
        for role in Role::ALL {
            assert_eq!(Role::from_word(role.as_str()), Some(role));
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut features = Features::NONE;
        for &feature in Feature::ALL {
            assert!(!features.has(feature));
            features = features.with(feature);
            assert!(features.has(feature));
        }
        assert_eq!(features.iter().count(), Feature::ALL.len());
        let few = Features::of(&[Feature::CallTimeout]);
        assert_eq!(features.and(few), few);
    }
}
