//! From messages to tables. What merely informs and has no field is left out; what has none and
//! changes the meaning is an error.

use std::borrow::Cow;

use super::builder::{Builder, Place};
use super::schema::{self, payload};
use crate::error::EncodeError;
use crate::id::Id;
use crate::message::{
    Call, CancelMode, CloseDetails, EncAlgo, EncSerializer, Error, Event, Hello, Invocation,
    Message, MessageType, Passthru, Principal, Publish, Register, ResultDetails, Roles, Subscribe,
    Welcome, Withdrawn,
};
use crate::payload::Payload;
use crate::serializer::cbor::CborWriter;
use crate::value::Dict;

pub(super) fn message(message: &Message<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut w = Tables { b: Builder::new() };
    let table = w.message(message)?;
    let code = match message.message_type() {
        MessageType::EventReceived => schema::EVENT_RECEIVED,
        other => other.code(),
    };
    w.b.begin(schema::envelope::SLOTS);
    // Types of the schema all fit an octet; EVENT_RECEIVED has a number of its own for that.
    w.b.u8(schema::envelope::TYPE, u8::try_from(code).ok());
    w.b.place(schema::envelope::MESSAGE, Some(table))?;
    let root = w.b.end();
    w.b.finish(root, out)
}

struct Tables {
    b: Builder,
}

/// Where the parts of a payload stand, and how to read them.
struct PayloadPlaces {
    args: Option<Place>,
    kwargs: Option<Place>,
    opaque: Option<Place>,
    keyid: Option<Place>,
    scheme: Option<u8>,
    serializer: Option<u8>,
    cipher: Option<u8>,
}

impl Tables {
    fn message(&mut self, message: &Message<'_>) -> Result<Place, EncodeError> {
        Ok(match message {
            Message::Hello(m) => self.hello(m)?,
            Message::Welcome(m) => self.welcome(m)?,
            Message::Abort(m) => {
                use schema::abort as slot;
                if !m.payload.is_empty() {
                    return Err(EncodeError::Unrepresentable("ABORT.Arguments"));
                }
                let reason = self.b.string(m.reason.as_str())?;
                let text = self.text(m.details.message.as_deref())?;
                self.b.begin(slot::SLOTS);
                self.b.place(slot::REASON, Some(reason))?;
                self.b.place(slot::MESSAGE, text)?;
                self.b.end()
            }
            Message::Challenge(m) => {
                use schema::challenge as slot;
                let method = index_of(&schema::METHODS, &m.method, "AuthMethod")?;
                let extra = self.pair(&m.extra, "CHALLENGE.Extra")?;
                self.b.begin(slot::SLOTS);
                self.b.u8(slot::METHOD, unless_zero(method));
                self.b.place(slot::EXTRA, extra)?;
                self.b.end()
            }
            Message::Authenticate(m) => {
                use schema::authenticate as slot;
                let signature = self.b.string(&m.signature)?;
                let extra = self.pair(&m.extra, "AUTHENTICATE.Extra")?;
                self.b.begin(slot::SLOTS);
                self.b.place(slot::SIGNATURE, Some(signature))?;
                self.b.place(slot::EXTRA, extra)?;
                self.b.end()
            }
            Message::Goodbye(m) => {
                use schema::goodbye as slot;
                let CloseDetails {
                    message, resumable, ..
                } = &m.details;
                let reason = self.b.string(m.reason.as_str())?;
                let text = self.text(message.as_deref())?;
                self.b.begin(slot::SLOTS);
                self.b.place(slot::REASON, Some(reason))?;
                self.b.place(slot::MESSAGE, text)?;
                self.b.bool(slot::RESUMABLE, if_true(*resumable));
                self.b.end()
            }
            Message::Error(m) => self.error(m)?,
            Message::Publish(m) => self.publish(m)?,
            Message::Published(m) => self.reply(m.request, m.publication)?,
            Message::Subscribe(m) => self.subscribe(m)?,
            Message::Subscribed(m) => self.reply(m.request, m.subscription)?,
            Message::Unsubscribe(m) => self.reply(m.request, m.subscription)?,
            Message::Unsubscribed(m) => self.withdrawn(&m.of)?,
            Message::Event(m) => self.event(m)?,
            Message::EventReceived(m) => {
                use schema::event_received as slot;
                self.b.begin(slot::SLOTS);
                self.b.u64(slot::PUBLICATION, Some(m.publication.get()));
                self.b.end()
            }
            Message::Call(m) => self.call(m)?,
            Message::Cancel(m) => {
                use schema::cancel as slot;
                let forward_for = self.principals(m.options.forward_for.as_deref())?;
                self.b.begin(slot::SLOTS);
                self.b.u64(slot::REQUEST, Some(m.request.get()));
                self.b.u8(slot::MODE, m.options.mode.map(cancel_mode));
                self.b.place(slot::FORWARD_FOR, forward_for)?;
                self.b.end()
            }
            Message::Result(m) => self.result(m.request, &m.details, &m.payload)?,
            Message::Register(m) => self.register(m)?,
            Message::Registered(m) => self.reply(m.request, m.registration)?,
            Message::Unregister(m) => self.reply(m.request, m.registration)?,
            Message::Unregistered(m) => self.withdrawn(&m.of)?,
            Message::Invocation(m) => self.invocation(m)?,
            Message::Interrupt(m) => {
                use schema::interrupt as slot;
                let reason = self.text(m.options.reason.as_ref().map(AsRef::as_ref))?;
                let forward_for = self.principals(m.options.forward_for.as_deref())?;
                self.b.begin(slot::SLOTS);
                self.b.u64(slot::REQUEST, Some(m.request.get()));
                self.b.u8(slot::MODE, m.options.mode.map(cancel_mode));
                self.b.place(slot::REASON, reason)?;
                self.b.place(slot::FORWARD_FOR, forward_for)?;
                self.b.end()
            }
            Message::Yield(m) => self.result(m.request, &m.options, &m.payload)?,
        })
    }

    fn hello(&mut self, m: &Hello<'_>) -> Result<Place, EncodeError> {
        use schema::hello as slot;
        let d = &m.details;
        let realm = self.b.string(m.realm.as_str())?;
        let authmethods = match &d.authmethods {
            None => None,
            Some(words) => {
                let methods = words
                    .iter()
                    .map(|word| index_of(&schema::METHODS, word, "authmethods"))
                    .collect::<Result<Vec<u8>, _>>()?;
                Some(self.b.octets(&methods)?)
            }
        };
        let authid = self.text(d.authid.as_deref())?;
        let authrole = self.text(d.authrole.as_deref())?;
        let resume_token = self.text(d.resume_token.as_deref())?;
        let authextra = self.dict(d.authextra.as_ref(), "authextra")?;
        let roles = self.roles(d.roles.as_ref(), false)?;
        self.b.begin(slot::SLOTS);
        self.b.place(slot::ROLES, roles)?;
        self.b.place(slot::REALM, Some(realm))?;
        self.b.place(slot::AUTHMETHODS, authmethods)?;
        self.b.place(slot::AUTHID, authid)?;
        self.b.place(slot::AUTHROLE, authrole)?;
        self.b.place(slot::AUTHEXTRA, authextra)?;
        self.b.bool(slot::RESUMABLE, if_true(d.resumable));
        self.b
            .u64(slot::RESUME_SESSION, d.resume_session.map(Id::get));
        self.b.place(slot::RESUME_TOKEN, resume_token)?;
        Ok(self.b.end())
    }

    fn welcome(&mut self, m: &Welcome<'_>) -> Result<Place, EncodeError> {
        use schema::welcome as slot;
        let d = &m.details;
        let realm = self.text(d.realm.as_deref())?;
        let authid = self.text(d.authid.as_deref())?;
        let authrole = self.text(d.authrole.as_deref())?;
        let authmethod = match &d.authmethod {
            None => None,
            Some(word) => unless_zero(index_of(&schema::METHODS, word, "authmethod")?),
        };
        let authprovider = self.text(d.authprovider.as_deref())?;
        let resume_token = self.text(d.resume_token.as_deref())?;
        let authextra = self.dict(d.authextra.as_ref(), "authextra")?;
        let roles = self.roles(d.roles.as_ref(), true)?;
        self.b.begin(slot::SLOTS);
        self.b.u64(slot::SESSION, Some(m.session.get()));
        self.b.place(slot::ROLES, roles)?;
        self.b.place(slot::REALM, realm)?;
        self.b.place(slot::AUTHID, authid)?;
        self.b.place(slot::AUTHROLE, authrole)?;
        self.b.u8(slot::AUTHMETHOD, authmethod);
        self.b.place(slot::AUTHPROVIDER, authprovider)?;
        self.b.place(slot::AUTHEXTRA, authextra)?;
        self.b.bool(slot::RESUMED, if_true(d.resumed));
        self.b.bool(slot::RESUMABLE, if_true(d.resumable));
        self.b.place(slot::RESUME_TOKEN, resume_token)?;
        Ok(self.b.end())
    }

    fn error(&mut self, m: &Error<'_>) -> Result<Place, EncodeError> {
        use schema::error as slot;
        let d = &m.details;
        absent(d.callee.is_some(), "callee")?;
        absent(d.callee_authid.is_some(), "callee_authid")?;
        absent(d.callee_authrole.is_some(), "callee_authrole")?;
        let places = self.payload(&m.payload, d.passthru.as_deref())?;
        let error = self.b.string(m.error.as_str())?;
        let places = self.keyid(places, d.passthru.as_deref())?;
        let forward_for = self.principals(d.forward_for.as_deref())?;
        self.b.begin(slot::SLOTS);
        self.b.u16(slot::REQUEST_TYPE, Some(m.request_type.code()));
        self.b.u64(slot::REQUEST, Some(m.request.get()));
        self.b.place(slot::ERROR, Some(error))?;
        self.payload_fields(slot::ARGS, &places)?;
        self.b.place(slot::FORWARD_FOR, forward_for)?;
        Ok(self.b.end())
    }

    fn publish(&mut self, m: &Publish<'_>) -> Result<Place, EncodeError> {
        use schema::publish as slot;
        let o = &m.options;
        absent(o.disclose_me == Some(true), "disclose_me")?;
        absent(o.rkey.is_some(), "rkey")?;
        let places = self.payload(&m.payload, o.passthru.as_deref())?;
        let topic = self.b.string(m.topic.as_str())?;
        let transaction_hash = self.text(o.transaction_hash.as_deref())?;
        let places = self.keyid(places, o.passthru.as_deref())?;
        let audience = o.audience.as_deref().cloned().unwrap_or_default();
        let exclude = self.ids(audience.exclude.as_deref())?;
        let exclude_authid = self.texts(audience.exclude_authid.as_deref())?;
        let exclude_authrole = self.texts(audience.exclude_authrole.as_deref())?;
        let eligible = self.ids(audience.eligible.as_deref())?;
        let eligible_authid = self.texts(audience.eligible_authid.as_deref())?;
        let eligible_authrole = self.texts(audience.eligible_authrole.as_deref())?;
        let forward_for = self.principals(o.forward_for.as_deref())?;
        self.b.begin(slot::SLOTS);
        self.b.u64(slot::REQUEST, Some(m.request.get()));
        self.b.place(slot::TOPIC, Some(topic))?;
        self.payload_fields(slot::ARGS, &places)?;
        self.b.bool(slot::ACKNOWLEDGE, if_true(o.acknowledge));
        // The one field whose absence means true.
        self.b.bool(
            slot::EXCLUDE_ME,
            o.exclude_me.filter(|exclude_me| !exclude_me),
        );
        self.b.place(slot::EXCLUDE, exclude)?;
        self.b.place(slot::EXCLUDE_AUTHID, exclude_authid)?;
        self.b.place(slot::EXCLUDE_AUTHROLE, exclude_authrole)?;
        self.b.place(slot::ELIGIBLE, eligible)?;
        self.b.place(slot::ELIGIBLE_AUTHID, eligible_authid)?;
        self.b.place(slot::ELIGIBLE_AUTHROLE, eligible_authrole)?;
        self.b.bool(slot::RETAIN, if_true(o.retain));
        self.b.place(slot::TRANSACTION_HASH, transaction_hash)?;
        self.b.place(slot::FORWARD_FOR, forward_for)?;
        Ok(self.b.end())
    }

    fn event(&mut self, m: &Event<'_>) -> Result<Place, EncodeError> {
        use schema::event as slot;
        let d = &m.details;
        let places = self.payload(&m.payload, d.passthru.as_deref())?;
        let publisher_authid = self.text(d.publisher_authid.as_deref())?;
        let publisher_authrole = self.text(d.publisher_authrole.as_deref())?;
        let topic = self.text(d.topic.as_ref().map(AsRef::as_ref))?;
        let transaction_hash = self.text(d.transaction_hash.as_deref())?;
        let places = self.keyid(places, d.passthru.as_deref())?;
        let forward_for = self.principals(d.forward_for.as_deref())?;
        self.b.begin(slot::SLOTS);
        self.b.u64(slot::SUBSCRIPTION, Some(m.subscription.get()));
        self.b.u64(slot::PUBLICATION, Some(m.publication.get()));
        self.payload_fields(slot::ARGS, &places)?;
        self.b.u64(slot::PUBLISHER, d.publisher.map(Id::get));
        self.b.place(slot::PUBLISHER_AUTHID, publisher_authid)?;
        self.b.place(slot::PUBLISHER_AUTHROLE, publisher_authrole)?;
        self.b.place(slot::TOPIC, topic)?;
        self.b.bool(slot::RETAINED, if_true(d.retained));
        self.b.place(slot::TRANSACTION_HASH, transaction_hash)?;
        self.b
            .bool(slot::ACKNOWLEDGE, if_true(d.x_acknowledged_delivery));
        self.b.place(slot::FORWARD_FOR, forward_for)?;
        Ok(self.b.end())
    }

    fn subscribe(&mut self, m: &Subscribe<'_>) -> Result<Place, EncodeError> {
        use schema::subscribe as slot;
        let o = &m.options;
        absent(o.nkey.is_some(), "nkey")?;
        absent(o.forward_for.is_some(), "forward_for")?;
        let topic = self.b.string(m.topic.as_str())?;
        self.b.begin(slot::SLOTS);
        self.b.u64(slot::REQUEST, Some(m.request.get()));
        self.b.place(slot::TOPIC, Some(topic))?;
        self.b
            .u8(slot::MATCH, o.match_policy.map(|policy| policy as u8));
        self.b.bool(slot::GET_RETAINED, if_true(o.get_retained));
        Ok(self.b.end())
    }

    fn call(&mut self, m: &Call<'_>) -> Result<Place, EncodeError> {
        use schema::call as slot;
        let o = &m.options;
        absent(o.progress == Some(true), "progress")?;
        absent(o.disclose_me == Some(true), "disclose_me")?;
        absent(o.runmode.is_some(), "runmode")?;
        absent(o.rkey.is_some(), "rkey")?;
        let places = self.payload(&m.payload, o.passthru.as_deref())?;
        let procedure = self.b.string(m.procedure.as_str())?;
        let transaction_hash = self.text(o.transaction_hash.as_deref())?;
        let caller_authid = self.text(o.caller_authid.as_deref())?;
        let caller_authrole = self.text(o.caller_authrole.as_deref())?;
        let places = self.keyid(places, o.passthru.as_deref())?;
        let forward_for = self.principals(o.forward_for.as_deref())?;
        let timeout_ms = timeout(o.timeout_ms)?;
        self.b.begin(slot::SLOTS);
        self.b.u64(slot::REQUEST, Some(m.request.get()));
        self.b.place(slot::PROCEDURE, Some(procedure))?;
        self.payload_fields(slot::ARGS, &places)?;
        self.b.u32(slot::TIMEOUT, timeout_ms);
        self.b
            .bool(slot::RECEIVE_PROGRESS, if_true(o.receive_progress));
        self.b.place(slot::TRANSACTION_HASH, transaction_hash)?;
        self.b.u64(slot::CALLER, o.caller.map(Id::get));
        self.b.place(slot::CALLER_AUTHID, caller_authid)?;
        self.b.place(slot::CALLER_AUTHROLE, caller_authrole)?;
        self.b.place(slot::FORWARD_FOR, forward_for)?;
        Ok(self.b.end())
    }

    fn register(&mut self, m: &Register<'_>) -> Result<Place, EncodeError> {
        use schema::register as slot;
        let o = &m.options;
        absent(o.disclose_caller == Some(true), "disclose_caller")?;
        absent(o.forward_timeout == Some(true), "forward_timeout")?;
        absent(o.forward_for.is_some(), "forward_for")?;
        let concurrency = match o.concurrency {
            None | Some(0) => None,
            Some(limit) => {
                Some(u16::try_from(limit).map_err(|_| EncodeError::Range("concurrency"))?)
            }
        };
        let invoke = o.invoke.and_then(|invoke| {
            let index = schema::INVOKE.iter().position(|known| *known == invoke)?;
            u8::try_from(index).ok()
        });
        let procedure = self.b.string(m.procedure.as_str())?;
        self.b.begin(slot::SLOTS);
        self.b.u64(slot::REQUEST, Some(m.request.get()));
        self.b.place(slot::PROCEDURE, Some(procedure))?;
        self.b
            .u8(slot::MATCH, o.match_policy.map(|policy| policy as u8));
        self.b.u8(slot::INVOKE, invoke);
        self.b.u16(slot::CONCURRENCY, concurrency);
        self.b
            .bool(slot::FORCE_REREGISTER, if_true(o.force_reregister));
        Ok(self.b.end())
    }

    fn invocation(&mut self, m: &Invocation<'_>) -> Result<Place, EncodeError> {
        use schema::invocation as slot;
        let d = &m.details;
        absent(d.progress == Some(true), "progress")?;
        let places = self.payload(&m.payload, d.passthru.as_deref())?;
        let procedure = self.text(d.procedure.as_ref().map(AsRef::as_ref))?;
        let transaction_hash = self.text(d.transaction_hash.as_deref())?;
        let caller_authid = self.text(d.caller_authid.as_deref())?;
        let caller_authrole = self.text(d.caller_authrole.as_deref())?;
        let places = self.keyid(places, d.passthru.as_deref())?;
        let forward_for = self.principals(d.forward_for.as_deref())?;
        let timeout_ms = timeout(d.timeout_ms)?;
        self.b.begin(slot::SLOTS);
        self.b.u64(slot::REQUEST, Some(m.request.get()));
        self.b.u64(slot::REGISTRATION, Some(m.registration.get()));
        self.payload_fields(slot::ARGS, &places)?;
        self.b.u32(slot::TIMEOUT, timeout_ms);
        self.b
            .bool(slot::RECEIVE_PROGRESS, if_true(d.receive_progress));
        self.b.u64(slot::CALLER, d.caller.map(Id::get));
        self.b.place(slot::CALLER_AUTHID, caller_authid)?;
        self.b.place(slot::CALLER_AUTHROLE, caller_authrole)?;
        self.b.place(slot::PROCEDURE, procedure)?;
        self.b.place(slot::TRANSACTION_HASH, transaction_hash)?;
        self.b.place(slot::FORWARD_FOR, forward_for)?;
        Ok(self.b.end())
    }

    /// RESULT and YIELD, which look the same.
    fn result(
        &mut self,
        request: Id,
        d: &ResultDetails<'_>,
        payload: &Payload<'_>,
    ) -> Result<Place, EncodeError> {
        use schema::result as slot;
        let places = self.payload(payload, d.passthru.as_deref())?;
        let places = self.keyid(places, d.passthru.as_deref())?;
        let callee_authid = self.text(d.callee_authid.as_deref())?;
        let callee_authrole = self.text(d.callee_authrole.as_deref())?;
        let forward_for = self.principals(d.forward_for.as_deref())?;
        self.b.begin(slot::SLOTS);
        self.b.u64(slot::REQUEST, Some(request.get()));
        self.payload_fields(slot::ARGS, &places)?;
        self.b.bool(slot::PROGRESS, if_true(d.progress));
        self.b.u64(slot::CALLEE, d.callee.map(Id::get));
        self.b.place(slot::CALLEE_AUTHID, callee_authid)?;
        self.b.place(slot::CALLEE_AUTHROLE, callee_authrole)?;
        self.b.place(slot::FORWARD_FOR, forward_for)?;
        Ok(self.b.end())
    }

    /// The many messages of two identifiers, which look the same.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "its siblings can fail, and it stands in a row with them"
    )]
    fn reply(&mut self, request: Id, id: Id) -> Result<Place, EncodeError> {
        use schema::reply as slot;
        self.b.begin(slot::SLOTS);
        self.b.u64(slot::REQUEST, Some(request.get()));
        self.b.u64(slot::ID, Some(id.get()));
        Ok(self.b.end())
    }

    fn withdrawn(&mut self, of: &Withdrawn<'_>) -> Result<Place, EncodeError> {
        use schema::reply as slot;
        match of {
            Withdrawn::Request(request) => {
                self.b.begin(slot::SLOTS);
                self.b.u64(slot::REQUEST, Some(request.get()));
            }
            Withdrawn::Revoked { id, reason } => {
                let reason = self.text(reason.as_deref())?;
                self.b.begin(slot::SLOTS);
                self.b.u64(slot::ID, Some(id.get()));
                self.b.place(slot::REASON, reason)?;
            }
        }
        Ok(self.b.end())
    }

    fn text(&mut self, text: Option<&str>) -> Result<Option<Place>, EncodeError> {
        text.map(|text| self.b.string(text)).transpose()
    }

    fn texts(&mut self, texts: Option<&[Cow<'_, str>]>) -> Result<Option<Place>, EncodeError> {
        let Some(texts) = texts else {
            return Ok(None);
        };
        let places = texts
            .iter()
            .map(|text| self.b.string(text))
            .collect::<Result<Vec<_>, _>>()?;
        self.b.list_of(&places).map(Some)
    }

    fn ids(&mut self, ids: Option<&[Id]>) -> Result<Option<Place>, EncodeError> {
        let Some(ids) = ids else {
            return Ok(None);
        };
        let ids: Vec<u64> = ids.iter().map(|id| id.get()).collect();
        self.b.list_u64(&ids).map(Some)
    }

    fn principals(
        &mut self,
        principals: Option<&[Principal<'_>]>,
    ) -> Result<Option<Place>, EncodeError> {
        use schema::principal as slot;
        let Some(principals) = principals else {
            return Ok(None);
        };
        let mut places = Vec::with_capacity(principals.len());
        for principal in principals {
            let authid = self.text(principal.authid.as_deref())?;
            let authrole = self.text(principal.authrole.as_deref())?;
            self.b.begin(slot::SLOTS);
            self.b.u64(slot::SESSION, Some(principal.session.get()));
            self.b.place(slot::AUTHID, authid)?;
            self.b.place(slot::AUTHROLE, authrole)?;
            places.push(self.b.end());
        }
        self.b.list_of(&places).map(Some)
    }

    /// The schema's free dictionary holds one pair of strings; an empty one is left out.
    fn pair(&mut self, dict: &Dict, what: &'static str) -> Result<Option<Place>, EncodeError> {
        use schema::pair as slot;
        let mut entries = dict.iter();
        let Some((key, value)) = entries.next() else {
            return Ok(None);
        };
        let (Some(value), None) = (value.as_str(), entries.next()) else {
            return Err(EncodeError::Unrepresentable(what));
        };
        let key = self.b.string(key)?;
        let value = self.b.string(value)?;
        self.b.begin(slot::SLOTS);
        self.b.place(slot::KEY, Some(key))?;
        self.b.place(slot::VALUE, Some(value))?;
        Ok(Some(self.b.end()))
    }

    fn dict(
        &mut self,
        dict: Option<&Dict>,
        what: &'static str,
    ) -> Result<Option<Place>, EncodeError> {
        dict.map_or(Ok(None), |dict| self.pair(dict, what))
    }

    fn roles(&mut self, roles: Option<&Roles>, router: bool) -> Result<Option<Place>, EncodeError> {
        let Some(roles) = roles else {
            return Ok(None);
        };
        let slots = schema::roles(router);
        let mut places = Vec::with_capacity(slots.len());
        for &role in slots {
            let Some(features) = roles.get(role) else {
                places.push(None);
                continue;
            };
            let fields = schema::features(role);
            self.b.begin(fields.len());
            for (slot, &feature) in fields.iter().enumerate() {
                self.b.bool(slot, if_true(Some(features.has(feature))));
            }
            places.push(Some(self.b.end()));
        }
        self.b.begin(slots.len());
        for (slot, place) in places.into_iter().enumerate() {
            self.b.place(slot, place)?;
        }
        Ok(Some(self.b.end()))
    }

    /// Writes the octets of a payload; its key follows later, after other strings.
    fn payload(
        &mut self,
        payload: &Payload<'_>,
        passthru: Option<&Passthru<'_>>,
    ) -> Result<PayloadPlaces, EncodeError> {
        let mut places = PayloadPlaces {
            args: None,
            kwargs: None,
            opaque: None,
            keyid: None,
            scheme: None,
            serializer: None,
            cipher: None,
        };
        if let Some(passthru) = passthru {
            absent(passthru.ppt_scheme.is_some(), "ppt_scheme")?;
            absent(passthru.ppt_serializer.is_some(), "ppt_serializer")?;
            absent(passthru.ppt_keyid.is_some(), "ppt_keyid")?;
        }
        if let Some(octets) = payload.as_opaque() {
            places.opaque = Some(self.b.octets(octets)?);
            if let Some(passthru) = passthru {
                let index = |words: &[&str], word: Option<&str>, what| match word {
                    None => Ok(None),
                    Some(word) => index_of(words, word, what).map(unless_zero),
                };
                let algo = passthru.enc_algo.as_ref().map(EncAlgo::as_str);
                let serializer = passthru.enc_serializer.as_ref().map(EncSerializer::as_str);
                places.scheme = index(&schema::SCHEMES, algo, "enc_algo")?;
                places.serializer = index(&schema::SERIALIZERS, serializer, "enc_serializer")?;
                places.cipher = index(
                    &schema::CIPHERS,
                    passthru.ppt_cipher.as_deref(),
                    "ppt_cipher",
                )?;
            }
            return Ok(places);
        }
        let mut encoded = Vec::new();
        if payload.write_args(&mut CborWriter::new(&mut encoded))? {
            places.args = Some(self.b.octets(&encoded)?);
        }
        encoded.clear();
        if payload.write_kwargs(&mut CborWriter::new(&mut encoded))? {
            places.kwargs = Some(self.b.octets(&encoded)?);
        }
        Ok(places)
    }

    fn keyid(
        &mut self,
        mut places: PayloadPlaces,
        passthru: Option<&Passthru<'_>>,
    ) -> Result<PayloadPlaces, EncodeError> {
        if let Some(passthru) = passthru {
            places.keyid = self.text(passthru.enc_key.as_deref())?;
        }
        Ok(places)
    }

    fn payload_fields(&mut self, args: usize, places: &PayloadPlaces) -> Result<(), EncodeError> {
        self.b.place(args, places.args)?;
        self.b.place(args + payload::KWARGS, places.kwargs)?;
        self.b.place(args + payload::PAYLOAD, places.opaque)?;
        self.b.u8(args + payload::SCHEME, places.scheme);
        self.b.u8(args + payload::SERIALIZER, places.serializer);
        self.b.u8(args + payload::CIPHER, places.cipher);
        self.b.place(args + payload::KEYID, places.keyid)
    }
}

/// An attribute the schema has no field for must not be there.
fn absent(there: bool, key: &'static str) -> Result<(), EncodeError> {
    if there {
        Err(EncodeError::Unrepresentable(key))
    } else {
        Ok(())
    }
}

fn index_of(words: &[&str], word: &str, what: &'static str) -> Result<u8, EncodeError> {
    words
        .iter()
        .position(|known| *known == word)
        .and_then(|index| u8::try_from(index).ok())
        .ok_or(EncodeError::Unrepresentable(what))
}

fn unless_zero(index: u8) -> Option<u8> {
    (index != 0).then_some(index)
}

/// A bool whose absence means no is written only when it is yes.
fn if_true(flag: Option<bool>) -> Option<bool> {
    flag.filter(|&flag| flag)
}

/// The schema's defaults for the mode differ between its two messages: it is always written.
fn cancel_mode(mode: CancelMode) -> u8 {
    mode as u8
}

fn timeout(timeout_ms: Option<u64>) -> Result<Option<u32>, EncodeError> {
    match timeout_ms {
        None | Some(0) => Ok(None),
        Some(timeout_ms) => u32::try_from(timeout_ms)
            .map(Some)
            .map_err(|_| EncodeError::Range("timeout")),
    }
}
