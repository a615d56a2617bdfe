//! What the client side takes and refuses.

use proptest::prelude::*;

use super::*;

fn key() -> Key {
    Key::from_nonce(*b"the sample nonce")
}

#[track_caller]
fn fails_with(head: &[u8], expectation: &Expectation<'_>, error: ResponseError) {
    assert_eq!(
        parse_response(head, expectation).err(),
        Some(error),
        "{}",
        head.escape_ascii()
    );
}

#[track_caller]
fn accepted<'a>(head: &'a [u8], expectation: &Expectation<'_>) -> Response<'a> {
    match parse_response(head, expectation) {
        Ok(Answer::Accepted(response)) => response,
        other => panic!("{} gives {other:?}", head.escape_ascii()),
    }
}

#[test]
fn rules_of_the_answer() {
    let key = key();
    let plain = ClientRequest::new("a", "/", &key).expectation();
    accepted(ANSWER.as_bytes(), &plain);
    let line = "HTTP/1.1 101 Switching Protocols\r\n";
    for (line_edited, error) in [
        (
            "HTTP/1.0 101 Switching Protocols\r\n",
            ResponseError::HttpVersion,
        ),
        (
            "HTTP/2.0 101 Switching Protocols\r\n",
            ResponseError::HttpVersion,
        ),
        (
            "HTTP/1.1 1O1 Switching Protocols\r\n",
            ResponseError::StatusLine,
        ),
        (
            "HTTP/1.1 1011 Switching Protocols\r\n",
            ResponseError::StatusLine,
        ),
        (
            "HTTP/1.1 10 Switching Protocols\r\n",
            ResponseError::StatusLine,
        ),
        (
            "HTTP/1.1 001 Switching Protocols\r\n",
            ResponseError::StatusLine,
        ),
        (
            "HTTP/1.1  101 Switching Protocols\r\n",
            ResponseError::StatusLine,
        ),
        (
            "HTTP/1.1 101 Switching\0Protocols\r\n",
            ResponseError::StatusLine,
        ),
        ("HTTP/1.1\r\n", ResponseError::StatusLine),
        ("HTTP/1.2 101 a\r\n", ResponseError::HttpVersion),
        ("HTTP/1.1x101 a\r\n", ResponseError::StatusLine),
        ("HTTP/1.1 101 Switching Protocols\n", ResponseError::LineEnd),
        (
            "http/1.1 101 Switching Protocols\r\n",
            ResponseError::NotHttp,
        ),
        (
            "\r\nHTTP/1.1 101 Switching Protocols\r\n",
            ResponseError::NotHttp,
        ),
        ("\x15\x03\x01\r\n", ResponseError::NotHttp),
    ] {
        let edited = edited(ANSWER, line, line_edited);
        fails_with(&edited, &plain, error);
    }
    for right in [
        "HTTP/1.1 101 \r\n",
        "HTTP/1.1 101\r\n",
        "HTTP/1.1 101 Web Socket Protocol Handshake\r\n",
    ] {
        accepted(&edited(ANSWER, line, right), &plain);
    }

    let upgrade = "Upgrade: websocket\r\n";
    for wrong in [
        "",
        "Upgrade:\r\n",
        "Upgrade: h2c\r\n",
        "Upgrade: websocket, h2c\r\n",
        "Upgrade: websocket\r\nUpgrade: websocket\r\n",
    ] {
        fails_with(
            &edited(ANSWER, upgrade, wrong),
            &plain,
            ResponseError::Upgrade,
        );
    }
    accepted(&edited(ANSWER, upgrade, "upgrade: WebSocket \r\n"), &plain);

    let connection = "Connection: Upgrade\r\n";
    for wrong in ["", "Connection: close\r\n", "Connection: Upgraded\r\n"] {
        fails_with(
            &edited(ANSWER, connection, wrong),
            &plain,
            ResponseError::Connection,
        );
    }
    accepted(
        &edited(ANSWER, connection, "connection: keep-alive, UPGRADE\r\n"),
        &plain,
    );

    let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    fails_with(
        &edited(ANSWER, accept, ""),
        &plain,
        ResponseError::AcceptMissing,
    );
    fails_with(
        &added(ANSWER, accept),
        &plain,
        ResponseError::AcceptDuplicate,
    );
    for wrong in [
        "",
        "x",
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo",
        "S3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    ] {
        fails_with(
            &edited(
                ANSWER,
                accept,
                &format!("Sec-WebSocket-Accept: {wrong}\r\n"),
            ),
            &plain,
            ResponseError::AcceptWrong,
        );
    }
    let other = Key::from_nonce([0; 16]);
    let expects_other = ClientRequest::new("a", "/", &other).expectation();
    fails_with(
        ANSWER.as_bytes(),
        &expects_other,
        ResponseError::AcceptWrong,
    );
    accepted(&edited(ANSWER, "Accept: s3p", "Accept:\t s3p"), &plain);

    for (lines, error) in [
        ("X : y\r\n", ResponseError::FieldName),
        (" X: y\r\n", ResponseError::FieldName),
        ("X: y\r\n z\r\n", ResponseError::FieldName),
        ("X: \0\r\n", ResponseError::FieldValue),
        ("X: y\n", ResponseError::LineEnd),
    ] {
        fails_with(&added(ANSWER, lines), &plain, error);
    }
    fails_with(
        &added(ANSWER, &"a: b\r\n".repeat(98)),
        &plain,
        ResponseError::TooManyFields,
    );
    fails_with(
        &ANSWER.as_bytes()[..ANSWER.len() - 1],
        &plain,
        ResponseError::HeadUnfinished,
    );
}

#[test]
fn subprotocols_of_the_answer() {
    let key = key();
    let mut request = ClientRequest::new("a", "/", &key);
    let chosen = |value: &str| added(ANSWER, &format!("Sec-WebSocket-Protocol: {value}\r\n"));
    fails_with(
        &chosen("a"),
        &request.expectation(),
        ResponseError::SubprotocolNotOffered,
    );
    request.subprotocols = &["b", "a"];
    let mut expectation = request.expectation();
    assert_eq!(
        accepted(&chosen("a"), &expectation).subprotocol(),
        Some("a")
    );
    assert_eq!(
        accepted(ANSWER.as_bytes(), &expectation).subprotocol(),
        None
    );
    for (wrong, error) in [
        ("", ResponseError::SubprotocolNotOffered),
        ("A", ResponseError::SubprotocolNotOffered),
        ("c", ResponseError::SubprotocolNotOffered),
        ("a b", ResponseError::SubprotocolNotOffered),
        ("a, b", ResponseError::SubprotocolDuplicate),
        (
            "a\r\nSec-WebSocket-Protocol: a",
            ResponseError::SubprotocolDuplicate,
        ),
    ] {
        fails_with(&chosen(wrong), &expectation, error);
    }
    expectation.subprotocol_required = true;
    fails_with(
        ANSWER.as_bytes(),
        &expectation,
        ResponseError::SubprotocolMissing,
    );
    expectation.subprotocols = &[];
    accepted(ANSWER.as_bytes(), &expectation);
}

#[test]
fn extensions_of_the_answer() {
    let key = key();
    let mut request = ClientRequest::new("a", "/", &key);
    let chosen = |value: &str| added(ANSWER, &format!("Sec-WebSocket-Extensions: {value}\r\n"));
    fails_with(
        &chosen("permessage-deflate"),
        &request.expectation(),
        ResponseError::ExtensionNotOffered,
    );
    request.extensions = Some("permessage-deflate; client_max_window_bits, other");
    let expectation = request.expectation();
    assert_eq!(
        accepted(
            &chosen("permessage-deflate; client_max_window_bits=10"),
            &expectation
        )
        .extensions(),
        Some(&b"permessage-deflate; client_max_window_bits=10"[..])
    );
    assert_eq!(accepted(ANSWER.as_bytes(), &expectation).extensions(), None);
    for (wrong, error) in [
        ("", ResponseError::ExtensionsMalformed),
        ("permessage-deflate;", ResponseError::ExtensionsMalformed),
        ("permessage-bzip2", ResponseError::ExtensionNotOffered),
        ("other, foo", ResponseError::ExtensionNotOffered),
        (
            "other\r\nSec-WebSocket-Extensions: other",
            ResponseError::ExtensionsDuplicate,
        ),
    ] {
        fails_with(&chosen(wrong), &expectation, error);
    }
}

#[test]
fn other_answers_are_handed_on() {
    let key = key();
    let expectation = ClientRequest::new("a", "/", &key).expectation();
    for (head, status, reason, interim) in [
        (
            &b"HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n"[..],
            302,
            "Found",
            false,
        ),
        (
            b"HTTP/1.0 407 Proxy Authentication Required\r\n\r\n",
            407,
            "Proxy Authentication Required",
            false,
        ),
        (b"HTTP/1.1 200\r\n\r\n", 200, "", false),
        (b"HTTP/1.1 100 Continue\r\n\r\n", 100, "Continue", true),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 101 \r\n\r\n",
            103,
            "Early Hints",
            true,
        ),
        (b"HTTP/1.1 999 \xFF\r\n\r\n", 999, "", false),
    ] {
        let Ok(Answer::Other(other)) = parse_response(head, &expectation) else {
            panic!("{} is another answer", head.escape_ascii());
        };
        assert_eq!(
            (other.status(), other.reason(), other.is_interim()),
            (status, reason, interim)
        );
    }
}

#[test]
fn requests_that_must_not_leave() {
    let key = key();
    let base = ClientRequest::new("a", "/", &key);
    let check = |request: ClientRequest<'_>, error: HeaderError| {
        let mut out = b"kept".to_vec();
        assert_eq!(write_request(&mut out, &request), Err(error), "{request:?}");
        assert_eq!(out, b"kept");
    };
    for host in ["", "a b", "a/b", "a\r\nX: y", "http://a"] {
        check(ClientRequest { host, ..base }, HeaderError::Host);
    }
    for target in [
        "",
        "a",
        "*",
        "/a b",
        "/a#b",
        "/ä",
        "/\r\nX: y",
        "http://a/",
        "/\0",
    ] {
        check(ClientRequest { target, ..base }, HeaderError::Target);
    }
    for version in [0, 7, 12, 14] {
        check(ClientRequest { version, ..base }, HeaderError::Version);
    }
    for origin in ["", "a b", "a\r\nX: y", "ä"] {
        check(
            ClientRequest {
                origin: Some(origin),
                ..base
            },
            HeaderError::Origin,
        );
    }
    for subprotocols in [&[""][..], &["a b"], &["a,b"], &["a", "a"], &["a\r\nX: y"]] {
        check(
            ClientRequest {
                subprotocols,
                ..base
            },
            HeaderError::Subprotocol,
        );
    }
    for extensions in ["", "a;", "a\r\nX: y"] {
        check(
            ClientRequest {
                extensions: Some(extensions),
                ..base
            },
            HeaderError::Extensions,
        );
    }
    check(
        ClientRequest {
            user_agent: Some("a\r\nX: y"),
            ..base
        },
        HeaderError::Product,
    );
    check(
        ClientRequest {
            headers: &[("X", "a\r\nY: z")],
            ..base
        },
        HeaderError::Value { index: 0 },
    );
    check(
        ClientRequest {
            headers: &[("X", ""), ("Y:", "")],
            ..base
        },
        HeaderError::Name { index: 1 },
    );
    for name in [
        "Host",
        "Origin",
        "Upgrade",
        "Connection",
        "Sec-WebSocket-Key",
        "Content-Length",
    ] {
        check(
            ClientRequest {
                headers: &[(name, "a")],
                ..base
            },
            HeaderError::Reserved { index: 0 },
        );
    }
    let agent = &[("User-Agent", "a")][..];
    check(
        ClientRequest {
            headers: agent,
            user_agent: Some("b"),
            ..base
        },
        HeaderError::Reserved { index: 0 },
    );
    assert_eq!(
        write_request(
            &mut Vec::new(),
            &ClientRequest {
                headers: agent,
                ..base
            }
        ),
        Ok(())
    );
}

proptest! {
    #[test]
    fn random_octets_never_panic(octets: Vec<u8>, prefixed: bool) {
        let key = key();
        let mut request = ClientRequest::new("a", "/", &key);
        request.subprotocols = &["a"];
        request.extensions = Some("b");
        let mut head = if prefixed { b"HTTP/1.1 101 \r\n".to_vec() } else { Vec::new() };
        head.extend_from_slice(&octets);
        head.extend_from_slice(b"\r\n\r\n");
        let _ = parse_response(&head, &request.expectation());
        let _ = HeadScanner::response().find_end(&head, HEAD_LEN_MAX);
    }
}
