//! A message encoded once, to be sent to many.

use bytes::Bytes;

use super::frame::{self, Header};
use crate::message::{Kind, Message};

/// A message that is already a server's frame. Cloning shares it; sending it copies at most a
/// reference, whatever the number of connections.
///
/// ```
/// use wirebahn::{Message, Prepared};
///
/// let prepared = Prepared::new(Message::Text("to everyone"));
/// assert_eq!(prepared.payload(), b"to everyone");
/// assert_eq!(prepared.frame()[..2], [0x81, 11]);
/// ```
#[derive(Debug, Clone)]
pub struct Prepared {
    frame: Bytes,
    head_len: u8,
    kind: Kind,
}

impl Prepared {
    /// Encodes a message; copies its payload once.
    #[must_use]
    pub fn new<'a>(message: impl Into<Message<'a>>) -> Self {
        let message = message.into();
        let payload = message.as_bytes();
        let header = Header {
            fin: true,
            opcode: message.kind().into(),
            key: None,
            len: payload.len() as u64,
        };
        let (octets, head_len) = frame::encode(&header);
        let mut whole = Vec::with_capacity(head_len + payload.len());
        whole.extend_from_slice(octets.get(..head_len).unwrap_or_default());
        whole.extend_from_slice(payload);
        // A header has at most 14 octets.
        Self {
            frame: whole.into(),
            head_len: head_len as u8,
            kind: message.kind(),
        }
    }

    /// Text or binary.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.frame
            .get(usize::from(self.head_len)..)
            .unwrap_or_default()
    }

    /// The frame as a server sends it.
    #[must_use]
    pub fn frame(&self) -> &Bytes {
        &self.frame
    }
}
