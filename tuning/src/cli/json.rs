//! Reports for programs. The schemas are named in the output and described in
//! `docs/TUNING.md`; a field may be added within a schema, never changed or
//! taken away.

use std::io::{self, Write};

use serde::Serialize;

use crate::{Finding, Load, Report, Severity, Summary, pin::Thread, plan::Plan};

#[derive(Serialize)]
struct Check<'a> {
    schema: &'static str,
    load: &'a Load,
    machine: &'a Summary,
    summary: Counts,
    exit_status: u8,
    findings: &'a [Finding],
}

#[derive(Serialize)]
struct Counts {
    limits: usize,
    advice: usize,
    unknown: usize,
    fine: usize,
}

pub(super) fn check(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    print(
        &Check {
            schema: "wirebahn-tune-check/1",
            load: &report.load,
            machine: &report.machine,
            summary: Counts {
                limits: report.count(Severity::Limits),
                advice: report.count(Severity::Advice),
                unknown: report.count(Severity::Unknown),
                fine: report.count(Severity::Fine),
            },
            exit_status: report.exit_status(),
            findings: &report.findings,
        },
        out,
    )
}

#[derive(Serialize)]
struct Planned<'a> {
    schema: &'static str,
    #[serde(flatten)]
    plan: &'a Plan,
}

pub(super) fn plan(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
    print(
        &Planned {
            schema: "wirebahn-tune-plan/1",
            plan,
        },
        out,
    )
}

#[derive(Serialize)]
struct Pin<'a> {
    schema: &'static str,
    placed: bool,
    threads: &'a [Thread],
    errors: &'a [String],
}

pub(super) fn pin(threads: &[Thread], errors: &[String], out: &mut dyn Write) -> io::Result<()> {
    print(
        &Pin {
            schema: "wirebahn-tune-pin/1",
            placed: threads.iter().all(Thread::placed),
            threads,
            errors,
        },
        out,
    )
}

fn print(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}
