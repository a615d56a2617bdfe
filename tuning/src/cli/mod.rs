//! `wirebahn tune`: the command line over the library. Parses, calls, prints;
//! decides nothing.

mod args;
mod human;
mod json;

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

pub use args::{
    ApplyArgs, CheckArgs, ExplainArgs, LoadArgs, PinArgs, PlanArgs, TuneArgs, TuneCommand, UndoArgs,
};
use human::Style;

use crate::{
    apply, check::check_process, explain, machine::Machine, pin, plan, root::Root, similar,
    topology::parse_list,
};

/// Everything is as it should be.
const FINE: u8 = 0;
/// A finding limits the stated load, or not everything went as planned.
const FOUND: u8 = 1;
/// The command line makes no sense.
const USAGE: u8 = 2;
/// What is essential could not be read, or could not be done.
const FAILED: u8 = 3;

/// Runs a command with the standard streams; the exit status is that of the
/// help text: 0 fine, 1 findings, 2 usage, 3 essentials not read or not done.
pub fn run(args: &TuneArgs) -> ExitCode {
    let machine = match &args.root {
        Some(dir) => Machine::at(Root::new(dir)),
        None => Machine::host(),
    };
    let stdout = io::stdout();
    let style = Style::of_environment(stdout.is_terminal());
    let status = run_on(
        &machine,
        &args.command,
        style,
        &mut stdout.lock(),
        &mut io::stderr().lock(),
    );
    ExitCode::from(status)
}

/// As [`run`], with a machine and streams of one's own.
fn run_on(
    machine: &Machine,
    command: &TuneCommand,
    style: Style,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let result = match command {
        TuneCommand::Check(args) => check(machine, args, style, out),
        TuneCommand::Plan(args) => plan(machine, args, style, out),
        TuneCommand::Apply(args) => carry_out(machine, args, style, out),
        TuneCommand::Undo(args) => take_back(machine, args, out),
        TuneCommand::Pin(args) => place(machine, args, style, out),
        TuneCommand::Explain(args) => tell(args, style, out),
    };
    match result {
        Ok(status) => status,
        // Whoever read our output has seen enough: not a failure of ours.
        Err(Stop::Io(e)) if e.kind() == io::ErrorKind::BrokenPipe => FINE,
        Err(Stop::Io(e)) => {
            let _ = writeln!(err, "error: {e}");
            FAILED
        }
        Err(Stop::Said(status, text)) => {
            let _ = writeln!(err, "error: {text}");
            status
        }
    }
}

/// Why a command ends early.
enum Stop {
    /// Output could not be written.
    Io(io::Error),
    /// This status, and this to be said.
    Said(u8, String),
}

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Stop {
        Stop::Io(e)
    }
}

fn failed(e: impl Into<Box<dyn std::error::Error>>) -> Stop {
    Stop::Said(FAILED, e.into().to_string())
}

fn check(
    machine: &Machine,
    args: &CheckArgs,
    style: Style,
    out: &mut dyn Write,
) -> Result<u8, Stop> {
    if let Some(pid) = args.pid
        && !machine.root().exists(&format!("proc/{pid}"))
    {
        return Err(failed(format!("there is no process {pid}")));
    }
    let report = check_process(machine, &args.load.load(), args.pid);
    if args.json {
        json::check(&report, out)?;
    } else {
        human::check(&report, args.verbose, style, out)?;
    }
    Ok(report.exit_status())
}

/// The plan that `plan` prints and `apply` carries out.
fn planned(machine: &Machine, args: &PlanArgs) -> Result<plan::Plan, Stop> {
    let report = check_process(machine, &args.load.load(), None);
    plan::plan(machine, &report, &args.options()).map_err(|e| Stop::Said(USAGE, e.to_string()))
}

fn plan(machine: &Machine, args: &PlanArgs, style: Style, out: &mut dyn Write) -> Result<u8, Stop> {
    let plan = planned(machine, args)?;
    if args.json {
        json::plan(&plan, out)?;
    } else {
        let would = apply::dry_run(machine.root(), &plan).map_err(failed)?;
        human::applied(&would, &plan.notes, true, style, out)?;
    }
    Ok(FINE)
}

fn carry_out(
    machine: &Machine,
    args: &ApplyArgs,
    style: Style,
    out: &mut dyn Write,
) -> Result<u8, Stop> {
    let plan = planned(machine, &args.plan)?;
    if args.dry_run {
        let would = apply::dry_run(machine.root(), &plan).map_err(failed)?;
        human::applied(&would, &plan.notes, true, style, out)?;
        return Ok(FINE);
    }
    root_only(machine)?;
    let applied = apply::apply(machine.root(), &plan).map_err(failed)?;
    human::applied(&applied, &plan.notes, false, style, out)?;
    Ok(if applied.complete() { FINE } else { FOUND })
}

/// On the machine itself only root can write what a plan writes: better said
/// at once than at the first file. In another tree its owner decides.
fn root_only(machine: &Machine) -> Result<(), Stop> {
    if machine.root().is_host() && !machine.probe().is_root() {
        return Err(failed("this changes the machine and needs root"));
    }
    Ok(())
}

fn take_back(machine: &Machine, args: &UndoArgs, out: &mut dyn Write) -> Result<u8, Stop> {
    root_only(machine)?;
    let mut status = FINE;
    // Bounded: each round removes a journal or ends the loop.
    for round in 0..=apply::JOURNALS_MAX {
        match apply::undo(machine.root(), args.force) {
            Ok(undone) => {
                human::undone(&undone, out)?;
                if !undone.conflicts.is_empty() {
                    status = FOUND;
                    break;
                }
            }
            Err(apply::ApplyError::Nothing) if round > 0 => break,
            Err(e) => return Err(failed(e)),
        }
        if !args.all {
            break;
        }
    }
    Ok(status)
}

fn place(machine: &Machine, args: &PinArgs, style: Style, out: &mut dyn Write) -> Result<u8, Stop> {
    let cpus: Option<BTreeSet<u32>> = match &args.cpus {
        None => None,
        Some(list) => Some(
            parse_list(list)
                .ok()
                .filter(|cpus| !cpus.is_empty())
                .ok_or_else(|| Stop::Said(USAGE, format!("{list:?} is not a list of CPUs")))?,
        ),
    };
    let mut threads = pin::threads(machine, args.pid, cpus.as_ref()).map_err(failed)?;
    let mut errors = Vec::new();
    if args.set {
        for (tid, result) in pin::set(machine, &threads) {
            if let Err(e) = result {
                errors.push(format!("thread {tid}: {e}"));
            }
        }
        // What is shown afterwards is what the kernel says, not what we asked.
        let planned = threads;
        threads = pin::threads(machine, args.pid, cpus.as_ref()).map_err(failed)?;
        for thread in &mut threads {
            thread.planned = planned
                .iter()
                .find(|it| it.tid == thread.tid)
                .and_then(|it| it.planned);
        }
    }
    if args.json {
        json::pin(&threads, &errors, out)?;
    } else {
        human::pin(&threads, &errors, args.set, style, out)?;
    }
    let placed = errors.is_empty() && threads.iter().all(pin::Thread::placed);
    Ok(if placed { FINE } else { FOUND })
}

fn tell(args: &ExplainArgs, style: Style, out: &mut dyn Write) -> Result<u8, Stop> {
    let Some(key) = &args.key else {
        human::keys(out)?;
        return Ok(FINE);
    };
    match explain(key) {
        Some(it) => {
            human::explanation(it, style, out)?;
            Ok(FINE)
        }
        None => {
            let near = similar(key);
            let mut text = format!("nothing is known of {key:?}");
            if near.is_empty() {
                text.push_str("; `wirebahn tune explain` lists every key");
            } else {
                text.push_str(&format!("; did you mean {}?", near.join(", ")));
            }
            Err(Stop::Said(USAGE, text))
        }
    }
}

#[cfg(test)]
mod tests;
