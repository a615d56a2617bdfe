//! Counts the instructions of the hot paths under callgrind, and compares with what was recorded.
//!
//! A count does not depend on the machine's load, so it shows a change of a few instructions where
//! a time shows noise. It does depend on the compiler and on which vector instructions are used:
//! AVX2 here, the widest that callgrind knows. It reports and judges nothing.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};
use wirebahn_bench::hot::paths;

/// Instructions of the hot paths.
#[derive(Parser)]
#[command(name = "hot-paths", version)]
struct Program {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Go a path so many times: what callgrind watches
    Run {
        /// Its name
        path: String,
        /// How often
        times: u64,
    },
    /// Count all paths and compare with the record
    Count {
        /// The record
        #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/record/instructions.csv"))]
        record: PathBuf,
        /// Write what was counted into the record
        #[arg(long)]
        update: bool,
    },
}

/// The difference of two runs is what remains when start and end of the process cancel out.
const TIMES: [u64; 2] = [200, 1200];

/// A difference below this, in percent, is that of another layout of the same code.
const NOTABLE: f64 = 1.0;

fn main() -> ExitCode {
    let result = match Program::parse().command {
        What::Run { path, times } => run(&path, times),
        What::Count { record, update } => count(&record, update),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "hot-paths: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(name: &str, times: u64) -> io::Result<()> {
    let path = paths()
        .into_iter()
        .find(|path| path.name == name)
        .ok_or_else(|| io::Error::other(format!("there is no path {name}")))?;
    let mut run = path.runner();
    for _ in 0..times {
        run();
    }
    Ok(())
}

fn count(record: &Path, update: bool) -> io::Result<()> {
    let known = read(record)?;
    let mut out = io::stdout();
    let mut counted = Vec::new();
    writeln!(out, "| path | instructions each | recorded | difference |")?;
    writeln!(out, "| --- | ---: | ---: | ---: |")?;
    for path in paths() {
        let [few, many] = TIMES.map(|times| instructions(path.name, times));
        let more = (TIMES[1] - TIMES[0]) * path.units;
        let each = many?.saturating_sub(few?) as f64 / more as f64;
        let (before, difference) = match known.get(path.name) {
            None => ("–".to_owned(), "new".to_owned()),
            Some(&before) => {
                let percent = (each / before - 1.0) * 100.0;
                let mark = if percent.abs() >= NOTABLE { " !" } else { "" };
                (format!("{before:.1}"), format!("{percent:+.1} %{mark}"))
            }
        };
        writeln!(
            out,
            "| {} | {each:.1} | {before} | {difference} |",
            path.name
        )?;
        counted.push((path.name, each));
    }
    if update {
        let lines: Vec<String> = counted
            .iter()
            .map(|(name, each)| format!("{name};{each:.1}"))
            .collect();
        std::fs::write(
            record,
            format!("path;instructions each\n{}\n", lines.join("\n")),
        )?;
    }
    Ok(())
}

/// What callgrind counts over a whole process.
fn instructions(name: &str, times: u64) -> io::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["run", name])
        .arg(times.to_string())
        .env("WIREBAHN_NVX", "avx2")
        .output()
        .map_err(|error| io::Error::other(format!("valgrind: {error}")))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(io::Error::other(format!("{name}: {text}")));
    }
    text.lines()
        .find_map(|line| line.split_once("Collected : "))
        .and_then(|(_, number)| number.trim().parse().ok())
        .ok_or_else(|| io::Error::other(format!("{name}: callgrind counted nothing: {text}")))
}

fn read(record: &Path) -> io::Result<BTreeMap<String, f64>> {
    let text = match std::fs::read_to_string(record) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    Ok(text
        .lines()
        .skip(1)
        .filter_map(|line| {
            let (name, each) = line.split_once(';')?;
            Some((name.to_owned(), each.parse().ok()?))
        })
        .collect())
}
