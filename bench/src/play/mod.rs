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
pub use scenario::{Point, Scenario, Test};
pub use server::{Places, Running, ServerEntry, ServerRole};
pub use table::{Cell, tables};

use crate::load::{BroadcastPlan, ConnectPlan, EchoPlan, Target, WsperfPlan};
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
                    let row = match self.run_one(point, server, round) {
                        Ok(Some(row)) => row,
                        Ok(None) => continue,
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

    /// One run; none if the server has no such test.
    fn run_one(
        &self,
        point: &Point,
        server: &ServerEntry,
        round: usize,
    ) -> io::Result<Option<Row>> {
        let limit = server.role == ServerRole::Limit;
        let command = match point.test {
            Test::Broadcast => server.broadcast.as_ref(),
            Test::Handshake if limit => None,
            Test::Echo | Test::Handshake | Test::Idle => Some(&server.run),
        };
        let Some(command) = command else {
            return Ok(None);
        };
        let running = server.start_with(command, &self.places, self.server_processor)?;
        let scheme = if limit { "tcp" } else { "ws" };
        let target = Target::parse(&format!("{scheme}://{}", running.address()))
            .map_err(io::Error::other)?;
        let processors = vec![self.load_processor];
        let pid = Some(running.pid());
        let (warmup, duration) = (
            Duration::from_secs_f64(point.warmup),
            Duration::from_secs_f64(point.seconds),
        );
        let report = match point.test {
            Test::Echo => EchoPlan {
                connections: point.connections,
                sizes: point.sizes.clone(),
                content: point.content,
                depth: point.depth,
                rate: point.rate,
                fragment: point.fragment,
                warmup,
                duration,
                seed: point.seed,
                processors,
                pid,
                quiet: true,
                ..EchoPlan::new(target)
            }
            .run()?,
            Test::Broadcast => BroadcastPlan {
                subscribers: point.connections,
                sizes: point.sizes.clone(),
                content: point.content,
                depth: point.depth,
                foreign: Some("tick ".to_owned()), // ours has one a second, as its model has
                warmup,
                duration,
                seed: point.seed,
                processors,
                pid,
                quiet: true,
                ..BroadcastPlan::new(target)
            }
            .run()?,
            Test::Idle => ConnectPlan {
                connections: point.connections,
                hold: duration,
                processors,
                pid,
                quiet: true,
                ..ConnectPlan::new(target)
            }
            .run()?,
            Test::Handshake => {
                let report = WsperfPlan {
                    processors,
                    pid,
                    quiet: true,
                    // In flight as many as a point has in flight on a connection.
                    ..WsperfPlan::new(target, 1, point.connections, point.depth, point.depth * 2)
                }
                .run()?;
                return Ok(Some(Row::of_handshakes(point, server, round, &report)));
            }
        };
        Ok(Some(Row::new(point, server, round, &report)))
    }
}
