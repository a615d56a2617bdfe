//! A program that listens, run as its users run it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::client::PATIENCE;

/// A running program; killed when dropped.
pub(crate) struct Program {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Option<JoinHandle<String>>,
    /// The line that says it listens.
    pub(crate) ready: String,
    pub(crate) port: u16,
}

/// How a program ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// What came after the ready line, if stdout was still read.
    pub(crate) stdout: String,
    /// What stderr got, if it was not redirected.
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Program {
    /// Starts a program and waits until it says on stdout that it listens.
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stderr(Stdio::piped());
        Self::start_with_own_stderr(command)
    }

    /// The same for a command that says where its stderr goes.
    pub(crate) fn start_with_own_stderr(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program could not be started");
        let stderr = child.stderr.take().map(|mut stderr| {
            thread::spawn(move || {
                let mut text = String::new();
                stderr.read_to_string(&mut text).unwrap();
                text
            })
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        stdout.read_line(&mut ready).unwrap();
        let mut program = Self {
            child,
            stdout: Some(stdout),
            stderr,
            ready,
            port: 0,
        };
        program.port = program
            .ready
            .strip_prefix("listening on ws://127.0.0.1:")
            .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next())
            .and_then(|digits| digits.parse().ok())
            .unwrap_or_else(|| panic!("no ready line but {:?}", program.ready));
        program
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -{name} {}", self.child.id()))
            .status()
            .unwrap();
        assert!(sent.success());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The rest of stdout, which is not read from now on.
    pub(crate) fn take_stdout(&mut self) -> BufReader<ChildStdout> {
        self.stdout.take().unwrap()
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn end(self) -> Ended {
        self.signal("TERM");
        self.wait()
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Ended {
        let start = Instant::now();
        // Read while it ends, or it might wait for its reader.
        let stdout = self.stdout.take().map(|mut stdout| {
            thread::spawn(move || {
                let mut text = String::new();
                stdout.read_to_string(&mut text).unwrap();
                text
            })
        });
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(2));
        };
        let text = |reader: Option<JoinHandle<String>>| {
            reader.map_or(String::new(), |reader| reader.join().unwrap())
        };
        Ended {
            status,
            took: start.elapsed(),
            stdout: text(stdout),
            stderr: text(self.stderr.take()),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails when it has ended, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
