//! The specification's test vectors, for every serializer they have octets for: decoding any
//! variant gives the attributes they expect, encoding gives one of the variants, and messages
//! they hold for invalid are refused for the reason they name.
//!
//! The vectors lie beside the workspace. Where they do not, this says so, and a few of our own
//! must pass.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use wirebahn_wamp::error::Reply;
use wirebahn_wamp::message::{Features, Message, Role, Roles};
use wirebahn_wamp::serializer::{Codec, Format};
use wirebahn_wamp::uri::known;
use wirebahn_wamp::{Dict, Value};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/wamp-vectors")
}

/// The files of single messages, each with its name; none where the vectors are not there.
fn files() -> Option<Vec<(String, Json)>> {
    let folder = folder().join("singlemessage");
    if !folder.is_dir() {
        eprintln!(
            "the specification's vectors were not found at {}: only our own few are tried",
            folder.display()
        );
        return None;
    }
    let mut files = Vec::new();
    for profile in ["basic", "advanced"] {
        let entries = fs::read_dir(folder.join(profile)).expect("the profile's folder");
        for entry in entries {
            let path = entry.expect("an entry of the folder").path();
            let text = fs::read_to_string(&path).expect("a file of vectors");
            let name = path.file_name().expect("a name").to_string_lossy();
            files.push((
                format!("{profile}/{name}"),
                serde_json::from_str(&text).expect("vectors are JSON"),
            ));
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    Some(files)
}

fn unhex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2));
    (0..hex.len() / 2)
        .map(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).expect("hex"))
        .collect()
}

/// The octets a variant gives, however it gives them; all ways must agree.
fn octets(variant: &Json) -> Vec<u8> {
    let hex = variant["bytes_hex"].as_str().map(unhex);
    let text = variant["bytes"]
        .as_str()
        .map(|text| text.as_bytes().to_vec());
    if let (Some(hex), Some(text)) = (&hex, &text) {
        assert_eq!(hex, text, "hex and text of a variant differ");
    }
    hex.or(text).expect("a variant has octets")
}

fn format(name: &str) -> Format {
    match name {
        "json" => Format::Json,
        "msgpack" => Format::Msgpack,
        "cbor" => Format::Cbor,
        "ubjson" => Format::Ubjson,
        "flatbuffers" => Format::Flatbuffers,
        other => panic!("a serializer we do not know: {other}"),
    }
}

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => (*value).into(),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => value.into(),
            (_, Some(value)) => value.into(),
            _ => number.as_f64().expect("a number").into(),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(values) => values.iter().map(value).collect::<Vec<_>>().into(),
        Json::Object(entries) => dict(entries).into(),
    }
}

fn dict(entries: &serde_json::Map<String, Json>) -> Dict {
    entries
        .iter()
        .map(|(key, json)| (key.clone(), value(json)))
        .collect()
}

/// The message as a list of values, by way of MessagePack and a reader that is not ours.
fn as_list(message: &Message<'_>) -> Vec<Value> {
    fn from_msgpack(json: rmp_value::Raw) -> Value {
        json.0
    }
    let mut octets = Vec::new();
    Codec::new(Format::Msgpack)
        .encode(message, &mut octets)
        .expect("messages fit MessagePack");
    match from_msgpack(rmp_value::read(&octets)) {
        Value::List(list) => list,
        other => panic!("a message is a list, not {other:?}"),
    }
}

/// Reads MessagePack through `rmp-serde`, into our values: an oracle that shares no code with
/// the codec under test.
mod rmp_value {
    use std::fmt;

    use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
    use wirebahn_wamp::{Dict, Value};

    pub(crate) struct Raw(pub(crate) Value);

    pub(crate) fn read(octets: &[u8]) -> Raw {
        rmp_serde::from_slice(octets).expect("MessagePack")
    }

    impl<'de> Deserialize<'de> for Raw {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Any;
            impl<'de> Visitor<'de> for Any {
                type Value = Raw;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("any value")
                }
                fn visit_unit<E>(self) -> Result<Raw, E> {
                    Ok(Raw(Value::Null))
                }
                fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
                    Ok(Raw(value.into()))
                }
                fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
                    Ok(Raw(value.into()))
                }
                fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
                    Ok(Raw(value.into()))
                }
                fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
                    Ok(Raw(value.into()))
                }
                fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
                    Ok(Raw(value.into()))
                }
                fn visit_bytes<E>(self, value: &[u8]) -> Result<Raw, E> {
                    Ok(Raw(value.into()))
                }
                fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
                    let mut values = Vec::new();
                    while let Some(Raw(value)) = seq.next_element()? {
                        values.push(value);
                    }
                    Ok(Raw(values.into()))
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
                    let mut entries = Vec::new();
                    while let Some((key, Raw(value))) = map.next_entry::<String, Raw>()? {
                        entries.push((key, value));
                    }
                    Ok(Raw(Dict::from_iter(entries).into()))
                }
            }
            deserializer.deserialize_any(Any)
        }
    }
}

/// What the vectors say a message must be, as the list of its elements.
fn expected_list(attributes: &Json) -> Vec<Value> {
    let a = |key: &str| value(&attributes[key]);
    let empty = || Value::from(Dict::new());
    let first = |keys: &[&str]| {
        keys.iter()
            .find(|key| !attributes[**key].is_null())
            .map_or_else(|| panic!("none of {keys:?} in {attributes}"), |key| a(key))
    };
    let request = || first(&["request_id", "request"]);
    let options = || attributes.get("options").map_or_else(empty, value);
    let details = || attributes.get("details").map_or_else(empty, value);
    let roles = || Value::from(Dict::from_iter([("roles", a("roles"))]));
    let subscription = || first(&["subscription_id", "subscription"]);
    let publication = || first(&["publication_id", "publication"]);
    let code = attributes["message_type"].as_u64().expect("a type");
    let mut list = vec![Value::from(code)];
    let with_payload = match code {
        1 => {
            list.extend([a("realm"), roles()]);
            false
        }
        2 => {
            list.extend([a("session_id"), roles()]);
            false
        }
        3 => {
            list.extend([details(), a("reason")]);
            true
        }
        4 => {
            list.extend([a("method"), a("extra")]);
            false
        }
        5 => {
            list.extend([a("signature"), a("extra")]);
            false
        }
        6 => {
            list.extend([details(), a("reason")]);
            false
        }
        8 => {
            list.extend([a("request_type"), request(), details(), a("error")]);
            true
        }
        16 => {
            list.extend([request(), options(), a("topic")]);
            true
        }
        17 => {
            list.extend([request(), publication()]);
            false
        }
        32 => {
            list.extend([request(), options(), a("topic")]);
            false
        }
        33 | 34 => {
            list.extend([request(), subscription()]);
            false
        }
        35 | 67 => {
            list.extend([request()]);
            false
        }
        36 => {
            list.extend([subscription(), publication(), details()]);
            true
        }
        337 => {
            list.extend([publication()]);
            false
        }
        48 => {
            list.extend([request(), options(), a("procedure")]);
            true
        }
        49 | 69 => {
            list.extend([request(), options()]);
            false
        }
        50 => {
            list.extend([request(), details()]);
            true
        }
        64 => {
            list.extend([request(), options(), a("procedure")]);
            false
        }
        65 | 66 => {
            list.extend([request(), a("registration_id")]);
            false
        }
        68 => {
            list.extend([request(), a("registration_id"), details()]);
            true
        }
        70 => {
            list.extend([request(), options()]);
            true
        }
        other => panic!("a message type we do not know: {other}"),
    };
    if with_payload {
        let args = &attributes["args"];
        let kwargs = &attributes["kwargs"];
        if let Some(hex) = attributes["payload"].as_str() {
            list.push(Value::Bytes(unhex(hex)));
        } else if !args.is_null() || !kwargs.is_null() {
            list.push(match args {
                Json::Null => Value::List(Vec::new()),
                args => value(args),
            });
            if !kwargs.is_null() {
                list.push(value(kwargs));
            }
        }
    }
    list
}

/// The two FlatBuffers whose octets lack what they are said to hold: the roles. They decode to
/// every role of their side without features, and what we write for them holds the roles.
fn lacks_roles(format: Format, code: u64) -> bool {
    format == Format::Flatbuffers && (code == 1 || code == 2)
}

#[test]
fn every_variant_decodes_and_every_encoding_is_a_variant() {
    let Some(files) = files() else {
        return;
    };
    let mut variants_seen = std::collections::BTreeMap::<String, usize>::new();
    let mut samples_seen = 0;
    for (file, json) in &files {
        let samples = json["samples"].as_array().expect("samples");
        for sample in samples {
            let Some(serializers) = sample["serializers"].as_object() else {
                continue;
            };
            samples_seen += 1;
            let attributes = &sample["expected_attributes"];
            let code = attributes["message_type"].as_u64().expect("a type");
            let mut wanted = expected_list(attributes);
            for (name, variants) in serializers {
                let variants: Vec<Vec<u8>> = variants
                    .as_array()
                    .expect("variants")
                    .iter()
                    .map(octets)
                    .collect();
                for variant in &variants {
                    *variants_seen.entry(name.clone()).or_default() += 1;
                    let mut codec = Codec::new(format(name));
                    let message = codec
                        .decode(variant)
                        .unwrap_or_else(|error| panic!("{file}: {name}: {error}"));
                    if lacks_roles(format(name), code) {
                        let all = if code == 1 {
                            Roles::client(Features::NONE)
                        } else {
                            Roles::router(Features::NONE)
                        };
                        match &message {
                            Message::Hello(hello) => assert_eq!(hello.details.roles, Some(all)),
                            Message::Welcome(welcome) => {
                                assert_eq!(welcome.details.roles, Some(all));
                            }
                            other => panic!("{file}: {other:?}"),
                        }
                        let list = as_list(&message);
                        assert_eq!(list[..2], wanted[..2], "{file}: {name}");
                        continue;
                    }
                    assert_eq!(as_list(&message), wanted, "{file}: {name}");
                    // What was decoded is encoded again, in the dialect that was shown.
                    let mut again = Vec::new();
                    codec.encode(&message, &mut again).expect("it was decoded");
                    assert!(
                        variants.contains(&again),
                        "{file}: {name}: {}\n  is none of the variants:\n  {}",
                        hex(&again),
                        variants
                            .iter()
                            .map(|v| hex(v))
                            .collect::<Vec<_>>()
                            .join("\n  ")
                    );
                    // And so is the same message when it owns itself.
                    let owned = message.into_owned();
                    let mut again = Vec::new();
                    codec.encode(&owned, &mut again).expect("it was decoded");
                    assert!(variants.contains(&again), "{file}: {name}: owned");
                }
                // From MessagePack's octets into this format: transcoding gives a variant too.
                let source = octets(&serializers["msgpack"][0]);
                let message = Codec::new(Format::Msgpack)
                    .decode(&source)
                    .map(Message::into_owned)
                    .expect("decoded above");
                let mut transcoded = Vec::new();
                Codec::new(format(name))
                    .encode(&message, &mut transcoded)
                    .expect("every format holds the vectors");
                if lacks_roles(format(name), code) {
                    let again = Codec::new(format(name))
                        .decode(&transcoded)
                        .map(Message::into_owned);
                    assert_eq!(again, Ok(message), "{file}: the roles must be there");
                } else {
                    assert!(
                        variants.contains(&transcoded),
                        "{file}: from MessagePack to {name}: {}",
                        hex(&transcoded)
                    );
                }
            }
            wanted.clear();
        }
    }
    assert_eq!(samples_seen, 35, "samples with octets");
    let counts: Vec<(&str, usize)> = variants_seen
        .iter()
        .map(|(name, count)| (name.as_str(), *count))
        .collect();
    assert_eq!(
        counts,
        [
            ("cbor", 35),
            ("flatbuffers", 34),
            ("json", 59),
            ("msgpack", 35),
            ("ubjson", 70)
        ]
    );
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[test]
fn what_must_be_refused_is_refused_for_that_reason() {
    let Some(files) = files() else {
        return;
    };
    let (mut accepted, mut refused) = (0, 0);
    for (file, json) in &files {
        for sample in json["samples"].as_array().expect("samples") {
            let Some(wmsg) = sample.get("wmsg") else {
                continue;
            };
            let text = wmsg.to_string();
            let description = &sample["description"];
            let decoded = Codec::new(Format::Json)
                .decode(text.as_bytes())
                .map(Message::into_owned);
            let Some(expected) = sample.get("expected_error") else {
                accepted += 1;
                assert!(decoded.is_ok(), "{file}: {description}: {decoded:?}");
                continue;
            };
            refused += 1;
            let Err(violation) = decoded else {
                panic!("{file}: {description}: {decoded:?}");
            };
            assert_eq!(expected["type"], "protocol_violation");
            assert_eq!(
                violation.reply(),
                Reply::Abort {
                    reason: known::PROTOCOL_VIOLATION
                },
                "{file}: {description}"
            );
            let contains = expected["contains"].as_str().expect("a reason");
            assert!(
                violation.to_string().contains(contains),
                "{file}: {description}: {violation}"
            );
        }
    }
    assert_eq!((accepted, refused), (39, 28), "samples without octets");
}

#[test]
fn the_sequence_of_messages_decodes() {
    let path = folder().join("multisession/advanced/publisher_exclusion_disabled.json");
    let Ok(text) = fs::read_to_string(&path) else {
        eprintln!("no sequence found at {}", path.display());
        return;
    };
    let json: Json = serde_json::from_str(&text).expect("vectors are JSON");
    let mut types = Vec::new();
    for step in json["sequence"].as_array().expect("steps") {
        let message = &step["message"];
        let a = |key: &str| message[key].clone();
        let list = match message["type"].as_str().expect("a type") {
            "SUBSCRIBE" => vec![32.into(), a("request_id"), a("options"), a("topic")],
            "SUBSCRIBED" => vec![33.into(), a("request_id"), a("subscription_id")],
            "PUBLISH" => vec![
                16.into(),
                a("request_id"),
                a("options"),
                a("topic"),
                a("args"),
            ],
            "EVENT" => vec![
                36.into(),
                a("subscription_id"),
                a("publication_id"),
                a("details"),
                a("args"),
            ],
            other => panic!("a step we do not know: {other}"),
        };
        let text = Json::Array(list).to_string();
        let message = Codec::new(Format::Json)
            .decode(text.as_bytes())
            .map(Message::into_owned);
        let message = message.unwrap_or_else(|error| panic!("{text}: {error}"));
        if let Message::Publish(publish) = &message {
            assert!(!publish.options.excludes_publisher());
        }
        types.push(message.message_type().name());
    }
    assert_eq!(types, ["SUBSCRIBE", "SUBSCRIBED", "PUBLISH", "EVENT"]);
}

/// Vectors of our own, from the examples in the specification's text, so that something is tried
/// where its files are not.
#[test]
fn the_examples_of_the_text() {
    let examples: &[&str] = &[
        r#"[1,"somerealm",{"roles":{"subscriber":{},"publisher":{}}}]"#,
        r#"[2,9129137332,{"roles":{"broker":{}}}]"#,
        r#"[3,{"message":"The realm does not exist."},"wamp.error.no_such_realm"]"#,
        r#"[4,"ticket",{}]"#,
        r#"[5,"secret!!!",{}]"#,
        r#"[6,{"message":"The host is shutting down now."},"wamp.close.system_shutdown"]"#,
        r#"[8,68,6131533,{},"com.myapp.error.object_write_protected",["Object is write protected."],{"severity":3}]"#,
        r#"[16,239714735,{},"com.myapp.mytopic1",[],{"color":"orange","sizes":[23,42,7]}]"#,
        r#"[17,239714735,4429313566]"#,
        r#"[32,713845233,{"match":"wildcard"},"com.myapp..userevent"]"#,
        r#"[33,713845233,5512315355]"#,
        r#"[34,85346237,5512315355]"#,
        r#"[35,85346237]"#,
        r#"[35,0,{"subscription":1293722,"reason":"no longer authorized"}]"#,
        r#"[36,5512315355,4429313566,{"publisher":1231412},["Hello, world!"]]"#,
        r#"[48,7814135,{"timeout":100},"com.myapp.user.new",["johnny"],{"firstname":"John","surname":"Doe"}]"#,
        r#"[49,7814135,{"mode":"kill"}]"#,
        r#"[50,7814135,{"progress":true},[1]]"#,
        r#"[64,25349185,{"match":"prefix","invoke":"roundrobin"},"com.myapp"]"#,
        r#"[65,25349185,2103333224]"#,
        r#"[66,788923562,2103333224]"#,
        r#"[67,788923562]"#,
        r#"[67,0,{"registration":1293722,"reason":"moving endpoint to other callee"}]"#,
        r#"[68,6131533,9823529,{"caller":3335656},["johnny"],{"firstname":"John","surname":"Doe"}]"#,
        r#"[69,6131533,{"mode":"killnowait"}]"#,
        r#"[70,6131533,{},[],{"userid":123,"karma":10}]"#,
        r#"[337,5512315355]"#,
    ];
    for text in examples {
        let mut codec = Codec::new(Format::Json);
        let message = codec
            .decode(text.as_bytes())
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        let mut again = Vec::new();
        codec.encode(&message, &mut again).expect("it was decoded");
        assert_eq!(String::from_utf8_lossy(&again), *text);
    }
    let hello = Codec::new(Format::Json)
        .decode(examples[0].as_bytes())
        .map(Message::into_owned);
    let Ok(Message::Hello(hello)) = hello else {
        panic!("{hello:?}");
    };
    let roles = hello.details.roles.expect("roles are announced");
    assert_eq!(roles.get(Role::Publisher), Some(Features::NONE));
    assert_eq!(roles.get(Role::Caller), None);
}
