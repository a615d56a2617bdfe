//! The opening handshake (RFC 6455 section 4), both sides: octets in, verdicts and octets out. No socket, no
//! clock, no randomness; whoever owns those keeps the deadline and draws the key. It must not know frames.
//!
//! ```text
//! server   HeadScanner ─ parse_request ┬ Request ───── write_accept, write_denial
//!                                      ├ PlainRequest ─ (the little HTTP on the same port), or 426
//!                                      └ Refusal ───── write_refusal
//! client   write_request ─ HeadScanner ─ parse_response ┬ Response
//!                                                       └ OtherResponse: redirect, authentication …
//! ```
//!
//! # What a server refuses, and how
//!
//! In this order; the first rule broken gives the answer. Each answer closes the connection, and repeats
//! nothing of the request.
//!
//! | what came | answer | [`Refusal`] |
//! |---|---|---|
//! | first octets that cannot be a method: TLS, NUL, an empty line | close, or 400 | `NotHttp` |
//! | a head of more than 16 KiB ([`HEAD_LEN_MAX`]) | 431 | `HeadTooLarge` |
//! | a line that ends with LF or CR alone | 400 | `LineEnd`; a CR within a field: `FieldValue` |
//! | a request line not of three parts, or not `HTTP/`*digit*`.`*digit* at its end | 400 | `RequestLine` |
//! | a version of HTTP other than 1.1 | 505 | `HttpVersion` |
//! | a field name that is empty or no token; space before the colon; no colon; a folded line | 400 | `FieldName` |
//! | a control character in a value (NUL, CR, DEL …) | 400 | `FieldValue` |
//! | more than 100 fields ([`HEADER_FIELDS_MAX`]) | 431 | `TooManyFields` |
//! | Content-Length twice, no number, or beside Transfer-Encoding | 400 | `Framing` |
//! | a method other than GET and HEAD | 405, `Allow: GET` | `Method` |
//! | a fragment in the target | 400 | `TargetFragment` |
//! | a target that is neither a path nor an absolute http, https, ws or wss URI | 400 | `Target` |
//! | no Host; several; not `host[:port]` | 400 | `HostMissing`, `HostDuplicate`, `HostMalformed` |
//! | a Host with another port than [`RequestRules::external_port`] | 400 | `HostPort` |
//! | a Host that none of [`RequestRules::hosts`] fits | 421 | `HostForeign` |
//! | Content-Length other than `0`, Transfer-Encoding | 400 | `Body` |
//! | no Upgrade, but Sec-WebSocket-Key or Sec-WebSocket-Version | 426 | `UpgradeRequired` |
//! | no Upgrade | [`Parsed::Plain`] | (426 `UpgradeRequired` where nothing is served) |
//! | Upgrade without `websocket`, such as `h2c` | 400, or [`Parsed::Plain`] by [`RequestRules::ignore_other_upgrades`] | `UpgradeForeign` |
//! | Upgrade to `websocket` by HEAD | 405, no body | `MethodHead` |
//! | Connection without `upgrade` | 400 | `ConnectionWithoutUpgrade` |
//! | no Sec-WebSocket-Version; several | 400, with the versions | `VersionMissing`, `VersionDuplicate` |
//! | a version other than exactly `13` or `8` | 426, with the versions | `VersionUnsupported` |
//! | no Sec-WebSocket-Key; several; not base64 of 16 octets | 400 | `KeyMissing`, `KeyDuplicate`, `KeyMalformed` |
//! | several origins; one with characters no origin has | 400 | `OriginDuplicate`, `OriginMalformed` |
//! | an origin that [`OriginRules`] do not allow; none where one is required | 403 | `OriginForeign`, `OriginNull`, `OriginMissing` |
//! | a subprotocol that is no token; a list of none; one twice; more than 64 | 400 | `SubprotocolMalformed`, `SubprotocolDuplicate`, `SubprotocolsTooMany` |
//! | Sec-WebSocket-Extensions against its grammar, or with more than 32 extensions, or 32 parameters of one | 400 | `Extensions` |
//!
//! Where the specifications leave a choice:
//!
//! - A missing version is 400, not 426: it is not a version we do not speak but a request that is no handshake
//!   of RFC 6455, most likely one of the Hixie drafts. A malformed one (`+13`, `013`, `13.0`, `13, 8`) is 426,
//!   because telling the versions is all that can help its sender.
//! - Empty list elements (`a,,b`) are passed over: RFC 6455 is written with the `#rule` of RFC 2616 section
//!   2.1, which allows them, and RFC 9110 section 5.6.1.2 demands it of recipients. A list of nothing else is
//!   refused.
//! - Several Sec-WebSocket-Extensions and Sec-WebSocket-Protocol fields are one list (RFC 6455 sections
//!   11.3.2 and 11.3.4) in a request, and an error in a response.
//! - An absolute target's host counts, and Host, though it must be there and sound, does not (RFC 9112
//!   section 3.2.2).
//! - An empty line before the request line, which RFC 9112 section 2.2 suggests to ignore for the sake of old
//!   browsers' POSTs, is refused: no such client opens a connection here.
//!
//! # Cost
//!
//! Every octet of a head is looked at a constant number of times: by the scanner when it arrives and once more
//! when the head is whole, by httparse, and by the check of the field it stands in. A request allocates once,
//! for the list of its fields; comparing patterns of origins or hosts, where there are any, allocates a few
//! short strings. Subprotocols are compared pairwise, at most [`SUBPROTOCOLS_MAX`] of them.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic)
)]

mod authority;
mod client;
mod extensions;
mod grammar;
mod head;
mod headers;
mod key;
mod origin;
mod refusal;
mod request;
mod respond;

pub use authority::{Authority, HostPattern};
pub use client::{
    Answer, ClientRequest, Expectation, OtherResponse, Response, ResponseError, parse_response,
    write_request,
};
pub use extensions::{
    EXTENSION_PARAMS_MAX, EXTENSIONS_MAX, Extension, ExtensionParam, Extensions, ExtensionsError,
    extensions_in,
};
pub use head::{HEAD_LEN_MAX, HeadError, HeadScanner};
pub use headers::{HEADER_FIELDS_MAX, Headers};
pub use key::{ACCEPT_LEN, Key, accept_for};
pub use origin::{OriginPattern, OriginPatternError, OriginPolicy, OriginRules};
pub use refusal::{Refusal, Versions, write_refusal};
pub use request::{Parsed, PlainRequest, Request, RequestRules, SUBPROTOCOLS_MAX, parse_request};
pub use respond::{HeaderError, check_headers, write_accept, write_denial};

#[cfg(test)]
mod tests;
