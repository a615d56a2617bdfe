//! Tests of the handshake as a whole: each rule of the table with its exact answer, torn and worst-shaped
//! heads, random octets, and the two sides against each other.

mod client;
mod server;
mod together;

use super::*;

/// A handshake with nothing but what it must have.
const BASE: &str = "GET /chat HTTP/1.1\r\n\
                    Host: example.com\r\n\
                    Upgrade: websocket\r\n\
                    Connection: Upgrade\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                    Sec-WebSocket-Version: 13\r\n\
                    \r\n";

/// Its answer.
const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\n\
                      Upgrade: websocket\r\n\
                      Connection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
                      \r\n";

/// `text` with the one place where `from` stands replaced.
fn edited(text: &str, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(text.matches(from).count(), 1, "{from:?} must occur once");
    text.replacen(from, to, 1).into_bytes()
}

/// `text` with lines before the empty one that ends it.
fn added(text: &str, lines: &str) -> Vec<u8> {
    let head = text.strip_suffix("\r\n").expect("an empty line at the end");
    format!("{head}{lines}\r\n").into_bytes()
}
