//! What reading a head costs: at worst, and usually.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use super::*;

/// Heads of 16 KiB of shapes that have made other parsers quadratic, each under the 5 ms it may cost. The
/// best of a few runs counts, so that a busy machine does not fail the test.
#[test]
fn worst_shapes_stay_linear() {
    fn filled(prefix: &str, unit: &str, suffix: &str) -> Vec<u8> {
        let fixed = BASE.len() + prefix.len() + suffix.len() + 2;
        let count = (HEAD_LEN_MAX - fixed) / unit.len();
        added(BASE, &format!("{prefix}{}{suffix}\r\n", unit.repeat(count)))
    }
    let mut shapes = Vec::new();
    for name in [
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
        "Connection",
        "Upgrade",
        "Cookie",
        "X",
    ] {
        for unit in [
            ",",
            " ",
            " ,",
            "\t",
            "a,",
            "a, ",
            "a;",
            "; ",
            "\\c",
            "\"",
            "a=\"\\",
            "=",
            "a",
            "upgrade ,",
            "websocket;",
        ] {
            for (start, end) in [("", ""), ("a; b=\"", ""), ("a", "a"), ("a; b=\"", "\", c")] {
                shapes.push(filled(&format!("{name}: {start}"), unit, end));
            }
        }
    }
    // As many different subprotocols as fit, and as many parameters and fields as are allowed.
    let names: String = (0..3000).map(|n| format!("{n:x},")).collect();
    shapes.push(added(BASE, &format!("Sec-WebSocket-Protocol: {names}\r\n")));
    let names: String = (0..SUBPROTOCOLS_MAX)
        .map(|n| format!("{}{n:03},", "a".repeat(240)))
        .collect();
    shapes.push(added(BASE, &format!("Sec-WebSocket-Protocol: {names}\r\n")));
    let params = format!(";{}=\"\\b\"", "a".repeat(8)).repeat(EXTENSION_PARAMS_MAX);
    shapes.push(added(
        BASE,
        &format!(
            "Sec-WebSocket-Extensions: {}\r\n",
            format!("a{params},").repeat(EXTENSIONS_MAX)
        ),
    ));
    shapes.push(added(BASE, &"Sec-WebSocket-Protocol: ,\r\n".repeat(90)));
    shapes.push(added(BASE, &format!("{}: b\r\n", "a".repeat(16_000))));
    shapes.push(edited(BASE, "/chat", &format!("/{}", "%".repeat(16_000))));
    shapes.push(edited(
        BASE,
        "/chat",
        &format!("http://{}/", "%41".repeat(5_000)),
    ));
    shapes.push(edited(BASE, "example.com", &"a.".repeat(8_000)));
    shapes.push(added(
        BASE,
        &format!("Origin: http://{}\r\n", "a.".repeat(8_000)),
    ));
    shapes.push(edited(
        BASE,
        VERSION,
        &format!("Sec-WebSocket-Version: {}\r\n", "1".repeat(16_000)),
    ));

    let rules = RequestRules {
        origins: OriginRules {
            policy: OriginPolicy::Allow(vec![
                OriginPattern::new(&format!("*{}", "a*".repeat(200))).expect("a pattern"),
            ]),
            ..OriginRules::default()
        },
        ..RequestRules::default()
    };
    for shape in shapes {
        assert!(
            shape.len() <= HEAD_LEN_MAX,
            "a shape that is refused by its length tests nothing"
        );
        let best = (0..5)
            .map(|_| {
                let start = Instant::now();
                let verdict = serve(&shape, &rules, [].into_iter());
                assert_ne!(verdict, Verdict::Waiting);
                start.elapsed()
            })
            .min()
            .expect("five runs");
        assert!(
            best < Duration::from_millis(5),
            "{best:?} for {}…",
            shape[..200.min(shape.len())].escape_ascii()
        );
    }
}

/// Prints what reading and answering one handshake costs; run by name, in release, with `--ignored
/// --nocapture`.
#[test]
#[ignore = "a measurement, not a check"]
fn cost_of_a_handshake() {
    let browser = added(
        BASE,
        "Pragma: no-cache\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 \
         (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\nOrigin: http://example.com\r\nAccept-Encoding: gzip, \
         deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
    );
    let rules = RequestRules::default();
    for (name, head) in [("least", BASE.as_bytes()), ("browser", &browser)] {
        let mut out = Vec::new();
        let rounds = 200_000_u32;
        let time = |work: &mut dyn FnMut()| {
            (0..5)
                .map(|_| {
                    let start = Instant::now();
                    for _ in 0..rounds {
                        work();
                    }
                    start.elapsed().as_nanos() / u128::from(rounds)
                })
                .min()
                .expect("five runs")
        };
        let scan = time(&mut || {
            let _ = black_box(HeadScanner::default().find_end(black_box(head), HEAD_LEN_MAX));
        });
        let parse = time(&mut || {
            let _ = black_box(parse_request(black_box(head), &rules));
        });
        let key = Key::from_nonce(*b"the sample nonce");
        let accept = time(&mut || {
            out.clear();
            let _ = black_box(write_accept(
                &mut out,
                black_box(&key),
                None,
                None,
                &[],
                None,
            ));
        });
        println!(
            "{name} ({} octets): scan {scan} ns, parse {parse} ns, accept {accept} ns",
            head.len()
        );
    }
}
