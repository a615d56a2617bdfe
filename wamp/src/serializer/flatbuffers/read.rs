//! From tables to messages. A field that is absent, or holds what the schema takes for absence
//! (0, false), is an attribute that is absent.

use std::borrow::Cow;

use super::schema::{self, payload};
use super::table::Table;
use crate::error::{DecodeErrorKind, Expected, Violation};
use crate::id::Id;
use crate::message::{
    Abort, Audience, Authenticate, Call, CallOptions, CallResult, Cancel, CancelMode,
    CancelOptions, Challenge, CloseDetails, EncAlgo, EncSerializer, Error, ErrorDetails, Event,
    EventDetails, EventReceived, Features, Goodbye, Hello, HelloDetails, Interrupt,
    InterruptOptions, Invocation, InvocationDetails, Message, MessageType, Passthru, Principal,
    Publish, PublishOptions, Published, Register, RegisterOptions, Registered, ResultDetails, Role,
    Roles, Subscribe, SubscribeOptions, Subscribed, Unregister, Unregistered, Unsubscribe,
    Unsubscribed, Welcome, WelcomeDetails, Withdrawn, Yield,
};
use crate::payload::Payload;
use crate::rules::Rules;
use crate::serializer::Format;
use crate::serializer::cbor::CborReader;
use crate::serializer::json::JsonReader;
use crate::serializer::msgpack::MsgpackReader;
use crate::serializer::ubjson::{Dialect, UbjsonReader};
use crate::token::{Peek, Raw, Reader};
use crate::uri::{MatchPolicy, Uri};
use crate::value::Dict;

pub(super) fn message<'a>(octets: &'a [u8], rules: &Rules) -> Result<Message<'a>, Violation> {
    let envelope = Table::root(octets)?;
    let code = match envelope.u8(schema::envelope::TYPE)? {
        None | Some(0) => return Err(Violation::Empty),
        Some(code) => code.into(),
    };
    let message = message_type(code).ok_or(Violation::UnknownType(code.into()))?;
    let table = envelope
        .table(schema::envelope::MESSAGE)?
        .ok_or(Violation::Empty)?;
    Fields {
        table,
        message,
        rules,
    }
    .message()
}

fn message_type(code: u16) -> Option<MessageType> {
    if code == schema::EVENT_RECEIVED {
        return Some(MessageType::EventReceived);
    }
    MessageType::from_code(code.into())
}

struct Fields<'a, 'r> {
    table: Table<'a>,
    message: MessageType,
    rules: &'r Rules,
}

impl<'a> Fields<'a, '_> {
    fn message(&self) -> Result<Message<'a>, Violation> {
        use MessageType as T;
        Ok(match self.message {
            T::Hello => self.hello()?.into(),
            T::Welcome => self.welcome()?.into(),
            T::Abort => {
                use schema::abort as slot;
                Abort {
                    details: CloseDetails {
                        message: self.text(slot::MESSAGE)?,
                        ..CloseDetails::default()
                    },
                    reason: self.uri(slot::REASON, "Reason", None, MatchPolicy::Exact)?,
                    payload: Payload::empty(),
                }
                .into()
            }
            T::Challenge => {
                use schema::challenge as slot;
                let method = self.table.u8(slot::METHOD)?.unwrap_or(0);
                Challenge {
                    method: Cow::Borrowed(self.one_of(&schema::METHODS, method, "AuthMethod")?),
                    extra: self.pair(slot::EXTRA)?.unwrap_or_default(),
                }
                .into()
            }
            T::Authenticate => {
                use schema::authenticate as slot;
                Authenticate {
                    signature: self
                        .text(slot::SIGNATURE)?
                        .ok_or(self.missing("Signature"))?,
                    extra: self.pair(slot::EXTRA)?.unwrap_or_default(),
                }
                .into()
            }
            T::Goodbye => {
                use schema::goodbye as slot;
                Goodbye {
                    details: CloseDetails {
                        message: self.text(slot::MESSAGE)?,
                        resumable: self.flag(slot::RESUMABLE)?,
                        ..CloseDetails::default()
                    },
                    reason: self.uri(slot::REASON, "Reason", None, MatchPolicy::Exact)?,
                }
                .into()
            }
            T::Error => {
                use schema::error as slot;
                let code = self.table.u16(slot::REQUEST_TYPE)?.unwrap_or(0);
                let (payload, passthru) = self.payload(slot::ARGS)?;
                Error {
                    request_type: message_type(code)
                        .filter(|request| request.is_request())
                        .ok_or(Violation::RequestType(code.into()))?,
                    request: self.id(slot::REQUEST, "REQUEST.Request")?,
                    details: ErrorDetails {
                        forward_for: self.principals(slot::FORWARD_FOR)?,
                        passthru,
                        ..ErrorDetails::default()
                    },
                    error: self.uri(slot::ERROR, "Error", None, MatchPolicy::Exact)?,
                    payload,
                }
                .into()
            }
            T::Publish => self.publish()?.into(),
            T::Published => {
                let (request, publication) = self.reply("PUBLISH.Request", "Publication")?;
                Published {
                    request,
                    publication,
                }
                .into()
            }
            T::Subscribe => {
                use schema::subscribe as slot;
                let request = self.id(slot::REQUEST, "Request")?;
                let match_policy = self.variant(slot::MATCH, &schema::MATCH, "match")?;
                let policy = match_policy.unwrap_or_default();
                Subscribe {
                    request,
                    options: SubscribeOptions {
                        match_policy,
                        get_retained: self.flag(slot::GET_RETAINED)?,
                        ..SubscribeOptions::default()
                    },
                    topic: self.uri(slot::TOPIC, "Topic", Some(request), policy)?,
                }
                .into()
            }
            T::Subscribed => {
                let (request, subscription) = self.reply("SUBSCRIBE.Request", "Subscription")?;
                Subscribed {
                    request,
                    subscription,
                }
                .into()
            }
            T::Unsubscribe => {
                let (request, subscription) = self.reply("Request", "SUBSCRIBED.Subscription")?;
                Unsubscribe {
                    request,
                    subscription,
                }
                .into()
            }
            T::Unsubscribed => Unsubscribed {
                of: self.withdrawn("UNSUBSCRIBE.Request", "subscription")?,
            }
            .into(),
            T::Event => self.event()?.into(),
            T::EventReceived => EventReceived {
                publication: self.id(schema::event_received::PUBLICATION, "EVENT.Publication")?,
            }
            .into(),
            T::Call => self.call()?.into(),
            T::Cancel => {
                use schema::cancel as slot;
                Cancel {
                    request: self.id(slot::REQUEST, "CALL.Request")?,
                    options: CancelOptions {
                        mode: self.cancel_mode(slot::MODE)?,
                        forward_for: self.principals(slot::FORWARD_FOR)?,
                        ..CancelOptions::default()
                    },
                }
                .into()
            }
            T::Result => {
                let (request, details, payload) = self.result("CALL.Request")?;
                CallResult {
                    request,
                    details,
                    payload,
                }
                .into()
            }
            T::Register => {
                use schema::register as slot;
                let request = self.id(slot::REQUEST, "Request")?;
                let match_policy = self.variant(slot::MATCH, &schema::MATCH, "match")?;
                let policy = match_policy.unwrap_or_default();
                Register {
                    request,
                    options: RegisterOptions {
                        match_policy,
                        invoke: self.variant(slot::INVOKE, &schema::INVOKE, "invoke")?,
                        concurrency: self
                            .table
                            .u16(slot::CONCURRENCY)?
                            .filter(|&limit| limit != 0)
                            .map(u64::from),
                        force_reregister: self.flag(slot::FORCE_REREGISTER)?,
                        ..RegisterOptions::default()
                    },
                    procedure: self.uri(slot::PROCEDURE, "Procedure", Some(request), policy)?,
                }
                .into()
            }
            T::Registered => {
                let (request, registration) = self.reply("REGISTER.Request", "Registration")?;
                Registered {
                    request,
                    registration,
                }
                .into()
            }
            T::Unregister => {
                let (request, registration) = self.reply("Request", "REGISTERED.Registration")?;
                Unregister {
                    request,
                    registration,
                }
                .into()
            }
            T::Unregistered => Unregistered {
                of: self.withdrawn("UNREGISTER.Request", "registration")?,
            }
            .into(),
            T::Invocation => self.invocation()?.into(),
            T::Interrupt => {
                use schema::interrupt as slot;
                Interrupt {
                    request: self.id(slot::REQUEST, "INVOCATION.Request")?,
                    options: InterruptOptions {
                        mode: self.cancel_mode(slot::MODE)?,
                        reason: self.uri_attribute(slot::REASON, "reason")?,
                        forward_for: self.principals(slot::FORWARD_FOR)?,
                        ..InterruptOptions::default()
                    },
                }
                .into()
            }
            T::Yield => {
                let (request, options, payload) = self.result("INVOCATION.Request")?;
                Yield {
                    request,
                    options,
                    payload,
                }
                .into()
            }
        })
    }

    fn hello(&self) -> Result<Hello<'a>, Violation> {
        use schema::hello as slot;
        let mut authmethods = None;
        if let Some(list) = self.table.list_of(slot::AUTHMETHODS, 1)? {
            let mut methods = Vec::new();
            // No peer has use for a method twice.
            for index in 0..list.len.min(schema::METHODS.len()) {
                let word = self.one_of(&schema::METHODS, list.u8(index)?, "authmethods")?;
                methods.push(Cow::Borrowed(word));
            }
            authmethods = Some(methods);
        }
        Ok(Hello {
            realm: self.uri(slot::REALM, "Realm", None, MatchPolicy::Exact)?,
            details: HelloDetails {
                roles: Some(self.roles(slot::ROLES, false)?),
                authmethods,
                authid: self.text(slot::AUTHID)?,
                authrole: self.text(slot::AUTHROLE)?,
                authextra: self.pair(slot::AUTHEXTRA)?,
                resumable: self.flag(slot::RESUMABLE)?,
                resume_session: self.id_attribute(slot::RESUME_SESSION, "resume-session")?,
                resume_token: self.text(slot::RESUME_TOKEN)?,
                ..HelloDetails::default()
            },
        })
    }

    fn welcome(&self) -> Result<Welcome<'a>, Violation> {
        use schema::welcome as slot;
        let authmethod = match self.table.u8(slot::AUTHMETHOD)? {
            None | Some(0) => None,
            Some(method) => Some(self.one_of(&schema::METHODS, method, "authmethod")?),
        };
        Ok(Welcome {
            session: self.id(slot::SESSION, "Session")?,
            details: WelcomeDetails {
                roles: Some(self.roles(slot::ROLES, true)?),
                realm: self.text(slot::REALM)?,
                authid: self.text(slot::AUTHID)?,
                authrole: self.text(slot::AUTHROLE)?,
                authmethod: authmethod.map(Cow::Borrowed),
                authprovider: self.text(slot::AUTHPROVIDER)?,
                authextra: self.pair(slot::AUTHEXTRA)?,
                resumed: self.flag(slot::RESUMED)?,
                resumable: self.flag(slot::RESUMABLE)?,
                resume_token: self.text(slot::RESUME_TOKEN)?,
                ..WelcomeDetails::default()
            },
        })
    }

    fn publish(&self) -> Result<Publish<'a>, Violation> {
        use schema::publish as slot;
        let request = self.id(slot::REQUEST, "Request")?;
        let acknowledge = self.flag(slot::ACKNOWLEDGE)?;
        let audience = Audience {
            exclude: self.ids(slot::EXCLUDE, "exclude")?,
            exclude_authid: self.texts(slot::EXCLUDE_AUTHID)?,
            exclude_authrole: self.texts(slot::EXCLUDE_AUTHROLE)?,
            eligible: self.ids(slot::ELIGIBLE, "eligible")?,
            eligible_authid: self.texts(slot::ELIGIBLE_AUTHID)?,
            eligible_authrole: self.texts(slot::ELIGIBLE_AUTHROLE)?,
            ..Audience::default()
        };
        let (payload, passthru) = self.payload(slot::ARGS)?;
        Ok(Publish {
            request,
            options: PublishOptions {
                acknowledge,
                // The one field whose absence means true.
                exclude_me: self
                    .table
                    .bool(slot::EXCLUDE_ME)?
                    .filter(|exclude_me| !exclude_me),
                retain: self.flag(slot::RETAIN)?,
                transaction_hash: self.text(slot::TRANSACTION_HASH)?,
                forward_for: self.principals(slot::FORWARD_FOR)?,
                audience: (audience != Audience::default()).then(|| Box::new(audience)),
                passthru,
                ..PublishOptions::default()
            },
            topic: self
                .uri(slot::TOPIC, "Topic", Some(request), MatchPolicy::Exact)
                .map_err(|violation| violation.asked(acknowledge == Some(true)))?,
            payload,
        })
    }

    fn event(&self) -> Result<Event<'a>, Violation> {
        use schema::event as slot;
        let (payload, passthru) = self.payload(slot::ARGS)?;
        Ok(Event {
            subscription: self.id(slot::SUBSCRIPTION, "SUBSCRIBED.Subscription")?,
            publication: self.id(slot::PUBLICATION, "PUBLISHED.Publication")?,
            details: EventDetails {
                publisher: self.id_attribute(slot::PUBLISHER, "publisher")?,
                publisher_authid: self.text(slot::PUBLISHER_AUTHID)?,
                publisher_authrole: self.text(slot::PUBLISHER_AUTHROLE)?,
                topic: self.uri_attribute(slot::TOPIC, "topic")?,
                retained: self.flag(slot::RETAINED)?,
                transaction_hash: self.text(slot::TRANSACTION_HASH)?,
                x_acknowledged_delivery: self.flag(slot::ACKNOWLEDGE)?,
                forward_for: self.principals(slot::FORWARD_FOR)?,
                passthru,
                ..EventDetails::default()
            },
            payload,
        })
    }

    fn call(&self) -> Result<Call<'a>, Violation> {
        use schema::call as slot;
        let request = self.id(slot::REQUEST, "Request")?;
        let (payload, passthru) = self.payload(slot::ARGS)?;
        Ok(Call {
            request,
            options: CallOptions {
                timeout_ms: self.timeout(slot::TIMEOUT)?,
                receive_progress: self.flag(slot::RECEIVE_PROGRESS)?,
                transaction_hash: self.text(slot::TRANSACTION_HASH)?,
                caller: self.id_attribute(slot::CALLER, "caller")?,
                caller_authid: self.text(slot::CALLER_AUTHID)?,
                caller_authrole: self.text(slot::CALLER_AUTHROLE)?,
                forward_for: self.principals(slot::FORWARD_FOR)?,
                passthru,
                ..CallOptions::default()
            },
            procedure: self.uri(
                slot::PROCEDURE,
                "Procedure",
                Some(request),
                MatchPolicy::Exact,
            )?,
            payload,
        })
    }

    fn invocation(&self) -> Result<Invocation<'a>, Violation> {
        use schema::invocation as slot;
        let (payload, passthru) = self.payload(slot::ARGS)?;
        Ok(Invocation {
            request: self.id(slot::REQUEST, "Request")?,
            registration: self.id(slot::REGISTRATION, "REGISTERED.Registration")?,
            details: InvocationDetails {
                procedure: self.uri_attribute(slot::PROCEDURE, "procedure")?,
                timeout_ms: self.timeout(slot::TIMEOUT)?,
                receive_progress: self.flag(slot::RECEIVE_PROGRESS)?,
                caller: self.id_attribute(slot::CALLER, "caller")?,
                caller_authid: self.text(slot::CALLER_AUTHID)?,
                caller_authrole: self.text(slot::CALLER_AUTHROLE)?,
                transaction_hash: self.text(slot::TRANSACTION_HASH)?,
                forward_for: self.principals(slot::FORWARD_FOR)?,
                passthru,
                ..InvocationDetails::default()
            },
            payload,
        })
    }

    /// RESULT and YIELD, which look the same.
    fn result(
        &self,
        element: &'static str,
    ) -> Result<(Id, ResultDetails<'a>, Payload<'a>), Violation> {
        use schema::result as slot;
        let (payload, passthru) = self.payload(slot::ARGS)?;
        let details = ResultDetails {
            progress: self.flag(slot::PROGRESS)?,
            callee: self.id_attribute(slot::CALLEE, "callee")?,
            callee_authid: self.text(slot::CALLEE_AUTHID)?,
            callee_authrole: self.text(slot::CALLEE_AUTHROLE)?,
            forward_for: self.principals(slot::FORWARD_FOR)?,
            passthru,
            ..ResultDetails::default()
        };
        Ok((self.id(slot::REQUEST, element)?, details, payload))
    }

    /// The many messages of two identifiers, which look the same.
    fn reply(&self, request: &'static str, element: &'static str) -> Result<(Id, Id), Violation> {
        use schema::reply as slot;
        Ok((
            self.id(slot::REQUEST, request)?,
            self.id(slot::ID, element)?,
        ))
    }

    fn withdrawn(
        &self,
        element: &'static str,
        key: &'static str,
    ) -> Result<Withdrawn<'a>, Violation> {
        use schema::reply as slot;
        match self.table.u64(slot::REQUEST)?.unwrap_or(0) {
            0 => Ok(Withdrawn::Revoked {
                id: self
                    .id_attribute(slot::ID, key)?
                    .ok_or(Violation::MissingAttribute {
                        message: self.message,
                        key,
                    })?,
                reason: self.text(slot::REASON)?,
            }),
            _ => Ok(Withdrawn::Request(self.id(slot::REQUEST, element)?)),
        }
    }

    fn missing(&self, element: &'static str) -> Violation {
        Violation::Missing {
            message: self.message,
            element,
        }
    }

    fn attribute(&self, key: &'static str, expected: Expected) -> Violation {
        Violation::Attribute {
            message: self.message,
            key,
            expected,
        }
    }

    fn id(&self, slot: usize, element: &'static str) -> Result<Id, Violation> {
        let id = self.table.u64(slot)?.unwrap_or(0);
        Id::new(id).ok_or(Violation::Element {
            message: self.message,
            element,
            expected: Expected::Id,
        })
    }

    fn id_attribute(&self, slot: usize, key: &'static str) -> Result<Option<Id>, Violation> {
        match self.table.u64(slot)? {
            None | Some(0) => Ok(None),
            Some(id) => match Id::new(id) {
                Some(id) => Ok(Some(id)),
                None => Err(self.attribute(key, Expected::Id)),
            },
        }
    }

    fn uri(
        &self,
        slot: usize,
        element: &'static str,
        request: Option<Id>,
        policy: MatchPolicy,
    ) -> Result<Uri<'a>, Violation> {
        let text = self.text(slot)?.ok_or(self.missing(element))?;
        Uri::checked(text, self.rules.uri_rule, policy).map_err(|why| Violation::Uri {
            message: self.message,
            element,
            why,
            request,
            answered: true,
        })
    }

    fn uri_attribute(&self, slot: usize, key: &'static str) -> Result<Option<Uri<'a>>, Violation> {
        let Some(text) = self.text(slot)? else {
            return Ok(None);
        };
        Uri::checked(text, self.rules.uri_rule, MatchPolicy::Exact)
            .map(Some)
            .map_err(|_| self.attribute(key, Expected::Uri))
    }

    fn text(&self, slot: usize) -> Result<Option<Cow<'a, str>>, Violation> {
        Ok(self.table.str(slot)?.map(Cow::Borrowed))
    }

    /// A bool whose absence means no.
    fn flag(&self, slot: usize) -> Result<Option<bool>, Violation> {
        Ok(self.table.bool(slot)?.filter(|&flag| flag))
    }

    fn timeout(&self, slot: usize) -> Result<Option<u64>, Violation> {
        let timeout_ms = self.table.u32(slot)?.filter(|&timeout_ms| timeout_ms != 0);
        Ok(timeout_ms.map(u64::from))
    }

    fn one_of(
        &self,
        words: &[&'static str],
        index: u8,
        key: &'static str,
    ) -> Result<&'static str, Violation> {
        words
            .get(usize::from(index))
            .copied()
            .ok_or(self.attribute(key, Expected::Word("the schema's enumeration")))
    }

    fn variant<T: Copy>(
        &self,
        slot: usize,
        variants: &[T],
        key: &'static str,
    ) -> Result<Option<T>, Violation> {
        match self.table.u8(slot)? {
            None => Ok(None),
            Some(index) => match variants.get(usize::from(index)) {
                Some(variant) => Ok(Some(*variant)),
                None => Err(self.attribute(key, Expected::Word("the schema's enumeration"))),
            },
        }
    }

    fn cancel_mode(&self, slot: usize) -> Result<Option<CancelMode>, Violation> {
        self.variant(slot, &schema::CANCEL, "mode")
    }

    /// How many items of a list are read: as many values as any message may hold.
    fn bounded(&self, len: usize) -> Result<usize, Violation> {
        if len > self.rules.items_max {
            return Err(DecodeErrorKind::TooManyItems.at(0).into());
        }
        Ok(len)
    }

    fn ids(&self, slot: usize, key: &'static str) -> Result<Option<Vec<Id>>, Violation> {
        let Some(list) = self.table.list_of(slot, 8)? else {
            return Ok(None);
        };
        let mut ids = Vec::new();
        for index in 0..self.bounded(list.len)? {
            ids.push(Id::new(list.u64(index)?).ok_or(self.attribute(key, Expected::Ids))?);
        }
        Ok(Some(ids))
    }

    fn texts(&self, slot: usize) -> Result<Option<Vec<Cow<'a, str>>>, Violation> {
        let Some(list) = self.table.list_of(slot, 4)? else {
            return Ok(None);
        };
        let mut texts = Vec::new();
        for index in 0..self.bounded(list.len)? {
            texts.push(Cow::Borrowed(list.str(index)?));
        }
        Ok(Some(texts))
    }

    fn principals(&self, slot: usize) -> Result<Option<Vec<Principal<'a>>>, Violation> {
        use schema::principal;
        let Some(list) = self.table.list_of(slot, 4)? else {
            return Ok(None);
        };
        let mut principals = Vec::new();
        for index in 0..self.bounded(list.len)? {
            let table = list.table(index)?;
            let session = Id::new(table.u64(principal::SESSION)?.unwrap_or(0))
                .ok_or(self.attribute("forward_for", Expected::Principals))?;
            principals.push(Principal {
                session,
                authid: table.str(principal::AUTHID)?.map(Cow::Borrowed),
                authrole: table.str(principal::AUTHROLE)?.map(Cow::Borrowed),
            });
        }
        Ok(Some(principals))
    }

    /// The schema's free dictionary: one pair of strings.
    fn pair(&self, slot: usize) -> Result<Option<Dict>, Violation> {
        use schema::pair;
        let Some(table) = self.table.table(slot)? else {
            return Ok(None);
        };
        let key = table.str(pair::KEY)?.ok_or(self.missing("key"))?;
        let value = table.str(pair::VALUE)?.unwrap_or_default();
        Ok(Some(Dict::from_iter([(key, value)])))
    }

    /// The roles announced. Clients in use leave the table out though the schema demands it; they
    /// are taken to have every role of their side and no features, which claims nothing for them.
    fn roles(&self, slot: usize, router: bool) -> Result<Roles, Violation> {
        let Some(table) = self.table.table(slot)? else {
            return Ok(if router {
                Roles::router(Features::NONE)
            } else {
                Roles::client(Features::NONE)
            });
        };
        let mut roles = Roles::new();
        for (slot, &role) in schema::roles(router).iter().enumerate() {
            if let Some(table) = table.table(slot)? {
                roles = roles.with(role, read_features(&table, role)?);
            }
        }
        if roles.is_empty() {
            return Err(self.attribute("roles", Expected::Roles));
        }
        Ok(roles)
    }

    /// The payload, whose fields stand from this slot on, and how to read it.
    fn payload(&self, args: usize) -> Result<(Payload<'a>, Option<Box<Passthru<'a>>>), Violation> {
        let table = &self.table;
        let scheme = table.u8(args + payload::SCHEME)?.unwrap_or(0);
        let serializer = table.u8(args + payload::SERIALIZER)?.unwrap_or(0);
        let cipher = table.u8(args + payload::CIPHER)?.unwrap_or(0);
        let scheme = self.one_of(&schema::SCHEMES, scheme, "enc_algo")?;
        let serializer = self.one_of(&schema::SERIALIZERS, serializer, "enc_serializer")?;
        let cipher = self.one_of(&schema::CIPHERS, cipher, "ppt_cipher")?;
        // An empty vector is how peers write that there is none.
        let octets = |slot| -> Result<Option<&'a [u8]>, Violation> {
            Ok(table.octets(slot)?.filter(|octets| !octets.is_empty()))
        };
        let opaque = octets(args + payload::PAYLOAD)?;
        let encoded_args = octets(args)?;
        let encoded_kwargs = octets(args + payload::KWARGS)?;
        let wrong = Violation::Element {
            message: self.message,
            element: "Arguments",
            expected: Expected::Payload,
        };
        let Some(opaque) = opaque else {
            let format = arguments_format(serializer).ok_or(wrong)?;
            let payload = Payload::from_raw(
                format,
                self.arguments(format, encoded_args, Peek::List, wrong)?,
                self.arguments(format, encoded_kwargs, Peek::Dict, wrong)?,
            );
            return Ok((payload, None));
        };
        if scheme.is_empty() || encoded_args.is_some() || encoded_kwargs.is_some() {
            return Err(wrong);
        }
        let passthru = Passthru {
            enc_algo: EncAlgo::new(scheme),
            enc_serializer: EncSerializer::new(serializer),
            enc_key: self.text(args + payload::KEYID)?,
            ppt_cipher: (!cipher.is_empty()).then_some(Cow::Borrowed(cipher)),
            ..Passthru::default()
        };
        Ok((Payload::opaque(opaque), Some(Box::new(passthru))))
    }

    /// Arguments within: checked as those of any message, and left as they are.
    fn arguments(
        &self,
        format: Format,
        octets: Option<&'a [u8]>,
        kind: Peek,
        wrong: Violation,
    ) -> Result<Option<&'a [u8]>, Violation> {
        let Some(octets) = octets else {
            return Ok(None);
        };
        // In any other format a list stands around them: they may nest one level less, so that
        // they can be forwarded in all.
        let rules = &Rules {
            depth_max: self.rules.depth().saturating_sub(1),
            ..*self.rules
        };
        let raw = match format {
            Format::Json => check(&mut JsonReader::new(octets, rules)?, kind, wrong)?,
            Format::Msgpack => check(&mut MsgpackReader::new(octets, rules), kind, wrong)?,
            Format::Bjdata => {
                let mut reader = UbjsonReader::new(octets, Dialect::Bjdata, rules);
                check(&mut reader, kind, wrong)?
            }
            _ => check(&mut CborReader::new(octets, rules), kind, wrong)?,
        };
        Ok((!raw.empty).then_some(raw.bytes))
    }
}

/// What arguments are encoded in: CBOR unless another is named. UBJSON's name stands for BJData
/// with the clients that speak FlatBuffers at all.
fn arguments_format(serializer: &str) -> Option<Format> {
    match serializer {
        "" | "cbor" => Some(Format::Cbor),
        "json" => Some(Format::Json),
        "msgpack" => Some(Format::Msgpack),
        "ubjson" => Some(Format::Bjdata),
        _ => None,
    }
}

fn check<'a, R: Reader<'a>>(
    reader: &mut R,
    kind: Peek,
    wrong: Violation,
) -> Result<Raw<'a>, Violation> {
    if reader.peek()? != kind {
        return Err(wrong);
    }
    let raw = reader.skip()?;
    reader.finish()?;
    Ok(raw)
}

fn read_features(table: &Table<'_>, role: Role) -> Result<Features, Violation> {
    let mut features = Features::NONE;
    for (slot, &feature) in schema::features(role).iter().enumerate() {
        if table.bool(slot)? == Some(true) {
            features = features.with(feature);
        }
    }
    Ok(features)
}
