//! From a reader's tokens to a message, strictly: for each type and number of elements the types
//! are uniquely defined (Basic Profile, "No Polymorphism"), and each departure has its own error.

use std::borrow::Cow;

use super::attributes::{self, Attributes, Context};
use super::{
    Abort, Authenticate, Call, CallResult, Cancel, Challenge, Error, Event, EventReceived, Goodbye,
    Hello, Interrupt, Invocation, Message, MessageType, Passthru, Publish, Published, Register,
    Registered, RevocationDetails, Subscribe, Subscribed, Unregister, Unregistered, Unsubscribe,
    Unsubscribed, Welcome, Withdrawn, Yield,
};
use crate::error::{Expected, Violation};
use crate::id::Id;
use crate::payload::Payload;
use crate::token::{self, Peek, Reader, Token};
use crate::uri::{MatchPolicy, Uri, UriRule};
use crate::value::{Dict, Value};

/// Reads one message, to the last octet.
pub(crate) fn parse<'a, R: Reader<'a>>(
    reader: &mut R,
    uri_rule: UriRule,
) -> Result<Message<'a>, Violation> {
    let Token::List(_) = reader.token()? else {
        return Err(Violation::NotAList);
    };
    let code = match reader.token()? {
        Token::Int(code) => u64::try_from(code).map_err(|_| Violation::TypeNotInteger)?,
        Token::Uint(code) => code,
        Token::End => return Err(Violation::Empty),
        _ => return Err(Violation::TypeNotInteger),
    };
    let message = MessageType::from_code(code).ok_or(Violation::UnknownType(code))?;
    let mut elements = Elements {
        reader,
        context: Context { message, uri_rule },
    };
    let parsed = elements.message()?;
    elements.end()?;
    reader.finish()?;
    Ok(parsed)
}

struct Elements<'r, R> {
    reader: &'r mut R,
    context: Context,
}

impl<'a, R: Reader<'a>> Elements<'_, R> {
    fn message(&mut self) -> Result<Message<'a>, Violation> {
        use MessageType as T;
        Ok(match self.context.message {
            T::Hello => {
                let realm = self.uri("Realm", None, MatchPolicy::Exact)?;
                let details: super::HelloDetails<'_> = self.attributes("Details")?;
                self.must(details.roles.is_some(), "roles")?;
                Hello { realm, details }.into()
            }
            T::Welcome => {
                let session = self.id("Session")?;
                let details: super::WelcomeDetails<'_> = self.attributes("Details")?;
                self.must(details.roles.is_some(), "roles")?;
                Welcome { session, details }.into()
            }
            T::Abort => Abort {
                details: self.attributes("Details")?,
                reason: self.uri("Reason", None, MatchPolicy::Exact)?,
                payload: self.payload(None)?,
            }
            .into(),
            T::Challenge => Challenge {
                method: self.string("AuthMethod")?,
                extra: self.dict("Extra")?,
            }
            .into(),
            T::Authenticate => Authenticate {
                signature: self.string("Signature")?,
                extra: self.dict("Extra")?,
            }
            .into(),
            T::Goodbye => Goodbye {
                details: self.attributes("Details")?,
                reason: self.uri("Reason", None, MatchPolicy::Exact)?,
            }
            .into(),
            T::Error => {
                let request_type = self.request_type()?;
                let request = self.id("REQUEST.Request")?;
                let details: super::ErrorDetails<'_> = self.attributes("Details")?;
                Error {
                    request_type,
                    request,
                    error: self.uri("Error", None, MatchPolicy::Exact)?,
                    payload: self.payload(details.passthru.as_deref())?,
                    details,
                }
                .into()
            }
            T::Publish => {
                let request = self.id("Request")?;
                let options: super::PublishOptions<'_> = self.attributes("Options")?;
                Publish {
                    request,
                    topic: self
                        .uri("Topic", Some(request), MatchPolicy::Exact)
                        .map_err(|violation| violation.asked(options.acknowledged()))?,
                    payload: self.payload(options.passthru.as_deref())?,
                    options,
                }
                .into()
            }
            T::Published => Published {
                request: self.id("PUBLISH.Request")?,
                publication: self.id("Publication")?,
            }
            .into(),
            T::Subscribe => {
                let request = self.id("Request")?;
                let options: super::SubscribeOptions<'_> = self.attributes("Options")?;
                let policy = options.match_policy.unwrap_or_default();
                Subscribe {
                    request,
                    topic: self.uri("Topic", Some(request), policy)?,
                    options,
                }
                .into()
            }
            T::Subscribed => Subscribed {
                request: self.id("SUBSCRIBE.Request")?,
                subscription: self.id("Subscription")?,
            }
            .into(),
            T::Unsubscribe => Unsubscribe {
                request: self.id("Request")?,
                subscription: self.id("SUBSCRIBED.Subscription")?,
            }
            .into(),
            T::Unsubscribed => Unsubscribed {
                of: self.withdrawn("UNSUBSCRIBE.Request", "subscription", |details| {
                    details.subscription
                })?,
            }
            .into(),
            T::Event => {
                let subscription = self.id("SUBSCRIBED.Subscription")?;
                let publication = self.id("PUBLISHED.Publication")?;
                let details: super::EventDetails<'_> = self.attributes("Details")?;
                Event {
                    subscription,
                    publication,
                    payload: self.payload(details.passthru.as_deref())?,
                    details,
                }
                .into()
            }
            T::EventReceived => EventReceived {
                publication: self.id("EVENT.Publication")?,
            }
            .into(),
            T::Call => {
                let request = self.id("Request")?;
                let options: super::CallOptions<'_> = self.attributes("Options")?;
                Call {
                    request,
                    procedure: self.uri("Procedure", Some(request), MatchPolicy::Exact)?,
                    payload: self.payload(options.passthru.as_deref())?,
                    options,
                }
                .into()
            }
            T::Cancel => Cancel {
                request: self.id("CALL.Request")?,
                options: self.attributes("Options")?,
            }
            .into(),
            T::Result => {
                let request = self.id("CALL.Request")?;
                let details: super::ResultDetails<'_> = self.attributes("Details")?;
                CallResult {
                    request,
                    payload: self.payload(details.passthru.as_deref())?,
                    details,
                }
                .into()
            }
            T::Register => {
                let request = self.id("Request")?;
                let options: super::RegisterOptions<'_> = self.attributes("Options")?;
                let policy = options.match_policy.unwrap_or_default();
                Register {
                    request,
                    procedure: self.uri("Procedure", Some(request), policy)?,
                    options,
                }
                .into()
            }
            T::Registered => Registered {
                request: self.id("REGISTER.Request")?,
                registration: self.id("Registration")?,
            }
            .into(),
            T::Unregister => Unregister {
                request: self.id("Request")?,
                registration: self.id("REGISTERED.Registration")?,
            }
            .into(),
            T::Unregistered => Unregistered {
                of: self.withdrawn("UNREGISTER.Request", "registration", |details| {
                    details.registration
                })?,
            }
            .into(),
            T::Invocation => {
                let request = self.id("Request")?;
                let registration = self.id("REGISTERED.Registration")?;
                let details: super::InvocationDetails<'_> = self.attributes("Details")?;
                Invocation {
                    request,
                    registration,
                    payload: self.payload(details.passthru.as_deref())?,
                    details,
                }
                .into()
            }
            T::Interrupt => Interrupt {
                request: self.id("INVOCATION.Request")?,
                options: self.attributes("Options")?,
            }
            .into(),
            T::Yield => {
                let request = self.id("INVOCATION.Request")?;
                let options: super::ResultDetails<'_> = self.attributes("Options")?;
                Yield {
                    request,
                    payload: self.payload(options.passthru.as_deref())?,
                    options,
                }
                .into()
            }
        })
    }

    /// The next element's first token; the message must not end here.
    fn next(&mut self, element: &'static str) -> Result<Token<'a>, Violation> {
        match self.reader.token()? {
            Token::End => Err(Violation::Missing {
                message: self.context.message,
                element,
            }),
            token => Ok(token),
        }
    }

    fn wrong(&self, element: &'static str, expected: Expected) -> Violation {
        Violation::Element {
            message: self.context.message,
            element,
            expected,
        }
    }

    fn must(&self, there: bool, key: &'static str) -> Result<(), Violation> {
        if there {
            Ok(())
        } else {
            Err(Violation::MissingAttribute {
                message: self.context.message,
                key,
            })
        }
    }

    fn integer(&mut self, element: &'static str) -> Result<Option<u64>, Violation> {
        Ok(match self.next(element)? {
            Token::Int(value) => u64::try_from(value).ok(),
            Token::Uint(value) => Some(value),
            _ => None,
        })
    }

    fn id(&mut self, element: &'static str) -> Result<Id, Violation> {
        self.integer(element)?
            .and_then(Id::new)
            .ok_or(self.wrong(element, Expected::Id))
    }

    fn string(&mut self, element: &'static str) -> Result<Cow<'a, str>, Violation> {
        match self.next(element)? {
            Token::Str(text) => Ok(text),
            _ => Err(self.wrong(element, Expected::String)),
        }
    }

    /// A URI; `request` is what an ERROR answers if it is none.
    fn uri(
        &mut self,
        element: &'static str,
        request: Option<Id>,
        policy: MatchPolicy,
    ) -> Result<Uri<'a>, Violation> {
        let text = self.string(element)?;
        Uri::checked(text, self.context.uri_rule, policy).map_err(|why| Violation::Uri {
            message: self.context.message,
            element,
            why,
            request,
            answered: true,
        })
    }

    fn dict(&mut self, element: &'static str) -> Result<Dict, Violation> {
        match self.next(element)? {
            first @ Token::Dict(_) => match token::value_from(first, self.reader)? {
                Value::Dict(dict) => Ok(dict),
                _ => Err(self.wrong(element, Expected::Dict)),
            },
            _ => Err(self.wrong(element, Expected::Dict)),
        }
    }

    fn attributes<A: Attributes<'a>>(&mut self, element: &'static str) -> Result<A, Violation> {
        match self.next(element)? {
            Token::Dict(_) => attributes::read(self.reader, self.context),
            _ => Err(self.wrong(element, Expected::Dict)),
        }
    }

    /// The type of the request an ERROR answers.
    fn request_type(&mut self) -> Result<MessageType, Violation> {
        let element = "REQUEST.Type";
        let code = self
            .integer(element)?
            .ok_or(self.wrong(element, Expected::Integer))?;
        MessageType::from_code(code)
            .filter(|request| request.is_request())
            .ok_or(Violation::RequestType(code))
    }

    /// A request, or 0 and details of what was taken back.
    fn withdrawn(
        &mut self,
        element: &'static str,
        key: &'static str,
        of: impl Fn(&RevocationDetails<'a>) -> Option<Id>,
    ) -> Result<Withdrawn<'a>, Violation> {
        match self.integer(element)? {
            Some(0) => {
                let details: RevocationDetails<'_> = self.attributes("Details")?;
                let id = of(&details);
                self.must(id.is_some(), key)?;
                id.map(|id| Withdrawn::Revoked {
                    id,
                    reason: details.reason,
                })
                .ok_or(self.wrong(element, Expected::Id))
            }
            Some(request) => Id::new(request)
                .map(Withdrawn::Request)
                .ok_or(self.wrong(element, Expected::Id)),
            None => Err(self.wrong(element, Expected::Id)),
        }
    }

    /// What is left: arguments, keyword arguments, or opaque octets where `enc_algo` says so.
    fn payload(&mut self, passthru: Option<&Passthru<'_>>) -> Result<Payload<'a>, Violation> {
        let opaque = passthru.is_some_and(|passthru| passthru.enc_algo.is_some());
        match self.reader.peek()? {
            Peek::End => return Ok(Payload::empty()),
            Peek::List => {}
            Peek::Scalar if opaque => {
                return match self.reader.token()? {
                    Token::Bytes(octets) => Ok(Payload::opaque(octets)),
                    Token::Str(text) => Ok(Payload::opaque_text(text)),
                    _ => Err(self.wrong("Arguments", Expected::Payload)),
                };
            }
            _ => {
                let expected = match passthru {
                    Some(_) => Expected::Payload,
                    None => Expected::List,
                };
                return Err(self.wrong("Arguments", expected));
            }
        }
        let args = self.reader.skip()?;
        let kwargs = match self.reader.peek()? {
            Peek::End => None,
            Peek::Dict => Some(self.reader.skip()?),
            _ => return Err(self.wrong("ArgumentsKw", Expected::Dict)),
        };
        let unless_empty = |raw: token::Raw<'a>| (!raw.empty).then_some(raw.bytes);
        Ok(Payload::from_raw(
            self.reader.format(),
            unless_empty(args),
            kwargs.and_then(unless_empty),
        ))
    }

    fn end(&mut self) -> Result<(), Violation> {
        match self.reader.peek()? {
            Peek::End => {
                self.reader.token()?;
                Ok(())
            }
            _ => Err(Violation::TooMany {
                message: self.context.message,
            }),
        }
    }
}
