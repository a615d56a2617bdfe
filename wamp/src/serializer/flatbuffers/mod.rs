//! FlatBuffers: messages as tables of a schema, arguments as CBOR within. The specification names
//! the format and gives no schema for messages; this is the one that clients in use have, written
//! out here slot by slot.
//!
//! `schema` says where each field stands, `table` reads tables and trusts no offset, `builder`
//! writes them, `read` and `write` go between them and messages.

use crate::error::{EncodeError, Violation};
use crate::message::Message;
use crate::rules::Rules;

mod builder;
mod read;
mod schema;
mod table;
mod write;

/// Reads one message.
pub(super) fn decode<'a>(octets: &'a [u8], rules: &Rules) -> Result<Message<'a>, Violation> {
    read::message(octets, rules)
}

/// Appends one message.
pub(super) fn encode(message: &Message<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    write::message(message, out)
}
