//! Frames: everything RFC 6455, sections 5 to 8, forbids, and everything it allows.

mod closing;
mod limits;
mod table;
mod tearing;
mod utf8;

use std::net::SocketAddr;

use crate::peer::{Heard, Peer, text};

/// How a conversation ends.
#[derive(Clone, Debug)]
enum End {
    /// The server fails the connection with this code.
    Fails(u16),
    /// The server answers the client's Close with this one.
    Closes(Option<(u16, Vec<u8>)>),
    /// The connection stays open and works.
    Stays,
}

/// Octets for the server, what it says to them, and how that ends.
struct Case {
    name: String,
    octets: Vec<u8>,
    says: Vec<Heard>,
    end: End,
}

/// How the octets of a case reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// All in one segment.
    Whole,
    /// After a message in the same segment, whose echo has to come first.
    AfterEcho,
    /// Each octet in a segment of its own.
    Octets,
}

/// Cases longer than this are not sent octet by octet.
const OCTETS_MAX: usize = 2_000;

/// One row: a case, and the way it goes.
type Row<'a> = (&'a Case, Way);

fn rows(cases: &[Case]) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for case in cases {
        rows.push((case, Way::Whole));
        rows.push((case, Way::AfterEcho));
        if case.octets.len() <= OCTETS_MAX {
            rows.push((case, Way::Octets));
        }
    }
    rows
}

fn row_name((case, way): &Row<'_>) -> String {
    format!("{} ({way:?})", case.name)
}

/// Runs one row on a connection of its own.
fn run(addr: SocketAddr, (case, way): &Row<'_>) -> Result<(), String> {
    let mut peer = Peer::open(addr)?;
    match way {
        Way::Whole => peer.send_freely(&case.octets),
        Way::Octets => peer.send_octets(&case.octets),
        Way::AfterEcho => {
            peer.send_freely(&[text("before"), case.octets.clone()].concat());
            peer.expect(&Heard::Text(b"before".to_vec()))?;
        }
    }
    for says in &case.says {
        peer.expect(says)?;
    }
    ends(&mut peer, &case.end)
}

fn ends(peer: &mut Peer, end: &End) -> Result<(), String> {
    match end {
        End::Fails(code) => peer.expect_failed(*code),
        End::Closes(close) => {
            peer.expect(&Heard::Close(close.clone()))?;
            peer.expect(&Heard::Fin)
        }
        End::Stays => {
            peer.proves_alive()?;
            peer.closes()
        }
    }
}
