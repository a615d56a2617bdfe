//! What a hostile peer sends: nesting bombs, huge declared lengths and counts, every message cut
//! at every octet, every octet of a message changed. On a thread with a small stack. What it
//! costs in memory is measured in a test of its own, `memory`.

use wirebahn_wamp::error::{DecodeErrorKind, Violation};
use wirebahn_wamp::message::{
    EventDetails, Features, Hello, HelloDetails, Message, Passthru, Principal, Publish,
    PublishOptions, Roles,
};
use wirebahn_wamp::serializer::{Codec, Format};
use wirebahn_wamp::{Dict, Id, Payload, Uri, Value};

/// How long this thread has been on a processor, in milliseconds: what others do on the machine
/// does not count. Nothing where the system does not say.
fn cpu_ms() -> u64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = schedstat.split_whitespace().next().unwrap_or("0");
    first.parse::<u64>().unwrap_or(0) / 1_000_000
}

/// Decodes, asks for all there is, and drops it, on a stack of 64 KiB, in 100 ms at most: without
/// optimization, a hundred times what it takes with.
fn decode(format: Format, octets: Vec<u8>) -> Result<(), Violation> {
    let thread = std::thread::Builder::new()
        .stack_size(64 << 10)
        .spawn(move || {
            let started = cpu_ms();
            let decoded = decode_all(format, &octets);
            let took_ms = cpu_ms() - started;
            assert!(took_ms <= 100, "{format:?} took {took_ms} ms");
            decoded
        });
    thread
        .expect("a thread")
        .join()
        .expect("decoding neither panics nor overflows")
}

fn decode_all(format: Format, octets: &[u8]) -> Result<(), Violation> {
    let mut codec = Codec::new(format);
    let message = codec.decode(octets)?;
    let payload = match &message {
        Message::Publish(m) => Some(&m.payload),
        Message::Event(m) => Some(&m.payload),
        Message::Call(m) => Some(&m.payload),
        Message::Yield(m) => Some(&m.payload),
        _ => None,
    };
    if let Some(payload) = payload {
        payload.args()?;
        payload.kwargs()?;
    }
    // What decodes can be owned and written again, in every format or with an error.
    for other in Format::ALL {
        let _ = Codec::new(other).encode(&message, &mut Vec::new());
    }
    drop(message.into_owned());
    Ok(())
}

fn kind(result: Result<(), Violation>) -> Option<DecodeErrorKind> {
    match result {
        Err(Violation::Decode(error)) => Some(error.kind),
        _ => None,
    }
}

/// The octets of a PUBLISH up to its arguments, which these begin.
fn publish(format: Format, args: &[u8]) -> Vec<u8> {
    let mut octets = match format {
        Format::Json => b"[16,1,{},\"a.b\",[".to_vec(),
        Format::Msgpack => b"\x95\x10\x01\x80\xa3a.b\x91".to_vec(),
        Format::Cbor => b"\x85\x10\x01\xa0\x63a.b\x81".to_vec(),
        _ => b"[U\x10U\x01{}SU\x03a.b[".to_vec(),
    };
    octets.extend_from_slice(args);
    octets
}

#[test]
fn nesting_bombs() {
    const MANY: usize = 1_000_000;
    let bombs: &[(Format, &[u8])] = &[
        (Format::Json, b"["),
        (Format::Json, b"{\"a\":"),
        (Format::Json, b"[{\"a\":"),
        (Format::Msgpack, b"\x91"),
        (Format::Msgpack, b"\x81\xa1a"),
        (Format::Msgpack, b"\xdc\x00\x01"),
        (Format::Cbor, b"\x81"),
        (Format::Cbor, b"\x9f"),
        (Format::Cbor, b"\xa1\x61a"),
        (Format::Cbor, b"\xbf\x61a"),
        (Format::Cbor, b"\xc1"),
        (Format::Cbor, b"\x81\xd8\x20"),
        (Format::Ubjson, b"["),
        (Format::Ubjson, b"{U\x01a"),
        (Format::Ubjson, b"[#U\x01"),
        (Format::Ubjson, b"[$[#U\x01"),
        (Format::Bjdata, b"["),
    ];
    for &(format, unit) in bombs {
        let bomb = unit.repeat(MANY);
        for octets in [bomb.clone(), publish(format, &bomb)] {
            let result = decode(format, octets);
            assert!(result.is_err());
        }
        let result = decode(format, publish(format, &bomb));
        // A typed container cannot hold a list whose marker was taken from it: that one is
        // malformed at the second level already.
        if unit != b"[$[#U\x01" {
            assert_eq!(
                kind(result),
                Some(DecodeErrorKind::TooDeep),
                "{format:?} {unit:?}"
            );
        }
    }
}

#[test]
fn the_depth_limit_is_exact() {
    // The message and its arguments are two levels; 62 more make 64.
    for (format, open, close) in [
        (Format::Json, &b"["[..], &b"]"[..]),
        (Format::Msgpack, b"\x91", b""),
        (Format::Cbor, b"\x81", b""),
        (Format::Ubjson, b"[", b"]"),
    ] {
        for (levels, fits) in [(62, true), (63, false)] {
            let mut octets = publish(format, &open.repeat(levels - 1));
            octets.extend_from_slice(match format {
                Format::Json | Format::Ubjson => b"[]",
                Format::Msgpack => b"\x90",
                _ => b"\x80",
            });
            octets.extend_from_slice(&close.repeat(levels - 1));
            if !close.is_empty() {
                octets.extend_from_slice(b"]]");
            }
            let result = decode(format, octets);
            assert_eq!(result.is_ok(), fits, "{format:?} {levels}: {result:?}");
        }
    }
}

/// Arguments that one format takes, all can carry.
#[test]
fn the_depth_limit_is_the_same_in_every_format() {
    for (levels, fits) in [(62, true), (63, false)] {
        let nested = (1..levels).fold(Value::List(Vec::new()), |inner, _| inner_list(inner));
        let message: Message<'_> = Publish {
            request: Id::MIN,
            options: PublishOptions::default(),
            topic: Uri::constant("a.b"),
            payload: Payload::from_args([nested]),
        }
        .into();
        for format in Format::ALL {
            let mut octets = Vec::new();
            Codec::new(format)
                .encode(&message, &mut octets)
                .expect("writers go deeper than readers");
            let result = decode(format, octets);
            assert_eq!(result.is_ok(), fits, "{format:?} {levels}: {result:?}");
        }
    }
}

fn inner_list(inner: Value) -> Value {
    Value::List(vec![inner])
}

#[test]
fn huge_lengths_and_counts() {
    let claims: &[(Format, &[u8])] = &[
        (Format::Msgpack, b"\xdd\xff\xff\xff\xff"),
        (Format::Msgpack, b"\xdf\x7f\xff\xff\xff"),
        (Format::Msgpack, b"\xc6\xff\xff\xff\xff"),
        (Format::Msgpack, b"\xdb\xff\xff\xff\xff"),
        (Format::Msgpack, b"\xc9\xff\xff\xff\xff\x01"),
        (Format::Cbor, b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff"),
        (Format::Cbor, b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"),
        (Format::Cbor, b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff"),
        (Format::Cbor, b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff"),
        (Format::Cbor, b"\x7b\xff\xff\xff\xff\xff\xff\xff\xff"),
        (Format::Cbor, b"\x7f\x7b\xff\xff\xff\xff\xff\xff\xff\xff"),
        (Format::Ubjson, b"[#L\x7f\xff\xff\xff\xff\xff\xff\xff"),
        (Format::Ubjson, b"[$T#L\x7f\xff\xff\xff\xff\xff\xff\xff"),
        (Format::Ubjson, b"[$U#L\x7f\xff\xff\xff\xff\xff\xff\xff"),
        (Format::Ubjson, b"{#L\x7f\xff\xff\xff\xff\xff\xff\xff"),
        (Format::Ubjson, b"SL\x7f\xff\xff\xff\xff\xff\xff\xff"),
        (Format::Ubjson, b"HL\x7f\xff\xff\xff\xff\xff\xff\xff"),
        (Format::Bjdata, b"[#M\xff\xff\xff\xff\xff\xff\xff\xff"),
        (Format::Bjdata, b"SM\xff\xff\xff\xff\xff\xff\xff\xff"),
    ];
    for &(format, claim) in claims {
        for octets in [claim.to_vec(), publish(format, claim)] {
            let result = decode(format, octets);
            assert!(result.is_err(), "{format:?} {claim:?}");
        }
    }
}

#[test]
fn values_cannot_be_made_of_too_many_items() {
    // Two million nulls: 2 MiB of MessagePack, 64 MiB of values.
    let mut args = b"\xdd\x00\x20\x00\x00".to_vec();
    args.resize(args.len() + (2 << 20), 0xc0);
    let result = decode(Format::Msgpack, publish(Format::Msgpack, &args));
    assert_eq!(kind(result), Some(DecodeErrorKind::TooManyItems));
}

/// Many keys: twice the same is found without comparing each with each.
#[test]
fn keys_are_compared_in_linear_time() {
    let mut text = String::from("[16,1,{},\"a.b\",[],{");
    for index in 0..200_000 {
        text.push_str(&format!("\"k{index}\":1,"));
    }
    text.push_str("\"k0\":1}]");
    let started = cpu_ms();
    let mut codec = Codec::new(Format::Json);
    let message = codec.decode(text.as_bytes()).map(Message::into_owned);
    let Ok(Message::Publish(publish)) = message else {
        panic!("{message:?}");
    };
    let error = publish.payload.kwargs().expect_err("a key twice");
    assert_eq!(error.kind, DecodeErrorKind::DuplicateKey);
    // Each with each would be twenty thousand million comparisons: minutes.
    assert!(cpu_ms() - started <= 5_000);
}

fn samples() -> Vec<Message<'static>> {
    let id = |number| Id::new(number).expect("a test's identifier");
    vec![
        Hello {
            realm: Uri::constant("realm1"),
            details: HelloDetails {
                roles: Some(Roles::client(Features::NONE)),
                authmethods: Some(vec!["ticket".into()]),
                authid: Some("joe".into()),
                ..HelloDetails::default()
            },
        }
        .into(),
        Publish {
            request: id(70_000),
            options: PublishOptions {
                acknowledge: Some(true),
                forward_for: Some(vec![Principal {
                    session: id(3),
                    authid: Some("a".into()),
                    authrole: Some("b".into()),
                }]),
                ..PublishOptions::default()
            },
            topic: Uri::constant("com.myapp.topic"),
            payload: Payload::from_values(
                vec![
                    Value::from("text é"),
                    Value::from(-5),
                    Value::from(1.5),
                    Value::from(vec![1_u8, 2, 3]),
                    Value::from(vec![Value::Null, Value::from(true)]),
                ],
                Dict::from_iter([("k", Value::from(Dict::from_iter([("deep", 1)])))]),
            ),
        }
        .into(),
        wirebahn_wamp::message::Event {
            subscription: id(1),
            publication: Id::MAX,
            details: EventDetails {
                passthru: Some(Box::new(Passthru {
                    enc_algo: wirebahn_wamp::message::EncAlgo::new("cryptobox"),
                    ..Passthru::default()
                })),
                ..EventDetails::default()
            },
            payload: Payload::opaque(vec![0_u8, 1, 2, 255]),
        }
        .into(),
    ]
}

#[test]
fn every_cut_and_every_change() {
    for format in Format::ALL {
        for message in samples() {
            let mut octets = Vec::new();
            Codec::new(format)
                .encode(&message, &mut octets)
                .expect("it fits");
            let decoded = Codec::new(format).decode(&octets).map(Message::into_owned);
            assert_eq!(decoded.as_ref(), Ok(&message), "{format:?}");
            for cut in 0..octets.len() {
                let decoded = decode_all(format, &octets[..cut]);
                // A FlatBuffer may end in padding that nothing refers to.
                if format != Format::Flatbuffers {
                    assert!(decoded.is_err(), "{format:?} cut at {cut}");
                }
            }
            for at in 0..octets.len() {
                let original = octets[at];
                // Every bit, and the numbers at which lengths and signs turn.
                let bits = (0..8).map(|bit| original ^ (1 << bit));
                for change in bits.chain([0, 1, 0x7f, 0x80, 0xff, original.wrapping_add(1)]) {
                    octets[at] = change;
                    let _ = decode_all(format, &octets);
                }
                octets[at] = original;
            }
        }
    }
}
