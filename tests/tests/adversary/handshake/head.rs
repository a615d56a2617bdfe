//! A request under construction: right unless a case makes it wrong.

use super::MARKER;
use crate::peer::KEY;

/// A request under construction.
#[derive(Clone)]
pub(super) struct Head {
    line: String,
    pub(super) fields: Vec<(String, Vec<u8>)>,
}

impl Head {
    pub(super) fn good() -> Self {
        let mut head = Self {
            line: format!("GET /{MARKER} HTTP/1.1"),
            fields: Vec::new(),
        };
        for (name, value) in [
            ("Host", "127.0.0.1:9000"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", KEY),
            ("Sec-WebSocket-Version", "13"),
            ("X-Marker", MARKER),
        ] {
            head = head.plus(name, value);
        }
        head
    }

    pub(super) fn line(mut self, line: &str) -> Self {
        self.line = line.into();
        self
    }

    pub(super) fn plus(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push((name.into(), value.as_ref().to_vec()));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self
    }

    pub(super) fn with(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).plus(name, value)
    }

    pub(super) fn octets(&self) -> Vec<u8> {
        let mut out = [self.line.as_bytes(), b"\r\n"].concat();
        for (name, value) in &self.fields {
            out.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        out.extend(b"\r\n");
        out
    }

    /// The head with one more line, as it stands, before the last of its fields.
    pub(super) fn raw_line(&self, line: &[u8]) -> Vec<u8> {
        let octets = self.octets();
        let at = octets.len() - 2;
        [&octets[..at], line, b"\r\n\r\n"].concat()
    }

    /// The head with one more field that makes it `length` octets long.
    pub(super) fn long(&self, length: usize) -> Vec<u8> {
        let now = self.octets().len() + "X-Long: \r\n".len();
        self.clone()
            .plus("X-Long", "l".repeat(length - now))
            .octets()
    }
}
