//! Arbitrary sequences of messages into an open session, on either side: a session that failed
//! or ended takes nothing more, and nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wirebahn_wamp::Id;
use wirebahn_wamp::message::{Feature, Features, Roles};
use wirebahn_wamp::serializer::{Codec, Format};
use wirebahn_wamp::session::{Hearing, Refusal, Session, Side, State};

fuzz_target!(|data: &[u8]| {
    let Some((&first, data)) = data.split_first() else {
        return;
    };
    let side = if first & 1 == 0 {
        Side::Router
    } else {
        Side::Client
    };
    let features = if first & 2 == 0 {
        Features::NONE
    } else {
        Features::of(&[
            Feature::ProgressiveCallInvocations,
            Feature::PayloadPassthruMode,
        ])
    };
    let mut roles = [Roles::router(features), Roles::client(features)];
    if side == Side::Client {
        roles.swap(0, 1);
    }
    let mut session = Session::established(side, Id::MIN, roles[0], roles[1]);
    let mut codec = Codec::new(Format::Msgpack);
    for part in data.split(|&octet| octet == 0xc1) {
        let open = session.is_open();
        match codec.decode(part) {
            Ok(message) => match session.hear(message) {
                Hearing::Message(_) => assert!(open),
                Hearing::Ignored => assert!(!open),
                Hearing::Closed { .. } => {
                    assert_eq!(session.state(), State::Closed);
                    return;
                }
                Hearing::Aborted(_) | Hearing::Violated { .. } => {
                    assert_eq!(session.state(), State::Failed);
                }
            },
            Err(violation) => match session.refuse(violation) {
                Refusal::Answer(_) => assert!(open),
                Refusal::Discard => {}
                Refusal::Violated { .. } => assert_eq!(session.state(), State::Failed),
            },
        }
        if part.len() % 7 == 3 {
            session.request();
        }
    }
});
