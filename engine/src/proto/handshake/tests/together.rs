//! What one side writes, the other reads.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn a_request_arrives_as_it_was_written(
        nonce: [u8; 16],
        host in "[a-z]{1,10}(\\.[a-z]{2,3})?",
        port in proptest::option::of(1..=u16::MAX),
        path in "(/[!$-;=?-Z_a-z~]{0,10}){1,3}",
        version in prop_oneof![Just(8_u8), Just(13)],
        with_origin: bool,
        subprotocols in proptest::collection::btree_set("[a-z0-9.]{1,12}", 0..5),
        extensions in proptest::option::of("[a-z-]{1,20}(; [a-z_]{1,8}(=[0-9]{1,3})?){0,3}"),
        user_agent in proptest::option::of("[ -~]{0,20}"),
        no_cache: bool,
        headers in proptest::collection::vec(("X-[A-Za-z0-9]{1,8}", "[!-~]([ -~]{0,20}[!-~])?"), 0..5),
    ) {
        let key = Key::from_nonce(nonce);
        let host = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let origin = format!("http://{host}");
        let subprotocols: Vec<&str> = subprotocols.iter().map(String::as_str).collect();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let request = ClientRequest {
            version,
            origin: with_origin.then_some(origin.as_str()),
            subprotocols: &subprotocols,
            extensions: extensions.as_deref(),
            user_agent: user_agent.as_deref(),
            no_cache,
            headers: &headers,
            ..ClientRequest::new(&host, &path, &key)
        };
        let mut head = Vec::new();
        prop_assert_eq!(write_request(&mut head, &request), Ok(()));
        prop_assert_eq!(HeadScanner::request().find_end(&head, HEAD_LEN_MAX), Ok(Some(head.len())));
        let parsed = match parse_request(&head, &RequestRules::default()) {
            Ok(Parsed::Upgrade(parsed)) => parsed,
            other => return Err(TestCaseError::fail(format!("{other:?} from {}", head.escape_ascii()))),
        };
        let (expected_path, expected_query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path.as_str(), None),
        };
        prop_assert_eq!(parsed.path(), expected_path);
        prop_assert_eq!(parsed.query(), expected_query);
        prop_assert_eq!(parsed.host().as_str(), &host);
        prop_assert_eq!(parsed.host().port(), port);
        prop_assert_eq!(parsed.version(), version);
        prop_assert_eq!(parsed.key(), &key);
        prop_assert_eq!(parsed.origin(), request.origin);
        prop_assert_eq!(parsed.subprotocols().collect::<Vec<_>>(), subprotocols);
        prop_assert_eq!(
            parsed.extension_offers().collect::<Vec<_>>(),
            extensions.iter().map(String::as_bytes).collect::<Vec<_>>()
        );
        for (name, value) in headers {
            prop_assert!(parsed.headers().get_all(name).any(|got| got == value.as_bytes()));
        }
    }

    #[test]
    fn an_accept_satisfies_who_asked(
        nonce: [u8; 16],
        choice in proptest::option::of(0..3_usize),
        extended: bool,
        server in proptest::option::of("[ -~]{0,20}"),
        headers in proptest::collection::vec(("X-[A-Za-z0-9]{1,8}", "[!-~]([ -~]{0,20}[!-~])?"), 0..5),
    ) {
        let key = Key::from_nonce(nonce);
        let mut request = ClientRequest::new("a", "/", &key);
        request.subprotocols = &["x", "y", "z"];
        request.extensions = Some("permessage-deflate; client_max_window_bits");
        let subprotocol = choice.and_then(|choice| request.subprotocols.get(choice).copied());
        let extensions = extended.then_some("permessage-deflate; client_max_window_bits=12");
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();

        let mut head = Vec::new();
        let written = write_accept(&mut head, &key, subprotocol, extensions, &headers, server.as_deref());
        prop_assert_eq!(written, Ok(()));
        prop_assert_eq!(HeadScanner::response().find_end(&head, HEAD_LEN_MAX), Ok(Some(head.len())));
        let response = match parse_response(&head, &request.expectation()) {
            Ok(Answer::Accepted(response)) => response,
            other => return Err(TestCaseError::fail(format!("{other:?} from {}", head.escape_ascii()))),
        };
        prop_assert_eq!(response.subprotocol(), subprotocol);
        prop_assert_eq!(response.extensions(), extensions.map(str::as_bytes));
        for (name, value) in headers {
            prop_assert!(response.headers().get_all(name).any(|got| got == value.as_bytes()));
        }
    }

    /// Whatever a program puts into an answer, it stays one head with just the fields that were meant.
    #[test]
    fn no_header_of_a_program_splits_an_answer(
        name in "[ -~\r\n\t\0]{0,12}",
        value in "(?s).{0,12}",
        reason in "[ -~\r\n\0]{0,12}",
        body: Vec<u8>,
    ) {
        let key = Key::from_nonce([7; 16]);
        let headers = [(name.as_str(), value.as_str())];
        let mut out = Vec::new();
        if write_accept(&mut out, &key, None, None, &headers, None).is_ok() {
            prop_assert_eq!(HeadScanner::response().find_end(&out, usize::MAX), Ok(Some(out.len())));
            match parse_response(&out, &ClientRequest::new("a", "/", &key).expectation()) {
                Ok(Answer::Accepted(response)) => prop_assert_eq!(response.headers().len(), 4),
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            }
        }
        let mut out = Vec::new();
        if write_denial(&mut out, 403, Some(&reason), &headers, &body, None).is_ok() {
            let head_len = HeadScanner::response().find_end(&out, usize::MAX);
            prop_assert_eq!(head_len, Ok(Some(out.len() - body.len())));
            match parse_response(&out, &ClientRequest::new("a", "/", &key).expectation()) {
                Ok(Answer::Other(other)) => {
                    prop_assert_eq!(other.status(), 403);
                    let length = other.headers().text("content-length").map(str::parse);
                    prop_assert_eq!(length, Some(Ok(body.len())));
                }
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            }
        }
    }
}

#[test]
fn refusals_reach_the_client() {
    let key = Key::from_nonce([7; 16]);
    let expectation = ClientRequest::new("a", "/", &key).expectation();
    let mut out = Vec::new();
    write_refusal(&mut out, Refusal::VersionUnsupported(Versions::V13), None);
    let Ok(Answer::Other(other)) = parse_response(&out, &expectation) else {
        panic!("another answer");
    };
    assert_eq!(other.status(), 426);
    assert_eq!(other.headers().text("Sec-WebSocket-Version"), Some("13"));
}
