//! From a message to a writer's tokens. Empty arguments are left out, as the text asks (Basic
//! Profile, "Empty Arguments and Keyword Arguments").

use super::attributes::{self, Attributes};
use super::{Message, Withdrawn};
use crate::error::EncodeError;
use crate::id::Id;
use crate::payload::Payload;
use crate::token::{self, Writer};

/// Writes one message.
pub(crate) fn write<W: Writer>(message: &Message<'_>, writer: &mut W) -> Result<(), EncodeError> {
    let mut elements = Elements { writer };
    let code = message.message_type().code().into();
    // The number of elements is known before the first, so that heads need no second look.
    match message {
        Message::Hello(m) => elements
            .begin(code, 2)?
            .str(m.realm.as_str())?
            .attributes(&m.details)?,
        Message::Welcome(m) => elements
            .begin(code, 2)?
            .id(m.session)
            .attributes(&m.details)?,
        Message::Abort(m) => elements
            .begin(code, 2 + m.payload.elements())?
            .attributes(&m.details)?
            .str(m.reason.as_str())?
            .payload(&m.payload)?,
        Message::Challenge(m) => elements.begin(code, 2)?.str(&m.method)?.dict(&m.extra)?,
        Message::Authenticate(m) => elements.begin(code, 2)?.str(&m.signature)?.dict(&m.extra)?,
        Message::Goodbye(m) => elements
            .begin(code, 2)?
            .attributes(&m.details)?
            .str(m.reason.as_str())?,
        Message::Error(m) => elements
            .begin(code, 4 + m.payload.elements())?
            .uint(m.request_type.code().into())
            .id(m.request)
            .attributes(&m.details)?
            .str(m.error.as_str())?
            .payload(&m.payload)?,
        Message::Publish(m) => elements
            .begin(code, 3 + m.payload.elements())?
            .id(m.request)
            .attributes(&m.options)?
            .str(m.topic.as_str())?
            .payload(&m.payload)?,
        Message::Published(m) => elements.begin(code, 2)?.id(m.request).id(m.publication),
        Message::Subscribe(m) => elements
            .begin(code, 3)?
            .id(m.request)
            .attributes(&m.options)?
            .str(m.topic.as_str())?,
        Message::Subscribed(m) => elements.begin(code, 2)?.id(m.request).id(m.subscription),
        Message::Unsubscribe(m) => elements.begin(code, 2)?.id(m.request).id(m.subscription),
        Message::Unsubscribed(m) => elements.withdrawn(code, &m.of, "subscription")?,
        Message::Event(m) => elements
            .begin(code, 3 + m.payload.elements())?
            .id(m.subscription)
            .id(m.publication)
            .attributes(&m.details)?
            .payload(&m.payload)?,
        Message::EventReceived(m) => elements.begin(code, 1)?.id(m.publication),
        Message::Call(m) => elements
            .begin(code, 3 + m.payload.elements())?
            .id(m.request)
            .attributes(&m.options)?
            .str(m.procedure.as_str())?
            .payload(&m.payload)?,
        Message::Cancel(m) => elements
            .begin(code, 2)?
            .id(m.request)
            .attributes(&m.options)?,
        Message::Result(m) => elements
            .begin(code, 2 + m.payload.elements())?
            .id(m.request)
            .attributes(&m.details)?
            .payload(&m.payload)?,
        Message::Register(m) => elements
            .begin(code, 3)?
            .id(m.request)
            .attributes(&m.options)?
            .str(m.procedure.as_str())?,
        Message::Registered(m) => elements.begin(code, 2)?.id(m.request).id(m.registration),
        Message::Unregister(m) => elements.begin(code, 2)?.id(m.request).id(m.registration),
        Message::Unregistered(m) => elements.withdrawn(code, &m.of, "registration")?,
        Message::Invocation(m) => elements
            .begin(code, 3 + m.payload.elements())?
            .id(m.request)
            .id(m.registration)
            .attributes(&m.details)?
            .payload(&m.payload)?,
        Message::Interrupt(m) => elements
            .begin(code, 2)?
            .id(m.request)
            .attributes(&m.options)?,
        Message::Yield(m) => elements
            .begin(code, 2 + m.payload.elements())?
            .id(m.request)
            .attributes(&m.options)?
            .payload(&m.payload)?,
    };
    writer.end()
}

struct Elements<'w, W> {
    writer: &'w mut W,
}

impl<W: Writer> Elements<'_, W> {
    /// The message type, before that many elements.
    fn begin(&mut self, code: u64, elements: usize) -> Result<&mut Self, EncodeError> {
        self.writer.list(Some(1 + elements))?;
        Ok(self.uint(code))
    }

    fn uint(&mut self, value: u64) -> &mut Self {
        self.writer.uint(value);
        self
    }

    fn id(&mut self, id: Id) -> &mut Self {
        self.uint(id.get())
    }

    fn str(&mut self, text: &str) -> Result<&mut Self, EncodeError> {
        self.writer.str(text)?;
        Ok(self)
    }

    fn dict(&mut self, dict: &crate::value::Dict) -> Result<&mut Self, EncodeError> {
        token::write_dict(self.writer, dict)?;
        Ok(self)
    }

    fn attributes<'a, A: Attributes<'a>>(
        &mut self,
        attributes: &A,
    ) -> Result<&mut Self, EncodeError> {
        attributes::write(attributes, self.writer)?;
        Ok(self)
    }

    fn payload(&mut self, payload: &Payload<'_>) -> Result<&mut Self, EncodeError> {
        payload.write(self.writer)?;
        Ok(self)
    }

    fn withdrawn(
        &mut self,
        code: u64,
        of: &Withdrawn<'_>,
        key: &str,
    ) -> Result<&mut Self, EncodeError> {
        match of {
            Withdrawn::Request(request) => Ok(self.begin(code, 1)?.id(*request)),
            Withdrawn::Revoked { id, reason } => {
                let elements = self.begin(code, 2)?.uint(0);
                let writer = &mut elements.writer;
                writer.dict(Some(1 + usize::from(reason.is_some())))?;
                writer.key(key)?;
                writer.uint(id.get());
                if let Some(reason) = reason {
                    writer.key("reason")?;
                    writer.str(reason)?;
                }
                writer.end()?;
                Ok(elements)
            }
        }
    }
}
