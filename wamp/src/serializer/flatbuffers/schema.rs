//! Where each field of each table stands: the slots of the schema, and its enumerations.

use crate::message::{CancelMode, Feature, InvocationPolicy, Role};
use crate::uri::MatchPolicy;

/// The union that every buffer is.
pub(super) mod envelope {
    pub(crate) const TYPE: usize = 0;
    pub(crate) const MESSAGE: usize = 1;
    pub(crate) const SLOTS: usize = 2;
}

/// EVENT_RECEIVED has a number of its own in the schema, where types are octets.
pub(super) const EVENT_RECEIVED: u16 = 37;

macro_rules! tables {
    ($($table:ident { $($slot:ident = $number:literal),+ $(,)? } of $slots:literal;)+) => {$(
        pub(super) mod $table {
            $(pub(crate) const $slot: usize = $number;)+
            pub(crate) const SLOTS: usize = $slots;
        }
    )+};
}

// Slot 0 is the sender's session nearly everywhere; it is filled by routers among themselves.
tables! {
    hello { ROLES = 1, REALM = 2, AUTHMETHODS = 3, AUTHID = 4, AUTHROLE = 5, AUTHEXTRA = 6,
        RESUMABLE = 7, RESUME_SESSION = 8, RESUME_TOKEN = 9 } of 10;
    welcome { SESSION = 0, ROLES = 1, REALM = 2, AUTHID = 3, AUTHROLE = 4, AUTHMETHOD = 5,
        AUTHPROVIDER = 6, AUTHEXTRA = 7, RESUMED = 8, RESUMABLE = 9, RESUME_TOKEN = 10 } of 11;
    abort { REASON = 1, MESSAGE = 2 } of 3;
    challenge { METHOD = 1, EXTRA = 2 } of 3;
    authenticate { SIGNATURE = 1, EXTRA = 2 } of 3;
    goodbye { REASON = 1, MESSAGE = 2, RESUMABLE = 3 } of 4;
    error { REQUEST_TYPE = 1, REQUEST = 2, ERROR = 3, ARGS = 4, FORWARD_FOR = 11 } of 12;
    publish { REQUEST = 1, TOPIC = 2, ARGS = 3, ACKNOWLEDGE = 10, EXCLUDE_ME = 11, EXCLUDE = 12,
        EXCLUDE_AUTHID = 13, EXCLUDE_AUTHROLE = 14, ELIGIBLE = 15, ELIGIBLE_AUTHID = 16,
        ELIGIBLE_AUTHROLE = 17, RETAIN = 18, TRANSACTION_HASH = 19, FORWARD_FOR = 20 } of 21;
    event { SUBSCRIPTION = 1, PUBLICATION = 2, ARGS = 3, PUBLISHER = 10, PUBLISHER_AUTHID = 11,
        PUBLISHER_AUTHROLE = 12, TOPIC = 13, RETAINED = 14, TRANSACTION_HASH = 15,
        ACKNOWLEDGE = 16, FORWARD_FOR = 17 } of 18;
    event_received { PUBLICATION = 1 } of 3;
    subscribe { REQUEST = 1, TOPIC = 2, MATCH = 3, GET_RETAINED = 4 } of 5;
    reply { REQUEST = 1, ID = 2, REASON = 3 } of 4;
    call { REQUEST = 1, PROCEDURE = 2, ARGS = 3, TIMEOUT = 10, RECEIVE_PROGRESS = 11,
        TRANSACTION_HASH = 12, CALLER = 13, CALLER_AUTHID = 14, CALLER_AUTHROLE = 15,
        FORWARD_FOR = 16 } of 17;
    cancel { REQUEST = 1, MODE = 2, FORWARD_FOR = 3 } of 4;
    interrupt { REQUEST = 1, MODE = 2, REASON = 3, FORWARD_FOR = 4 } of 5;
    result { REQUEST = 1, ARGS = 2, PROGRESS = 9, CALLEE = 10, CALLEE_AUTHID = 11,
        CALLEE_AUTHROLE = 12, FORWARD_FOR = 13 } of 14;
    register { REQUEST = 1, PROCEDURE = 2, MATCH = 3, INVOKE = 4, CONCURRENCY = 5,
        FORCE_REREGISTER = 6 } of 7;
    invocation { REQUEST = 1, REGISTRATION = 2, ARGS = 3, PROCEDURE = 10, TIMEOUT = 11,
        RECEIVE_PROGRESS = 12, TRANSACTION_HASH = 13, CALLER = 14, CALLER_AUTHID = 15,
        CALLER_AUTHROLE = 16, FORWARD_FOR = 17 } of 18;
    principal { SESSION = 0, AUTHID = 1, AUTHROLE = 2 } of 3;
    pair { KEY = 0, VALUE = 1 } of 2;
}

/// The payload's fields stand together, from its `ARGS` slot on.
pub(super) mod payload {
    pub(crate) const KWARGS: usize = 1;
    pub(crate) const PAYLOAD: usize = 2;
    pub(crate) const SCHEME: usize = 3;
    pub(crate) const SERIALIZER: usize = 4;
    pub(crate) const CIPHER: usize = 5;
    pub(crate) const KEYID: usize = 6;
}

pub(super) const MATCH: [MatchPolicy; 3] = [
    MatchPolicy::Exact,
    MatchPolicy::Prefix,
    MatchPolicy::Wildcard,
];

pub(super) const INVOKE: [InvocationPolicy; 5] = [
    InvocationPolicy::Single,
    InvocationPolicy::First,
    InvocationPolicy::Last,
    InvocationPolicy::Roundrobin,
    InvocationPolicy::Random,
];

pub(super) const CANCEL: [CancelMode; 3] =
    [CancelMode::Skip, CancelMode::Kill, CancelMode::KillNoWait];

/// Authentication methods; the first is none.
pub(super) const METHODS: [&str; 5] =
    ["anonymous", "ticket", "wampcra", "wamp-scram", "cryptosign"];

/// Schemes of payloads the router does not look into; the first is none.
pub(super) const SCHEMES: [&str; 4] = ["", "cryptobox", "mqtt", "xbr"];

/// Serializers of such payloads; the first is the transport's own.
pub(super) const SERIALIZERS: [&str; 8] = [
    "",
    "json",
    "msgpack",
    "cbor",
    "ubjson",
    "opaque",
    "flatbuffers",
    "flexbuffers",
];

/// Their ciphers; the first is none.
pub(super) const CIPHERS: [&str; 3] = ["", "xsalsa20poly1305", "aes256gcm"];

/// The slots of each role's table of features, in order.
pub(super) const fn features(role: Role) -> &'static [Feature] {
    use Feature::{
        AcknowledgeEventReceived, AcknowledgeSubscriberReceived, CallCanceling, CallTimeout,
        CallTrustlevels, CallerIdentification, EventHistory, EventRetention,
        PatternBasedRegistration, PatternBasedSubscription, PayloadEncryptionCryptobox,
        PayloadTransparency, ProgressiveCallResults, PublicationTrustlevels, PublisherExclusion,
        PublisherIdentification, RegistrationMetaApi, RegistrationRevocation, SessionMetaApi,
        SharedRegistration, SubscriberBlackwhiteListing, SubscriptionMetaApi,
        SubscriptionRevocation, TestamentMetaApi,
    };
    match role {
        Role::Broker => &[
            PublisherIdentification,
            PublisherExclusion,
            SubscriberBlackwhiteListing,
            PatternBasedSubscription,
            PublicationTrustlevels,
            SubscriptionRevocation,
            SessionMetaApi,
            SubscriptionMetaApi,
            EventRetention,
            EventHistory,
            AcknowledgeEventReceived,
            AcknowledgeSubscriberReceived,
            PayloadTransparency,
            PayloadEncryptionCryptobox,
        ],
        Role::Publisher => &[
            PublisherIdentification,
            PublisherExclusion,
            SubscriberBlackwhiteListing,
            AcknowledgeEventReceived,
            PayloadTransparency,
            PayloadEncryptionCryptobox,
        ],
        Role::Subscriber => &[
            PublisherIdentification,
            PatternBasedSubscription,
            PublicationTrustlevels,
            SubscriptionRevocation,
            EventHistory,
            AcknowledgeSubscriberReceived,
            PayloadTransparency,
            PayloadEncryptionCryptobox,
        ],
        Role::Dealer => &[
            CallerIdentification,
            CallTrustlevels,
            CallTimeout,
            CallCanceling,
            ProgressiveCallResults,
            RegistrationRevocation,
            PatternBasedRegistration,
            SharedRegistration,
            SessionMetaApi,
            RegistrationMetaApi,
            TestamentMetaApi,
            PayloadTransparency,
            PayloadEncryptionCryptobox,
        ],
        Role::Caller => &[
            CallerIdentification,
            CallTimeout,
            CallCanceling,
            ProgressiveCallResults,
            PayloadTransparency,
            PayloadEncryptionCryptobox,
        ],
        Role::Callee => &[
            CallerIdentification,
            CallTrustlevels,
            CallTimeout,
            CallCanceling,
            ProgressiveCallResults,
            RegistrationRevocation,
            PatternBasedRegistration,
            SharedRegistration,
            PayloadTransparency,
            PayloadEncryptionCryptobox,
        ],
    }
}

/// The slots of roles in the table of a side.
pub(super) const fn roles(router: bool) -> &'static [Role] {
    if router {
        &[Role::Broker, Role::Dealer]
    } else {
        &[
            Role::Publisher,
            Role::Subscriber,
            Role::Caller,
            Role::Callee,
        ]
    }
}
