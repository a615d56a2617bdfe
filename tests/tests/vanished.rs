//! Peers that vanish without a word: their network is gone, so neither FIN nor reset ever comes.
//! Two network namespaces of the test's own, a wire between them, and the wire is cut.
//!
//! Needs root, `ip`, and a system that lets it make namespaces; elsewhere the test says so and
//! cuts nothing.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use wirebahn_tests::program;

const PEERS: usize = 20;

/// A ping after 20 s of silence, then 20 s for anything to come; the rest is for busy machines.
const FOUND_MAX: Duration = Duration::from_secs(60);

/// Two namespaces, gone when dropped: the server's, 10.77.0.1, and the peers', 10.77.0.2.
struct Hosts {
    server: String,
    peers: String,
}

impl Hosts {
    fn new() -> Option<Self> {
        let id = std::process::id();
        let hosts = Self {
            server: format!("wirebahn-s{id}"),
            peers: format!("wirebahn-p{id}"),
        };
        let (server, peers) = (hosts.server.as_str(), hosts.peers.as_str());
        let made = ip(&["netns", "add", server])
            && ip(&["netns", "add", peers])
            && ip(&[
                "-n", server, "link", "add", "wire", "type", "veth", "peer", "name", "wire",
                "netns", peers,
            ])
            && ip(&["-n", server, "addr", "add", "10.77.0.1/24", "dev", "wire"])
            && ip(&["-n", peers, "addr", "add", "10.77.0.2/24", "dev", "wire"])
            && ip(&["-n", server, "link", "set", "wire", "up"])
            && ip(&["-n", peers, "link", "set", "wire", "up"]);
        made.then_some(hosts) // dropped, and so undone, if only a part could be made
    }

    fn run(host: &str, args: &[&str]) -> Child {
        Command::new("ip")
            .args(["netns", "exec", host])
            .arg(program())
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("`ip` has just worked")
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.server]);
        ip(&["netns", "del", &self.peers]);
    }
}

fn ip(args: &[&str]) -> bool {
    let outcome = Command::new("ip").args(args).stderr(Stdio::null()).status();
    outcome.is_ok_and(|status| status.success())
}

/// `ip netns exec` becomes the program, so its pid is the program's.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn descriptors(child: &Killed) -> usize {
    fs::read_dir(format!("/proc/{}/fd", child.0.id())).map_or(0, Iterator::count)
}

fn eventually(what: &str, most: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < most, "{what}: not within {most:?}");
        thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}

#[test]
fn peers_whose_network_is_gone_are_found() {
    let Some(hosts) = Hosts::new() else {
        println!("no network namespaces here: NOTHING WAS CUT");
        return;
    };
    let args = [
        "echo",
        "--wsuri",
        "ws://10.77.0.1:9000",
        "--workers",
        "2",
        "--silence",
    ];
    let mut server = Killed(Hosts::run(&hosts.server, &args));
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().expect("it is piped"))
        .read_line(&mut line)
        .expect("the server says where it listens");
    assert!(line.contains("listening on"), "{line:?}");
    let before = descriptors(&server);

    let count = PEERS.to_string();
    let uri = "ws://10.77.0.1:9000";
    let peers = Killed(Hosts::run(
        &hosts.peers,
        &["load", "connect", uri, "-c", &count, "--hold", "300", "-q"],
    ));
    eventually("all are open", FOUND_MAX, || {
        descriptors(&server) == before + PEERS
    });
    // Before they vanish they are heard of: idle peers that answer pings stay.
    thread::sleep(Duration::from_secs(22));
    assert_eq!(
        descriptors(&server),
        before + PEERS,
        "idle peers that answer pings were cut"
    );

    assert!(
        ip(&["-n", &hosts.peers, "link", "set", "wire", "down"]),
        "the wire is cut"
    );
    drop(peers); // what it may still say does not get through
    let took = eventually("the vanished are found", FOUND_MAX, || {
        descriptors(&server) == before
    });
    println!("{PEERS} vanished peers were found within {took:?}");
    assert!(
        took > Duration::from_secs(10),
        "they were cut for something else"
    );
}
