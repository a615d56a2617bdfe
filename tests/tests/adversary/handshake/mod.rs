//! Every way of getting the opening handshake wrong (RFC 6455, section 4; RFC 9112;
//! RFC 9931), the exact answer to it, and the odd ways of getting it right.
//!
//! A refusal is a whole HTTP response that reflects nothing of the request, then FIN. An
//! acceptance is proved by an echo and a closing handshake.

mod answer;
mod head;
mod table;

use std::thread;
use std::time::Duration;

use crate::cases::check_all;
use crate::peer::Peer;
use crate::target::Target;
use answer::answers;
use head::Head;
use table::{accepted, early, fields, http, not_http, request_lines, too_much};

/// Request heads are cut here (the default of the server's limits).
const HEAD_MAX: usize = 16 * 1024;

/// Header fields of one head, at most (the default of the server's limits).
const HEADERS_MAX: usize = 100;

/// Stands in a header and in the target of every case, and in no answer.
const MARKER: &str = "Zq9-marker";

/// Heads longer than this are not sent octet by octet: nothing new is learned.
const OCTETS_MAX: usize = 2_000;

#[derive(Clone)]
enum Answer {
    /// 101, and the connection works.
    Upgrades,
    /// One of these statuses, then FIN.
    Refuses(&'static [u16]),
    /// Not HTTP at all: a refusal or nothing, then FIN.
    Ends,
}
use Answer::{Ends, Refuses, Upgrades};

struct Case {
    name: String,
    octets: Vec<u8>,
    answer: Answer,
}

#[test]
fn every_request_is_answered_by_the_rule_it_keeps_or_breaks() {
    let target = Target::testee(&[]);
    let mut cases = accepted();
    cases.extend(request_lines());
    cases.extend(fields());
    cases.extend(http());
    cases.extend(too_much());
    cases.extend(early());
    cases.extend(not_http());
    check_all(
        "handshake",
        &cases,
        |c| c.name.clone(),
        |c| {
            let mut peer = Peer::dial(target.addr)?;
            peer.send_freely(&c.octets);
            answers(&mut peer, &c.answer)
        },
    );
    target.serves().unwrap();
}

#[test]
fn requests_that_come_octet_by_octet_get_the_same_answers() {
    let target = Target::testee(&[]);
    // Early octets are left out: what comes after the 101 is not early.
    let groups = [accepted(), request_lines(), fields(), http(), not_http()];
    let mut cases: Vec<Case> = groups.into_iter().flatten().collect();
    cases.retain(|c| c.octets.len() <= OCTETS_MAX);
    check_all(
        "handshake by octets",
        &cases,
        |c| c.name.clone(),
        |c| {
            let mut peer = Peer::dial(target.addr)?;
            peer.send_octets(&c.octets);
            answers(&mut peer, &c.answer)
        },
    );
}

#[test]
fn a_request_may_be_torn_anywhere() {
    let target = Target::testee(&[]);
    let octets = Head::good().octets();
    let cuts: Vec<usize> = (1..octets.len()).collect();
    check_all(
        "handshake torn",
        &cuts,
        |cut| format!("torn at octet {cut}"),
        |&cut| {
            let mut peer = Peer::dial(target.addr)?;
            peer.send(&octets[..cut])?;
            thread::sleep(Duration::from_millis(3));
            peer.send(&octets[cut..])?;
            answers(&mut peer, &Upgrades)
        },
    );
}

#[test]
fn long_heads_cost_a_pass_and_not_a_pass_per_octet() {
    // 7,000 segments of one octet, then the longest heads of the most fields. A parser
    // that starts again at every octet reads 24 million octets for the first alone.
    let target = Target::testee(&[]);
    target.serves().unwrap();
    let before = target.cpu();
    let mut peer = Peer::dial(target.addr).unwrap();
    let head = Head::good().long(7_000);
    peer.send_octets(&head);
    answers(&mut peer, &Upgrades).unwrap();
    let mut worst = Head::good();
    for n in worst.fields.len()..HEADERS_MAX {
        worst = worst.plus(&format!("Sec-WebSocket-X{n}"), ",;=\" ".repeat(20));
    }
    for _ in 0..20 {
        let mut peer = Peer::dial(target.addr).unwrap();
        peer.send(&worst.octets()).unwrap();
        answers(&mut peer, &Upgrades).unwrap();
    }
    for shape in ["\"", "\\\"", ",", ";", " ", ", ;=", "a,", "\"\\a"] {
        let value = shape.repeat(12_000 / shape.len());
        for name in [
            "Sec-WebSocket-Extensions",
            "Sec-WebSocket-Protocol",
            "Connection",
            "Upgrade",
        ] {
            let mut peer = Peer::dial(target.addr).unwrap();
            peer.send(&Head::good().plus(name, &value).octets())
                .unwrap();
            let head = peer.head().unwrap();
            assert!(head.starts_with("HTTP/1.1 "), "{name}: {shape}…: {head}");
        }
    }
    // Processor time, not time: a busy machine does not lengthen it. This is about a
    // hundred times what it should take in a debug build, and a tenth of what quadratic takes.
    let spent = target.cpu() - before;
    assert!(
        spent < Duration::from_secs(2),
        "{spent:?} for one drip and 52 long heads"
    );
}

#[test]
fn foreign_origins_are_refused_where_a_list_is_given() {
    let target = Target::echo(&[
        "--allow-origin",
        "https://good.example:443",
        "--allow-origin",
        "http://*.wild.example:8080",
    ]);
    let refused = Refuses(&[403]);
    let malformed = Refuses(&[400, 403]);
    let rows: Vec<(Option<&str>, Answer)> = vec![
        (None, Upgrades),
        (Some("https://good.example"), Upgrades),
        (Some("https://good.example:443"), Upgrades),
        (Some("http://a.wild.example:8080"), Upgrades),
        (Some("http://a.b.wild.example:8080"), Upgrades),
        (Some("null"), refused.clone()),
        (Some("http://good.example"), refused.clone()),
        (Some("https://good.example:8443"), refused.clone()),
        (Some("https://good.example.evil.example"), refused.clone()),
        (Some("https://evil-good.example"), refused.clone()),
        (Some("https://good-example"), refused.clone()),
        (Some("https://evil.example"), refused.clone()),
        (Some("http://a.wild.example"), refused.clone()),
        (Some("http://wildxexample:8080"), refused),
        (
            Some("http://evil.example/a.wild.example:8080"),
            malformed.clone(),
        ),
        (Some("https://good.example:443/path"), malformed.clone()),
        (Some("good.example"), malformed.clone()),
        (Some(""), malformed),
    ];
    check_all(
        "origins",
        &rows,
        |(origin, _)| format!("Origin {origin:?}"),
        |(origin, answer)| {
            let mut head = Head::good();
            if let Some(origin) = origin {
                head = head.plus("Origin", origin);
            }
            let mut peer = Peer::dial(target.addr)?;
            peer.send(&head.octets())?;
            answers(&mut peer, answer)
        },
    );
}
