//! The servers beside one another: how each is built, started on a processor of its own, and
//! ended.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::load::pin;

/// How long a server may take until it accepts connections.
const START_TIMEOUT: Duration = Duration::from_secs(15);

/// A server to play against.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerEntry {
    /// How tables call it.
    pub name: String,
    /// What it is to us.
    pub role: ServerRole,
    /// What it was told to do and what it was not.
    pub about: String,
    /// The command that builds or installs it. Default: there is nothing to build.
    #[serde(default)]
    pub build: String,
    /// The command that starts it. `{address}`, `{host}` and `{port}` are where to listen,
    /// `{root}` is the root of the repository, `{target}` the folder of what was built.
    pub run: String,
    /// The command that starts it as a server that sends every message to everyone. Default: it
    /// has none.
    #[serde(default)]
    pub broadcast: Option<String>,
}

/// What a server is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerRole {
    /// The engine this bench belongs to.
    Ours,
    /// A WebSocket server of others.
    Peer,
    /// No WebSocket: the least that any server must do.
    Limit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entries {
    server: Vec<ServerEntry>,
}

impl ServerEntry {
    /// Reads a list of them.
    ///
    /// # Errors
    /// The file is not there, or not such a list.
    pub fn read_all(path: &Path) -> io::Result<Vec<Self>> {
        let failed = |error: &dyn std::fmt::Display| {
            io::Error::other(format!("{}: {error}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
        let entries: Entries = toml::from_str(&text).map_err(|error| failed(&error))?;
        Ok(entries.server)
    }

    /// One given as `NAME=COMMAND`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, run) = text.split_once('=')?;
        (!name.is_empty() && !run.is_empty()).then(|| Self {
            name: name.to_owned(),
            role: ServerRole::Peer,
            about: "as given on the command line".to_owned(),
            build: String::new(),
            run: run.to_owned(),
            broadcast: None,
        })
    }

    /// Builds or installs it.
    ///
    /// # Errors
    /// The command failed; what it printed is part of the message.
    pub fn build(&self, places: &Places) -> io::Result<()> {
        if self.build.is_empty() {
            return Ok(());
        }
        let output = Command::new("sh")
            .arg("-c")
            .arg(places.fill(&self.build, None))
            .current_dir(&places.root)
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<&str> = text.lines().rev().take(5).collect();
        Err(io::Error::other(format!(
            "{}: {}: {}",
            self.name,
            output.status,
            tail.into_iter().rev().collect::<Vec<_>>().join(" | ")
        )))
    }

    /// Starts it on a processor, as an echo, and waits until it accepts connections.
    ///
    /// # Errors
    /// It cannot be started, ends at once, or does not listen in time.
    pub fn start(&self, places: &Places, processor: usize) -> io::Result<Running> {
        self.start_with(&self.run, places, processor)
    }

    /// Starts it with a command, which is one of its own.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(
        &self,
        command: &str,
        places: &Places,
        processor: usize,
    ) -> io::Result<Running> {
        // A port that was free a moment ago; the servers are started one at a time.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let command = format!("exec {}", places.fill(command, Some(address)));
        let root = places.root.clone();
        // The child inherits the processor of the thread that starts it.
        let child = thread::spawn(move || {
            pin(processor)?;
            Command::new("sh")
                .arg("-c")
                .arg(command)
                .current_dir(root)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
        })
        .join()
        .map_err(|_| io::Error::other("the starting thread panicked"))??;
        let mut running = Running { child, address };
        running
            .await_listening()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.name)))?;
        Ok(running)
    }
}

/// Where things are.
#[derive(Debug, Clone)]
pub struct Places {
    /// The root of the repository.
    pub root: PathBuf,
    /// What cargo builds.
    pub target: PathBuf,
}

impl Places {
    fn fill(&self, command: &str, address: Option<SocketAddr>) -> String {
        let mut command = command
            .replace("{root}", &self.root.to_string_lossy())
            .replace("{target}", &self.target.to_string_lossy());
        if let Some(address) = address {
            command = command
                .replace("{address}", &address.to_string())
                .replace("{host}", &address.ip().to_string())
                .replace("{port}", &address.port().to_string());
        }
        command
    }
}

/// A server that runs; it is ended when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn await_listening(&mut self) -> io::Result<()> {
        let until = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("ended at once with {status}")));
            }
            match TcpStream::connect_timeout(&self.address, Duration::from_secs(1)) {
                Ok(_) => return Ok(()),
                Err(_) if Instant::now() < until => thread::sleep(Duration::from_millis(20)),
                Err(_) => return Err(ErrorKind::TimedOut.into()),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_the_command_line_has_a_name_and_a_command() {
        let entry = ServerEntry::parse("uws=./echo {port} --a=b").unwrap();
        assert_eq!(
            (entry.name.as_str(), entry.run.as_str()),
            ("uws", "./echo {port} --a=b")
        );
        assert!(ServerEntry::parse("uws").is_none() && ServerEntry::parse("=x").is_none());
    }

    #[test]
    fn our_list_can_be_read_and_has_us_and_a_limit() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers.toml");
        let entries = ServerEntry::read_all(&path).unwrap();
        for role in [ServerRole::Ours, ServerRole::Peer, ServerRole::Limit] {
            assert!(entries.iter().any(|entry| entry.role == role), "{role:?}");
        }
    }

    #[test]
    fn a_server_that_does_not_start_is_reported() {
        let places = Places {
            root: "/".into(),
            target: "/".into(),
        };
        let entry = ServerEntry::parse("none=false {port}").unwrap();
        let error = entry.start(&places, first_processor()).unwrap_err();
        assert!(error.to_string().contains("none: ended at once"), "{error}");
    }

    fn first_processor() -> usize {
        core_affinity::get_core_ids().unwrap()[0].id
    }
}
