//! Arbitrary arguments in JSON: passing over them and reading them must come to the same verdict,
//! but for what is only found when they are read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wirebahn_wamp::error::DecodeErrorKind;
use wirebahn_wamp::message::Message;
use wirebahn_wamp::serializer::{Codec, Format};

fuzz_target!(|text: &str| {
    let octets = format!("[16,1,{{}},\"a.b\",[{text}]]");
    if let Ok(Message::Publish(publish)) = Codec::new(Format::Json).decode(octets.as_bytes()) {
        match publish.payload.args() {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind, DecodeErrorKind::DuplicateKey),
        }
    }
});
