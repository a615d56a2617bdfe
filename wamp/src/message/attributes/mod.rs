//! Options and details: typed attributes, each checked as it is read, unknown ones passed by
//! (Basic Profile, "Extensibility"). What an implementation adds for itself (`_...`, `x_...`) is
//! kept aside as it is.
//!
//! Every attribute is optional: `None` is its absence, and what absence means is told with the
//! attribute. The types of attributes are in `fields`.

use std::borrow::Cow;

use crate::error::{DecodeErrorKind, EncodeError, Violation};
use crate::id::Id;
use crate::message::MessageType;
use crate::message::roles::Roles;
use crate::own::IntoOwned;
use crate::token::{self, KeySet, Reader, Token, Writer};
use crate::uri::{MatchPolicy, Uri, UriRule};
use crate::value::Dict;

mod fields;

use fields::Field;
pub use fields::{CancelMode, EncAlgo, EncSerializer, InvocationPolicy, Principal};

/// What reading needs to know of the message around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    pub(crate) message: MessageType,
    pub(crate) uri_rule: UriRule,
}

/// A set of attributes, or a group of them that several messages share.
pub(crate) trait Attributes<'a>: Default + PartialEq {
    /// Whether null stands for absence. It does in openings, where routers in use send it.
    const NULLABLE: bool;

    fn knows(key: &str) -> bool;

    /// Reads the value of a key it knows.
    fn read<R: Reader<'a>>(
        &mut self,
        key: &str,
        reader: &mut R,
        context: Context,
    ) -> Result<(), Violation>;

    /// Keeps what an implementation added for itself.
    fn custom(&mut self) -> Option<&mut Dict>;

    fn count(&self) -> usize;

    fn write<W: Writer>(&self, writer: &mut W) -> Result<(), EncodeError>;
}

/// Reads the attributes of a message: the dictionary that begins with this token.
pub(crate) fn read<'a, R: Reader<'a>, A: Attributes<'a>>(
    reader: &mut R,
    context: Context,
) -> Result<A, Violation> {
    let mut attributes = A::default();
    let mut seen = KeySet::default();
    loop {
        let at = reader.offset()?;
        let Some(key) = reader.key()? else {
            return Ok(attributes);
        };
        if !seen.insert(key.clone()) {
            return Err(DecodeErrorKind::DuplicateKey.at(at).into());
        }
        if A::knows(&key) {
            attributes.read(&key, reader, context)?;
        } else if is_custom(&key)
            && let Some(custom) = attributes.custom()
        {
            let value = token::value(reader)?;
            custom.push_unique(key.into_owned(), value);
        } else {
            reader.skip()?;
        }
    }
}

/// Writes the attributes of a message.
pub(crate) fn write<'a, W: Writer, A: Attributes<'a>>(
    attributes: &A,
    writer: &mut W,
) -> Result<(), EncodeError> {
    writer.dict(Some(attributes.count()))?;
    attributes.write(writer)?;
    writer.end()
}

/// Keys of one implementation: `_[a-z0-9_]{3,}` by the text, `x_...` by custom.
fn is_custom(key: &str) -> bool {
    key.starts_with("x_") || (key.starts_with('_') && key.len() > 3)
}

/// Attributes few messages carry live behind one pointer, so that the many stay small.
impl<'a, A: Attributes<'a>> Attributes<'a> for Option<Box<A>> {
    const NULLABLE: bool = A::NULLABLE;

    fn knows(key: &str) -> bool {
        A::knows(key)
    }

    fn read<R: Reader<'a>>(
        &mut self,
        key: &str,
        reader: &mut R,
        context: Context,
    ) -> Result<(), Violation> {
        self.get_or_insert_default().read(key, reader, context)
    }

    fn custom(&mut self) -> Option<&mut Dict> {
        None
    }

    fn count(&self) -> usize {
        self.as_ref().map_or(0, |group| group.count())
    }

    fn write<W: Writer>(&self, writer: &mut W) -> Result<(), EncodeError> {
        self.as_ref().map_or(Ok(()), |group| group.write(writer))
    }
}

fn read_field<'a, R: Reader<'a>, F: Field<'a>, A: Attributes<'a>>(
    key: &'static str,
    reader: &mut R,
    context: Context,
) -> Result<Option<F>, Violation> {
    let first = reader.token()?;
    if A::NULLABLE && first == Token::Null {
        return Ok(None);
    }
    match F::read(first, reader, context)? {
        Some(field) => Ok(Some(field)),
        None => Err(Violation::Attribute {
            message: context.message,
            key,
            expected: F::EXPECTED,
        }),
    }
}

macro_rules! attributes {
    (
        $(#[$doc:meta])*
        $name:ident, nullable: $nullable:literal {
            $($(#[$field_doc:meta])* $field:ident: $type:ty = $key:literal $(| $alias:literal)*,)*
            $(@group $(#[$group_doc:meta])* $group:ident: $group_type:ty,)*
            $(@last $(#[$last_doc:meta])* $last:ident: $last_type:ty = $last_key:literal,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $name<'a> {
            $($(#[$field_doc])* pub $field: Option<$type>,)*
            $($(#[$group_doc])* pub $group: Option<Box<$group_type>>,)*
            $($(#[$last_doc])* pub $last: Option<$last_type>,)*
            /// What an implementation added for itself: keys that begin with `_` or `x_`.
            pub custom: Dict,
        }

        impl<'a> Attributes<'a> for $name<'a> {
            const NULLABLE: bool = $nullable;

            fn knows(key: &str) -> bool {
                matches!(key, "" $(| $key $(| $alias)*)* $(| $last_key)*) && !key.is_empty()
                    $(|| <$group_type>::knows(key))*
            }

            fn read<R: Reader<'a>>(
                &mut self,
                key: &str,
                reader: &mut R,
                context: Context,
            ) -> Result<(), Violation> {
                match key {
                    $($key $(| $alias)* => {
                        if self.$field.is_some() {
                            // Both spellings at once.
                            return Err(DecodeErrorKind::DuplicateKey.at(reader.offset()?).into());
                        }
                        self.$field = read_field::<R, $type, Self>($key, reader, context)?;
                        Ok(())
                    })*
                    $($last_key => {
                        self.$last = read_field::<R, $last_type, Self>($last_key, reader, context)?;
                        Ok(())
                    })*
                    $(_ if <$group_type>::knows(key) => self.$group.read(key, reader, context),)*
                    _ => reader.skip().map(drop).map_err(Violation::from),
                }
            }

            fn custom(&mut self) -> Option<&mut Dict> {
                Some(&mut self.custom)
            }

            fn count(&self) -> usize {
                self.custom.len()
                    $(+ usize::from(self.$field.is_some()))*
                    $(+ self.$group.count())*
                    $(+ usize::from(self.$last.is_some()))*
            }

            fn write<W: Writer>(&self, writer: &mut W) -> Result<(), EncodeError> {
                $(if let Some(field) = &self.$field {
                    writer.key($key)?;
                    Field::write(field, writer)?;
                })*
                $(self.$group.write(writer)?;)*
                $(if let Some(last) = &self.$last {
                    writer.key($last_key)?;
                    Field::write(last, writer)?;
                })*
                for (key, value) in self.custom.iter() {
                    writer.key(key)?;
                    writer.value(value)?;
                }
                Ok(())
            }
        }

        impl IntoOwned for $name<'_> {
            type Owned = $name<'static>;
            fn into_owned(self) -> Self::Owned {
                $name {
                    $($field: IntoOwned::into_owned(self.$field),)*
                    $($group: IntoOwned::into_owned(self.$group),)*
                    $($last: IntoOwned::into_owned(self.$last),)*
                    custom: self.custom,
                }
            }
        }

        impl $name<'_> {
            /// The same, borrowing from nothing.
            pub fn into_owned(self) -> $name<'static> {
                IntoOwned::into_owned(self)
            }
        }
    };
}

attributes! {
    /// `HELLO.Details`. `roles` must be there, with one role of a client at least.
    HelloDetails, nullable: true {
        /// The client's roles and features.
        roles: Roles = "roles",
        /// Which software the client is.
        agent: Cow<'a, str> = "agent",
        /// How the client is ready to authenticate, the best first. Absent: anonymously.
        authmethods: Vec<Cow<'a, str>> = "authmethods",
        /// Who the client wants to be.
        authid: Cow<'a, str> = "authid",
        /// Which role of the realm the client wants.
        authrole: Cow<'a, str> = "authrole",
        /// What the authentication method needs besides.
        authextra: Dict = "authextra",
        /// Whether the session shall outlive its transport (a draft).
        resumable: bool = "resumable",
        /// The session to be resumed (a draft).
        resume_session: Id = "resume-session" | "resume_session",
        /// The right to do so (a draft).
        resume_token: Cow<'a, str> = "resume-token" | "resume_token",
    }
}

attributes! {
    /// `WELCOME.Details`. `roles` must be there, with one role of a router at least.
    WelcomeDetails, nullable: true {
        /// The router's roles and features.
        roles: Roles = "roles",
        /// Which software the router is.
        agent: Cow<'a, str> = "agent",
        /// The realm that was joined.
        realm: Cow<'a, str> = "realm",
        /// Who the client is.
        authid: Cow<'a, str> = "authid",
        /// Its role in the realm.
        authrole: Cow<'a, str> = "authrole",
        /// How it was authenticated.
        authmethod: Cow<'a, str> = "authmethod",
        /// Who authenticated it.
        authprovider: Cow<'a, str> = "authprovider",
        /// What the authentication gave besides.
        authextra: Dict = "authextra",
        /// Whether an earlier session goes on (a draft).
        resumed: bool = "resumed",
        /// Whether the session can be resumed (a draft).
        resumable: bool = "resumable",
        /// The right to do so (a draft).
        resume_token: Cow<'a, str> = "resume-token" | "resume_token" | "resume-ticket",
    }
}

attributes! {
    /// `ABORT.Details` and `GOODBYE.Details`.
    CloseDetails, nullable: true {
        /// For humans.
        message: Cow<'a, str> = "message",
        /// Whether the session shall stay for being resumed (a draft).
        resumable: bool = "resumable",
    }
}

attributes! {
    /// `PUBLISH.Options`.
    PublishOptions, nullable: false {
        /// Answer with PUBLISHED or ERROR. Absent: no answer.
        acknowledge: bool = "acknowledge",
        /// Whether the publisher is excluded. Absent: it is.
        exclude_me: bool = "exclude_me",
        /// Tell subscribers who published.
        disclose_me: bool = "disclose_me",
        /// Keep the event for who subscribes later.
        retain: bool = "retain",
        /// The key by which subscribers of a sharded topic are chosen.
        rkey: Cow<'a, str> = "rkey",
        /// The transaction the event belongs to.
        transaction_hash: Cow<'a, str> = "transaction_hash",
        @group
        /// Who receives it.
        audience: Audience<'a>,
        @group
        /// How to read the payload, if the router does not.
        passthru: Passthru<'a>,
        @last
        /// The way through linked routers. Clients in use write it after the rest here.
        forward_for: Vec<Principal<'a>> = "forward_for",
    }
}

attributes! {
    /// Who receives an event: `PUBLISH.Options`, "Subscriber Black- and Whitelisting". Conditions
    /// hold all at once; an empty list of eligible ones means nobody.
    Audience, nullable: false {
        /// Sessions that do not receive it.
        exclude: Vec<Id> = "exclude",
        /// Principals that do not.
        exclude_authid: Vec<Cow<'a, str>> = "exclude_authid",
        /// Roles that do not.
        exclude_authrole: Vec<Cow<'a, str>> = "exclude_authrole",
        /// The only sessions that may.
        eligible: Vec<Id> = "eligible",
        /// The only principals that may.
        eligible_authid: Vec<Cow<'a, str>> = "eligible_authid",
        /// The only roles that may.
        eligible_authrole: Vec<Cow<'a, str>> = "eligible_authrole",
    }
}

attributes! {
    /// How to read a payload the router does not look into: "Payload Passthru Mode", and the
    /// attributes that clients in use have for it.
    Passthru, nullable: false {
        /// What the payload belongs to. Its presence turns the mode on.
        ppt_scheme: Cow<'a, str> = "ppt_scheme",
        /// What it is serialized with.
        ppt_serializer: Cow<'a, str> = "ppt_serializer",
        /// What it is encrypted with.
        ppt_cipher: Cow<'a, str> = "ppt_cipher",
        /// Which key.
        ppt_keyid: Cow<'a, str> = "ppt_keyid",
        /// Autobahn's scheme: the payload is octets in the place of the arguments.
        enc_algo: EncAlgo<'a> = "enc_algo",
        /// Autobahn's serializer.
        enc_serializer: EncSerializer<'a> = "enc_serializer",
        /// Autobahn's key.
        enc_key: Cow<'a, str> = "enc_key",
    }
}

attributes! {
    /// `EVENT.Details`.
    EventDetails, nullable: false {
        /// The publisher's session, if disclosed.
        publisher: Id = "publisher",
        /// Who it is.
        publisher_authid: Cow<'a, str> = "publisher_authid",
        /// Its role.
        publisher_authrole: Cow<'a, str> = "publisher_authrole",
        /// The topic, where the subscription is to a pattern.
        topic: Uri<'a> = "topic",
        /// How far the publisher is trusted.
        trustlevel: u64 = "trustlevel",
        /// Whether it was kept from earlier.
        retained: bool = "retained",
        /// The transaction the event belongs to.
        transaction_hash: Cow<'a, str> = "transaction_hash",
        /// Whether EVENT_RECEIVED is asked for.
        x_acknowledged_delivery: bool = "x_acknowledged_delivery",
        /// The way through linked routers.
        forward_for: Vec<Principal<'a>> = "forward_for",
        @group
        /// How to read the payload, if the router does not.
        passthru: Passthru<'a>,
    }
}

attributes! {
    /// `SUBSCRIBE.Options`.
    SubscribeOptions, nullable: false {
        /// How the topic is meant. Absent: exactly.
        match_policy: MatchPolicy = "match",
        /// Send the event that was kept.
        get_retained: bool = "get_retained",
        /// The key of this subscriber of a sharded topic.
        nkey: Cow<'a, str> = "nkey",
        /// The way through linked routers.
        forward_for: Vec<Principal<'a>> = "forward_for",
    }
}

attributes! {
    /// `CALL.Options`.
    CallOptions, nullable: false {
        /// Milliseconds until the call is given up. Absent or 0: never.
        timeout_ms: u64 = "timeout",
        /// Ready for results in parts.
        receive_progress: bool = "receive_progress",
        /// More arguments follow in further CALLs of the same request.
        progress: bool = "progress",
        /// Tell the callee who calls.
        disclose_me: bool = "disclose_me",
        /// How callees of a sharded procedure are chosen.
        runmode: Cow<'a, str> = "runmode",
        /// The key by which.
        rkey: Cow<'a, str> = "rkey",
        /// The transaction the call belongs to.
        transaction_hash: Cow<'a, str> = "transaction_hash",
        /// The caller's session, between linked routers.
        caller: Id = "caller",
        /// Who it is.
        caller_authid: Cow<'a, str> = "caller_authid",
        /// Its role.
        caller_authrole: Cow<'a, str> = "caller_authrole",
        /// The way through linked routers.
        forward_for: Vec<Principal<'a>> = "forward_for",
        @group
        /// How to read the payload, if the router does not.
        passthru: Passthru<'a>,
    }
}

attributes! {
    /// `CANCEL.Options`.
    CancelOptions, nullable: false {
        /// How. Absent: the text is silent; routers in use answer at once, as `killnowait` does.
        mode: CancelMode = "mode",
        /// The way through linked routers.
        forward_for: Vec<Principal<'a>> = "forward_for",
    }
}

attributes! {
    /// `INTERRUPT.Options`.
    InterruptOptions, nullable: false {
        /// How the call was canceled.
        mode: CancelMode = "mode",
        /// Why.
        reason: Uri<'a> = "reason",
        /// The way through linked routers.
        forward_for: Vec<Principal<'a>> = "forward_for",
    }
}

attributes! {
    /// `RESULT.Details`, `YIELD.Options`.
    ResultDetails, nullable: false {
        /// A part of the result; more follows.
        progress: bool = "progress",
        /// The callee's session, if disclosed.
        callee: Id = "callee",
        /// Who it is.
        callee_authid: Cow<'a, str> = "callee_authid",
        /// Its role.
        callee_authrole: Cow<'a, str> = "callee_authrole",
        /// The way through linked routers.
        forward_for: Vec<Principal<'a>> = "forward_for",
        @group
        /// How to read the payload, if the router does not.
        passthru: Passthru<'a>,
    }
}

attributes! {
    /// `ERROR.Details`.
    ErrorDetails, nullable: false {
        /// The callee's session, if disclosed.
        callee: Id = "callee",
        /// Who it is.
        callee_authid: Cow<'a, str> = "callee_authid",
        /// Its role.
        callee_authrole: Cow<'a, str> = "callee_authrole",
        /// The way through linked routers.
        forward_for: Vec<Principal<'a>> = "forward_for",
        @group
        /// How to read the payload, if the router does not.
        passthru: Passthru<'a>,
    }
}

attributes! {
    /// `REGISTER.Options`.
    RegisterOptions, nullable: false {
        /// How the procedure is meant. Absent: exactly.
        match_policy: MatchPolicy = "match",
        /// How one of several callees is chosen. Absent: there is one only.
        invoke: InvocationPolicy = "invoke",
        /// The most invocations at a time. Absent or 0: no limit.
        concurrency: u64 = "concurrency",
        /// Take the procedure over from who has it.
        force_reregister: bool = "force_reregister",
        /// Learn who calls.
        disclose_caller: bool = "disclose_caller",
        /// The callee sees to timeouts itself.
        forward_timeout: bool = "forward_timeout",
        /// The way through linked routers.
        forward_for: Vec<Principal<'a>> = "forward_for",
    }
}

attributes! {
    /// `INVOCATION.Details`.
    InvocationDetails, nullable: false {
        /// The procedure, where the registration is of a pattern.
        procedure: Uri<'a> = "procedure",
        /// Milliseconds until the call is given up, where the callee sees to it.
        timeout_ms: u64 = "timeout",
        /// The caller is ready for results in parts.
        receive_progress: bool = "receive_progress",
        /// More arguments follow in further INVOCATIONs of the same request.
        progress: bool = "progress",
        /// How far the caller is trusted.
        trustlevel: u64 = "trustlevel",
        /// The caller's session, if disclosed.
        caller: Id = "caller",
        /// Who it is.
        caller_authid: Cow<'a, str> = "caller_authid",
        /// Its role.
        caller_authrole: Cow<'a, str> = "caller_authrole",
        /// The transaction the call belongs to.
        transaction_hash: Cow<'a, str> = "transaction_hash",
        /// The way through linked routers.
        forward_for: Vec<Principal<'a>> = "forward_for",
        @group
        /// How to read the payload, if the router does not.
        passthru: Passthru<'a>,
    }
}

attributes! {
    /// The details of an UNSUBSCRIBED or UNREGISTERED that answers nothing: which subscription or
    /// registration the router took back ("Subscription Revocation", "Registration Revocation").
    RevocationDetails, nullable: false {
        /// The subscription, in UNSUBSCRIBED.
        subscription: Id = "subscription",
        /// The registration, in UNREGISTERED.
        registration: Id = "registration",
        /// Why.
        reason: Cow<'a, str> = "reason",
    }
}
