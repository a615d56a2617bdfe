//! The hot paths of the protocol core, each as something that can be done over and over: criterion
//! times them, callgrind counts their instructions.
//!
//! No socket and no system call: octets as the kernel would have brought them, copied into a
//! receive buffer first, because unmasking is done in place. That copy is part of every count.

use std::hint::black_box;

use wirebahn::proto::connection::{Connection, Env, Event};
use wirebahn::proto::frame::{self, Decoded, Header};
use wirebahn::proto::handshake::{
    Answer, ClientRequest, Key, Parsed, RequestRules, parse_request, parse_response, write_accept,
    write_request,
};
use wirebahn::proto::outbox::Slices;
use wirebahn::proto::pool::Pool;
use wirebahn::proto::recv::Input;
use wirebahn::{Opcode, Prepared, ProtocolConfig, Role, Tick};

/// A hot path.
pub struct Path {
    /// Its name, as the record has it.
    pub name: &'static str,
    /// How many of what one run does.
    pub units: u64,
    /// What they are: messages, handshakes.
    pub unit: &'static str,
    make: fn() -> Box<dyn FnMut()>,
}

impl Path {
    /// Something that goes the path once each time it is called.
    #[must_use]
    pub fn runner(&self) -> Box<dyn FnMut()> {
        (self.make)()
    }
}

/// All of them.
#[must_use]
pub fn paths() -> Vec<Path> {
    fn messages(name: &'static str, units: u64, make: fn() -> Box<dyn FnMut()>) -> Path {
        Path {
            name,
            units,
            unit: "message",
            make,
        }
    }
    vec![
        messages("frame header, decode", 1, decode_header),
        messages("frame header, encode", 1, encode_header),
        messages("echo 16 B binary, 1 a read", 1, || {
            echo(Opcode::Binary, 16, 1)
        }),
        messages("echo 16 B binary, 16 a read", 16, || {
            echo(Opcode::Binary, 16, 16)
        }),
        messages("echo 125 B binary, 16 a read", 16, || {
            echo(Opcode::Binary, 125, 16)
        }),
        messages("echo 125 B text, 16 a read", 16, || {
            echo(Opcode::Text, 125, 16)
        }),
        messages("echo 1 KiB binary, 16 a read", 16, || {
            echo(Opcode::Binary, 1024, 16)
        }),
        messages("echo 16 KiB binary, 1 a read", 1, || {
            echo(Opcode::Binary, 16 << 10, 1)
        }),
        messages("echo 64 KiB binary, torn", 1, || {
            torn_echo(64 << 10, 16 << 10)
        }),
        messages("send prepared 16 B to one of many", 1, send_prepared),
        Path {
            name: "opening handshake, server",
            units: 1,
            unit: "handshake",
            make: server_handshake,
        },
        Path {
            name: "opening handshake, client",
            units: 1,
            unit: "handshake",
            make: client_handshake,
        },
    ]
}

fn decode_header() -> Box<dyn FnMut()> {
    let octets = masked_frame(Opcode::Binary, 16);
    Box::new(move || {
        let decoded = frame::decode(black_box(&octets), Role::Server);
        debug_assert!(matches!(decoded, Ok(Decoded::Complete(..))));
        let _ = black_box(decoded);
    })
}

fn encode_header() -> Box<dyn FnMut()> {
    let header = Header {
        fin: true,
        compressed: false,
        opcode: Opcode::Binary,
        key: None,
        len: 16,
    };
    Box::new(move || {
        black_box(frame::encode(black_box(&header)));
    })
}

/// A masked frame as a client sends it. The key is any; contents are ASCII, so that text is text.
fn masked_frame(opcode: Opcode, len: usize) -> Vec<u8> {
    let key = [0x37, 0xFA, 0x21, 0x3D];
    let header = Header {
        fin: true,
        compressed: false,
        opcode,
        key: Some(key),
        len: len as u64,
    };
    let (octets, count) = frame::encode(&header);
    let mut out = octets[..count].to_vec();
    let payload: Vec<u8> = (0..len).map(|at| b'a' + (at % 26) as u8).collect();
    wirebahn_nvx::mask_extend(&mut out, &payload, key);
    out
}

/// What a shard has around a connection.
struct Around {
    config: ProtocolConfig,
    pool: Pool,
    connection: Connection,
}

impl Around {
    fn new() -> Self {
        Self {
            config: ProtocolConfig::default(),
            pool: Pool::new(),
            connection: Connection::opened(Role::Server, Tick::default(), 0),
        }
    }

    /// One read: every message in it is answered, and all answers leave in one write.
    fn turn(&mut self, buffer: &mut [u8]) -> usize {
        let mut env = Env {
            config: &self.config,
            pool: &mut self.pool,
            now: Tick::default(),
        };
        let mut input = Input::new(buffer);
        let mut messages = 0;
        while let Some((event, link)) = self.connection.next(&mut input, &mut env) {
            if let Event::Message(message) = event {
                let _ = link.send(message, &mut env);
                messages += 1;
            }
        }
        let link = self.connection.link_mut();
        let mut slices = Slices::new();
        link.gather(&mut slices);
        let count = slices.iter().map(|slice| slice.len()).sum();
        black_box(&slices);
        drop(slices);
        link.sent(count, &mut env);
        messages
    }
}

fn echo(opcode: Opcode, len: usize, count: usize) -> Box<dyn FnMut()> {
    let octets = masked_frame(opcode, len).repeat(count);
    let mut buffer = vec![0; octets.len()];
    let mut around = Around::new();
    Box::new(move || {
        buffer.copy_from_slice(&octets);
        let messages = around.turn(black_box(&mut buffer));
        debug_assert_eq!(messages, count);
    })
}

/// One message that several reads bring.
fn torn_echo(len: usize, step: usize) -> Box<dyn FnMut()> {
    let octets = masked_frame(Opcode::Binary, len);
    let mut buffer = vec![0; octets.len()];
    let mut around = Around::new();
    Box::new(move || {
        buffer.copy_from_slice(&octets);
        let messages: usize = buffer
            .chunks_mut(step)
            .map(|piece| around.turn(black_box(piece)))
            .sum();
        debug_assert_eq!(messages, 1);
    })
}

fn send_prepared() -> Box<dyn FnMut()> {
    let prepared = Prepared::new([b'a'; 16].as_slice());
    let mut around = Around::new();
    Box::new(move || {
        let mut env = Env {
            config: &around.config,
            pool: &mut around.pool,
            now: Tick::default(),
        };
        let link = around.connection.link_mut();
        let _ = link.send_prepared(black_box(&prepared), &mut env);
        let mut slices = Slices::new();
        link.gather(&mut slices);
        let count = slices.iter().map(|slice| slice.len()).sum();
        drop(slices);
        link.sent(count, &mut env);
    })
}

fn server_handshake() -> Box<dyn FnMut()> {
    let head = b"GET /chat HTTP/1.1\r\nHost: server.example.com:9000\r\n\
        User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0\r\n\
        Accept: */*\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
        Sec-WebSocket-Version: 13\r\nOrigin: http://server.example.com:9000\r\n\
        Sec-WebSocket-Extensions: permessage-deflate\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nConnection: keep-alive, Upgrade\r\n\
        Pragma: no-cache\r\nCache-Control: no-cache\r\nUpgrade: websocket\r\n\r\n";
    let rules = RequestRules::default();
    let mut response = Vec::with_capacity(512);
    Box::new(move || {
        response.clear();
        if let Ok(Parsed::Upgrade(request)) = parse_request(black_box(head), &rules) {
            let _ = write_accept(
                &mut response,
                request.key(),
                None,
                None,
                &[],
                Some("Wirebahn"),
            );
        }
        debug_assert!(response.ends_with(b"\r\n\r\n"));
        black_box(&response);
    })
}

fn client_handshake() -> Box<dyn FnMut()> {
    let key = Key::from_nonce(*b"the sample nonce");
    let mut answer = Vec::new();
    write_accept(&mut answer, &key, None, None, &[], Some("Wirebahn"))
        .expect("nothing in it is the program's");
    let mut out = Vec::with_capacity(512);
    Box::new(move || {
        out.clear();
        let request = ClientRequest::new("server.example.com:9000", "/chat", &key);
        let written = write_request(&mut out, black_box(&request));
        let parsed = parse_response(black_box(&answer), &request.expectation());
        debug_assert!(written.is_ok() && matches!(parsed, Ok(Answer::Accepted(_))));
        let _ = (black_box(written), black_box(parsed));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The assertions within the paths, and that a path can be gone more than once.
    #[test]
    fn every_path_can_be_gone_over_and_over() {
        for path in paths() {
            let mut run = path.runner();
            for _ in 0..100 {
                run();
            }
        }
    }

    #[test]
    fn names_are_different_and_have_no_semicolon() {
        let mut names: Vec<_> = paths().iter().map(|path| path.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.iter().all(|name| !name.contains(';')));
    }
}
