//! WAMP for Wirebahn: identifiers, messages, serializers, authentication and sessions.
//!
//! This crate holds what the [WAMP specification](https://wamp-proto.org) says and nothing of
//! how octets travel: no socket, no clock, no thread. Octets of one transport message go in,
//! typed messages come out, and the other way round.
//!
//! ```
//! use wirebahn_wamp::message::{Call, CallOptions, Message};
//! use wirebahn_wamp::serializer::{Codec, Format};
//! use wirebahn_wamp::{Id, Payload, Uri, Value};
//!
//! let call = Message::Call(Call {
//!     request: Id::MIN,
//!     options: CallOptions::default(),
//!     procedure: Uri::loose("com.myapp.add2")?,
//!     payload: Payload::from_args([Value::from(23), Value::from(7)]),
//! });
//! let mut codec = Codec::new(Format::Json);
//! let mut frame = Vec::new();
//! codec.encode(&call, &mut frame)?;
//! assert_eq!(frame, br#"[48,1,{},"com.myapp.add2",[23,7]]"#);
//!
//! let Message::Call(heard) = codec.decode(&frame)? else { panic!("a CALL was sent") };
//! assert_eq!(heard.procedure.as_str(), "com.myapp.add2");
//! assert_eq!(heard.payload.args()?, [Value::from(23), Value::from(7)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The way through
//!
//! | module | what it is |
//! |---|---|
//! | [`uri`], [`id`] | identifiers: their rules, their scopes |
//! | [`value`], [`payload`] | what applications send; raw until asked for |
//! | [`message`] | the 25 message types, typed and strict |
//! | [`serializer`] | JSON, MessagePack, CBOR, UBJSON (and BJData), FlatBuffers; batches |
//! | [`auth`] | anonymous, ticket, WAMP-CRA, and the seam for others |
//! | [`session`] | sessions as state machines: joiner, acceptor, session |
//! | [`error`] | what can be wrong, by blame |

#![forbid(unsafe_code)]

pub mod auth;
pub mod error;
pub mod id;
pub mod message;
mod own;
pub mod payload;
pub mod rules;
pub mod serializer;
pub mod session;
mod token;
pub mod uri;
pub mod value;

pub use id::Id;
pub use message::Message;
pub use payload::Payload;
pub use rules::Rules;
pub use uri::Uri;
pub use value::{Dict, Value};
