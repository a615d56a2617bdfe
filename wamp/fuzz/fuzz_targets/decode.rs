//! Arbitrary octets into every decoder. What one takes must be written again, in its own format
//! and without loss, and its payload must be read or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wirebahn_wamp::message::Message;
use wirebahn_wamp::serializer::{Codec, Format};

fuzz_target!(|data: &[u8]| {
    let Some((&first, octets)) = data.split_first() else {
        return;
    };
    let format = Format::ALL[usize::from(first) % Format::ALL.len()];
    let mut codec = Codec::new(format);
    let Ok(message) = codec.decode(octets) else {
        return;
    };
    let mut again = Vec::new();
    codec
        .encode(&message, &mut again)
        .expect("what was decoded can be encoded in its own format");
    let decoded = codec
        .clone()
        .decode(&again)
        .map(Message::into_owned)
        .expect("what was encoded can be decoded");
    assert_eq!(decoded.message_type(), message.message_type());
    // Payloads may hold what no value can (and then are unequal to everything, NaN as well), so
    // that the octets of a second writing are compared, not the messages.
    let mut third = Vec::new();
    codec
        .encode(&decoded, &mut third)
        .expect("it was encoded before");
    assert_eq!(again, third);
    // Into every other format: without loss, or with an error; never a panic.
    for other in Format::ALL {
        let mut out = Vec::new();
        let mut codec = Codec::new(other);
        if codec.encode(&message, &mut out).is_ok() {
            codec.decode(&out).expect("what was encoded can be decoded");
        } else {
            assert!(out.is_empty(), "a failed encoding leaves nothing");
        }
    }
});
