//! What claims cost that nothing backs: lengths and counts of gigabytes, nesting of a million
//! levels, on few octets. The process must not grow for them. One test, alone in its process, so
//! that nothing else grows it.

#![cfg(target_os = "linux")]

use wirebahn_wamp::message::Message;
use wirebahn_wamp::serializer::{Codec, Format};

/// The most memory the process ever held, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("Linux says");
    let number = line.trim().trim_end_matches(" kB");
    number.parse().expect("a number")
}

fn decode(format: Format, octets: &[u8]) -> bool {
    match Codec::new(format).decode(octets) {
        Ok(Message::Publish(publish)) => publish.payload.args().is_ok(),
        Ok(_) => true,
        Err(_) => false,
    }
}

#[test]
fn claims_cost_nothing() {
    const GIB: u32 = 1 << 30;
    let mut claims: Vec<(Format, Vec<u8>)> = Vec::new();
    for head in [&b"\xdd"[..], b"\xdf", b"\xc6", b"\xdb", b"\xc9"] {
        let mut claim = b"\x95\x10\x01\x80\xa3a.b\x91".to_vec();
        claim.extend_from_slice(head);
        claim.extend_from_slice(&GIB.to_be_bytes());
        claim.extend_from_slice(&[0; 64]);
        claims.push((Format::Msgpack, claim));
    }
    for head in [&b"\x9b"[..], b"\xbb", b"\x5b", b"\x7b", b"\x5f\x5b"] {
        let mut claim = b"\x85\x10\x01\xa0\x63a.b\x81".to_vec();
        claim.extend_from_slice(head);
        claim.extend_from_slice(&u64::from(GIB).to_be_bytes());
        claim.extend_from_slice(&[0; 64]);
        claims.push((Format::Cbor, claim));
    }
    for head in [
        &b"[#l"[..],
        b"[$T#l",
        b"[$Z#l",
        b"[$U#l",
        b"[$D#l",
        b"{#l",
        b"{$Z#l",
        b"Sl",
        b"Hl",
    ] {
        let mut claim = b"[U\x10U\x01{}SU\x03a.b[".to_vec();
        claim.extend_from_slice(head);
        claim.extend_from_slice(&GIB.to_be_bytes());
        claim.extend_from_slice(&[0; 64]);
        claims.push((Format::Ubjson, claim));
    }
    // A FlatBuffer all of whose numbers claim much.
    for fill in [0x7f_u8, 0xff, 0x3f, 0x10, 0x04] {
        claims.push((Format::Flatbuffers, vec![fill; 256]));
    }
    let bombs: Vec<(Format, Vec<u8>)> = [
        (Format::Json, &b"["[..]),
        (Format::Json, b"{\"a\":"),
        (Format::Msgpack, b"\x91"),
        (Format::Cbor, b"\x9f"),
        (Format::Cbor, b"\xc1"),
        (Format::Ubjson, b"["),
    ]
    .into_iter()
    .map(|(format, unit)| (format, unit.repeat(1_000_000)))
    .collect();
    // Warm: whatever is allocated once is allocated now.
    assert!(decode(
        Format::Json,
        br#"[16,1,{},"a.b",[1,"two",{"three":[null]}]]"#
    ));

    let before = peak_kib();
    for (format, claim) in claims.iter().chain(&bombs) {
        assert!(!decode(*format, claim), "{format:?} {:?}", claim.get(..24));
    }
    let grown = peak_kib() - before;
    assert!(grown <= 256, "the process grew by {grown} KiB");
}
