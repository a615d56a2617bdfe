//! A client's view of RFC 6455, written for tests: frames encoded as a client may, and a server's
//! octets judged as strictly as the text allows. Shares no code with the engine.

use wirebahn::sim::Random;

/// The request of every client here; its key is the one of RFC 6455 section 1.3.
pub const REQUEST: &[u8] = b"GET /chat HTTP/1.1\r\nHost: server.example\r\n\
Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
Sec-WebSocket-Version: 13\r\n\r\n";

/// The answer to that key (RFC 6455 section 1.3).
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The opcodes of RFC 6455 section 5.2.
pub const CONTINUATION: u8 = 0;
/// See [`CONTINUATION`].
pub const TEXT: u8 = 1;
/// See [`CONTINUATION`].
pub const BINARY: u8 = 2;
/// See [`CONTINUATION`].
pub const CLOSE: u8 = 8;
/// See [`CONTINUATION`].
pub const PING: u8 = 9;
/// See [`CONTINUATION`].
pub const PONG: u8 = 10;

/// Appends one frame as a client sends it.
pub fn frame(out: &mut Vec<u8>, fin: bool, opcode: u8, payload: &[u8], key: [u8; 4]) {
    out.push(u8::from(fin) << 7 | opcode);
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xFFFF => {
            out.push(0x80 | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(key);
    let keys = key.iter().cycle();
    out.extend(payload.iter().zip(keys).map(|(octet, key)| octet ^ key));
}

/// The payload of a Close frame.
#[must_use]
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// Text of exactly this many octets, of code points of every length as far as they fit.
#[must_use]
pub fn text(random: &mut Random, len: usize) -> String {
    let mut text = String::with_capacity(len);
    while text.len() < len {
        let most = len - text.len();
        let point = match random.below(16) {
            12 if most >= 2 => 'ß',
            13 if most >= 3 => '→',
            14 if most >= 4 => '🚆',
            _ => char::from(b'a' + random.below(26) as u8),
        };
        text.push(point);
    }
    text
}

/// Something a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The opening handshake was answered with this status.
    Status(u16),
    /// A whole message of text or not.
    Message(bool, Vec<u8>),
    /// A ping.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A Close frame, with its code and reason if it had any.
    Close(Option<(u16, String)>),
}

/// Reads what a server says, and refuses whatever it must not say.
#[derive(Debug, Default)]
pub struct Reader {
    octets: Vec<u8>,
    at: usize,
    status: Option<u16>,
    message: Option<(bool, Vec<u8>)>,
    closed: bool,
}

impl Reader {
    /// Takes octets as they came, and appends what they say.
    ///
    /// # Errors
    /// The rule that was broken.
    pub fn read(&mut self, octets: &[u8], said: &mut Vec<Said>) -> Result<(), String> {
        if self.at == self.octets.len() {
            self.octets.clear();
            self.at = 0;
        }
        self.octets.extend_from_slice(octets);
        if self.status.is_none() {
            let Some(end) = self.octets.windows(4).position(|w| w == b"\r\n\r\n") else {
                return Ok(());
            };
            let status = head(&self.octets[..end + 2])?;
            self.status = Some(status);
            self.at = end + 4;
            said.push(Said::Status(status));
        }
        if self.status != Some(101) {
            return Ok(()); // the body of a refusal
        }
        while let Some(one) = self.frame()? {
            said.extend(one);
        }
        Ok(())
    }

    /// The server has ended in order: nothing may be left unfinished.
    ///
    /// # Errors
    /// What is unfinished.
    pub fn end(&self) -> Result<(), String> {
        if self.status == Some(101) && self.at < self.octets.len() {
            return Err("ends inside a frame".to_owned());
        }
        Ok(())
    }

    /// One frame: `None` when it is not whole, `Some(None)` when it says nothing yet.
    #[allow(clippy::type_complexity)]
    fn frame(&mut self) -> Result<Option<Option<Said>>, String> {
        let rest = &self.octets[self.at..];
        let &[first, second, ..] = rest else {
            return Ok(None);
        };
        if self.closed {
            return Err("a frame after a Close frame".to_owned());
        }
        if first & 0x70 != 0 {
            return Err(format!("reserved bits in {first:#x}"));
        }
        if second & 0x80 != 0 {
            return Err("a masked frame".to_owned());
        }
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0F);
        let (len, start) = match second {
            126 => {
                let Some(len) = rest.get(2..4) else {
                    return Ok(None);
                };
                (u64::from(u16::from_be_bytes([len[0], len[1]])), 4)
            }
            127 => {
                let Some(len) = rest.get(2..10) else {
                    return Ok(None);
                };
                (u64::from_be_bytes(len.try_into().unwrap()), 10)
            }
            len => (u64::from(len), 2),
        };
        let shortest = match len {
            0..=125 => 2,
            126..=0xFFFF => 4,
            _ => 10,
        };
        if start != shortest {
            return Err(format!("length {len} in {start} octets"));
        }
        if opcode >= 8 && (len > 125 || !fin) {
            return Err("a control frame that is long or in pieces".to_owned());
        }
        let Some(payload) = rest.get(start..start + len as usize) else {
            return Ok(None);
        };
        let payload = payload.to_vec();
        self.at += start + len as usize;
        let said = match opcode {
            CONTINUATION => {
                let Some((_, before)) = &mut self.message else {
                    return Err("nothing to continue".to_owned());
                };
                before.extend(payload);
                None
            }
            TEXT | BINARY => {
                if self.message.is_some() {
                    return Err("a message in a message".to_owned());
                }
                self.message = Some((opcode == TEXT, payload));
                None
            }
            CLOSE => {
                self.closed = true;
                Some(Said::Close(close(&payload)?))
            }
            PING => Some(Said::Ping(payload)),
            PONG => Some(Said::Pong(payload)),
            _ => return Err(format!("opcode {opcode}")),
        };
        if opcode <= BINARY && fin {
            let (is_text, payload) = self.message.take().expect("begun above");
            if is_text && str::from_utf8(&payload).is_err() {
                return Err("text that is not UTF-8".to_owned());
            }
            return Ok(Some(Some(Said::Message(is_text, payload))));
        }
        Ok(Some(said))
    }
}

/// The head of an answer: its status, when it keeps the rules of RFC 6455 section 4.2.2.
fn head(octets: &[u8]) -> Result<u16, String> {
    let text = str::from_utf8(octets).map_err(|_| "a head that is no text")?;
    let mut lines = text.split_terminator("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|line| line.get(..3))
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| format!("no status in {text:?}"))?;
    let fields: Vec<(String, &str)> = lines
        .map(|line| {
            let (name, value) = line.split_once(": ").ok_or("a header without a colon")?;
            Ok((name.to_ascii_lowercase(), value))
        })
        .collect::<Result<_, String>>()?;
    if status == 101 {
        for (name, expected) in [
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-accept", ACCEPT),
        ] {
            let values: Vec<_> = fields.iter().filter(|(n, _)| n == name).collect();
            if values.len() != 1 || !values[0].1.eq_ignore_ascii_case(expected) {
                return Err(format!("{name} in {text:?}"));
            }
        }
    }
    Ok(status)
}

fn close(payload: &[u8]) -> Result<Option<(u16, String)>, String> {
    match payload {
        [] => Ok(None),
        [_] => Err("half a close code".to_owned()),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(format!("close code {code}"));
            }
            let reason = str::from_utf8(reason).map_err(|_| "a reason that is no text")?;
            Ok(Some((code, reason.to_owned())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    fn judge(octets: &[u8]) -> Result<Vec<Said>, String> {
        let mut said = Vec::new();
        let mut reader = Reader::default();
        reader.read(ANSWER, &mut said)?;
        for octet in octets {
            reader.read(&[*octet], &mut said)?;
        }
        reader.end()?;
        Ok(said.split_off(1))
    }

    #[test]
    fn what_a_server_may_say_is_read() {
        let long = [&[0x82, 126, 0, 126][..], &[7; 126]].concat();
        assert_eq!(judge(&long), Ok(vec![Said::Message(false, vec![7; 126])]));
        let pieces = [0x01, 1, b'a', 0x89, 1, 9, 0x80, 1, b'b', 0x88, 2, 3, 0xE8];
        assert_eq!(
            judge(&pieces).unwrap(),
            [
                Said::Ping(vec![9]),
                Said::Message(true, b"ab".to_vec()),
                Said::Close(Some((1000, String::new())))
            ]
        );
    }

    #[test]
    fn what_a_server_must_not_say_is_refused() {
        for octets in [
            &[0xC1, 0][..],            // a reserved bit
            &[0x81, 0x80, 0, 0, 0, 0], // masked
            &[0x83, 0],                // a reserved opcode
            &[0x82, 126, 0, 1, 0],     // a length too long by two octets
            &[0x89, 126, 0, 126],      // a long control frame
            &[0x09, 0],                // a control frame in pieces
            &[0x80, 0],                // nothing to continue
            &[0x01, 0, 0x01, 0],       // a message in a message
            &[0x81, 1, 0xFF],          // no UTF-8
            &[0x88, 1, 3],             // half a code
            &[0x88, 2, 3, 0xED],       // 1005
            &[0x88, 3, 3, 0xE8, 0xFF], // a reason that is no text
            &[0x88, 0, 0x81, 0],       // after a Close frame
            &[0x81, 2, b'a'],          // unfinished
        ] {
            assert!(judge(octets).is_err(), "{octets:?}");
        }
        let mut said = Vec::new();
        let wrong = ANSWER.to_ascii_lowercase();
        assert!(Reader::default().read(&wrong, &mut said).is_err());
    }

    #[test]
    fn texts_have_the_length_asked_for() {
        let mut random = Random::new(1);
        for len in 0..300 {
            assert_eq!(text(&mut random, len).len(), len);
        }
    }
}
