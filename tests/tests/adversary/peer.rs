//! The hostile client: writes any octets, reads the server's answers strictly.
//!
//! A [`Peer`] accepts nothing from the server that RFC 6455 does not allow a server to
//! send: masked frames, reserved bits, lengths not in their shortest form, fragmented
//! control frames are all failures of the check that meets them. Reserved bits but one: where
//! compression was agreed on, compressed messages come inflated.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a check waits for the server before it calls it hung.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Octets already read that the inbox may hold before it is moved together.
const INBOX_COMPACT: usize = 1 << 20;

/// The client's half of the example in RFC 6455, section 1.3.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The server's half of it.
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;
pub(crate) const FIN: u8 = 0x80;

/// The mask of every frame, unless a check is about masks. No octet of it is zero, so an
/// unmasking left out anywhere shows.
pub(crate) const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A masked client frame in its shortest form; `first` is the whole first octet.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = header(first, payload.len() as u64);
    out.extend(masked(payload, MASK));
    out
}

/// The header of such a frame: what announces `length` octets, and the mask.
pub(crate) fn header(first: u8, length: u64) -> Vec<u8> {
    let mut out = vec![first];
    match length {
        0..=125 => out.push(0x80 | length as u8),
        126..=0xFFFF => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend(length.to_be_bytes());
        }
    }
    out.extend(MASK);
    out
}

pub(crate) fn masked(payload: &[u8], mask: [u8; 4]) -> impl Iterator<Item = u8> {
    payload
        .iter()
        .zip(mask.into_iter().cycle())
        .map(|(octet, key)| octet ^ key)
}

pub(crate) fn text(payload: &str) -> Vec<u8> {
    frame(FIN | TEXT, payload.as_bytes())
}

pub(crate) fn binary(payload: &[u8]) -> Vec<u8> {
    frame(FIN | BINARY, payload)
}

pub(crate) fn ping(payload: &[u8]) -> Vec<u8> {
    frame(FIN | PING, payload)
}

/// A Close frame with a code and a reason.
pub(crate) fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &close_payload(code, reason))
}

pub(crate) fn close_payload(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason].concat()
}

/// A request that every WebSocket server accepts.
pub(crate) fn request() -> Vec<u8> {
    request_with("")
}

/// The same with more header fields, each with its line end.
fn request_with(fields: &str) -> Vec<u8> {
    format!(
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
    )
    .into_bytes()
}

/// What the server sent, one step at a time. Fragmented messages come assembled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, Vec<u8>)>),
    /// The server ended its half of the connection.
    Fin,
    /// The connection was reset: a server that closes well never does that.
    Reset,
    /// Nothing came within [`PATIENCE`].
    Silence,
}

impl Heard {
    /// For messages: what it is, and not every octet of it.
    pub(crate) fn brief(&self) -> String {
        let show = |kind: &str, payload: &[u8]| match payload.len() {
            0..=40 => format!("{kind} {:?}", String::from_utf8_lossy(payload)),
            n => format!("{kind} of {n} octets, {:02x?}…", &payload[..12]),
        };
        match self {
            Self::Text(p) => show("text", p),
            Self::Binary(p) => show("binary", p),
            Self::Ping(p) => show("ping", p),
            Self::Pong(p) => show("pong", p),
            Self::Close(None) => "close without a code".into(),
            Self::Close(Some((code, reason))) => show(&format!("close {code}"), reason),
            Self::Fin => "FIN".into(),
            Self::Reset => "a reset".into(),
            Self::Silence => format!("nothing for {} s", PATIENCE.as_secs()),
        }
    }
}

/// A raw connection to the server.
pub(crate) struct Peer {
    stream: TcpStream,
    inbox: Vec<u8>,
    /// Octets of `inbox` already read.
    read: usize,
    /// Set while the server is in the middle of a fragmented message.
    message: Option<(u8, Vec<u8>)>,
    /// Present where compression was agreed on; whether the server takes its context over.
    inflate: Option<(zlib_rs::Inflate, bool)>,
}

/// One frame as it stood on the wire.
struct Frame {
    fin: bool,
    compressed: bool,
    opcode: u8,
    payload: Vec<u8>,
}

impl Peer {
    /// Connects, and sends nothing.
    pub(crate) fn dial(addr: SocketAddr) -> Result<Self, String> {
        let stream =
            TcpStream::connect_timeout(&addr, PATIENCE).map_err(|e| format!("connect: {e}"))?;
        Self::over(stream)
    }

    /// Takes over a connected socket.
    pub(crate) fn over(stream: TcpStream) -> Result<Self, String> {
        let set = || {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))
        };
        set().map_err(|e: io::Error| format!("socket options: {e}"))?;
        Ok(Self {
            stream,
            inbox: Vec::new(),
            read: 0,
            message: None,
            inflate: None,
        })
    }

    /// Connects and upgrades.
    pub(crate) fn open(addr: SocketAddr) -> Result<Self, String> {
        let mut peer = Self::dial(addr)?;
        peer.upgrade()?;
        Ok(peer)
    }

    /// Sends a good request and reads the answer to it.
    pub(crate) fn upgrade(&mut self) -> Result<(), String> {
        self.send(&request())?;
        let head = self.head()?;
        if head.starts_with("HTTP/1.1 101 ") {
            return Ok(());
        }
        Err(format!("not upgraded: {:?}", head.lines().next()))
    }

    /// Upgrades with an offer of extensions; returns the answer.
    pub(crate) fn upgrade_offering(&mut self, offer: &str) -> Result<String, String> {
        self.send(&request_with(&format!(
            "Sec-WebSocket-Extensions: {offer}\r\n"
        )))?;
        let head = self.head()?;
        if !head.starts_with("HTTP/1.1 101 ") {
            return Err(format!("not upgraded: {:?}", head.lines().next()));
        }
        if head.contains("\nSec-WebSocket-Extensions: permessage-deflate") {
            let takeover = !head.contains("server_no_context_takeover");
            self.inflate = Some((zlib_rs::Inflate::new(false, 15), takeover));
        }
        Ok(head)
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(crate) fn send(&mut self, octets: &[u8]) -> Result<(), String> {
        self.stream
            .write_all(octets)
            .map_err(|e| format!("write: {e}"))
    }

    /// Sends what may be cut short: a server that has answered may stop listening.
    pub(crate) fn send_freely(&mut self, octets: &[u8]) {
        let _ = self.stream.write_all(octets);
    }

    /// Sends every octet in a segment of its own, and may be cut short.
    pub(crate) fn send_octets(&mut self, octets: &[u8]) {
        for octet in octets {
            if self.stream.write_all(&[*octet]).is_err() {
                break;
            }
        }
    }

    /// Sends a part of a frame that the server has to have seen, torn off there, before
    /// this returns: a ping ahead of it in the same segment, whose pong tells.
    pub(crate) fn send_seen(&mut self, part: &[u8]) -> Result<(), String> {
        self.send(&[&ping(b"seen?")[..], part].concat())?;
        self.expect(&Heard::Pong(b"seen?".to_vec()))
    }

    /// Ends our half of the connection.
    pub(crate) fn half_close(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        let socket = socket2::Socket::from(self.stream);
        let _ = socket.set_linger(Some(Duration::ZERO));
    }

    /// Reads an HTTP head, up to and with its empty line.
    pub(crate) fn head(&mut self) -> Result<String, String> {
        loop {
            let rest = &self.inbox[self.read..];
            if let Some(end) = rest.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&rest[..end + 4]).into_owned();
                self.read += end + 4;
                return Ok(head);
            }
            match self.fill() {
                Ok(true) => {}
                Ok(false) => {
                    return Err(format!("FIN instead of an answer, after {:?}", self.rest()));
                }
                Err(e) => return Err(format!("no answer: {e}, after {:?}", self.rest())),
            }
        }
    }

    /// Reads everything until the server ends; says how it ended.
    pub(crate) fn drain(&mut self) -> (Vec<u8>, Heard) {
        loop {
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return (self.inbox.split_off(self.read), Heard::Fin),
                Err(e) => return (self.inbox.split_off(self.read), ending(&e)),
            }
        }
    }

    /// The next thing the server says.
    pub(crate) fn hear(&mut self) -> Result<Heard, String> {
        loop {
            match self.parse()? {
                Some(frame) => {
                    if let Some(heard) = self.assemble(frame)? {
                        return Ok(heard);
                    }
                }
                None => match self.fill() {
                    Ok(true) => {}
                    Ok(false) if self.inbox.len() > self.read || self.message.is_some() => {
                        return Err(format!(
                            "FIN in the middle of a frame or message: {:02x?}",
                            self.rest()
                        ));
                    }
                    Ok(false) => return Ok(Heard::Fin),
                    Err(e) => return Ok(ending(&e)),
                },
            }
        }
    }

    pub(crate) fn expect(&mut self, expected: &Heard) -> Result<(), String> {
        let heard = self.hear()?;
        if heard == *expected {
            return Ok(());
        }
        Err(format!("{} instead of {}", heard.brief(), expected.brief()))
    }

    /// The server fails the connection with `code`: Close, FIN, and nothing between them.
    pub(crate) fn expect_failed(&mut self, code: u16) -> Result<(), String> {
        match self.hear()? {
            Heard::Close(Some((got, _))) if got == code => self.expect(&Heard::Fin),
            other => Err(format!("{} instead of close {code}", other.brief())),
        }
    }

    /// A ping is answered: the connection is open, and everything before was read.
    pub(crate) fn proves_alive(&mut self) -> Result<(), String> {
        self.send(&ping(b"alive?"))?;
        self.expect(&Heard::Pong(b"alive?".to_vec()))
    }

    /// A closing handshake, with code and reason echoed, and the server the first to end TCP.
    pub(crate) fn closes(&mut self) -> Result<(), String> {
        self.send(&close(1000, b"done"))?;
        self.expect(&Heard::Close(Some((1000, b"done".to_vec()))))?;
        self.expect(&Heard::Fin)
    }

    /// One whole frame from the inbox, checked as a server's frame has to be.
    fn parse(&mut self) -> Result<Option<Frame>, String> {
        let rest = &self.inbox[self.read..];
        let [first, second, ..] = *rest else {
            return Ok(None);
        };
        let (opcode, fin) = (first & 0x0F, first & FIN != 0);
        let compressed = first & 0x70 == 0x40 && self.inflate.is_some() && matches!(opcode, 1 | 2);
        if first & 0x70 != 0 && !compressed {
            return Err(format!("the server set reserved bits: {first:#04x}"));
        }
        if second & 0x80 != 0 {
            return Err("the server masked a frame".into());
        }
        if !matches!(opcode, 0..=2 | 8..=10) {
            return Err(format!("the server used the reserved opcode {opcode:#x}"));
        }
        let (start, length) = match second {
            126 => {
                let Some(field) = rest.get(2..4) else {
                    return Ok(None);
                };
                (4, u64::from(u16::from_be_bytes([field[0], field[1]])))
            }
            127 => {
                let Some(field) = rest.get(2..10) else {
                    return Ok(None);
                };
                (
                    10,
                    u64::from_be_bytes(field.try_into().expect("eight octets")),
                )
            }
            short => (2, u64::from(short)),
        };
        let shortest = match length {
            0..=125 => 2,
            126..=0xFFFF => 4,
            _ => 10,
        };
        if start != shortest {
            return Err(format!(
                "the server wrote the length {length} in {} octets",
                start - 1
            ));
        }
        if opcode >= CLOSE && (!fin || length > 125) {
            return Err(format!("a control frame, fin {fin}, of {length} octets"));
        }
        let Some(payload) = rest.get(start..start + length as usize) else {
            return Ok(None);
        };
        let payload = payload.to_vec();
        self.read += start + payload.len();
        Ok(Some(Frame {
            fin,
            compressed,
            opcode,
            payload,
        }))
    }

    /// Puts fragments together; a message or a control frame when one is whole.
    fn assemble(&mut self, frame: Frame) -> Result<Option<Heard>, String> {
        let whole = |opcode, payload| {
            if opcode == TEXT {
                Heard::Text(payload)
            } else {
                Heard::Binary(payload)
            }
        };
        let Frame {
            fin,
            compressed,
            opcode,
            mut payload,
        } = frame;
        if compressed {
            if !fin {
                return Err("a compressed message in fragments".into());
            }
            payload = self.inflated(&payload)?;
        }
        let heard = match (opcode, self.message.take()) {
            (PING, message) => (Some(Heard::Ping(payload)), message),
            (PONG, message) => (Some(Heard::Pong(payload)), message),
            (CLOSE, _) if payload.is_empty() => (Some(Heard::Close(None)), None),
            (CLOSE, _) if payload.len() == 1 => return Err("a Close frame of one octet".into()),
            (CLOSE, _) => {
                let reason = payload.split_off(2);
                if std::str::from_utf8(&reason).is_err() {
                    return Err(format!("a reason that is not UTF-8: {reason:02x?}"));
                }
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                (Some(Heard::Close(Some((code, reason)))), None)
            }
            (CONTINUATION, Some((kind, mut message))) => {
                message.append(&mut payload);
                if fin {
                    (Some(whole(kind, message)), None)
                } else {
                    (None, Some((kind, message)))
                }
            }
            (TEXT | BINARY, None) if fin => (Some(whole(opcode, payload)), None),
            (TEXT | BINARY, None) => (None, Some((opcode, payload))),
            (opcode, message) => {
                return Err(format!(
                    "opcode {opcode:#x} while a message is open: {}",
                    message.is_some()
                ));
            }
        };
        self.message = heard.1;
        if let Some(Heard::Text(payload)) = &heard.0
            && std::str::from_utf8(payload).is_err()
        {
            return Err(format!(
                "a text message that is not UTF-8, of {} octets",
                payload.len()
            ));
        }
        Ok(heard.0)
    }

    /// The text of a compressed message.
    fn inflated(&mut self, payload: &[u8]) -> Result<Vec<u8>, String> {
        let (stream, takeover) = self.inflate.as_mut().expect("it was agreed on");
        if !*takeover {
            stream.reset(false);
        }
        let input = [payload, &[0x00, 0x00, 0xFF, 0xFF]].concat();
        let (mut rest, mut plain, mut block) = (&input[..], Vec::new(), vec![0; 64 << 10]);
        loop {
            let (taken, made) = (stream.total_in(), stream.total_out());
            let status = stream
                .decompress(rest, &mut block, zlib_rs::InflateFlush::SyncFlush)
                .map_err(|error| format!("a message that does not inflate: {error:?}"))?;
            rest = &rest[(stream.total_in() - taken) as usize..];
            let made = (stream.total_out() - made) as usize;
            plain.extend_from_slice(&block[..made]);
            if status == zlib_rs::Status::StreamEnd {
                return Err("a message with a final block".into());
            }
            if rest.is_empty() && made < block.len() {
                return Ok(plain);
            }
        }
    }

    /// Reads more into the inbox; false at FIN.
    fn fill(&mut self) -> io::Result<bool> {
        if self.read == self.inbox.len() {
            self.inbox.clear();
            self.read = 0;
        } else if self.read > INBOX_COMPACT {
            self.inbox.drain(..self.read);
            self.read = 0;
        }
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    self.inbox.extend_from_slice(&chunk[..n]);
                    return Ok(true);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn rest(&self) -> String {
        String::from_utf8_lossy(&self.inbox[self.read..]).into_owned()
    }
}

fn ending(error: &io::Error) -> Heard {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Heard::Silence,
        _ => Heard::Reset,
    }
}
