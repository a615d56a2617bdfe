//! Plays a scenario against servers and prints tables; `bench/run` builds and calls it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use wirebahn_bench::measure::machine::Machine;
use wirebahn_bench::play::{Places, Play, Scenario, ServerEntry, ServerRole, tables};

/// Plays a scenario against servers in interleaved rounds: prints medians and ratios.
#[derive(Parser)]
#[command(name = "bench/run", version)]
struct Program {
    /// A scenario: a file, or the name of one in bench/scenarios
    #[arg(default_value = "grid")]
    scenario: String,
    /// Only points whose name contains this; several times for several
    #[arg(long, short)]
    point: Vec<String>,
    /// Only these servers of bench/servers.toml, such as wirebahn,raw-epoll,uws
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// A further server, as NAME=COMMAND; {address}, {host} and {port} say where to listen
    #[arg(long, value_name = "NAME=COMMAND")]
    server: Vec<String>,
    /// Rounds at every point
    #[arg(long, short, default_value_t = 5)]
    rounds: usize,
    /// Seconds to measure, instead of what the scenario says
    #[arg(long)]
    seconds: Option<f64>,
    /// Processor of the servers
    #[arg(long, default_value_t = 0)]
    server_processor: usize,
    /// Processor of the load
    #[arg(long, default_value_t = 1)]
    load_processor: usize,
    /// Append every run to this file; the folder bench/record is for those worth keeping
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Write the tables to this file too, between its lines <!-- table --> and <!-- /table -->
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
    /// Build or install nothing; servers that are not there are left out
    #[arg(long)]
    no_build: bool,
}

fn main() -> ExitCode {
    match Program::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "bench/run: {error}");
            ExitCode::from(2)
        }
    }
}

impl Program {
    fn run(self) -> io::Result<()> {
        let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = bench.parent().unwrap_or(bench).to_owned();
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
        let places = Places { root, target };
        let path = if Path::new(&self.scenario).is_file() {
            PathBuf::from(&self.scenario)
        } else {
            bench
                .join("scenarios")
                .join(format!("{}.toml", self.scenario))
        };
        let scenario = Scenario::read(&path)?;
        let mut points = scenario.points();
        points.retain(|point| {
            self.point.is_empty() || self.point.iter().any(|part| point.name.contains(part))
        });
        for point in &mut points {
            point.seconds = self.seconds.unwrap_or(point.seconds);
        }
        if points.is_empty() {
            return Err(io::Error::other("no point of the scenario has such a name"));
        }
        let servers = self.servers(bench, &places)?;
        let mut out = io::stdout();
        let machine = Machine::here();
        writeln!(out, "{} — {}\n", path.display(), scenario.about)?;
        writeln!(
            out,
            "{}, Linux {}, {} UTC",
            machine.processor, machine.kernel, machine.date
        )?;
        for server in &servers {
            writeln!(
                out,
                "- {}: {} (`{}`)",
                server.name, server.about, server.run
            )?;
        }
        writeln!(out)?;
        let play = Play {
            name: path
                .file_stem()
                .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
            points,
            servers,
            rounds: self.rounds,
            server_processor: self.server_processor,
            load_processor: self.load_processor,
            places,
            record: self.record.clone(),
        };
        let record = play.run()?;
        let text = tables(&record);
        writeln!(out, "{text}")?;
        if let Some(path) = &self.into {
            let caption = format!(
                "{}, Linux {}, {} UTC, commit {}; {} rounds.\n\n",
                machine.processor, machine.kernel, machine.date, machine.commit, self.rounds
            );
            insert(path, &(caption + &text))?;
        }
        Ok(())
    }

    /// The servers to play against; those that cannot be built are said and left out.
    fn servers(&self, bench: &Path, places: &Places) -> io::Result<Vec<ServerEntry>> {
        let mut servers = ServerEntry::read_all(&bench.join("servers.toml"))?;
        if let Some(unknown) = self
            .only
            .iter()
            .find(|name| !servers.iter().any(|server| &server.name == *name))
        {
            let names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
            return Err(io::Error::other(format!(
                "no server {unknown}; there are {}",
                names.join(", ")
            )));
        }
        servers.retain(|server| self.only.is_empty() || self.only.contains(&server.name));
        for text in &self.server {
            servers.push(
                ServerEntry::parse(text)
                    .ok_or_else(|| io::Error::other(format!("{text}: write NAME=COMMAND")))?,
            );
        }
        let mut usable = Vec::new();
        for server in servers {
            let built = if self.no_build {
                Ok(())
            } else {
                server.build(places)
            };
            let started =
                built.and_then(|()| server.start(places, self.server_processor).map(drop));
            match started {
                Ok(()) => usable.push(server),
                Err(error) if server.role == ServerRole::Ours => return Err(error),
                Err(error) => writeln!(io::stderr(), "left out: {error}")?,
            }
        }
        Ok(usable)
    }
}

/// Replaces what stands between the two marks of a file.
fn insert(path: &Path, text: &str) -> io::Result<()> {
    const BEGIN: &str = "<!-- table -->";
    const END: &str = "<!-- /table -->";
    let old = std::fs::read_to_string(path)?;
    let marks = old
        .split_once(BEGIN)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = marks else {
        return Err(io::Error::other(format!(
            "{}: no {BEGIN} … {END}",
            path.display()
        )));
    };
    std::fs::write(path, format!("{before}{BEGIN}\n{text}\n{END}{after}"))
}
