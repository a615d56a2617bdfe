//! Broadcasts and replies to connections that agreed on compression in every way there is, over
//! sockets and across workers: everybody gets every message, in order, and the same octets go to all
//! who share a window.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use wirebahn::{Compression, Context, Message, Prepared, Server, ServerConfig, handler_fn};
use zlib_rs::{Inflate, InflateFlush};

/// Offers, and whether the server may take its context over by them.
const OFFERS: [&str; 6] = [
    "",
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    "permessage-deflate; server_max_window_bits=9",
    "permessage-deflate; server_max_window_bits=9; server_no_context_takeover",
];

struct Peer {
    stream: TcpStream,
    inbox: Vec<u8>,
    inflate: Option<(Inflate, bool)>,
    compressed: usize,
}

impl Peer {
    fn open(address: SocketAddr, offer: &str) -> Self {
        let mut stream = TcpStream::connect(address).expect("it accepts");
        stream.set_nodelay(true).expect("a socket option");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a socket option");
        let field = match offer {
            "" => String::new(),
            offer => format!("Sec-WebSocket-Extensions: {offer}\r\n"),
        };
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{field}\r\n"
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            stream.read_exact(&mut octet).expect("the answer");
            head.push(octet[0]);
        }
        let head = String::from_utf8(head).expect("ASCII");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let agreed = head.contains("permessage-deflate");
        assert_eq!(agreed, !offer.is_empty(), "{head}");
        let takeover = !head.contains("server_no_context_takeover");
        Self {
            stream,
            inbox: Vec::new(),
            inflate: agreed.then(|| (Inflate::new(false, 15), takeover)),
            compressed: 0,
        }
    }

    /// Sends a text message with a mask of zeros.
    fn send(&mut self, text: &str) {
        let mut octets = vec![0x81, 0x80 | 126];
        octets.extend((text.len() as u16).to_be_bytes());
        octets.extend([0; 4]);
        octets.extend(text.as_bytes());
        self.stream.write_all(&octets).expect("it reads");
    }

    fn hear(&mut self) -> String {
        let (first, payload) = loop {
            if let Some(found) = self.frame() {
                break found;
            }
            let mut chunk = [0; 16 << 10];
            let count = self.stream.read(&mut chunk).expect("a message in time");
            assert!(count > 0, "the server ended the connection");
            self.inbox.extend_from_slice(&chunk[..count]);
        };
        if first == 0x81 {
            return String::from_utf8(payload).expect("text");
        }
        assert_eq!(first, 0xC1);
        self.compressed += 1;
        let (inflate, takeover) = self.inflate.as_mut().expect("it was agreed on");
        if !*takeover {
            inflate.reset(false);
        }
        let input = [&payload[..], &[0x00, 0x00, 0xFF, 0xFF]].concat();
        let mut plain = vec![0; 1 << 20];
        let before = inflate.total_out();
        inflate
            .decompress(&input, &mut plain, InflateFlush::SyncFlush)
            .expect("it inflates");
        plain.truncate((inflate.total_out() - before) as usize);
        String::from_utf8(plain).expect("text")
    }

    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let rest = &self.inbox[..];
        let (start, len) = match *rest.get(1)? {
            126 => {
                let octets = rest.get(2..4)?.first_chunk().expect("two octets");
                (4, usize::from(u16::from_be_bytes(*octets)))
            }
            len @ 0..126 => (2, usize::from(len)),
            _ => panic!("no message here is that long"),
        };
        let payload = rest.get(start..start + len)?.to_vec();
        let first = rest[0];
        self.inbox.drain(..start + len);
        Some((first, payload))
    }
}

/// Several broadcasts a turn, long and short, one never compressed, and a reply in between.
fn serve(context: &mut Context<'_>, message: Message<'_>) {
    let Message::Text(text) = message else { return };
    context.broadcast(text);
    context.broadcast("short");
    let _ = context.send(&format!("reply to {text}"));
    context.broadcast_prepared(&Prepared::uncompressed(text));
    context.broadcast(&format!("{text}{text}"));
}

#[test]
fn everybody_gets_every_broadcast_whatever_was_agreed_on() {
    for compression in [
        Compression::shared(),
        Compression::history(),
        Compression::dedicated(),
    ] {
        let mode = compression.mode;
        let config = ServerConfig::builder()
            .workers(2)
            .compression(compression)
            .build()
            .expect("a preset is sound");
        let server = Server::builder()
            .bind("127.0.0.1:0")
            .config(config)
            .serve(|_| handler_fn(serve))
            .expect("the server starts");
        let mut peers: Vec<Peer> = (0..4)
            .flat_map(|_| OFFERS)
            .map(|offer| Peer::open(server.local_addr(), offer))
            .collect();
        let count = peers.len();
        for round in 0..30 {
            let text: String = (0..1 + round % 7)
                .map(|n| {
                    format!(
                        "{{\"id\":{},\"symbol\":\"WIRE\",\"side\":\"buy\",\"price\":{}}},",
                        round * 7 + n,
                        n * 91 % 100
                    )
                })
                .collect::<String>()
                .repeat(1 + round % 3 * 4);
            let text = format!("{text:>130}"); // so that its length takes two octets
            let publisher = round * 5 % count;
            peers[publisher].send(&text);
            let twice = format!("{text}{text}");
            for (index, peer) in peers.iter_mut().enumerate() {
                let mut expected = vec![text.as_str(), "short", &text, &twice];
                let reply = format!("reply to {text}");
                // A reply leaves with what its own turn sends; broadcasts follow at its end.
                if index == publisher {
                    expected.insert(0, &reply);
                }
                for expected in expected {
                    assert_eq!(
                        peer.hear(),
                        expected,
                        "{mode:?}: {}",
                        OFFERS[index % OFFERS.len()]
                    );
                }
            }
        }
        for (index, peer) in peers.iter().enumerate() {
            let offer = OFFERS[index % OFFERS.len()];
            assert_eq!(peer.compressed > 0, !offer.is_empty(), "{mode:?}: {offer}");
        }
        let counted: u64 = server
            .statistics()
            .iter()
            .map(|one| one.compression_held)
            .sum();
        assert!(counted > 0, "{mode:?}");
        server.stop();
        server.join().expect("it ends");
    }
}
