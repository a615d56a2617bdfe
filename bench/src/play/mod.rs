//! Plays a scenario against servers, in interleaved rounds.
//!
//! The machine changes under a measurement: its clock, its neighbours, its caches. So at every
//! point all servers run one after the other, and then again, each round beginning with another
//! one; what is compared is compared within a round. Each run has a server process of its own,
//! pinned to one processor, with the load on another.

mod record;
mod scenario;
mod server;
mod table;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

pub use record::{Record, Row};
pub use scenario::{Point, Scenario};
pub use server::{Places, Running, ServerEntry, ServerRole};
pub use table::{Cell, tables};

use crate::load::{EchoPlan, Report, Target};
use crate::measure::machine::Machine;

/// How to play.
#[derive(Debug, Clone)]
pub struct Play {
    /// Its name, for the record.
    pub name: String,
    /// The points.
    pub points: Vec<Point>,
    /// The servers, in the order of the tables.
    pub servers: Vec<ServerEntry>,
    /// Rounds at each point.
    pub rounds: usize,
    /// Processor of the servers.
    pub server_processor: usize,
    /// Processor of the load.
    pub load_processor: usize,
    /// Where things are.
    pub places: Places,
    /// The file every run is written to as it ends.
    pub record: Option<PathBuf>,
}

impl Play {
    /// Plays all rounds. A server that fails at a point is reported and has no figure there.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn run(&self) -> io::Result<Record> {
        let mut record = Record::new(self.name.clone(), Machine::here());
        for point in &self.points {
            for round in 0..self.rounds {
                for turn in 0..self.servers.len() {
                    let server = &self.servers[(turn + round) % self.servers.len()];
                    let row = match self.run_one(point, server) {
                        Ok(report) => Row::new(point, server, round, &report),
                        Err(error) => {
                            writeln!(io::stderr(), "{}: {}: {error}", point.name, server.name)?;
                            continue;
                        }
                    };
                    writeln!(io::stderr(), "{row}")?;
                    if let Some(path) = &self.record {
                        record.append_to(path, &row)?;
                    }
                    record.rows.push(row);
                }
            }
        }
        Ok(record)
    }

    fn run_one(&self, point: &Point, server: &ServerEntry) -> io::Result<Report> {
        let running = server.start(&self.places, self.server_processor)?;
        let scheme = match server.role {
            ServerRole::Limit => "tcp",
            ServerRole::Ours | ServerRole::Peer => "ws",
        };
        let target = Target::parse(&format!("{scheme}://{}", running.address()))
            .map_err(io::Error::other)?;
        EchoPlan {
            connections: point.connections,
            sizes: point.sizes.clone(),
            content: point.content,
            depth: point.depth,
            rate: point.rate,
            fragment: point.fragment,
            warmup: Duration::from_secs_f64(point.warmup),
            duration: Duration::from_secs_f64(point.seconds),
            seed: point.seed,
            processors: vec![self.load_processor],
            pid: Some(running.pid()),
            quiet: true,
            ..EchoPlan::new(target)
        }
        .run()
    }
}
