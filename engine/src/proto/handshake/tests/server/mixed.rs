//! Heads right and wrong in several places at once, damaged ones, and random octets.

use proptest::prelude::*;

use super::*;

/// One part of a head: how it stands there, and which rule it breaks, if any.
type Part = (&'static str, Option<Refusal>);

/// For every rule, in the order in which the rules are applied, right and wrong ways.
const PARTS: [&[Part]; 11] = [
    &[
        ("", None),
        (
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            Some(Refusal::Framing),
        ),
    ],
    &[("", None), ("POST", Some(Refusal::Method))],
    &[
        ("/", None),
        ("/?a", None),
        ("/#", Some(Refusal::TargetFragment)),
        ("*", Some(Refusal::Target)),
    ],
    &[
        ("Host: a\r\n", None),
        ("HOST:a:80\r\n", None),
        ("", Some(Refusal::HostMissing)),
        ("Host: a\r\nhost: b\r\n", Some(Refusal::HostDuplicate)),
        ("Host: a b\r\n", Some(Refusal::HostMalformed)),
    ],
    &[
        ("", None),
        ("Transfer-Encoding: chunked\r\n", Some(Refusal::Body)),
    ],
    &[
        ("Upgrade: websocket\r\n", None),
        ("upgrade: h2c, WebSocket\r\n", None),
        ("Upgrade: h2c\r\n", Some(Refusal::UpgradeForeign)),
    ],
    &[
        ("Connection: Upgrade\r\n", None),
        ("connection: a,upgrade\r\n", None),
        ("", Some(Refusal::ConnectionWithoutUpgrade)),
    ],
    &[
        ("Sec-WebSocket-Version: 13\r\n", None),
        ("Sec-WebSocket-Version: 8\r\n", None),
        ("", Some(Refusal::VersionMissing(BOTH))),
        (
            "Sec-WebSocket-Version: 7\r\n",
            Some(Refusal::VersionUnsupported(BOTH)),
        ),
    ],
    &[
        (KEY, None),
        ("", Some(Refusal::KeyMissing)),
        ("Sec-WebSocket-Key: x\r\n", Some(Refusal::KeyMalformed)),
    ],
    &[
        ("", None),
        ("Origin: http://a\r\n", None),
        ("Origin: http://b\r\n", Some(Refusal::OriginForeign)),
        ("Origin: null\r\n", Some(Refusal::OriginNull)),
    ],
    &[
        ("", None),
        ("Sec-WebSocket-Protocol: a\r\n", None),
        (
            "Sec-WebSocket-Protocol: a,a\r\n",
            Some(Refusal::SubprotocolDuplicate),
        ),
    ],
];

proptest! {
    /// Any mixture of right and wrong parts, fields in any order, gives the answer of the first rule broken.
    #[test]
    fn the_first_broken_rule_decides(
        choices in proptest::array::uniform11(0..60_usize),
        order in Just((3..11_usize).chain([0]).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let part = |index: usize| PARTS[index][choices[index] % PARTS[index].len()];
        let method = if part(1).1.is_some() { "POST" } else { "GET" };
        let mut head = format!("{method} {} HTTP/1.1\r\n", part(2).0);
        for index in order {
            head += part(index).0;
        }
        head += "\r\n";
        let expected = (0..PARTS.len()).find_map(|index| part(index).1);
        // Content-Length beside Transfer-Encoding is ambiguous too, but then it is also twice there.
        prop_assert_eq!(parse_request(head.as_bytes(), &RequestRules::default()).err(), expected, "{}", head);
    }

    #[test]
    fn random_octets_never_panic(octets: Vec<u8>, cut: usize) {
        let rules = RequestRules::default();
        let cut = cut % (octets.len() + 1);
        prop_assert_eq!(
            serve(&octets, &rules, [cut].into_iter()),
            serve(&octets, &rules, [].into_iter())
        );
        let _ = parse_request(&octets, &rules);
    }

    /// A good head with a few octets changed: whatever is still taken keeps what taking it promises.
    #[test]
    fn damaged_heads_never_panic_and_promises_hold(
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        cut: proptest::sample::Index,
    ) {
        let mut head = added(
            BASE,
            "Origin: http://example.com\r\nSec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: c; d=\"e\"\r\n",
        );
        for (index, octet) in damage {
            let at = index.index(head.len());
            head[at] = octet;
        }
        let rules = RequestRules::default();
        let whole = serve(&head, &rules, [].into_iter());
        prop_assert_eq!(&serve(&head, &rules, [cut.index(head.len())].into_iter()), &whole);
        if let Ok(Parsed::Upgrade(request)) = parse_request(&head, &rules) {
            prop_assert!(request.path().starts_with('/'));
            prop_assert!(Authority::parse(request.host().as_str().as_bytes()).is_some());
            prop_assert!(matches!(request.version(), 8 | 13));
            prop_assert!(Key::parse(request.key().as_bytes()).is_some());
            for value in request.extension_offers() {
                prop_assert!(extensions_in(value).all(|extension| extension.is_ok()));
            }
            let names: Vec<_> = request.subprotocols().collect();
            for (index, name) in names.iter().enumerate() {
                prop_assert!(!names[..index].contains(name));
            }
            for (_, value) in request.headers().iter() {
                prop_assert!(!value.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)));
            }
        }
    }
}
