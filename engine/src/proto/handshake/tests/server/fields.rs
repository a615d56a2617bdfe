//! The fields of a handshake, one by one, and plain requests.

use super::*;

#[test]
fn hosts() {
    refuses(&edited(BASE, HOST, ""), Refusal::HostMissing, 400);
    refuses(&added(BASE, HOST), Refusal::HostDuplicate, 400);
    refuses(
        &added(BASE, "HOST: other.example\r\n"),
        Refusal::HostDuplicate,
        400,
    );
    for wrong in [
        "", "a b", "a,b", "a/b", "http://a", "user@a", "a:b", "a:0", "a:65536", "a:1:2", "::1",
        "[::1", "ä",
    ] {
        refuses(
            &edited(BASE, "example.com", wrong),
            Refusal::HostMalformed,
            400,
        );
    }
    for right in [
        "a",
        "a:1",
        "A.b-c_d:65535",
        "127.0.0.1:80",
        "[::1]",
        "[::1]:80",
    ] {
        upgrades(&edited(BASE, "example.com", right));
    }
    // With an absolute target, Host does not count but must be sound.
    let absolute = edited(BASE, "/chat", "http://a/chat");
    let absolute = String::from_utf8(absolute).expect("ASCII");
    refuses(&edited(&absolute, HOST, ""), Refusal::HostMissing, 400);
    refuses(
        &edited(&absolute, "example.com", "b,c"),
        Refusal::HostMalformed,
        400,
    );
}

#[test]
fn hosts_that_the_server_knows() {
    let mut rules = RequestRules {
        external_port: Some(80),
        ..RequestRules::default()
    };
    let with = |host: &str, rules: &RequestRules| served(&edited(BASE, "example.com", host), rules);
    assert!(matches!(with("a", &rules), Verdict::Upgrade { .. }));
    assert!(matches!(with("a:80", &rules), Verdict::Upgrade { .. }));
    assert_eq!(with("a:81", &rules), Verdict::Refused(Refusal::HostPort));
    assert_eq!(Refusal::HostPort.status(), 400);
    rules.secure = true;
    assert_eq!(with("a", &rules), Verdict::Refused(Refusal::HostPort));
    rules.external_port = Some(443);
    assert!(matches!(with("a", &rules), Verdict::Upgrade { .. }));
    rules.external_port = Some(8443);
    assert!(matches!(with("a:8443", &rules), Verdict::Upgrade { .. }));

    let rules = RequestRules {
        hosts: ["localhost", "*.example.com"]
            .map(|text| HostPattern::new(text).expect("a pattern"))
            .to_vec(),
        ..RequestRules::default()
    };
    assert!(matches!(
        with("LocalHost:9000", &rules),
        Verdict::Upgrade { .. }
    ));
    assert!(matches!(
        with("a.example.com", &rules),
        Verdict::Upgrade { .. }
    ));
    assert_eq!(
        with("evil.example", &rules),
        Verdict::Refused(Refusal::HostForeign)
    );
    assert_eq!(Refusal::HostForeign.status(), 421);
    // Plain requests are held to the same.
    assert_eq!(
        served(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", &rules),
        Verdict::Refused(Refusal::HostForeign)
    );
}

#[test]
fn bodies_and_their_framing() {
    for (lines, refusal) in [
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            Refusal::Framing,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
            Refusal::Framing,
        ),
        (
            "Content-Length: 0\r\nContent-Length: 0\r\n",
            Refusal::Framing,
        ),
        (
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            Refusal::Framing,
        ),
        ("Content-Length: 5, 5\r\n", Refusal::Framing),
        ("Content-Length: -1\r\n", Refusal::Framing),
        ("Content-Length: +0\r\n", Refusal::Framing),
        ("Content-Length:\r\n", Refusal::Framing),
        ("Content-Length: 0x0\r\n", Refusal::Framing),
        ("Content-Length: 5\r\n", Refusal::Body),
        ("Content-Length: 00\r\n", Refusal::Body),
        (
            "Content-Length: 99999999999999999999999999\r\n",
            Refusal::Body,
        ),
        ("Transfer-Encoding: chunked\r\n", Refusal::Body),
        ("Transfer-Encoding: identity\r\n", Refusal::Body),
        ("Transfer-Encoding:\r\n", Refusal::Body),
    ] {
        refuses(&added(BASE, lines), refusal, 400);
        let plain = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        refuses(plain.as_bytes(), refusal, 400);
        // Ambiguity is worse than the wrong method; a body alone is not.
        let post = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        match refusal {
            Refusal::Framing => refuses(post.as_bytes(), Refusal::Framing, 400),
            _ => refuses(post.as_bytes(), Refusal::Method, 405),
        }
    }
    upgrades(&added(BASE, "Content-Length: 0\r\n"));
}

#[test]
fn upgrade_and_connection() {
    // Without Upgrade a handshake is broken; without any of its fields it is a plain request.
    refuses(
        &edited(BASE, UPGRADE, ""),
        Refusal::UpgradeRequired(BOTH),
        426,
    );
    for lines in [KEY, VERSION] {
        let input = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        refuses(input.as_bytes(), Refusal::UpgradeRequired(BOTH), 426);
    }
    for foreign in [
        "",
        ",",
        "h2c",
        "foo",
        "web socket",
        "websockets",
        "xwebsocket",
        "websocket/13",
        "\"websocket\"",
        "websocket;q=1",
    ] {
        refuses(
            &edited(BASE, UPGRADE, &format!("Upgrade: {foreign}\r\n")),
            Refusal::UpgradeForeign,
            400,
        );
    }
    refuses(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
          HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        Refusal::UpgradeForeign,
        400,
    );
    for right in [
        "WebSocket",
        "WEBSOCKET",
        "h2c, websocket",
        " websocket\t,h2c",
        ",websocket,",
    ] {
        upgrades(&edited(BASE, UPGRADE, &format!("Upgrade: {right}\r\n")));
    }
    upgrades(&added(BASE, "Upgrade: h2c\r\n"));

    for wrong in [
        "",
        "Connection: close\r\n",
        "Connection: upgraded\r\n",
        "Connection:\r\n",
        "Connection: Upgrade;x\r\n",
    ] {
        refuses(
            &edited(BASE, CONNECTION, wrong),
            Refusal::ConnectionWithoutUpgrade,
            400,
        );
    }
    for right in [
        "Connection: upgrade\r\n",
        "Connection: keep-alive, Upgrade\r\n",
        "Connection: UPGRADE,close\r\n",
        "Connection: keep-alive\r\nConnection: Upgrade\r\n",
    ] {
        upgrades(&edited(BASE, CONNECTION, right));
    }
}

#[test]
fn plain_requests() {
    let rules = RequestRules::default();
    for (method, is_head) in [("GET", false), ("HEAD", true)] {
        let input =
            format!("{method} /health?x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\r\n");
        assert_eq!(
            served(input.as_bytes(), &rules),
            Verdict::Plain {
                path: "/health".to_owned(),
                is_head
            }
        );
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "Get"] {
        refuses(
            format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(),
            Refusal::Method,
            405,
        );
    }
    refuses(b"GET / HTTP/1.0\r\n\r\n", Refusal::HttpVersion, 505);
    refuses(b"GET / HTTP/1.1\r\n\r\n", Refusal::HostMissing, 400);

    let h2c = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n";
    let lenient = RequestRules {
        ignore_other_upgrades: true,
        ..RequestRules::default()
    };
    assert!(matches!(served(h2c, &lenient), Verdict::Plain { .. }));
    assert!(matches!(
        served(BASE.as_bytes(), &lenient),
        Verdict::Upgrade { .. }
    ));

    let Ok(Parsed::Plain(request)) = parse_request(
        b"GET /a?b HTTP/1.1\r\nHost: h:1\r\nCookie: c=d\r\nX: y\r\n\r\n",
        &rules,
    ) else {
        panic!("a plain request");
    };
    assert_eq!(request.path(), "/a");
    assert_eq!(request.query(), Some("b"));
    assert_eq!(
        (request.host().host(), request.host().port()),
        ("h", Some(1))
    );
    assert_eq!(request.cookies().collect::<Vec<_>>(), [("c", "d")]);
    assert_eq!(request.headers().text("x"), Some("y"));
}

#[test]
fn versions() {
    refuses(
        &edited(BASE, VERSION, ""),
        Refusal::VersionMissing(BOTH),
        400,
    );
    refuses(&added(BASE, VERSION), Refusal::VersionDuplicate(BOTH), 400);
    refuses(
        &added(BASE, "sec-websocket-version: 8\r\n"),
        Refusal::VersionDuplicate(BOTH),
        400,
    );
    for wrong in [
        "",
        "0",
        "7",
        "9",
        "12",
        "14",
        "25",
        "255",
        "256",
        "-13",
        "+13",
        "013",
        "13.0",
        "1 3",
        "0x0D",
        "abc",
        "13, 8",
        "13,13",
        "\"13\"",
        "99999999999999999999",
    ] {
        refuses(
            &edited(BASE, "Version: 13", &format!("Version: {wrong}")),
            Refusal::VersionUnsupported(BOTH),
            426,
        );
    }
    upgrades(&edited(BASE, "Version: 13", "Version: \t13 "));
    let version_8 = edited(BASE, "Version: 13", "Version: 8");
    assert!(matches!(
        served(&version_8, &RequestRules::default()),
        Verdict::Upgrade { version: 8, .. }
    ));
    let only_13 = RequestRules {
        versions: Versions::V13,
        ..RequestRules::default()
    };
    assert_eq!(
        served(&version_8, &only_13),
        Verdict::Refused(Refusal::VersionUnsupported(Versions::V13))
    );
    // Hixie-76, whose body of eight octets lies behind the head.
    refuses(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\
          Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\r\n^n:ds[4U",
        Refusal::VersionMissing(BOTH),
        400,
    );
}

#[test]
fn keys() {
    refuses(&edited(BASE, KEY, ""), Refusal::KeyMissing, 400);
    refuses(&added(BASE, KEY), Refusal::KeyDuplicate, 400);
    for wrong in [
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZR==",
        "dGhlIHNhbXBsZSBub25jZWE=",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub2 jZQ==",
        "dGhlIHNhbXBsZSBub2-jZQ==",
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
    ] {
        refuses(
            &edited(BASE, "dGhlIHNhbXBsZSBub25jZQ==", wrong),
            Refusal::KeyMalformed,
            400,
        );
    }
    upgrades(&edited(BASE, "Key: dGhl", "Key:\t  dGhl"));
}

#[test]
fn origins() {
    let any = RequestRules {
        origins: OriginRules {
            policy: OriginPolicy::Any,
            ..OriginRules::default()
        },
        ..RequestRules::default()
    };
    let origin_of = |lines: &str, version: &str| {
        let text = String::from_utf8(added(BASE, lines)).expect("ASCII");
        match served(&edited(&text, "Version: 13", version), &any) {
            Verdict::Upgrade { origin, .. } => Ok(origin),
            Verdict::Refused(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    };
    let one = "Origin: http://a\r\n";
    let other = "Sec-WebSocket-Origin: http://b\r\n";
    let both = format!("{one}{other}");
    let (v13, v8) = ("Version: 13", "Version: 8");
    assert_eq!(origin_of(one, v13), Ok(Some("http://a".to_owned())));
    assert_eq!(origin_of(other, v13), Ok(None));
    assert_eq!(origin_of(&both, v13), Ok(Some("http://a".to_owned())));
    assert_eq!(origin_of(one, v8), Ok(Some("http://a".to_owned())));
    assert_eq!(origin_of(other, v8), Ok(Some("http://b".to_owned())));
    assert_eq!(origin_of(&both, v8), Ok(Some("http://b".to_owned())));
    assert_eq!(
        origin_of(&one.repeat(2), v13),
        Err(Refusal::OriginDuplicate)
    );
    assert_eq!(
        origin_of(&other.repeat(2), v8),
        Err(Refusal::OriginDuplicate)
    );
    assert_eq!(origin_of(&other.repeat(2), v13), Ok(None));
    assert_eq!(Refusal::OriginDuplicate.status(), 400);
    for wrong in ["", "http://a http://b", "http://ä"] {
        refuses(
            &added(BASE, &format!("Origin: {wrong}\r\n")),
            Refusal::OriginMalformed,
            400,
        );
    }

    // The default: the server's own pages, and programs.
    upgrades(&added(BASE, "Origin: http://example.com\r\n"));
    refuses(
        &added(BASE, "Origin: http://evil.example\r\n"),
        Refusal::OriginForeign,
        403,
    );
    refuses(&added(BASE, "Origin: null\r\n"), Refusal::OriginNull, 403);
    let only_browsers = RequestRules {
        origins: OriginRules {
            require_origin: true,
            ..OriginRules::default()
        },
        ..RequestRules::default()
    };
    assert_eq!(
        served(BASE.as_bytes(), &only_browsers),
        Verdict::Refused(Refusal::OriginMissing)
    );
    assert_eq!(Refusal::OriginMissing.status(), 403);
    // A plain request has no origin to speak of.
    assert!(matches!(
        served(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &only_browsers),
        Verdict::Plain { .. }
    ));
}

#[test]
fn subprotocols() {
    let with = |lines: &str| match served(&added(BASE, lines), &RequestRules::default()) {
        Verdict::Upgrade { subprotocols, .. } => Ok(subprotocols.join(" ")),
        Verdict::Refused(refusal) => Err(refusal),
        other => panic!("{other:?}"),
    };
    let list = |value: &str| with(&format!("Sec-WebSocket-Protocol: {value}\r\n"));
    assert_eq!(list("b, a"), Ok("b a".to_owned()));
    assert_eq!(list(",b ,,\ta,"), Ok("b a".to_owned()));
    assert_eq!(
        with("Sec-WebSocket-Protocol: b\r\nX: y\r\nsec-websocket-protocol: a, c\r\n"),
        Ok("b a c".to_owned())
    );
    assert_eq!(list("a, A"), Ok("a A".to_owned()), "names differ by case");
    for wrong in ["", ",", "a b", "a/b", "a;b", "\"a\"", "a, ä", "a@b", "[a]"] {
        assert_eq!(list(wrong), Err(Refusal::SubprotocolMalformed), "{wrong:?}");
    }
    assert_eq!(list("a, b, a"), Err(Refusal::SubprotocolDuplicate));
    assert_eq!(
        with("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n"),
        Err(Refusal::SubprotocolDuplicate)
    );
    let many = |count: usize| (0..count).map(|n| format!("p{n},")).collect::<String>();
    assert!(list(&many(SUBPROTOCOLS_MAX)).is_ok());
    assert_eq!(
        list(&many(SUBPROTOCOLS_MAX + 1)),
        Err(Refusal::SubprotocolsTooMany)
    );
    for refusal in [
        Refusal::SubprotocolMalformed,
        Refusal::SubprotocolDuplicate,
        Refusal::SubprotocolsTooMany,
    ] {
        assert_eq!(refusal.status(), 400);
    }

    let head = added(BASE, "Sec-WebSocket-Protocol: chat.1, chat.2\r\n");
    let Ok(Parsed::Upgrade(request)) = parse_request(&head, &RequestRules::default()) else {
        panic!("a handshake");
    };
    assert_eq!(
        request.choose_subprotocol(&["x", "chat.2", "chat.1"]),
        Some("chat.2")
    );
    assert_eq!(request.choose_subprotocol(&["x"]), None);
    assert_eq!(request.choose_subprotocol(&[]), None);
}

#[test]
fn extension_offers() {
    let with = |value: &str| added(BASE, &format!("Sec-WebSocket-Extensions: {value}\r\n"));
    for wrong in [
        "",
        ",",
        "a;",
        "a b",
        "a; b=",
        "a; b=\"c",
        "a; b=\"c d\"",
        "a=b",
        ";",
        "a; =b",
    ] {
        refuses(&with(wrong), Refusal::Extensions, 400);
    }
    for right in [
        "a",
        "a, a",
        "a; b; b",
        "a; b=\"c\"",
        "constructor; __proto__",
        "permessage-deflate; client_max_window_bits=99",
    ] {
        upgrades(&with(right));
    }
    refuses(
        &with(&"a,".repeat(EXTENSIONS_MAX + 1)),
        Refusal::Extensions,
        400,
    );
    refuses(
        &with(&format!("a{}", ";b".repeat(EXTENSION_PARAMS_MAX + 1))),
        Refusal::Extensions,
        400,
    );
    let head = added(
        BASE,
        "Sec-WebSocket-Extensions: a; b\r\nSec-WebSocket-Extensions: c\r\n",
    );
    let Ok(Parsed::Upgrade(request)) = parse_request(&head, &RequestRules::default()) else {
        panic!("a handshake");
    };
    let names: Vec<_> = request
        .extension_offers()
        .flat_map(extensions_in)
        .map(|extension| extension.expect("checked before").name())
        .collect();
    assert_eq!(names, ["a", "c"]);
}

#[test]
fn accessors_of_a_request() {
    let head = added(BASE, "Cookie: a=b; c=d\r\nX-A: 1\r\nX-A: 2\r\n");
    let Ok(Parsed::Upgrade(request)) = parse_request(&head, &RequestRules::default()) else {
        panic!("a handshake");
    };
    assert_eq!(request.key().as_bytes(), b"dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(
        request.cookies().collect::<Vec<_>>(),
        [("a", "b"), ("c", "d")]
    );
    assert_eq!(request.headers().get_all("x-a").count(), 2);
    assert_eq!(request.headers().len(), 8);
    assert_eq!(request.host().host(), "example.com");
}
