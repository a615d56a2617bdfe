//! Decoding and encoding messages, beside the plain serde crates of the same formats.
//!
//! Three questions: what a router does (read a message, leave its payload raw, write it on), what
//! an application does (read it with all values), and what it costs to write one. The peers read
//! into their own value types, which is the least they do for a message whose type is not known
//! beforehand; MessagePack's and CBOR's read into JSON's value.
//!
//! Every bench checks what it got before it is measured.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use wirebahn_wamp::message::{Call, CallOptions, Event, EventDetails, Message, Publish};
use wirebahn_wamp::serializer::{Codec, Format};
use wirebahn_wamp::{Dict, Id, Payload, Uri, Value};

const FORMATS: [Format; 5] = [
    Format::Json,
    Format::Msgpack,
    Format::Cbor,
    Format::Ubjson,
    Format::Flatbuffers,
];

/// A small call, and an event with a payload of a few KiB.
fn messages() -> [(&'static str, Message<'static>); 2] {
    let id = |number| Id::new(number).expect("an identifier");
    let call = Call {
        request: id(7_814_135),
        options: CallOptions {
            timeout_ms: Some(5000),
            ..CallOptions::default()
        },
        procedure: Uri::constant("com.myapp.user.new"),
        payload: Payload::from_values(
            vec![Value::from("johnny")],
            Dict::from_iter([("firstname", "John"), ("surname", "Doe")]),
        ),
    };
    let reading = |number: i64| {
        Value::from(Dict::from_iter([
            ("sensor", Value::from(format!("building-7/floor-{number}"))),
            ("value", Value::from(number as f64 * 1.25)),
            ("count", Value::from(number * 1000)),
            ("valid", Value::from(number % 2 == 0)),
        ]))
    };
    let event = Event {
        subscription: id(5_512_315_355),
        publication: id(4_429_313_566),
        details: EventDetails {
            topic: Some(Uri::constant("com.myapp.readings")),
            ..EventDetails::default()
        },
        payload: Payload::from_args([Value::from((0..64).map(reading).collect::<Vec<_>>())]),
    };
    [("call", call.into()), ("event_4k", event.into())]
}

fn encoded(format: Format, message: &Message<'_>) -> Vec<u8> {
    let mut octets = Vec::new();
    Codec::new(format)
        .encode(message, &mut octets)
        .expect("every format carries it");
    let decoded = Codec::new(format).decode(&octets).map(Message::into_owned);
    assert_eq!(decoded.as_ref(), Ok(message), "{format:?}");
    octets
}

fn payload<'m, 'a>(message: &'m Message<'a>) -> &'m Payload<'a> {
    match message {
        Message::Call(m) => &m.payload,
        Message::Event(m) => &m.payload,
        _ => panic!("the two messages above"),
    }
}

type Peer = fn(&[u8]) -> serde_json::Value;

fn peer(format: Format) -> Option<(&'static str, Peer)> {
    match format {
        Format::Json => Some(("serde_json", |octets| {
            serde_json::from_slice(octets).expect("JSON")
        })),
        Format::Msgpack => Some(("rmp-serde", |octets| {
            rmp_serde::from_slice(octets).expect("MessagePack")
        })),
        Format::Cbor => Some(("cbor4ii", |octets| {
            cbor4ii::serde::from_slice(octets).expect("CBOR")
        })),
        _ => None,
    }
}

fn decode(c: &mut Criterion) {
    for (name, message) in messages() {
        let mut group = c.benchmark_group(format!("decode/{name}"));
        for format in FORMATS {
            let octets = encoded(format, &message);
            group.throughput(Throughput::Bytes(octets.len() as u64));
            let mut codec = Codec::new(format);
            let label = format!("{format:?}").to_lowercase();
            group.bench_function(format!("{label}/raw"), |b| {
                b.iter(|| {
                    let message = codec.decode(black_box(&octets)).expect("decoded above");
                    black_box(payload(&message).octets())
                });
            });
            let mut codec = Codec::new(format);
            group.bench_function(format!("{label}/values"), |b| {
                b.iter(|| {
                    let message = codec.decode(black_box(&octets)).expect("decoded above");
                    let payload = payload(&message);
                    (
                        payload.args().expect("arguments"),
                        payload.kwargs().expect("keyword arguments"),
                    )
                });
            });
            if let Some((peer, read)) = peer(format) {
                assert_eq!(
                    read(&octets).as_array().map(Vec::len),
                    Some(if name == "call" { 6 } else { 5 })
                );
                group.bench_function(format!("{label}/{peer}"), |b| {
                    b.iter(|| read(black_box(&octets)));
                });
            }
        }
        group.finish();
    }
}

fn encode(c: &mut Criterion) {
    for (name, message) in messages() {
        let mut group = c.benchmark_group(format!("encode/{name}"));
        for format in FORMATS {
            let octets = encoded(format, &message);
            group.throughput(Throughput::Bytes(octets.len() as u64));
            let codec = Codec::new(format);
            let label = format!("{format:?}").to_lowercase();
            let mut out = Vec::with_capacity(2 * octets.len());
            group.bench_function(format!("{label}/values"), |b| {
                b.iter(|| {
                    out.clear();
                    codec
                        .encode(black_box(&message), &mut out)
                        .expect("encoded above");
                    black_box(out.len())
                });
            });
            let Some((peer, read)) = peer(format) else {
                continue;
            };
            let value = read(&octets);
            let write: fn(&serde_json::Value, Vec<u8>) -> Vec<u8> = match format {
                Format::Json => |value, mut out| {
                    serde_json::to_writer(&mut out, value).expect("JSON");
                    out
                },
                Format::Msgpack => |value, mut out| {
                    rmp_serde::encode::write(&mut out, value).expect("MessagePack");
                    out
                },
                _ => |value, out| cbor4ii::serde::to_vec(out, value).expect("CBOR"),
            };
            let mut out = Vec::with_capacity(2 * octets.len());
            group.bench_function(format!("{label}/{peer}"), |b| {
                b.iter(|| {
                    let mut reused = std::mem::take(&mut out);
                    reused.clear();
                    out = write(black_box(&value), reused);
                    black_box(out.len())
                });
            });
        }
        group.finish();
    }
}

/// A router's way: PUBLISH in, EVENT out, the payload carried over raw or transcoded.
fn forward(c: &mut Criterion) {
    let [_, (_, event)] = messages();
    let Message::Event(event) = event else {
        panic!("the second message is an event");
    };
    let publish: Message<'_> = Publish {
        request: Id::MIN,
        options: wirebahn_wamp::message::PublishOptions::default(),
        topic: Uri::constant("com.myapp.readings"),
        payload: event.payload.clone(),
    }
    .into();
    let mut group = c.benchmark_group("forward");
    for (from, to) in [
        (Format::Json, Format::Json),
        (Format::Msgpack, Format::Msgpack),
        (Format::Cbor, Format::Cbor),
        (Format::Json, Format::Msgpack),
        (Format::Msgpack, Format::Json),
        (Format::Cbor, Format::Msgpack),
    ] {
        let octets = encoded(from, &publish);
        group.throughput(Throughput::Bytes(octets.len() as u64));
        let mut reader = Codec::new(from);
        let writer = Codec::new(to);
        group.bench_function(format!("{from:?}-{to:?}").to_lowercase(), |b| {
            b.iter_batched_ref(
                || Vec::with_capacity(16 << 10),
                |out| {
                    let Ok(Message::Publish(heard)) = reader.decode(black_box(&octets)) else {
                        panic!("decoded above");
                    };
                    let event = Event {
                        subscription: Id::MIN,
                        publication: Id::MAX,
                        details: EventDetails::default(),
                        payload: heard.payload,
                    };
                    writer.encode(&event.into(), out).expect("it fits");
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, decode, encode, forward);
criterion_main!(benches);
