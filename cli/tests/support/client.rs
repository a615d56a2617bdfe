//! A WebSocket client over a blocking socket: RFC 6455, nothing optional.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The key and its answer of RFC 6455 section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Not zero and not symmetric: what is not unmasked, or wrongly, does not pass.
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An open connection.
pub(crate) struct Client {
    stream: TcpStream,
    /// The head of the answer to the opening handshake.
    pub(crate) head: String,
}

/// What a server sends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The code, 1005 for none, and the reason.
    Close(u16, String),
    /// The transport ended.
    End,
}

/// An answer other than 101.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Client {
    /// Opens a connection to path `/`.
    pub(crate) fn open(port: u16) -> Self {
        Self::request(port, "/", &[]).expect("the handshake was refused")
    }

    /// Opens a connection to a path, with further header lines.
    pub(crate) fn request(port: u16, path: &str, headers: &[&str]) -> Result<Self, Refused> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("nobody listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
        );
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            stream.read_exact(&mut octet).expect("no whole answer");
            head.push(octet[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let status = head[9..12].parse().unwrap();
        if status != 101 {
            let mut body = String::new();
            stream.read_to_string(&mut body).unwrap();
            return Err(Refused { status, head, body });
        }
        let client = Self { stream, head };
        assert_eq!(client.header("Sec-WebSocket-Accept"), Some(ACCEPT));
        Ok(client)
    }

    /// A header of the answer, by its name as it was sent.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn send_text(&mut self, text: &str) {
        self.send(0x81, text.as_bytes());
    }

    pub(crate) fn send_binary(&mut self, octets: &[u8]) {
        self.send(0x82, octets);
    }

    pub(crate) fn send_close(&mut self, code: u16) {
        self.send(0x88, &code.to_be_bytes());
    }

    /// Sends one frame with this first octet.
    pub(crate) fn send(&mut self, first: u8, payload: &[u8]) {
        let mut frame = header(first, payload.len());
        let masked = payload.iter().zip(MASK.iter().cycle());
        frame.extend(masked.map(|(octet, mask)| octet ^ mask));
        // A server that refuses what comes may have stopped reading it.
        let _ = self.stream.write_all(&frame);
    }

    /// Announces a payload of this length and sends none of it.
    pub(crate) fn announce(&mut self, first: u8, len: usize) {
        self.stream.write_all(&header(first, len)).unwrap();
    }

    /// The next frame; none of a server's is masked or, here, fragmented.
    pub(crate) fn receive(&mut self) -> Frame {
        let mut start = [0; 2];
        if self.stream.read_exact(&mut start).is_err() {
            return Frame::End;
        }
        let len = match start[1] {
            126 => {
                let mut len = [0; 2];
                self.stream.read_exact(&mut len).unwrap();
                u64::from(u16::from_be_bytes(len))
            }
            127 => {
                let mut len = [0; 8];
                self.stream.read_exact(&mut len).unwrap();
                u64::from_be_bytes(len)
            }
            len => {
                assert!(len < 126, "a server must not mask");
                u64::from(len)
            }
        };
        let mut payload = vec![0; usize::try_from(len).unwrap()];
        self.stream.read_exact(&mut payload).unwrap();
        let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
        match start[0] {
            0x81 => Frame::Text(text(&payload)),
            0x82 => Frame::Binary(payload),
            0x88 if payload.is_empty() => Frame::Close(1005, String::new()),
            0x88 => Frame::Close(
                u16::from_be_bytes([payload[0], payload[1]]),
                text(&payload[2..]),
            ),
            0x89 => Frame::Ping(payload),
            0x8A => Frame::Pong(payload),
            other => panic!("a frame that begins with {other:#04x}"),
        }
    }

    /// The next frame, which must be a text.
    pub(crate) fn receive_text(&mut self) -> String {
        match self.receive() {
            Frame::Text(text) => text,
            other => panic!("expected a text, got {other:?}"),
        }
    }

    /// Ends in order and checks that the server does, too.
    pub(crate) fn close(mut self) {
        self.send_close(1000);
        assert_eq!(self.receive(), Frame::Close(1000, String::new()));
        assert_eq!(self.receive(), Frame::End);
    }
}

/// The header of a client's frame.
fn header(first: u8, len: usize) -> Vec<u8> {
    let mut header = vec![first];
    match len {
        ..=125 => header.push(0x80 | len as u8),
        126..=0xFFFF => {
            header.push(0x80 | 126);
            header.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            header.push(0x80 | 127);
            header.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    header.extend_from_slice(&MASK);
    header
}
