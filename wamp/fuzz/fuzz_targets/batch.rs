//! Arbitrary frames of batches: every part lies within the frame, in order, and there is one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wirebahn_wamp::Rules;
use wirebahn_wamp::serializer::{Codec, Format, Subprotocol};

fuzz_target!(|frame: &[u8]| {
    for format in [Format::Json, Format::Msgpack, Format::Cbor, Format::Ubjson] {
        let subprotocol = Subprotocol {
            format,
            batched: true,
        };
        let mut codec = Codec::for_subprotocol(subprotocol, Rules::default());
        let Ok(parts) = codec.parts(frame) else {
            continue;
        };
        let parts: Vec<&[u8]> = parts.collect();
        assert!(!parts.is_empty());
        let framing = if format == Format::Json { 1 } else { 4 };
        let framed: usize = parts.iter().map(|part| part.len() + framing).sum();
        assert_eq!(framed, frame.len());
        for part in parts {
            let _ = codec.decode(part);
        }
    }
});
