//! Properties: any message, through any serializer, is the same message; any value, from any
//! format into any other, is the same value; JSON and MessagePack agree with readers that are
//! not ours; and arbitrary octets do no harm.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use wirebahn_wamp::message::{
    Audience, Authenticate, Call, CallOptions, CallResult, Cancel, CancelMode, CancelOptions,
    Challenge, CloseDetails, EncAlgo, EncSerializer, Error, ErrorDetails, Event, EventDetails,
    EventReceived, Feature, Features, Goodbye, Hello, HelloDetails, Interrupt, InterruptOptions,
    Invocation, InvocationDetails, InvocationPolicy, Message, MessageType, Passthru, Principal,
    Publish, PublishOptions, Published, Register, RegisterOptions, Registered, ResultDetails, Role,
    Roles, Subscribe, SubscribeOptions, Subscribed, Unregister, Unregistered, Unsubscribe,
    Unsubscribed, Welcome, WelcomeDetails, Withdrawn, Yield,
};
use wirebahn_wamp::serializer::{Codec, Format, Subprotocol};
use wirebahn_wamp::uri::MatchPolicy;
use wirebahn_wamp::{Dict, Id, Payload, Rules, Uri, Value};

fn id() -> impl Strategy<Value = Id> {
    prop_oneof![
        1..=300_u64,
        1..=Id::MAX.get(),
        Just(Id::MAX.get()),
        (0..54_u32).prop_map(|bits| 1_u64 << bits),
    ]
    .prop_map(|number| Id::new(number).expect("in range"))
}

fn uri() -> impl Strategy<Value = Uri<'static>> {
    "[a-z0-9_é]{1,8}(\\.[a-zA-Z0-9_-]{1,8}){0,4}".prop_map(|text| Uri::loose(text).expect("a URI"))
}

/// Text that every format carries: JSON takes a NUL in front for binary.
fn text() -> impl Strategy<Value = String> {
    ".{0,40}".prop_filter("NUL in front is binary", |text| !text.starts_with('\0'))
}

fn cow() -> impl Strategy<Value = std::borrow::Cow<'static, str>> {
    text().prop_map(Into::into)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-200..200_i64).prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has no other", |value| value.is_finite())
            .prop_map(Value::from),
        text().prop_map(Value::from),
        vec(any::<u8>(), 0..40).prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..20).prop_map(Value::from),
            vec((text(), inner), 0..20).prop_map(|entries| Dict::from_iter(entries).into()),
        ]
    })
}

fn dict() -> impl Strategy<Value = Dict> {
    vec((text(), value()), 0..20).prop_map(Dict::from_iter)
}

fn payload() -> impl Strategy<Value = Payload<'static>> {
    (vec(value(), 0..6), prop_oneof![Just(Dict::new()), dict()])
        .prop_map(|(args, kwargs)| Payload::from_values(args, kwargs))
}

fn some_true() -> impl Strategy<Value = Option<bool>> {
    prop_oneof![Just(None), Just(Some(true))]
}

fn principals() -> impl Strategy<Value = Option<Vec<Principal<'static>>>> {
    let principal =
        (id(), option::of(cow()), option::of(cow())).prop_map(|(session, authid, authrole)| {
            Principal {
                session,
                authid,
                authrole,
            }
        });
    option::of(vec(principal, 0..3))
}

fn features(role: Role) -> impl Strategy<Value = Features> {
    // Those that every format has for the role.
    let common: &'static [Feature] = match role {
        Role::Broker | Role::Publisher | Role::Subscriber => &[
            Feature::PublisherIdentification,
            Feature::PayloadTransparency,
        ],
        Role::Dealer | Role::Caller | Role::Callee => &[
            Feature::CallerIdentification,
            Feature::CallCanceling,
            Feature::ProgressiveCallResults,
        ],
    };
    proptest::sample::subsequence(common, 0..=common.len())
        .prop_map(|features| Features::of(&features))
}

fn roles(router: bool) -> impl Strategy<Value = Roles> {
    let of_side: Vec<Role> = Role::ALL
        .into_iter()
        .filter(|role| role.is_router() == router)
        .collect();
    let each: Vec<_> = of_side
        .into_iter()
        .map(|role| option::of(features(role)).prop_map(move |features| (role, features)))
        .collect();
    each.prop_filter_map("one role at least", |roles| {
        let roles = roles
            .into_iter()
            .filter_map(|(role, features)| Some((role, features?)))
            .fold(Roles::new(), |roles, (role, features)| {
                roles.with(role, features)
            });
        (!roles.is_empty()).then_some(roles)
    })
}

fn match_policy() -> impl Strategy<Value = Option<MatchPolicy>> {
    option::of(prop_oneof![
        Just(MatchPolicy::Exact),
        Just(MatchPolicy::Prefix),
        Just(MatchPolicy::Wildcard)
    ])
}

fn cancel_mode() -> impl Strategy<Value = Option<CancelMode>> {
    option::of(prop_oneof![
        Just(CancelMode::Skip),
        Just(CancelMode::Kill),
        Just(CancelMode::KillNoWait)
    ])
}

fn invoke() -> impl Strategy<Value = Option<InvocationPolicy>> {
    option::of(prop_oneof![
        Just(InvocationPolicy::Single),
        Just(InvocationPolicy::Roundrobin),
        Just(InvocationPolicy::Random),
        Just(InvocationPolicy::First),
        Just(InvocationPolicy::Last),
    ])
}

fn withdrawn() -> impl Strategy<Value = Withdrawn<'static>> {
    prop_oneof![
        id().prop_map(Withdrawn::Request),
        (id(), option::of(cow())).prop_map(|(id, reason)| Withdrawn::Revoked { id, reason }),
    ]
}

/// A payload in clear, or an opaque one with the attributes that go with it.
fn any_payload() -> impl Strategy<Value = (Payload<'static>, Option<Box<Passthru<'static>>>)> {
    prop_oneof![
        4 => payload().prop_map(|payload| (payload, None)),
        1 => (vec(any::<u8>(), 1..40), option::of(cow())).prop_map(|(octets, enc_key)| {
            let passthru = Passthru {
                enc_algo: EncAlgo::new("cryptobox"),
                enc_serializer: EncSerializer::new("cbor"),
                enc_key,
                ..Passthru::default()
            };
            (Payload::opaque(octets), Some(Box::new(passthru)))
        }),
    ]
}

fn publish() -> impl Strategy<Value = Message<'static>> {
    let audience = option::of(
        (
            option::of(vec(id(), 0..3)),
            option::of(vec(cow(), 0..3)),
            option::of(vec(id(), 0..3)),
            vec(cow(), 1..3),
        )
            .prop_map(|(exclude, exclude_authid, eligible, eligible_authrole)| {
                Box::new(Audience {
                    exclude,
                    exclude_authid,
                    eligible,
                    eligible_authrole: Some(eligible_authrole),
                    ..Audience::default()
                })
            }),
    );
    let flags = (
        some_true(),
        prop_oneof![Just(None), Just(Some(false))],
        some_true(),
    );
    (id(), flags, audience, principals(), uri(), any_payload()).prop_map(
        |(
            request,
            (acknowledge, exclude_me, retain),
            audience,
            forward_for,
            topic,
            (payload, passthru),
        )| {
            Publish {
                request,
                options: PublishOptions {
                    acknowledge,
                    exclude_me,
                    retain,
                    audience,
                    forward_for,
                    passthru,
                    ..PublishOptions::default()
                },
                topic,
                payload,
            }
            .into()
        },
    )
}

fn call() -> impl Strategy<Value = Message<'static>> {
    (
        id(),
        (option::of(1..=u64::from(u32::MAX)), some_true()),
        (option::of(id()), option::of(cow())),
        principals(),
        uri(),
        any_payload(),
    )
        .prop_map(
            |(
                request,
                (timeout_ms, receive_progress),
                (caller, caller_authid),
                forward_for,
                procedure,
                (payload, passthru),
            )| {
                Call {
                    request,
                    options: CallOptions {
                        timeout_ms,
                        receive_progress,
                        caller,
                        caller_authid,
                        forward_for,
                        passthru,
                        ..CallOptions::default()
                    },
                    procedure,
                    payload,
                }
                .into()
            },
        )
}

fn invocation() -> impl Strategy<Value = Message<'static>> {
    (
        (id(), id()),
        option::of(uri()),
        (option::of(1..=u64::from(u32::MAX)), some_true()),
        (option::of(id()), option::of(cow())),
        any_payload(),
    )
        .prop_map(
            |(
                (request, registration),
                procedure,
                (timeout_ms, receive_progress),
                (caller, caller_authrole),
                (payload, passthru),
            )| {
                Invocation {
                    request,
                    registration,
                    details: InvocationDetails {
                        procedure,
                        timeout_ms,
                        receive_progress,
                        caller,
                        caller_authrole,
                        passthru,
                        ..InvocationDetails::default()
                    },
                    payload,
                }
                .into()
            },
        )
}

fn event() -> impl Strategy<Value = Message<'static>> {
    (
        (id(), id()),
        (option::of(id()), option::of(cow())),
        option::of(uri()),
        (some_true(), some_true()),
        principals(),
        any_payload(),
    )
        .prop_map(
            |(
                (subscription, publication),
                (publisher, publisher_authid),
                topic,
                (retained, x_acknowledged_delivery),
                forward_for,
                (payload, passthru),
            )| {
                Event {
                    subscription,
                    publication,
                    details: EventDetails {
                        publisher,
                        publisher_authid,
                        topic,
                        retained,
                        x_acknowledged_delivery,
                        forward_for,
                        passthru,
                        ..EventDetails::default()
                    },
                    payload,
                }
                .into()
            },
        )
}

fn result_details() -> impl Strategy<Value = (Id, ResultDetails<'static>, Payload<'static>)> {
    (
        id(),
        some_true(),
        (option::of(id()), option::of(cow()), option::of(cow())),
        any_payload(),
    )
        .prop_map(
            |(request, progress, (callee, callee_authid, callee_authrole), (payload, passthru))| {
                let details = ResultDetails {
                    progress,
                    callee,
                    callee_authid,
                    callee_authrole,
                    passthru,
                    ..ResultDetails::default()
                };
                (request, details, payload)
            },
        )
}

fn error() -> impl Strategy<Value = Message<'static>> {
    let requests: Vec<MessageType> = MessageType::ALL
        .into_iter()
        .filter(|message| message.is_request())
        .collect();
    (
        proptest::sample::select(requests),
        id(),
        uri(),
        any_payload(),
    )
        .prop_map(|(request_type, request, error, (payload, passthru))| {
            Error {
                request_type,
                request,
                details: ErrorDetails {
                    passthru,
                    ..ErrorDetails::default()
                },
                error,
                payload,
            }
            .into()
        })
}

fn opening() -> impl Strategy<Value = Message<'static>> {
    let methods = proptest::sample::subsequence(
        vec!["anonymous", "ticket", "wampcra", "wamp-scram", "cryptosign"],
        0..=5,
    )
    .prop_map(|methods| methods.into_iter().map(Into::into).collect::<Vec<_>>());
    prop_oneof![
        (
            uri(),
            roles(false),
            option::of(methods),
            (option::of(cow()), option::of(cow()))
        )
            .prop_map(|(realm, roles, authmethods, (authid, authrole))| {
                Hello {
                    realm,
                    details: HelloDetails {
                        roles: Some(roles),
                        authmethods,
                        authid,
                        authrole,
                        ..HelloDetails::default()
                    },
                }
                .into()
            }),
        (
            id(),
            roles(true),
            (option::of(cow()), option::of(cow()), option::of(cow()))
        )
            .prop_map(|(session, roles, (realm, authid, authprovider))| {
                Welcome {
                    session,
                    details: WelcomeDetails {
                        roles: Some(roles),
                        realm,
                        authid,
                        authprovider,
                        authmethod: Some("ticket".into()),
                        ..WelcomeDetails::default()
                    },
                }
                .into()
            }),
        text().prop_map(|challenge| {
            Challenge {
                method: "wampcra".into(),
                extra: Dict::from_iter([("challenge", challenge)]),
            }
            .into()
        }),
        cow().prop_map(|signature| {
            Authenticate {
                signature,
                extra: Dict::new(),
            }
            .into()
        }),
        (uri(), option::of(cow()), some_true()).prop_map(|(reason, message, resumable)| {
            Goodbye {
                details: CloseDetails {
                    message,
                    resumable,
                    ..CloseDetails::default()
                },
                reason,
            }
            .into()
        }),
        (uri(), cow()).prop_map(|(reason, message)| {
            wirebahn_wamp::message::Abort::new(reason, message).into()
        }),
    ]
}

/// Messages that every serializer carries whole.
fn message() -> impl Strategy<Value = Message<'static>> {
    let two =
        |make: fn(Id, Id) -> Message<'static>| (id(), id()).prop_map(move |(a, b)| make(a, b));
    prop_oneof![
        4 => opening(),
        3 => publish(),
        3 => call(),
        3 => invocation(),
        3 => event(),
        2 => error(),
        1 => result_details().prop_map(|(request, details, payload)| CallResult {
            request, details, payload,
        }.into()),
        1 => result_details().prop_map(|(request, options, payload)| Yield {
            request, options, payload,
        }.into()),
        1 => two(|request, publication| Published { request, publication }.into()),
        1 => two(|request, subscription| Subscribed { request, subscription }.into()),
        1 => two(|request, subscription| Unsubscribe { request, subscription }.into()),
        1 => two(|request, registration| Registered { request, registration }.into()),
        1 => two(|request, registration| Unregister { request, registration }.into()),
        1 => id().prop_map(|publication| EventReceived { publication }.into()),
        1 => withdrawn().prop_map(|of| Unsubscribed { of }.into()),
        1 => withdrawn().prop_map(|of| Unregistered { of }.into()),
        1 => (id(), match_policy(), some_true(), uri()).prop_map(
            |(request, match_policy, get_retained, topic)| Subscribe {
                request,
                options: SubscribeOptions { match_policy, get_retained, ..Default::default() },
                topic,
            }.into()
        ),
        1 => (id(), match_policy(), invoke(), option::of(1..=65_535_u64), uri()).prop_map(
            |(request, match_policy, invoke, concurrency, procedure)| Register {
                request,
                options: RegisterOptions {
                    match_policy, invoke, concurrency, ..Default::default()
                },
                procedure,
            }.into()
        ),
        1 => (id(), cancel_mode(), principals()).prop_map(|(request, mode, forward_for)| Cancel {
            request,
            options: CancelOptions { mode, forward_for, ..Default::default() },
        }.into()),
        1 => (id(), cancel_mode(), option::of(uri())).prop_map(|(request, mode, reason)| Interrupt {
            request,
            options: InterruptOptions { mode, reason, ..Default::default() },
        }.into()),
    ]
}

fn encode(format: Format, message: &Message<'_>) -> Vec<u8> {
    let mut octets = Vec::new();
    Codec::new(format)
        .encode(message, &mut octets)
        .unwrap_or_else(|error| panic!("{format:?}: {error}: {message:?}"));
    octets
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Through one serializer, and on through another with the payload still raw.
    #[test]
    fn any_message_through_any_two_serializers(message in message()) {
        for first in Format::ALL {
            let octets = encode(first, &message);
            let mut codec = Codec::new(first);
            let decoded = codec.decode(&octets).expect("what was encoded");
            prop_assert_eq!(&decoded, &message, "{:?}", first);
            for second in Format::ALL {
                let forwarded = encode(second, &decoded);
                // The same octets as if it had not come in another format before.
                if second != first {
                    prop_assert_eq!(&forwarded, &encode(second, &message), "{:?} {:?}", first, second);
                }
                let again = Codec::new(second).decode(&forwarded).map(Message::into_owned);
                prop_assert_eq!(again.as_ref(), Ok(&message), "{:?} {:?}", first, second);
            }
        }
    }

    /// Batches of any messages come apart as they were put together.
    #[test]
    fn batches(messages in vec(message(), 1..5)) {
        for format in [Format::Json, Format::Msgpack, Format::Cbor, Format::Ubjson] {
            let subprotocol = Subprotocol { format, batched: true };
            let mut codec = Codec::for_subprotocol(subprotocol, Rules::default());
            let mut frame = Vec::new();
            for message in &messages {
                codec.encode(message, &mut frame).expect("it fits");
            }
            let parts: Vec<_> = codec.parts(&frame).expect("a batch").collect();
            prop_assert_eq!(parts.len(), messages.len());
            for (part, message) in parts.into_iter().zip(&messages) {
                prop_assert_eq!(&codec.decode(part).expect("a message"), message);
            }
        }
    }

    /// JSON as another reader and writer have it.
    #[test]
    fn json_agrees_with_serde_json(message in message()) {
        let octets = encode(Format::Json, &message);
        let json: serde_json::Value = serde_json::from_slice(&octets).expect("JSON");
        // Written by the other with spaces and in its order, it is the same message.
        let pretty = serde_json::to_string_pretty(&json).expect("JSON");
        let decoded = Codec::new(Format::Json).decode(pretty.as_bytes()).map(Message::into_owned);
        prop_assert_eq!(decoded.as_ref(), Ok(&message));
        // Escaped to ASCII, too.
        let ascii: String = pretty.chars().map(|c| if c.is_ascii() {
            c.to_string()
        } else {
            let mut units = [0_u16; 2];
            c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04X}")).collect()
        }).collect();
        let decoded = Codec::new(Format::Json).decode(ascii.as_bytes()).map(Message::into_owned);
        prop_assert_eq!(decoded.as_ref(), Ok(&message));
    }

    /// What one accepts as JSON, so does the other, but for what is said to differ.
    #[test]
    fn json_texts_are_judged_alike(text in "[\\[\\]{}:,\"\\\\a-f0-9eE+.\\- \\n]{0,24}") {
        let wrapped = format!("[16,1,{{}},\"a.b\",[{text}]]");
        let theirs = serde_json::from_str::<serde_json::Value>(&wrapped);
        let ours = Codec::new(Format::Json).decode(wrapped.as_bytes()).map(Message::into_owned);
        match (ours, theirs) {
            (Ok(_), Ok(_)) | (Err(_), Err(_)) => {}
            // Integers beyond 64 bits are refused here and rounded there; the text may also
            // close the arguments early and be too many elements.
            (Err(_), Ok(_)) => {}
            (Ok(message), Err(error)) => prop_assert!(
                error.to_string().contains("number out of range"), "{message:?}: {error}"
            ),
        }
    }

    /// Arbitrary octets are refused or taken, and what is taken can be written again.
    #[test]
    fn arbitrary_octets_do_no_harm(octets in vec(any::<u8>(), 0..200)) {
        for format in Format::ALL {
            let mut codec = Codec::new(format);
            if let Ok(message) = codec.decode(&octets) {
                let again = encode(codec.format(), &message);
                let decoded = codec.decode(&again).map(Message::into_owned);
                prop_assert!(decoded.is_ok(), "{format:?}");
            }
        }
    }
}
