//! What the server side takes and refuses.

mod cost;
mod fields;
mod line;
mod mixed;

use super::*;

/// What the tests compare: all that a request says, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Upgrade {
        path: String,
        query: Option<String>,
        host: String,
        origin: Option<String>,
        version: u8,
        subprotocols: Vec<String>,
    },
    Plain {
        path: String,
        is_head: bool,
    },
    Refused(Refusal),
    /// More octets are needed.
    Waiting,
}

fn verdict_of(parsed: Result<Parsed<'_>, Refusal>) -> Verdict {
    match parsed {
        Ok(Parsed::Upgrade(request)) => Verdict::Upgrade {
            path: request.path().to_owned(),
            query: request.query().map(str::to_owned),
            host: request.host().to_string(),
            origin: request.origin().map(str::to_owned),
            version: request.version(),
            subprotocols: request.subprotocols().map(str::to_owned).collect(),
        },
        Ok(Parsed::Plain(request)) => Verdict::Plain {
            path: request.path().to_owned(),
            is_head: request.is_head(),
        },
        Err(refusal) => Verdict::Refused(refusal),
    }
}

/// What a server makes of octets that arrive in pieces ending at `cuts`.
fn serve(input: &[u8], rules: &RequestRules, cuts: impl Iterator<Item = usize>) -> Verdict {
    let mut scanner = HeadScanner::default();
    for cut in cuts.chain([input.len()]) {
        let received = &input[..cut];
        match scanner.find_end(received, HEAD_LEN_MAX) {
            Ok(None) => {}
            Ok(Some(head_len)) => return verdict_of(parse_request(&received[..head_len], rules)),
            Err(error) => return Verdict::Refused(error.into()),
        }
    }
    Verdict::Waiting
}

/// The verdict, having checked that it is the same for every split in two and octet by octet.
fn served(input: &[u8], rules: &RequestRules) -> Verdict {
    let whole = serve(input, rules, [].into_iter());
    for cut in 0..=input.len() {
        assert_eq!(
            serve(input, rules, [cut].into_iter()),
            whole,
            "cut at {cut}: {}",
            input.escape_ascii()
        );
    }
    assert_eq!(serve(input, rules, 0..input.len()), whole);
    whole
}

#[track_caller]
fn refuses(input: &[u8], refusal: Refusal, status: u16) {
    assert_eq!(
        served(input, &RequestRules::default()),
        Verdict::Refused(refusal),
        "{}",
        input.escape_ascii()
    );
    assert_eq!(refusal.status(), status, "{refusal:?}");
}

#[track_caller]
fn upgrades(input: &[u8]) {
    assert!(
        matches!(
            served(input, &RequestRules::default()),
            Verdict::Upgrade { .. }
        ),
        "{} is not taken: {:?}",
        input.escape_ascii(),
        serve(input, &RequestRules::default(), [].into_iter())
    );
}

const BOTH: Versions = Versions::V13AndV8;
const LINE: &str = "GET /chat HTTP/1.1\r\n";
const HOST: &str = "Host: example.com\r\n";
const UPGRADE: &str = "Upgrade: websocket\r\n";
const CONNECTION: &str = "Connection: Upgrade\r\n";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
