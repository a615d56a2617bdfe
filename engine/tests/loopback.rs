//! The engine over real sockets, end to end: what the simulated kernel cannot show is that the
//! real one is asked for the right things. Everything finer is tested in simulation.
#![cfg(feature = "runtime")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use wirebahn::{Context, Message, Placement, Server, ServerConfig, handler_fn};

const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
Sec-WebSocket-Version: 13\r\n\r\n";

fn exactly(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut octets = vec![0; len];
    stream.read_exact(&mut octets).expect("the server answers");
    octets
}

fn through_the_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(exactly(stream, 1));
    }
    String::from_utf8(head).expect("a head is ASCII")
}

#[test]
fn an_echo_server_opens_echoes_closes_and_ends() {
    let config = ServerConfig::builder()
        .workers(2)
        .placement(Placement::Free)
        .build()
        .unwrap();
    let server = Server::builder()
        .bind("127.0.0.1:0")
        .config(config)
        .serve(|_| {
            handler_fn(|context: &mut Context<'_>, message: Message<'_>| {
                let _ = context.send(message);
            })
        })
        .unwrap();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(server.local_addr()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream.write_all(HEAD).unwrap();
        let head = through_the_head(&mut stream);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // "hi" under a key of zeros, then a Close frame with 1000.
        stream
            .write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i'])
            .unwrap();
        assert_eq!(exactly(&mut stream, 4), [0x81, 2, b'h', b'i']);
        stream
            .write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8])
            .unwrap();
        assert_eq!(exactly(&mut stream, 4), [0x88, 2, 0x03, 0xE8]);
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0, "the server ends it");
    }
    let mut open = TcpStream::connect(server.local_addr()).unwrap();
    open.write_all(HEAD).unwrap();
    through_the_head(&mut open);
    server.shutdown(Duration::from_secs(5));
    let mut farewell = [0; 4];
    open.read_exact(&mut farewell).unwrap();
    assert_eq!(farewell, [0x88, 19, 0x03, 0xE9], "1001");
    drop(open);
    server.join().unwrap();
}
