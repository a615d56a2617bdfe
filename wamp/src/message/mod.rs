//! The 25 message types, typed. What a message's octets are is the [serializers'](crate::serializer)
//! business; who may send it when is the [session's](crate::session).
//!
//! Messages borrow from the frame they came in; [`Message::into_owned`] detaches one.
//! Basic Profile, "Messages"; Advanced Profile, "Additional Messages".

use std::borrow::Cow;
use std::fmt;

use crate::id::Id;
use crate::own::IntoOwned;
use crate::payload::Payload;
use crate::uri::{MatchPolicy, Uri};
use crate::value::Dict;

mod attributes;
mod parse;
mod roles;
mod write;

pub use attributes::{
    Audience, CallOptions, CancelMode, CancelOptions, CloseDetails, EncAlgo, EncSerializer,
    ErrorDetails, EventDetails, HelloDetails, InterruptOptions, InvocationDetails,
    InvocationPolicy, Passthru, Principal, PublishOptions, RegisterOptions, ResultDetails,
    RevocationDetails, SubscribeOptions, WelcomeDetails,
};
pub(crate) use parse::parse;
pub use roles::{Feature, Features, Role, Roles};
pub(crate) use write::write;

macro_rules! message_types {
    ($($name:ident = $code:literal $word:literal $doc:literal;)+) => {
        /// The type of a message: its number, its name, and who sends it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum MessageType {
            $(#[doc = $doc] $name = $code,)+
        }

        impl MessageType {
            /// All of them.
            pub const ALL: [Self; 25] = [$(Self::$name),+];

            /// The type of this number, if there is one.
            pub const fn from_code(code: u64) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// Its name, as the specification writes it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

message_types! {
    Hello = 1 "HELLO" "A client opens a session.";
    Welcome = 2 "WELCOME" "The router accepts it.";
    Abort = 3 "ABORT" "Either ends it at once.";
    Challenge = 4 "CHALLENGE" "The router wants proof.";
    Authenticate = 5 "AUTHENTICATE" "The client gives it.";
    Goodbye = 6 "GOODBYE" "Either ends it in peace.";
    Error = 8 "ERROR" "A request failed.";
    Publish = 16 "PUBLISH" "A client publishes an event.";
    Published = 17 "PUBLISHED" "It is published.";
    Subscribe = 32 "SUBSCRIBE" "A client wants events.";
    Subscribed = 33 "SUBSCRIBED" "It will get them.";
    Unsubscribe = 34 "UNSUBSCRIBE" "A client wants no more.";
    Unsubscribed = 35 "UNSUBSCRIBED" "It gets no more.";
    Event = 36 "EVENT" "An event.";
    Call = 48 "CALL" "A client calls a procedure.";
    Cancel = 49 "CANCEL" "It takes the call back.";
    Result = 50 "RESULT" "What the procedure returned.";
    Register = 64 "REGISTER" "A client offers a procedure.";
    Registered = 65 "REGISTERED" "It is offered.";
    Unregister = 66 "UNREGISTER" "A client takes the offer back.";
    Unregistered = 67 "UNREGISTERED" "It is no longer offered.";
    Invocation = 68 "INVOCATION" "A procedure is called.";
    Interrupt = 69 "INTERRUPT" "The call was taken back.";
    Yield = 70 "YIELD" "What the procedure returns.";
    EventReceived = 337 "EVENT_RECEIVED" "A subscriber confirms an event (an extension in use).";
}

impl MessageType {
    /// Its number on the wire.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// Whether a client may send it.
    pub const fn from_client(self) -> bool {
        use MessageType::{
            Abort, Authenticate, Call, Cancel, Error, EventReceived, Goodbye, Hello, Publish,
            Register, Subscribe, Unregister, Unsubscribe, Yield,
        };
        matches!(
            self,
            Hello
                | Authenticate
                | Abort
                | Goodbye
                | Error
                | Publish
                | Subscribe
                | Unsubscribe
                | EventReceived
                | Call
                | Cancel
                | Register
                | Unregister
                | Yield
        )
    }

    /// Whether a router may send it.
    pub const fn from_router(self) -> bool {
        matches!(self, Self::Abort | Self::Goodbye | Self::Error) || !self.from_client()
    }

    /// Whether ERROR may answer it.
    pub const fn is_request(self) -> bool {
        matches!(
            self,
            Self::Publish
                | Self::Subscribe
                | Self::Unsubscribe
                | Self::Call
                | Self::Register
                | Self::Unregister
                | Self::Invocation
        )
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each variant is told with its own type")]
pub enum Message<'a> {
    Hello(Hello<'a>),
    Welcome(Welcome<'a>),
    Abort(Abort<'a>),
    Challenge(Challenge<'a>),
    Authenticate(Authenticate<'a>),
    Goodbye(Goodbye<'a>),
    Error(Error<'a>),
    Publish(Publish<'a>),
    Published(Published),
    Subscribe(Subscribe<'a>),
    Subscribed(Subscribed),
    Unsubscribe(Unsubscribe),
    Unsubscribed(Unsubscribed<'a>),
    Event(Event<'a>),
    EventReceived(EventReceived),
    Call(Call<'a>),
    Cancel(Cancel<'a>),
    Result(CallResult<'a>),
    Register(Register<'a>),
    Registered(Registered),
    Unregister(Unregister),
    Unregistered(Unregistered<'a>),
    Invocation(Invocation<'a>),
    Interrupt(Interrupt<'a>),
    Yield(Yield<'a>),
}

macro_rules! variants {
    ($(borrowed $borrowed:ident,)+ $(plain $plain:ident,)+) => {
        impl Message<'_> {
            /// Its type.
            pub const fn message_type(&self) -> MessageType {
                match self {
                    $(Self::$borrowed(_) => MessageType::$borrowed,)+
                    $(Self::$plain(_) => MessageType::$plain,)+
                }
            }

            /// The same, borrowing from nothing: what is kept beyond the frame it came in.
            pub fn into_owned(self) -> Message<'static> {
                match self {
                    $(Self::$borrowed(message) => Message::$borrowed(message.into_owned()),)+
                    $(Self::$plain(message) => Message::$plain(message),)+
                }
            }
        }
    };
}

variants! {
    borrowed Hello, borrowed Welcome, borrowed Abort, borrowed Challenge, borrowed Authenticate,
    borrowed Goodbye, borrowed Error, borrowed Publish, borrowed Subscribe, borrowed Unsubscribed,
    borrowed Event, borrowed Call, borrowed Cancel, borrowed Result, borrowed Register,
    borrowed Unregistered, borrowed Invocation, borrowed Interrupt, borrowed Yield,
    plain Published, plain Subscribed, plain Unsubscribe, plain EventReceived, plain Registered,
    plain Unregister,
}

macro_rules! borrowing {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])* $field:ident: $type:ty,)+
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name<'a> {
            $($(#[$field_doc])* pub $field: $type,)+
        }

        impl $name<'_> {
            /// The same, borrowing from nothing.
            pub fn into_owned(self) -> $name<'static> {
                $name {
                    $($field: IntoOwned::into_owned(self.$field),)+
                }
            }
        }

        impl<'a> From<$name<'a>> for Message<'a> {
            fn from(message: $name<'a>) -> Self {
                message.into_message()
            }
        }
    };
}

macro_rules! plain {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])* $field:ident: $type:ty,)+
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)+
        }

        impl From<$name> for Message<'_> {
            fn from(message: $name) -> Self {
                Self::$name(message)
            }
        }
    };
}

macro_rules! into_message {
    ($($name:ident => $variant:ident,)+) => {$(
        impl<'a> $name<'a> {
            fn into_message(self) -> Message<'a> {
                Message::$variant(self)
            }
        }
    )+};
}

into_message! {
    Hello => Hello, Welcome => Welcome, Abort => Abort, Challenge => Challenge,
    Authenticate => Authenticate, Goodbye => Goodbye, Error => Error, Publish => Publish,
    Subscribe => Subscribe, Unsubscribed => Unsubscribed, Event => Event, Call => Call,
    Cancel => Cancel, CallResult => Result, Register => Register, Unregistered => Unregistered,
    Invocation => Invocation, Interrupt => Interrupt, Yield => Yield,
}

borrowing! {
    /// A client opens a session: `[HELLO, Realm|uri, Details|dict]`.
    Hello {
        /// The realm it wants to join.
        realm: Uri<'a>,
        /// Roles, and how to authenticate.
        details: HelloDetails<'a>,
    }
}

borrowing! {
    /// The router accepts a session: `[WELCOME, Session|id, Details|dict]`.
    Welcome {
        /// The session.
        session: Id,
        /// Roles, and who the client is.
        details: WelcomeDetails<'a>,
    }
}

borrowing! {
    /// Either ends the session at once, and is not answered:
    /// `[ABORT, Details|dict, Reason|uri, Arguments|list, ArgumentsKw|dict]`.
    Abort {
        /// For humans.
        details: CloseDetails<'a>,
        /// Why.
        reason: Uri<'a>,
        /// More about it.
        payload: Payload<'a>,
    }
}

borrowing! {
    /// The router wants proof: `[CHALLENGE, AuthMethod|string, Extra|dict]`.
    Challenge {
        /// By which method.
        method: Cow<'a, str>,
        /// What the method needs.
        extra: Dict,
    }
}

borrowing! {
    /// The client gives proof: `[AUTHENTICATE, Signature|string, Extra|dict]`.
    Authenticate {
        /// The proof.
        signature: Cow<'a, str>,
        /// What the method needs besides.
        extra: Dict,
    }
}

borrowing! {
    /// Either ends the session, and is answered by the same: `[GOODBYE, Details|dict, Reason|uri]`.
    Goodbye {
        /// For humans.
        details: CloseDetails<'a>,
        /// Why.
        reason: Uri<'a>,
    }
}

borrowing! {
    /// A request failed: `[ERROR, REQUEST.Type|int, REQUEST.Request|id, Details|dict, Error|uri,
    /// Arguments|list, ArgumentsKw|dict]`.
    Error {
        /// The request's type.
        request_type: MessageType,
        /// The request.
        request: Id,
        /// Details.
        details: ErrorDetails<'a>,
        /// What went wrong.
        error: Uri<'a>,
        /// More about it.
        payload: Payload<'a>,
    }
}

borrowing! {
    /// A client publishes an event: `[PUBLISH, Request|id, Options|dict, Topic|uri,
    /// Arguments|list, ArgumentsKw|dict]`.
    Publish {
        /// The request.
        request: Id,
        /// Options.
        options: PublishOptions<'a>,
        /// Where.
        topic: Uri<'a>,
        /// What.
        payload: Payload<'a>,
    }
}

plain! {
    /// An event is published: `[PUBLISHED, PUBLISH.Request|id, Publication|id]`.
    Published {
        /// The request.
        request: Id,
        /// The publication.
        publication: Id,
    }
}

borrowing! {
    /// A client wants events: `[SUBSCRIBE, Request|id, Options|dict, Topic|uri]`.
    Subscribe {
        /// The request.
        request: Id,
        /// Options.
        options: SubscribeOptions<'a>,
        /// The topic, or the pattern `options` says it is.
        topic: Uri<'a>,
    }
}

plain! {
    /// A client will get events: `[SUBSCRIBED, SUBSCRIBE.Request|id, Subscription|id]`.
    Subscribed {
        /// The request.
        request: Id,
        /// The subscription.
        subscription: Id,
    }
}

plain! {
    /// A client wants no more events: `[UNSUBSCRIBE, Request|id, SUBSCRIBED.Subscription|id]`.
    Unsubscribe {
        /// The request.
        request: Id,
        /// The subscription.
        subscription: Id,
    }
}

borrowing! {
    /// A client gets no more events: `[UNSUBSCRIBED, UNSUBSCRIBE.Request|id]`, or, when the router
    /// took the subscription back, `[UNSUBSCRIBED, 0, Details|dict]`.
    Unsubscribed {
        /// The request, or what was taken back.
        of: Withdrawn<'a>,
    }
}

borrowing! {
    /// An event: `[EVENT, SUBSCRIBED.Subscription|id, PUBLISHED.Publication|id, Details|dict,
    /// PUBLISH.Arguments|list, PUBLISH.ArgumentsKw|dict]`.
    Event {
        /// The subscription it comes by.
        subscription: Id,
        /// The publication.
        publication: Id,
        /// Details.
        details: EventDetails<'a>,
        /// What.
        payload: Payload<'a>,
    }
}

plain! {
    /// A subscriber confirms an event: `[EVENT_RECEIVED, EVENT.Publication|id]`. Not in the
    /// specification's text, but in its vectors and in clients.
    EventReceived {
        /// The publication.
        publication: Id,
    }
}

borrowing! {
    /// A client calls a procedure: `[CALL, Request|id, Options|dict, Procedure|uri,
    /// Arguments|list, ArgumentsKw|dict]`.
    Call {
        /// The request.
        request: Id,
        /// Options.
        options: CallOptions<'a>,
        /// Which procedure.
        procedure: Uri<'a>,
        /// Its arguments.
        payload: Payload<'a>,
    }
}

borrowing! {
    /// A client takes a call back: `[CANCEL, CALL.Request|id, Options|dict]`.
    Cancel {
        /// The request.
        request: Id,
        /// How.
        options: CancelOptions<'a>,
    }
}

borrowing! {
    /// What a procedure returned: `[RESULT, CALL.Request|id, Details|dict, YIELD.Arguments|list,
    /// YIELD.ArgumentsKw|dict]`.
    CallResult {
        /// The request.
        request: Id,
        /// Details.
        details: ResultDetails<'a>,
        /// The result.
        payload: Payload<'a>,
    }
}

borrowing! {
    /// A client offers a procedure: `[REGISTER, Request|id, Options|dict, Procedure|uri]`.
    Register {
        /// The request.
        request: Id,
        /// Options.
        options: RegisterOptions<'a>,
        /// The procedure, or the pattern `options` says it is.
        procedure: Uri<'a>,
    }
}

plain! {
    /// A procedure is offered: `[REGISTERED, REGISTER.Request|id, Registration|id]`.
    Registered {
        /// The request.
        request: Id,
        /// The registration.
        registration: Id,
    }
}

plain! {
    /// A client takes an offer back: `[UNREGISTER, Request|id, REGISTERED.Registration|id]`.
    Unregister {
        /// The request.
        request: Id,
        /// The registration.
        registration: Id,
    }
}

borrowing! {
    /// A procedure is no longer offered: `[UNREGISTERED, UNREGISTER.Request|id]`, or, when the
    /// router took the registration back, `[UNREGISTERED, 0, Details|dict]`.
    Unregistered {
        /// The request, or what was taken back.
        of: Withdrawn<'a>,
    }
}

borrowing! {
    /// A procedure is called: `[INVOCATION, Request|id, REGISTERED.Registration|id, Details|dict,
    /// CALL.Arguments|list, CALL.ArgumentsKw|dict]`.
    Invocation {
        /// The request.
        request: Id,
        /// The registration it comes by.
        registration: Id,
        /// Details.
        details: InvocationDetails<'a>,
        /// Its arguments.
        payload: Payload<'a>,
    }
}

borrowing! {
    /// A call was taken back: `[INTERRUPT, INVOCATION.Request|id, Options|dict]`.
    Interrupt {
        /// The request.
        request: Id,
        /// How.
        options: InterruptOptions<'a>,
    }
}

borrowing! {
    /// What a procedure returns: `[YIELD, INVOCATION.Request|id, Options|dict, Arguments|list,
    /// ArgumentsKw|dict]`.
    Yield {
        /// The request.
        request: Id,
        /// Options.
        options: ResultDetails<'a>,
        /// The result.
        payload: Payload<'a>,
    }
}

/// Why UNSUBSCRIBED or UNREGISTERED came.
#[derive(Debug, Clone, PartialEq)]
pub enum Withdrawn<'a> {
    /// The client asked for it.
    Request(Id),
    /// The router took the subscription or registration back.
    Revoked {
        /// Which.
        id: Id,
        /// Why.
        reason: Option<Cow<'a, str>>,
    },
}

impl IntoOwned for Withdrawn<'_> {
    type Owned = Withdrawn<'static>;
    fn into_owned(self) -> Withdrawn<'static> {
        match self {
            Self::Request(request) => Withdrawn::Request(request),
            Self::Revoked { id, reason } => Withdrawn::Revoked {
                id,
                reason: IntoOwned::into_owned(reason),
            },
        }
    }
}

crate::own::owns_itself!(MessageType);

impl Abort<'static> {
    /// An ABORT with a reason and a message for humans.
    pub fn new(reason: Uri<'static>, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            details: CloseDetails {
                message: Some(message.into()),
                ..CloseDetails::default()
            },
            reason,
            payload: Payload::empty(),
        }
    }
}

impl Goodbye<'static> {
    /// A GOODBYE with a reason.
    pub fn new(reason: Uri<'static>) -> Self {
        Self {
            details: CloseDetails::default(),
            reason,
        }
    }
}

impl Error<'static> {
    /// An ERROR that answers a request.
    pub fn new(request_type: MessageType, request: Id, error: Uri<'static>) -> Self {
        Self {
            request_type,
            request,
            details: ErrorDetails::default(),
            error,
            payload: Payload::empty(),
        }
    }
}

impl PublishOptions<'_> {
    /// Whether an answer is asked for.
    pub fn acknowledged(&self) -> bool {
        self.acknowledge == Some(true)
    }

    /// Whether the publisher is excluded from receiving its own event; it is unless it says no.
    pub fn excludes_publisher(&self) -> bool {
        self.exclude_me != Some(false)
    }
}

impl Subscribe<'_> {
    /// How the topic is meant.
    pub fn match_policy(&self) -> MatchPolicy {
        self.options.match_policy.unwrap_or_default()
    }
}

impl Register<'_> {
    /// How the procedure is meant.
    pub fn match_policy(&self) -> MatchPolicy {
        self.options.match_policy.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lead_back_and_directions_cover_all() {
        for message in MessageType::ALL {
            assert_eq!(MessageType::from_code(message.code().into()), Some(message));
            assert!(message.from_client() || message.from_router());
        }
        let both: Vec<_> = MessageType::ALL
            .into_iter()
            .filter(|message| message.from_client() && message.from_router())
            .collect();
        assert_eq!(
            both,
            [MessageType::Abort, MessageType::Goodbye, MessageType::Error]
        );
        assert_eq!(MessageType::from_code(7), None);
        assert_eq!(MessageType::from_code(u64::MAX), None);
    }

    #[test]
    fn messages_stay_small() {
        // Messages are moved: through results, into queues. A cache line or four.
        assert!(
            size_of::<Message<'_>>() <= 448,
            "{}",
            size_of::<Message<'_>>()
        );
    }
}
