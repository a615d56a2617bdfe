//! Runs each example and talks to it.

#[path = "../../cli/tests/support/mod.rs"]
mod support;

use std::env;
use std::io::BufRead;
use std::process::Command;
use std::time::{Duration, Instant};

use support::client::{Client, Frame};
use support::program::Program;

/// Starts an example on a port of the system's choice.
fn start(name: &str, further: &[&str]) -> Program {
    // Cargo builds examples before it runs tests, beside the folder of the tests.
    let test = env::current_exe().unwrap();
    let folder = test.parent().and_then(|deps| deps.parent()).unwrap();
    let example = folder.join("examples").join(name);
    assert!(
        example.exists(),
        "{name} is not built: run all targets, `cargo test -p wirebahn-examples`"
    );
    Program::start(Command::new(example).arg("127.0.0.1:0").args(further))
}

/// Ends an example: they know no orderly end.
fn end(program: Program) {
    program.signal("TERM");
    let ended = program.wait();
    assert_eq!(ended.status.code(), None, "ended by the signal");
    assert_eq!(ended.stderr, "");
}

#[test]
fn echo() {
    let program = start("echo", &[]);
    for origin in ["Origin: null", "Origin: file://"] {
        let mut page = Client::request(program.port, "/", &[origin]).unwrap();
        page.send_text("hello");
        assert_eq!(page.receive_text(), "hello");
        page.send_binary(&[0, 255]);
        assert_eq!(page.receive(), Frame::Binary(vec![0, 255]));
        page.close();
    }
    let foreign = Client::request(program.port, "/", &["Origin: https://example.com"]);
    assert_eq!(foreign.err().unwrap().status, 403);
    end(program);
}

#[test]
fn broadcast() {
    let program = start("broadcast", &[]);
    let mut clients: Vec<Client> = (0..8)
        .map(|_| Client::request(program.port, "/", &["Origin: null"]).unwrap())
        .collect();
    clients[3].send_text("to all");
    for client in &mut clients {
        while client.receive_text() != "to all" {}
        let tick = client.receive_text();
        assert!(tick.starts_with("tick "), "{tick}");
    }
    end(program);
}

#[test]
fn echo_multicore() {
    let mut program = start("echo_multicore", &["2", "1"]);
    let mut client = Client::open(program.port);
    client.send_text("four");
    assert_eq!(client.receive_text(), "four");
    let mut lines = program.take_stdout().lines().map(Result::unwrap);
    for worker in 0..2 {
        let line = lines.next().unwrap();
        assert!(
            line.starts_with(&format!("worker {worker} on processor ")),
            "{line}"
        );
    }
    let reports = [lines.next().unwrap(), lines.next().unwrap()];
    let counted = "1 connected, 1 handshakes, 1 messages of 4 octets";
    assert!(
        reports.iter().any(|line| line.contains(counted)),
        "{reports:?}"
    );
    let idle = "0 connected, 0 handshakes, 0 messages of 0 octets, 0 octets at the wire";
    assert!(
        reports.iter().any(|line| line.ends_with(idle)),
        "{reports:?}"
    );
    client.close();
    end(program);
}

#[test]
fn echo_httpheaders() {
    let program = start("echo_httpheaders", &[]);
    let denied = Client::request(program.port, "/", &[]).err().unwrap();
    assert_eq!(
        (denied.status, denied.body.as_str()),
        (401, "Who are you?\n")
    );
    assert!(
        denied
            .head
            .contains("WWW-Authenticate: Bearer realm=\"echo\"\r\n")
    );
    assert!(denied.head.contains("Server: echo_httpheaders\r\n"));

    let mut numbers = Vec::new();
    for _ in 0..3 {
        let headers = ["Authorization: Bearer let-me-in", "X-Name: Ada"];
        let mut client = Client::request(program.port, "/", &headers).unwrap();
        assert_eq!(client.header("X-Service"), Some("echo"));
        assert_eq!(client.header("Server"), Some("echo_httpheaders"));
        numbers.push(client.header("X-Visitor").unwrap().to_owned());
        assert_eq!(client.receive_text(), "Hello, Ada");
        client.send_text("again");
        assert_eq!(client.receive_text(), "again");
        client.close();
    }
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 3, "each client has its own: {numbers:?}");
    end(program);
}

#[test]
fn multiproto() {
    let program = start("multiproto", &[]);
    let ask = |path: &str, headers: &[&str]| {
        let mut client = Client::request(program.port, path, headers).unwrap();
        client.send_text("straße");
        let chosen = client.header("Sec-WebSocket-Protocol").map(str::to_owned);
        (client.receive_text(), chosen)
    };
    assert_eq!(ask("/echo", &[]), ("straße".to_owned(), None));
    assert_eq!(ask("/shout", &[]), ("STRASSE".to_owned(), None));
    assert_eq!(ask("/count?unit=octet", &[]), ("7".to_owned(), None));
    let offer = ["Sec-WebSocket-Protocol: other, count.v1"];
    assert_eq!(
        ask("/", &offer),
        ("7".to_owned(), Some("count.v1".to_owned()))
    );
    let unknown = ["Sec-WebSocket-Protocol: other"];
    assert_eq!(ask("/echo", &unknown), ("straße".to_owned(), None));
    let nowhere = Client::request(program.port, "/", &unknown).err().unwrap();
    assert_eq!(nowhere.status, 404);
    assert_eq!(nowhere.body, "There are /echo, /shout and /count.\n");

    let mut client = Client::request(program.port, "/shout", &[]).unwrap();
    client.send_binary(b"psst");
    assert_eq!(
        client.receive(),
        Frame::Close(1003, "only text can be shouted".to_owned())
    );
    end(program);
}

#[test]
fn slowsquare() {
    let program = start("slowsquare", &[]);
    let mut client = Client::open(program.port);
    let mut other = Client::open(program.port);
    let start = Instant::now();
    for number in ["3", " -1.5 ", "1e3"] {
        client.send_text(number);
    }
    // The work takes a second; meanwhile the loop answers everybody.
    client.send_text("three");
    assert_eq!(client.receive_text(), "not a number");
    client.send(0x89, b"");
    assert_eq!(client.receive(), Frame::Pong(Vec::new()));
    for wrong in ["inf", "NaN", ""] {
        other.send_text(wrong);
        assert_eq!(other.receive_text(), "not a number");
    }
    assert!(start.elapsed() < Duration::from_secs(1), "somebody waited");
    let mut squares: Vec<String> = (0..3).map(|_| client.receive_text()).collect();
    squares.sort_unstable();
    assert_eq!(squares, ["1000000", "2.25", "9"]);
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "squares are hard"
    );
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "one after the other"
    );

    // More than the calculators and the queue take: the rest is told so at once.
    for _ in 0..200 {
        client.send_text("2");
    }
    assert_eq!(client.receive_text(), "busy, try again later");
    end(program);
}
