//! The program as its users run it: real arguments, real sockets, real signals.

mod support;

use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::client::{Client, Frame, PATIENCE};
use support::program::Program;

const ANY_PORT: &str = "ws://127.0.0.1:0";

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wirebahn"));
    command.args(arguments).env_remove("WIREBAHN_NVX");
    command
}

fn start(arguments: &[&str]) -> Program {
    Program::start(&mut command(arguments))
}

/// Runs a command line that does not start a server.
fn run(arguments: &[&str]) -> Output {
    command(arguments).stdin(Stdio::null()).output().unwrap()
}

fn goodbye() -> Frame {
    Frame::Close(1001, "server going away".to_owned())
}

#[test]
fn echo_sends_back_what_comes_and_ends_in_order() {
    let program = start(&["echo", "--wsuri", ANY_PORT, "--workers", "2"]);
    assert!(
        program
            .ready
            .contains(" with 2 workers, pinned to processor")
    );
    assert!(program.ready.contains(", driver epoll, SIMD "));
    let mut client = Client::open(program.port);
    client.send_text("Zug um Zug");
    assert_eq!(client.receive(), Frame::Text("Zug um Zug".to_owned()));
    for len in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        let octets: Vec<u8> = (0..len).map(|index| (index * 7) as u8).collect();
        client.send_binary(&octets);
        assert_eq!(client.receive(), Frame::Binary(octets));
    }
    client.send(0x89, b"still there?");
    assert_eq!(client.receive(), Frame::Pong(b"still there?".to_vec()));

    program.signal("TERM");
    assert_eq!(client.receive(), goodbye());
    client.send_close(1001);
    assert_eq!(client.receive(), Frame::End);
    drop(client); // the server waits for the peer's end, up to 2 s
    let ended = program.wait();
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.took < Duration::from_secs(2), "{:?}", ended.took);
    assert!(ended.stderr.starts_with("ending: 1 connections have 5 s"));
    let all = ended.stdout.lines().rfind(|line| line.contains(" all "));
    let all: Vec<&str> = all.unwrap().split_whitespace().collect();
    // 10 octets of text and the binary messages; 8 messages either way.
    assert_eq!(all[1..6], ["1", "8", "8", "1,179,909", "1,179,909"]);
}

#[test]
fn every_driver_echoes_or_says_why_not() {
    for (driver, names) in [
        ("auto", &[", driver epoll, "][..]),
        ("epoll", &[", driver epoll, "]),
        (
            "uring",
            &[
                ", driver io_uring, ",
                ", driver epoll (io_uring was refused: ",
            ],
        ),
    ] {
        let program = start(&["echo", "--wsuri", ANY_PORT, "--driver", driver]);
        let ready = &program.ready;
        assert!(
            names.iter().any(|name| ready.contains(name)),
            "{driver}: {ready}"
        );
        let mut client = Client::open(program.port);
        client.send_text(driver);
        assert_eq!(client.receive_text(), driver);
        client.close();
        assert_eq!(program.end().status.code(), Some(0));
    }
}

#[test]
fn two_servers_do_not_share_a_port_by_mistake() {
    let program = start(&["echo", "--wsuri", ANY_PORT, "--workers", "2"]);
    let same = format!("ws://127.0.0.1:{}", program.port);
    for workers in ["1", "2"] {
        let second = run(&["echo", "--wsuri", &same, "--workers", workers]);
        assert_eq!(second.status.code(), Some(1), "{workers} workers");
        let error = String::from_utf8(second.stderr).unwrap();
        assert!(
            error.starts_with("wirebahn: cannot listen on 127.0.0.1:"),
            "{error}"
        );
    }
    assert_eq!(program.end().status.code(), Some(0));
}

#[test]
fn a_path_is_the_only_one_served() {
    let uri = format!("{ANY_PORT}/ws");
    let program = start(&["echo", "--wsuri", &uri]);
    assert!(
        program
            .ready
            .contains(&format!(":{}/ws with ", program.port))
    );
    for wrong in ["/", "/ws/", "/WS", "/other"] {
        let Err(refused) = Client::request(program.port, wrong, &[]) else {
            panic!("{wrong} was served");
        };
        assert_eq!(refused.status, 404);
        assert_eq!(refused.body, "Nothing is served on this path.\n");
    }
    for right in ["/ws", "/ws?room=7"] {
        Client::request(program.port, right, &[]).unwrap().close();
    }
    assert_eq!(program.end().status.code(), Some(0));
}

#[test]
fn broadcast_reaches_everybody_and_ticks() {
    let program = start(&["broadcast", "--wsuri", ANY_PORT, "--workers", "2"]);
    let mut clients: Vec<Client> = (0..16).map(|_| Client::open(program.port)).collect();
    for from in [0, 7, 15] {
        clients[from].send_text(&format!("from {from}"));
        clients[from].send_binary(&[from as u8]);
        for client in &mut clients {
            let mut frames = Vec::new();
            while frames.len() < 2 {
                match client.receive() {
                    Frame::Text(text) if text.starts_with("tick ") => {}
                    other => frames.push(other),
                }
            }
            let text = Frame::Text(format!("from {from}"));
            assert_eq!(frames, [text, Frame::Binary(vec![from as u8])]);
        }
    }
    for client in &mut clients {
        let tick = client.receive_text();
        let number: u64 = tick.strip_prefix("tick ").unwrap().parse().unwrap();
        assert_eq!(client.receive_text(), format!("tick {}", number + 1));
    }
    assert_eq!(program.end().status.code(), Some(0));
}

#[test]
fn limits_are_inclusive() {
    let program = start(&["testee", "server", "--wsuri", ANY_PORT, "--workers", "1"]);
    let most = vec![0xA5; 16 << 20];
    let mut client = Client::open(program.port);
    client.send_binary(&most);
    assert_eq!(client.receive(), Frame::Binary(most.clone()));
    client.announce(0x82, most.len() + 1);
    assert!(matches!(client.receive(), Frame::Close(1009, _)));
    assert_eq!(program.end().status.code(), Some(0));

    let sizes = ["--max-message-size", "2k", "--max-frame-size", "1k"];
    let program = start(&[&["echo", "--wsuri", ANY_PORT][..], &sizes].concat());
    let mut client = Client::open(program.port);
    client.send(0x01, &[b'a'; 1024]);
    client.send(0x80, &[b'a'; 1024]);
    assert_eq!(client.receive(), Frame::Text("a".repeat(2048)));
    client.send_text(&"a".repeat(1025));
    assert!(matches!(client.receive(), Frame::Close(1009, _)));
    assert_eq!(program.end().status.code(), Some(0));
}

#[test]
fn origins_are_free_unless_said_otherwise() {
    let origin = |port, origin: &str| {
        let header = format!("Origin: {origin}");
        Client::request(port, "/", &[&header]).map_or_else(|refused| refused.status, |_| 101)
    };
    let program = start(&["echo", "--wsuri", ANY_PORT]);
    assert_eq!(origin(program.port, "https://example.com"), 101);
    assert_eq!(origin(program.port, "null"), 101);
    drop(program);

    let only = [
        "--allow-origin",
        "https://*.example.com",
        "--allow-origin",
        "null",
    ];
    let program = start(&[&["echo", "--wsuri", ANY_PORT][..], &only].concat());
    assert_eq!(origin(program.port, "https://a.example.com"), 101);
    assert_eq!(origin(program.port, "null"), 101);
    assert_eq!(origin(program.port, "https://example.org"), 403);
    Client::open(program.port).close();
}

#[test]
fn a_second_signal_cuts_who_does_not_answer() {
    let program = start(&["echo", "--wsuri", ANY_PORT, "--silence"]);
    let mut deaf = Client::open(program.port);
    program.signal("INT");
    assert_eq!(deaf.receive(), goodbye());
    let Err(error) = std::net::TcpStream::connect(("127.0.0.1", program.port)) else {
        panic!("somebody still listens");
    };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    let ended = program.end();
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.took < Duration::from_secs(2), "{:?}", ended.took);
    assert_eq!(ended.stdout, "", "silence");
}

#[test]
fn other_signals_do_no_harm() {
    let mut program = start(&["echo", "--wsuri", ANY_PORT, "--silence"]);
    let mut client = Client::open(program.port);
    for round in 0..5 {
        for name in ["HUP", "ALRM", "CHLD", "PIPE", "USR1"] {
            program.signal(name);
        }
        client.send_text(&format!("round {round}"));
        assert_eq!(client.receive_text(), format!("round {round}"));
    }
    program.signal("STOP");
    thread::sleep(Duration::from_millis(500));
    program.signal("CONT");
    client.send_text("awake");
    assert_eq!(client.receive_text(), "awake");
    assert!(program.is_running());
    client.close();
    let ended = program.end();
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.stderr.contains("SIGHUP: "), "{}", ended.stderr);
    assert!(
        ended.stdout.starts_with("period "),
        "SIGUSR1 breaks the silence"
    );
}

#[test]
fn statistics_come_by_the_clock() {
    let arguments = [
        "echo",
        "--wsuri",
        ANY_PORT,
        "--workers",
        "1",
        "--interval",
        "0.2",
    ];
    let program = start(&arguments);
    thread::sleep(Duration::from_millis(900));
    let ended = program.end();
    let blocks = ended.stdout.matches("per second").count();
    assert!((3..=6).contains(&blocks), "{}", ended.stdout);
}

#[test]
fn nobody_reads_what_it_says_and_it_serves_on() {
    // stdout: a pipe that is full; stderr: a disk that is full.
    let full = ["--interval", "0.1", "--debug", "--workers", "64"];
    let mut full = command(&[&["echo", "--wsuri", ANY_PORT][..], &full].concat());
    full.stderr(
        std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap(),
    );
    let mut program = Program::start_with_own_stderr(&mut full);
    let unread = program.take_stdout();
    // A block of 64 workers has more than 12 KiB: six of them are more than a pipe holds.
    thread::sleep(Duration::from_millis(800));
    check_it_serves_and_ends(program);
    drop(unread);

    // stderr: a pipe that is full already; stdout: closed.
    let (mut unread, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&vec![b'.'; PIPE_LEN]).unwrap();
    let mut stuck = command(&["echo", "--wsuri", ANY_PORT, "--interval", "0.1", "--debug"]);
    stuck.stderr(writer);
    let mut program = Program::start_with_own_stderr(&mut stuck);
    drop(stuck); // and with it our end for writing
    drop(program.take_stdout());
    thread::sleep(Duration::from_millis(300));
    check_it_serves_and_ends(program);
    let mut said = Vec::new();
    unread.read_to_end(&mut said).unwrap();
    assert_eq!(said, vec![b'.'; PIPE_LEN], "there was room after all");
}

/// What a pipe of Linux holds.
const PIPE_LEN: usize = 64 << 10;

fn check_it_serves_and_ends(program: Program) {
    // Each connection is worth a line of the log: more than fit into the queue.
    for round in 0..300 {
        let mut client = Client::open(program.port);
        client.send_text(&format!("round {round}"));
        assert_eq!(client.receive_text(), format!("round {round}"));
        client.close();
    }
    let ended = program.end();
    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.took < Duration::from_secs(3), "{:?}", ended.took);
}

#[test]
fn what_cannot_be_done_is_refused_with_a_helpful_word() {
    for (arguments, word) in [
        (
            &["echo", "--wsuri", "wss://localhost"][..],
            "wss:// is not in this build",
        ),
        (
            &["echo", "--wsuri", "localhost:9000"],
            "expected ws://HOST[:PORT][/PATH]",
        ),
        (
            &["echo", "--max-message-size", "64kB"],
            "such as 1024, 64k, 16M or 1G",
        ),
        (
            &["echo", "--max-message-size", "0"],
            "--max-message-size: from 1 to",
        ),
        (
            &["echo", "--max-frame-size", "124"],
            "--max-frame-size: from 125",
        ),
        (&["echo", "--workers", "0"], "1..=1024"),
        (&["echo", "--wokers", "1"], "--workers"),
        (&["testee"], "server"),
        (&[], "Usage: wirebahn <COMMAND>"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(word), "{arguments:?}: {error}");
    }
    let start = Instant::now();
    let tier = command(&["echo"])
        .env("WIREBAHN_NVX", "abacus")
        .output()
        .unwrap();
    assert_eq!(tier.status.code(), Some(2));
    assert!(
        String::from_utf8(tier.stderr)
            .unwrap()
            .contains("names no tier")
    );
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn help_is_on_stdout() {
    for arguments in [
        &["--help"][..],
        &["echo", "--help"],
        &["testee", "server", "-h"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0));
        assert!(
            String::from_utf8(output.stdout)
                .unwrap()
                .contains("Usage: wirebahn")
        );
    }
}
