//! The program under attack, in a process of its own, and what can be seen of it from outside.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use wirebahn_tests::program;

use crate::cases::eventually;
use crate::peer::Peer;

/// Until the server says that it listens. A debug build on a busy machine is slow to start.
const START_MAX: Duration = Duration::from_secs(60);

/// A server whose descriptors have not changed for this long is at rest.
const REST: Duration = Duration::from_millis(500);

/// What is kept of the server's output for the message of a failing test.
const SAID_MAX: usize = 64 * 1024;

/// Descriptors a test may need, in this process and in the server.
const DESCRIPTORS_WANTED: u64 = 19_000;

/// A running echo server. Killed, by its pid, when dropped.
pub(crate) struct Target {
    child: Child,
    pub(crate) addr: SocketAddr,
    said: Arc<Mutex<String>>,
}

impl Target {
    /// `wirebahn testee server` with more arguments: an echo server for any origin.
    pub(crate) fn testee(args: &[&str]) -> Self {
        Self::start(&["testee", "server"], "ws://127.0.0.1:0", args)
    }

    /// `wirebahn echo` with more arguments.
    pub(crate) fn echo(args: &[&str]) -> Self {
        Self::start(&["echo"], "ws://127.0.0.1:0", args)
    }

    /// A server at a given address, for restarts.
    pub(crate) fn at(addr: SocketAddr) -> Self {
        Self::start(&["testee", "server"], &format!("ws://{addr}"), &[])
    }

    fn start(command: &[&str], wsuri: &str, args: &[&str]) -> Self {
        raise_descriptors();
        let workers = env::var("WIREBAHN_WORKERS").unwrap_or_else(|_| "2".into());
        let driver = env::var("WIREBAHN_DRIVER").unwrap_or_else(|_| "auto".into());
        let mut child = Command::new(program())
            .args(command)
            .args(["--wsuri", wsuri, "--workers", &workers, "--driver", &driver])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{} does not start: {e}", program().display()));
        let said = Arc::new(Mutex::new(String::new()));
        let (found, listening) = mpsc::channel();
        let stdout = child.stdout.take().expect("stdout was piped above");
        let stderr = child.stderr.take().expect("stderr was piped above");
        keep(stdout, Arc::clone(&said), Some(found));
        keep(stderr, Arc::clone(&said), None);
        let addr = listening.recv_timeout(START_MAX);
        let mut target = Self {
            child,
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            said,
        };
        match addr {
            Ok(addr) => target.addr = addr,
            Err(_) => panic!(
                "no line `listening on ws://ADDRESS` came from the server: {}",
                target.describe()
            ),
        }
        target
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name (`TERM`, `STOP`, …) to the server.
    pub(crate) fn signal(&self, name: &str) {
        // The shell's own `kill`: no unsafe, and no program that a small image may lack.
        let status = Command::new("sh")
            .args(["-c", &format!("kill -s {name} {}", self.pid())])
            .status()
            .expect("sh runs");
        assert!(status.success(), "cannot send SIG{name}: {}", self.said());
    }

    /// Waits for the server to end by itself; `None` when it does not within `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                return Some(status);
            }
            if start.elapsed() > limit {
                return None;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills the server without a word, as the kernel would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Memory that the server itself holds, in octets: anonymous and shared pages. Pages
    /// of the program's file are left out, because touching code for the first time is
    /// not growth.
    pub(crate) fn memory(&self) -> u64 {
        let status = self.proc("status");
        let kib = |field: &str| -> u64 {
            let line = status.lines().find_map(|l| l.strip_prefix(field));
            let line = line.unwrap_or_else(|| panic!("no {field} in /proc/PID/status"));
            let digits = line.trim().trim_end_matches("kB").trim();
            digits.parse().expect("a number of kB")
        };
        (kib("RssAnon:") + kib("RssShmem:")) * 1024
    }

    /// Processor time the server has used, user and system.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        // The second field is the name in brackets and may hold anything; count after it.
        let rest = stat.rsplit_once(')').expect("a name in brackets").1;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |n: usize| -> u64 { fields[n].parse().expect("a number of ticks") };
        // utime and stime are fields 14 and 15; USER_HZ is 100 on every Linux.
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    /// Open descriptors of the server.
    pub(crate) fn descriptors(&self) -> usize {
        match fs::read_dir(format!("/proc/{}/fd", self.pid())) {
            Ok(dir) => dir.count(),
            Err(e) => panic!("the server is gone ({e}): {}", self.said()),
        }
    }

    /// Descriptors of the server once they have not changed for a while: what it holds
    /// when it serves nobody. The client sees the end of a connection before the server
    /// has closed it.
    pub(crate) fn at_rest(&self) -> usize {
        let mut count = self.descriptors();
        let mut since = Instant::now();
        while since.elapsed() < REST {
            thread::sleep(Duration::from_millis(20));
            let now = self.descriptors();
            if now != count {
                (count, since) = (now, Instant::now());
            }
        }
        count
    }

    /// Waits until the server holds exactly `count` descriptors.
    pub(crate) fn settles_at(&self, count: usize, limit: Duration) -> Result<(), String> {
        if eventually(limit, || self.descriptors() == count) {
            return Ok(());
        }
        let now = self.descriptors();
        Err(format!("{now} descriptors instead of {count}"))
    }

    /// Limits the server's descriptors while it runs.
    pub(crate) fn limit_descriptors(&self, soft: u64) {
        prlimit(self.pid(), &format!("{soft}:"));
    }

    /// A well-behaved client is served: handshake, echo, closing handshake.
    pub(crate) fn serves(&self) -> Result<(), String> {
        let mut peer = Peer::open(self.addr)?;
        peer.proves_alive()?;
        peer.closes()
    }

    /// What the server has said on stdout and stderr, for messages.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    fn describe(&mut self) -> String {
        let state = match self.child.try_wait() {
            Ok(Some(status)) => format!("it ended with {status}"),
            _ => "it still runs".into(),
        };
        format!("{state}; it said:\n{}", self.said())
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.pid()))
            .unwrap_or_else(|e| panic!("the server is gone ({e}): {}", self.said()))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("the server said:\n{}", self.said());
        }
    }
}

/// Copies what the server says into `said`, and the address from the line that tells it.
fn keep(
    from: impl Read + Send + 'static,
    said: Arc<Mutex<String>>,
    found: Option<mpsc::Sender<SocketAddr>>,
) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { break };
            if let (Some(found), Some(rest)) = (&found, line.strip_prefix("listening on ws://")) {
                let end = rest.find(|c: char| c == '/' || c.is_whitespace());
                if let Ok(addr) = rest[..end.unwrap_or(rest.len())].parse() {
                    let _ = found.send(addr);
                }
            }
            let mut said = said.lock().unwrap();
            if said.len() < SAID_MAX {
                said.push_str(&line);
                said.push('\n');
            }
        }
    });
}

/// Raises this process's soft limit of descriptors once; servers inherit it.
fn raise_descriptors() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let limits = fs::read_to_string("/proc/self/limits").expect("Linux has /proc");
        let line = limits.lines().find(|l| l.starts_with("Max open files"));
        let fields: Vec<&str> = line.expect("a limit of files").split_whitespace().collect();
        let hard: u64 = fields[4].parse().unwrap_or(DESCRIPTORS_WANTED);
        prlimit(
            std::process::id(),
            &format!("{}:", hard.min(DESCRIPTORS_WANTED)),
        );
    });
}

fn prlimit(pid: u32, nofile: &str) {
    let status = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &format!("--nofile={nofile}")])
        .status()
        .expect("prlimit (util-linux) runs");
    assert!(status.success(), "prlimit --nofile={nofile} failed");
}
