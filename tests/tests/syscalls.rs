//! A steady echo costs one `recv`, one `send` and one `epoll_wait` for each readiness event,
//! however many messages it brings: counted by `strace -c` on the program.
//!
//! Needs `strace`; where it is missing or may not trace, the test says so and counts nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use wirebahn_tests::{open, program};

const ROUNDS: usize = 2000;

#[test]
fn an_echo_is_one_read_and_one_write() {
    let works = Command::new("strace")
        .args(["-c", "-o", "/dev/null", "true"])
        .status();
    if !works.is_ok_and(|status| status.success()) {
        println!("strace is not here or may not trace: NOT COUNTED");
        return;
    }
    for depth in [1, 16] {
        let calls = count(depth);
        let of = |name: &str| {
            let found = calls.iter().filter(|(call, _)| call == name);
            found.map(|(_, count)| *count).sum::<usize>()
        };
        println!("{depth} messages in flight, {ROUNDS} rounds: {calls:?}");
        // The handshake, the end and what a busy machine tears apart come on top.
        let about = ROUNDS..ROUNDS + ROUNDS / 10;
        for name in ["recvfrom", "sendto", "epoll_wait"] {
            assert!(
                about.contains(&of(name)),
                "{} {name} in {ROUNDS} rounds",
                of(name)
            );
        }
        for name in [
            "read",
            "write",
            "readv",
            "writev",
            "epoll_ctl",
            "mmap",
            "munmap",
            "brk",
            "futex",
        ] {
            assert!(
                of(name) < ROUNDS / 10,
                "{} {name} in {ROUNDS} rounds",
                of(name)
            );
        }
    }
}

/// The system calls of a server that echoes `depth` messages at once, `ROUNDS` times.
fn count(depth: usize) -> Vec<(String, usize)> {
    let report =
        std::env::temp_dir().join(format!("wirebahn-strace-{}-{depth}", std::process::id()));
    let mut strace = Command::new("strace")
        .args(["-f", "-c", "-U", "name,calls", "-o"])
        .arg(&report)
        .arg(program())
        .args([
            "echo",
            "--wsuri",
            "ws://127.0.0.1:0",
            "--workers",
            "1",
            "--silence",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("strace starts");
    let mut line = String::new();
    let mut said = BufReader::new(strace.stdout.take().expect("it is piped"));
    said.read_line(&mut line)
        .expect("the program says where it listens");
    let address = line
        .split("ws://")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next());
    let (mut stream, _) = open(address.expect("an address"));
    let messages = [&[0x82, 0x80 | 16, 0, 0, 0, 0][..], &[7; 16]]
        .concat()
        .repeat(depth);
    let expected = [&[0x82, 16][..], &[7; 16]].concat().repeat(depth);
    let mut received = vec![0; expected.len()];
    for _ in 0..ROUNDS {
        stream.write_all(&messages).expect("it reads");
        stream.read_exact(&mut received).expect("it answers");
        assert!(received == expected, "another answer");
    }
    drop(stream);
    // The tracer passes signals on to nobody: its only child is the program.
    let children = format!("/proc/{0}/task/{0}/children", strace.id());
    let program = std::fs::read_to_string(children).expect("the tracer has a child");
    let ended = Command::new("kill")
        .args(["-TERM", program.trim()])
        .status();
    assert!(ended.is_ok_and(|status| status.success()));
    strace.wait().expect("the tracer ends with the program");
    let table = std::fs::read_to_string(&report).expect("the tracer wrote its table");
    let _ = std::fs::remove_file(&report);
    table
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (name, calls) = (words.next()?, words.next()?);
            Some((name.to_owned(), calls.parse().ok()?))
        })
        .collect()
}
