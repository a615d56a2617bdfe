//! Both sides of sessions against each other, over every serializer; and a table of what breaks
//! the protocol, over every serializer.

use std::sync::Arc;

use wirebahn_wamp::auth::{Secret, Ticket, Timestamp, Users, Wampcra};
use wirebahn_wamp::error::{DecodeErrorKind, Violation};
use wirebahn_wamp::id::GlobalIds;
use wirebahn_wamp::message::{
    Abort, Call, CallOptions, Feature, Features, Goodbye, Message, MessageType, Publish,
    PublishOptions, Roles, Subscribe, SubscribeOptions, Subscribed,
};
use wirebahn_wamp::serializer::{Codec, Format};
use wirebahn_wamp::session::{
    Accepting, Acceptor, Hearing, JoinError, Joiner, Joining, Opening, Refusal, Session, Side,
    State,
};
use wirebahn_wamp::uri::known;
use wirebahn_wamp::{Id, Payload, Uri, Value};

const REALM: Uri<'static> = Uri::constant("realm1");
const TOPIC: Uri<'static> = Uri::constant("com.myapp.mytopic1");

fn now() -> Timestamp {
    Timestamp::from_unix_ms(1_700_000_000_000)
}

fn id(number: u64) -> Id {
    Id::new(number).expect("a test's identifier")
}

/// One direction of a wire: a message goes through octets.
fn through<'a>(codec: &mut Codec, message: &Message<'_>, frame: &'a mut Vec<u8>) -> Message<'a> {
    frame.clear();
    codec
        .encode(message, frame)
        .expect("both sides speak the format");
    codec.decode(frame).expect("what was encoded decodes")
}

/// Opens a session and returns both ends.
fn join(format: Format, opening: Opening, users: &Arc<Users>) -> (Session, Session) {
    let mut codec = Codec::new(format);
    let mut frame = Vec::new();
    let session = GlobalIds::new().draw().expect("random octets");
    let (mut joiner, hello) = Joiner::open(opening);
    let mut acceptor = Acceptor::new(session, Roles::router(Features::NONE), Some("test".into()));
    let mut login = users.login([7; 16]);
    let mut to_router: Message<'static> = hello.into();
    // HELLO, and at most one challenge.
    for _ in 0..2 {
        let heard = acceptor.hear(through(&mut codec, &to_router, &mut frame));
        let Accepting::Decide(asked) = heard else {
            panic!("{heard:?}");
        };
        let to_client: Message<'static> = match acceptor.decide_with(&mut login, &asked, now()) {
            Accepting::Send(challenge) => challenge.into(),
            Accepting::Joined {
                session: routers,
                welcome,
                hello,
            } => {
                assert_eq!(hello.realm, REALM);
                let message = (*welcome).into();
                let heard = joiner.hear(through(&mut codec, &message, &mut frame));
                let Joining::Joined(clients, welcome) = heard else {
                    panic!("{heard:?}");
                };
                assert_eq!(clients.id(), session);
                assert_eq!(welcome.details.realm.as_deref(), Some("realm1"));
                return (clients, *routers);
            }
            other => panic!("{other:?}"),
        };
        to_router = match joiner.hear(through(&mut codec, &to_client, &mut frame)) {
            Joining::Send(message) => message,
            other => panic!("{other:?}"),
        };
    }
    panic!("no session after a challenge");
}

fn opening() -> Opening {
    Opening::anonymous(REALM, Roles::client(Features::NONE))
}

fn open_to_all() -> Arc<Users> {
    Arc::new(Users::new("static").anonymous("guest"))
}

#[test]
fn sessions_in_turn_over_every_serializer() {
    let users = Arc::new(
        Users::new("static")
            .anonymous("guest")
            .user("joe", "user", Secret::ticket("secret!!!"))
            .user("peter", "user", Secret::cra("secret1")),
    );
    for format in Format::ALL {
        // FlatBuffers hold one pair of a challenge, which is what an unsalted one has.
        let openings = [
            opening(),
            Opening {
                credentials: vec![Box::new(Ticket::new("joe", "secret!!!"))],
                ..opening()
            },
            Opening {
                credentials: vec![Box::new(Wampcra::new("peter", "secret1"))],
                ..opening()
            },
        ];
        for opening in openings {
            let (mut client, mut router) = join(format, opening, &users);
            talk(format, &mut client, &mut router);
            let goodbye = client.goodbye(known::CLOSE_REALM).expect("it is open");
            assert_eq!(client.goodbye(known::CLOSE_REALM), None, "once is enough");
            // What was on its way is ignored.
            let event = Message::from(Subscribed {
                request: id(1),
                subscription: id(9),
            });
            assert!(matches!(client.hear(event), Hearing::Ignored));
            let Hearing::Closed {
                goodbye: heard,
                reply: Some(reply),
            } = router.hear(goodbye.into())
            else {
                panic!("GOODBYE is answered");
            };
            assert_eq!(heard.reason, known::CLOSE_REALM);
            assert_eq!(reply.reason, known::GOODBYE_AND_OUT);
            let heard = client.hear(reply.into());
            assert!(matches!(heard, Hearing::Closed { reply: None, .. }));
            assert_eq!(
                (client.state(), router.state()),
                (State::Closed, State::Closed)
            );
        }
    }
}

/// A subscription, an event's publication, a call with an error: identifiers from 1.
fn talk(format: Format, client: &mut Session, router: &mut Session) {
    let mut codec = Codec::new(format);
    let mut frame = Vec::new();
    let requests: [Message<'static>; 3] = [
        Subscribe {
            request: client.request(),
            options: SubscribeOptions::default(),
            topic: TOPIC,
        }
        .into(),
        Publish {
            request: client.request(),
            options: PublishOptions::default(),
            topic: TOPIC,
            payload: Payload::from_args([Value::from("Hello, world!")]),
        }
        .into(),
        Call {
            request: client.request(),
            options: CallOptions::default(),
            procedure: Uri::constant("com.myapp.add2"),
            payload: Payload::from_args([Value::from(23), Value::from(7)]),
        }
        .into(),
    ];
    for request in &requests {
        let heard = router.hear(through(&mut codec, request, &mut frame));
        let Hearing::Message(heard) = heard else {
            panic!("{heard:?}");
        };
        assert_eq!(heard, *request);
    }
    let subscribed = Message::from(Subscribed {
        request: id(1),
        subscription: id(5),
    });
    assert!(matches!(client.hear(subscribed), Hearing::Message(_)));
    let error =
        wirebahn_wamp::message::Error::new(MessageType::Call, id(3), known::NO_SUCH_PROCEDURE);
    assert!(matches!(client.hear(error.into()), Hearing::Message(_)));
}

#[test]
fn goodbyes_that_cross() {
    let (mut client, mut router) = join(Format::Json, opening(), &open_to_all());
    let from_client = client.goodbye(known::CLOSE_REALM).expect("open");
    let from_router = router.goodbye(known::SYSTEM_SHUTDOWN).expect("open");
    let heard = client.hear(from_router.into());
    assert!(matches!(heard, Hearing::Closed { reply: None, .. }));
    let heard = router.hear(from_client.into());
    assert!(matches!(heard, Hearing::Closed { reply: None, .. }));
}

#[test]
fn abort_is_never_answered() {
    let (mut client, mut router) = join(Format::Json, opening(), &open_to_all());
    let abort = router
        .abort(known::KILLED, "an administrator did it")
        .expect("open");
    assert!(matches!(client.hear(abort.into()), Hearing::Aborted(_)));
    assert!(!client.is_open());
    assert_eq!(client.goodbye(known::CLOSE_REALM), None);
    // An ABORT that is itself broken is not answered either.
    let broken = Codec::new(Format::Json)
        .decode(b"[3,{},7]")
        .map(Message::into_owned);
    let Err(violation) = broken else {
        panic!("{broken:?}");
    };
    let (_, mut router) = join(Format::Json, opening(), &open_to_all());
    assert!(matches!(
        router.refuse(violation),
        Refusal::Violated { abort: None, .. }
    ));
}

#[test]
fn the_wrong_secret_is_refused_and_another_try_is_free() {
    let users = Arc::new(Users::new("static").user("joe", "user", Secret::ticket("secret!!!")));
    let mut acceptor = Acceptor::new(id(77), Roles::router(Features::NONE), None);
    for (ticket, welcome) in [("wrong", false), ("secret!!!", true)] {
        let (mut joiner, hello) = Joiner::open(Opening {
            credentials: vec![Box::new(Ticket::new("joe", ticket))],
            ..opening()
        });
        let mut login = users.login([1; 16]);
        let Accepting::Decide(asked) = acceptor.hear(hello.into()) else {
            panic!("a HELLO is decided on");
        };
        let Accepting::Send(challenge) = acceptor.decide_with(&mut login, &asked, now()) else {
            panic!("a ticket is asked for");
        };
        let Joining::Send(proof) = joiner.hear(challenge.into()) else {
            panic!("the ticket is shown");
        };
        let Accepting::Decide(asked) = acceptor.hear(proof) else {
            panic!("a proof is decided on");
        };
        match acceptor.decide_with(&mut login, &asked, now()) {
            Accepting::Refused(abort) => {
                assert!(!welcome);
                assert_eq!(abort.reason, known::AUTHENTICATION_DENIED);
                let heard = joiner.hear(abort.into());
                assert!(matches!(heard, Joining::Refused(_)), "{heard:?}");
            }
            Accepting::Joined {
                welcome: message, ..
            } => {
                assert!(welcome);
                assert_eq!(message.details.authid.as_deref(), Some("joe"));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_decision_that_comes_too_late_makes_no_ghost() {
    let (_, hello) = Joiner::open(opening());
    let mut acceptor = Acceptor::new(id(5), Roles::router(Features::NONE), None);
    let Accepting::Decide(asked) = acceptor.hear(hello.into()) else {
        panic!("a HELLO is decided on");
    };
    let gone = Message::from(Abort::new(known::CLOSE_NORMAL, "changed my mind"));
    assert!(matches!(acceptor.hear(gone), Accepting::Gone(_)));
    let mut login = open_to_all().login([1; 16]);
    let late = acceptor.decide_with(&mut login, &asked, now());
    assert!(matches!(late, Accepting::Ignored), "{late:?}");
}

#[test]
fn a_client_speaks_only_when_it_is_asked() {
    // A second HELLO, and AUTHENTICATE before any CHALLENGE, while the decision is pending.
    for text in [
        r#"[1,"realm1",{"roles":{"caller":{}}}]"#,
        r#"[5,"x",{}]"#,
        r#"[48,1,{},"a.b"]"#,
        r#"[6,{},"wamp.close.normal"]"#,
    ] {
        let (_, hello) = Joiner::open(opening());
        let mut acceptor = Acceptor::new(id(5), Roles::router(Features::NONE), None);
        acceptor.hear(hello.into());
        let mut codec = Codec::new(Format::Json);
        let heard = acceptor.hear(codec.decode(text.as_bytes()).expect("a message"));
        let Accepting::Failed {
            abort: Some(abort), ..
        } = heard
        else {
            panic!("{text}: {heard:?}");
        };
        assert_eq!(abort.reason, known::PROTOCOL_VIOLATION);
        assert_eq!(acceptor.state(), State::Failed);
    }
}

#[test]
fn a_client_is_not_fooled() {
    let decode = |text: &str| {
        Codec::new(Format::Json)
            .decode(text.as_bytes())
            .map(Message::into_owned)
            .expect("a message")
    };
    // A challenge that was not offered is not answered.
    let (mut joiner, _) = Joiner::open(opening());
    let heard = joiner.hear(decode(r#"[4,"ticket",{}]"#));
    let Joining::Failed {
        abort: Some(abort),
        why: JoinError::Auth(_),
    } = heard
    else {
        panic!("{heard:?}");
    };
    assert_eq!(abort.reason, known::AUTHENTICATION_FAILED);
    // Nor is there an end of challenges in asking for ever.
    let (mut joiner, _) = Joiner::open(Opening {
        credentials: vec![Box::new(Ticket::new("joe", "t"))],
        ..opening()
    });
    let answered = (0..10)
        .take_while(|_| {
            let heard = joiner.hear(decode(r#"[4,"ticket",{}]"#));
            matches!(heard, Joining::Send(_))
        })
        .count();
    assert_eq!(answered, 4);
    // What has no place before WELCOME.
    for text in [
        r#"[33,1,2]"#,
        r#"[35,1]"#,
        r#"[17,1,2]"#,
        r#"[50,1,{}]"#,
        r#"[65,1,2]"#,
        r#"[67,1]"#,
        r#"[68,1,2,{}]"#,
        r#"[36,1,2,{}]"#,
        r#"[8,48,1,{},"a.b"]"#,
        r#"[6,{},"wamp.close.normal"]"#,
        r#"[1,"realm1",{"roles":{"caller":{}}}]"#,
    ] {
        let (mut joiner, _) = Joiner::open(opening());
        let heard = joiner.hear(decode(text));
        let Joining::Failed {
            abort: Some(abort), ..
        } = heard
        else {
            panic!("{text}: {heard:?}");
        };
        assert_eq!(abort.reason, known::PROTOCOL_VIOLATION, "{text}");
    }
}

/// What an open session refuses of the octets themselves, as JSON; each is also tried in the
/// other formats that can say it.
const BROKEN: &[&str] = &[
    "[]",
    "{}",
    "7",
    "null",
    r#""text""#,
    "[null]",
    r#"["48"]"#,
    "[-1]",
    "[48.0]",
    "[true]",
    "[0]",
    "[7]",
    "[9]",
    "[38]",
    "[71]",
    "[336]",
    "[18446744073709551615]",
    "[48]",
    "[48,1]",
    "[48,1,{}]",
    r#"[48,"1",{},"a.b"]"#,
    r#"[48,0,{},"a.b"]"#,
    r#"[48,-1,{},"a.b"]"#,
    r#"[48,1.0,{},"a.b"]"#,
    r#"[48,true,{},"a.b"]"#,
    r#"[48,9007199254740993,{},"a.b"]"#,
    r#"[48,null,{},"a.b"]"#,
    r#"[48,1,[],"a.b"]"#,
    r#"[48,1,null,"a.b"]"#,
    r#"[48,1,{},7]"#,
    r#"[48,1,{},null]"#,
    r#"[48,1,{},["a.b"]]"#,
    r#"[48,1,{},"a.b",{}]"#,
    r#"[48,1,{},"a.b","args"]"#,
    r#"[48,1,{},"a.b",null]"#,
    r#"[48,1,{},"a.b",[],[]]"#,
    r#"[48,1,{},"a.b",[],null]"#,
    r#"[48,1,{},"a.b",[],{},1]"#,
    r#"[48,1,{"timeout":"1"},"a.b"]"#,
    r#"[48,1,{"timeout":-1},"a.b"]"#,
    r#"[48,1,{"timeout":1.5},"a.b"]"#,
    r#"[48,1,{"receive_progress":1},"a.b"]"#,
    r#"[48,1,{"disclose_me":null},"a.b"]"#,
    r#"[48,1,{"timeout":1,"timeout":2},"a.b"]"#,
    r#"[48,1,{"zzz":1,"zzz":2},"a.b"]"#,
    r#"[48,1,{"forward_for":[{"session":0}]},"a.b"]"#,
    r#"[48,1,{"forward_for":[{}]},"a.b"]"#,
    r#"[49,1]"#,
    r#"[49,1,{"mode":"maim"}]"#,
    r#"[49,1,{},1]"#,
    r#"[64,1,{"match":"fuzzy"},"a.b"]"#,
    r#"[64,1,{"invoke":"best"},"a.b"]"#,
    r#"[64,1,{"concurrency":"2"},"a.b"]"#,
    r#"[64,1,{},"a.b",[]]"#,
    r#"[66,1]"#,
    r#"[66,1,0]"#,
    r#"[66,1,"2"]"#,
    r#"[70,1]"#,
    r#"[70,0,{}]"#,
    r#"[70,1,{"progress":"yes"}]"#,
    r#"[32,1,{}]"#,
    r#"[32,1,{},"a.b",1]"#,
    r#"[32,1,{"get_retained":0},"a.b"]"#,
    r#"[34,1]"#,
    r#"[34,1,2,3]"#,
    r#"[16,1,{}]"#,
    r#"[16,1,{"exclude":[0]},"a.b"]"#,
    r#"[16,1,{"exclude":{"1":1}},"a.b"]"#,
    r#"[16,1,{"eligible_authrole":"admin"},"a.b"]"#,
    r#"[16,1,{},"a.b","octets without enc_algo"]"#,
    r#"[16,1,{"enc_algo":"rot13"},"a.b"]"#,
    r#"[8,48]"#,
    r#"[8,68,1,{}]"#,
    r#"[8,1,1,{},"a.b"]"#,
    r#"[8,69,1,{},"a.b"]"#,
    r#"[8,"68",1,{},"a.b"]"#,
    r#"[8,68,1,{},"not a uri"]"#,
    r#"[6,{}]"#,
    r#"[6,{},7]"#,
    r#"[6,{},"not a uri"]"#,
    r#"[6,{},"a.b",1]"#,
    r#"[1,"realm1",{}]"#,
    r#"[1,"realm1",{"roles":{}}]"#,
    r#"[1,"realm1",{"roles":{"broker":{}}}]"#,
    r#"[1,"realm1",{"roles":{"caller":7}}]"#,
    r#"[1,"realm1",{"roles":{"caller":{"features":{"call_timeout":1}}}}]"#,
    r#"[1,"realm1",{"roles":{"caller":{}},"authmethods":"ticket"}]"#,
    r#"[1,"realm1",{"roles":{"caller":{}},"authid":7}]"#,
    r#"[5,7,{}]"#,
    r#"[5,"x"]"#,
];

/// What decodes, and has no place in a router's open session.
const OUT_OF_PLACE: &[&str] = &[
    r#"[1,"realm1",{"roles":{"caller":{}}}]"#,
    r#"[2,1,{"roles":{"broker":{}}}]"#,
    r#"[4,"ticket",{}]"#,
    r#"[5,"x",{}]"#,
    r#"[17,1,2]"#,
    r#"[33,1,2]"#,
    r#"[35,1]"#,
    r#"[36,1,2,{}]"#,
    r#"[50,1,{}]"#,
    r#"[65,1,2]"#,
    r#"[67,1]"#,
    r#"[68,1,2,{}]"#,
    r#"[69,1,{}]"#,
    // Replies to INVOCATIONs that were never sent.
    r#"[70,1,{}]"#,
    r#"[8,68,1,{},"a.b"]"#,
    // Errors a client has no use for.
    r#"[8,48,1,{},"a.b"]"#,
    r#"[8,32,1,{},"a.b"]"#,
    // Identifiers out of sequence.
    r#"[48,2,{},"a.b"]"#,
    r#"[32,2,{},"a.b"]"#,
    r#"[34,3,1]"#,
    r#"[64,9007199254740992,{},"a.b"]"#,
    r#"[66,7,1]"#,
    r#"[16,2,{},"a.b"]"#,
    // Features that were not announced.
    r#"[48,1,{"progress":true},"a.b"]"#,
    r#"[48,1,{"ppt_scheme":"wamp"},"a.b"]"#,
    r#"[16,1,{"ppt_scheme":"mqtt"},"a.b"]"#,
];

fn open_router() -> Session {
    Session::established(
        Side::Router,
        id(7),
        Roles::router(Features::NONE),
        Roles::client(Features::NONE),
    )
}

/// JSON's text as one of the other formats, by way of a plain value and writers that are not
/// ours; none where the format cannot say it (a key twice).
fn in_format(text: &str, format: Format) -> Option<Vec<u8>> {
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    if json.to_string().len() != text.len() {
        return None;
    }
    match format {
        Format::Json => Some(text.as_bytes().to_vec()),
        Format::Msgpack => rmp_serde::to_vec(&json).ok(),
        // That one writes null as an empty list.
        Format::Cbor if text.contains("null") => None,
        Format::Cbor => cbor4ii::serde::to_vec(Vec::new(), &json).ok(),
        _ => None,
    }
}

#[test]
fn every_violation_ends_in_abort() {
    assert!(BROKEN.len() + OUT_OF_PLACE.len() >= 60);
    let mut tried = 0;
    for text in BROKEN {
        for format in [Format::Json, Format::Msgpack, Format::Cbor] {
            let octets = match in_format(text, format) {
                Some(octets) => octets,
                None if format == Format::Json => text.as_bytes().to_vec(),
                None => continue,
            };
            tried += 1;
            let decoded = Codec::new(format).decode(&octets).map(Message::into_owned);
            let Err(violation) = decoded else {
                panic!("{text} in {format:?}: {decoded:?}");
            };
            let mut session = open_router();
            let refused = session.refuse(violation);
            let Refusal::Violated {
                abort: Some(abort), ..
            } = refused
            else {
                panic!("{text} in {format:?}: {refused:?}");
            };
            assert_eq!(abort.reason, known::PROTOCOL_VIOLATION, "{text}");
            assert_eq!(session.state(), State::Failed);
            // The next message is not processed.
            let next = Codec::new(Format::Json)
                .decode(br#"[32,1,{},"a.b"]"#)
                .map(Message::into_owned)
                .expect("a message");
            assert!(matches!(session.hear(next), Hearing::Ignored));
        }
    }
    for text in OUT_OF_PLACE {
        for format in [Format::Json, Format::Msgpack, Format::Cbor] {
            let octets = in_format(text, format).expect("a message");
            tried += 1;
            let mut codec = Codec::new(format);
            let message = codec
                .decode(&octets)
                .unwrap_or_else(|error| panic!("{text}: {error}"));
            let mut session = open_router();
            let heard = session.hear(message);
            let Hearing::Violated {
                abort: Some(abort), ..
            } = heard
            else {
                panic!("{text} in {format:?}: {heard:?}");
            };
            assert_eq!(abort.reason, known::PROTOCOL_VIOLATION, "{text}");
            assert_eq!(session.state(), State::Failed);
        }
    }
    assert!(tried >= 240, "{tried}");
}

#[test]
fn a_uri_that_is_none_costs_an_error_and_not_the_session() {
    let mut session = open_router();
    let mut hear = |text: &str| {
        let decoded = Codec::new(Format::Json)
            .decode(text.as_bytes())
            .map(Message::into_owned);
        match decoded {
            Ok(message) => match session.hear(message) {
                Hearing::Message(_) => "taken".to_owned(),
                other => panic!("{text}: {other:?}"),
            },
            Err(violation) => match session.refuse(violation) {
                Refusal::Answer(error) => {
                    format!("{} {} {}", error.request_type, error.request, error.error)
                }
                Refusal::Discard => "discarded".to_owned(),
                Refusal::Violated { why, .. } => format!("{why}"),
            },
        }
    };
    assert_eq!(
        hear(r#"[32,1,{},"a..b"]"#),
        "SUBSCRIBE 1 wamp.error.invalid_uri"
    );
    assert_eq!(
        hear(r#"[32,2,{"match":"wildcard"},"a..b"]"#),
        "taken",
        "the one before took its place"
    );
    assert_eq!(hear(r##"[48,3,{},"#"]"##), "CALL 3 wamp.error.invalid_uri");
    assert_eq!(hear(r#"[64,4,{},""]"#), "REGISTER 4 wamp.error.invalid_uri");
    assert_eq!(
        hear(r#"[16,5,{"acknowledge":true},"a b"]"#),
        "PUBLISH 5 wamp.error.invalid_uri"
    );
    assert_eq!(hear(r#"[16,6,{},"a b"]"#), "discarded");
    assert_eq!(hear(r#"[32,7,{"match":"prefix"},"a."]"#), "taken");
    assert_eq!(
        hear(r#"[32,9,{},"a..b"]"#),
        "SUBSCRIBE.Request is 9, expected 8",
        "a gap is a violation all the same"
    );
}

#[test]
fn a_realm_that_is_no_uri_is_refused_as_such() {
    let decoded = Codec::new(Format::Json)
        .decode(br#"[1,"no realm",{"roles":{"caller":{}}}]"#)
        .map(Message::into_owned);
    let Err(violation) = decoded else {
        panic!("{decoded:?}");
    };
    let mut acceptor = Acceptor::new(id(5), Roles::router(Features::NONE), None);
    let Accepting::Failed {
        abort: Some(abort), ..
    } = acceptor.violated(violation)
    else {
        panic!("it is refused");
    };
    assert_eq!(abort.reason, known::INVALID_URI);
}

#[test]
fn progressive_calls_reuse_their_identifier_where_announced() {
    let features = Features::of(&[Feature::ProgressiveCallInvocations, Feature::CallCanceling]);
    let mut session = Session::established(
        Side::Router,
        id(7),
        Roles::router(features),
        Roles::client(features),
    );
    let call = |request, progress| {
        Message::from(Call {
            request: id(request),
            options: CallOptions {
                progress: Some(progress),
                ..CallOptions::default()
            },
            procedure: Uri::constant("foo"),
            payload: Payload::empty(),
        })
    };
    // The example of the text.
    assert!(matches!(session.hear(call(1, true)), Hearing::Message(_)));
    assert!(matches!(session.hear(call(2, false)), Hearing::Message(_)));
    assert!(matches!(session.hear(call(1, false)), Hearing::Message(_)));
    let Hearing::Violated { why, .. } = session.hear(call(4, false)) else {
        panic!("a gap is a violation");
    };
    assert_eq!(
        why,
        Violation::OutOfSequence {
            message: MessageType::Call,
            found: id(4),
            expected: id(3)
        }
    );
}

#[test]
fn what_comes_after_goodbye_is_not_judged() {
    let (_, mut router) = join(Format::Json, opening(), &open_to_all());
    router.goodbye(known::SYSTEM_SHUTDOWN).expect("open");
    let broken = Violation::Decode(wirebahn_wamp::error::DecodeError {
        kind: DecodeErrorKind::Syntax,
        at: 0,
    });
    assert!(matches!(router.refuse(broken), Refusal::Discard));
    let out_of_place = Message::from(Subscribed {
        request: id(1),
        subscription: id(1),
    });
    assert!(matches!(router.hear(out_of_place), Hearing::Ignored));
    let goodbye = Goodbye::new(known::GOODBYE_AND_OUT);
    assert!(matches!(
        router.hear(goodbye.into()),
        Hearing::Closed { reply: None, .. }
    ));
}
