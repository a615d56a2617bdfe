//! What the tests of this crate share.

use std::env;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

pub mod peer;
pub mod wire;

use wire::{Reader, Said};

/// The program under test: given by `WIREBAHN_BIN`, or built once.
///
/// It is built here, and not by a dependency of this package, because cargo names a
/// package's programs only to that package's own tests. A debug build is what we want:
/// its overflow checks and debug assertions turn silent faults into loud ones.
#[must_use]
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(path) = env::var_os("WIREBAHN_BIN") {
            return path.into();
        }
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .args([
                "build",
                "--quiet",
                "-p",
                "wirebahn-cli",
                "--bin",
                "wirebahn",
            ])
            .args(["--message-format", "json-render-diagnostics"])
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "the program does not build");
        let said = String::from_utf8_lossy(&output.stdout);
        // The last artifact is the program; cargo says where it put it.
        let path = said
            .lines()
            .filter_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next())
            .next_back();
        path.expect("cargo names the program it built").into()
    })
}

/// An open connection to a server, over a real socket, and a reader that has seen the answer to
/// its handshake. Reading and writing give up after a minute: that detects a hang, nothing else.
///
/// # Panics
/// If there is no sound answer with status 101.
#[must_use]
pub fn open(address: impl ToSocketAddrs) -> (TcpStream, Reader) {
    let mut stream = TcpStream::connect(address).expect("the server accepts");
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).expect("a socket option");
    stream.set_write_timeout(patience).expect("a socket option");
    stream.set_nodelay(true).expect("a socket option");
    stream
        .write_all(
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        )
        .expect("the request is taken");
    let (mut reader, mut said) = (Reader::default(), Vec::new());
    while said.is_empty() {
        let mut octet = [0];
        stream.read_exact(&mut octet).expect("an answer");
        reader.read(&octet, &mut said).expect("a sound answer");
    }
    assert_eq!(said, [Said::Status(101)]);
    (stream, reader)
}
