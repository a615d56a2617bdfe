//! What was measured, run by run, as it is kept: comma-separated values, one line a run, each with
//! machine, kernel and date.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use super::{Point, ServerEntry, ServerRole};
use crate::load::{Aggregate, Report, WsperfReport};
use crate::measure::machine::Machine;

/// All runs of a play.
#[derive(Debug, Clone)]
pub struct Record {
    /// Of the scenario.
    pub name: String,
    /// Where and when.
    pub machine: Machine,
    /// The runs, in the order they were made.
    pub rows: Vec<Row>,
}

/// One run of one server at one point.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the columns of the record
pub struct Row {
    pub point: String,
    pub server: String,
    pub role: ServerRole,
    pub round: usize,
    pub connections: usize,
    pub sizes: Vec<usize>,
    pub depth: usize,
    pub messages_per_s: f64,
    pub cpu_us: f64,
    pub user_us: f64,
    pub system_us: f64,
    pub share: f64,
    pub driver_share: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    /// Octets of memory: of the process; of one connection where connections are idle.
    pub resident: u64,
    /// What went wrong; a row with a fault counts for nothing.
    pub fault: Option<String>,
}

impl Row {
    pub(super) fn new(point: &Point, server: &ServerEntry, round: usize, report: &Report) -> Self {
        // Time per message means nothing where there are none.
        let of = report.server.filter(|_| report.messages > 0);
        Self {
            point: point.name.clone(),
            server: server.name.clone(),
            role: server.role,
            round,
            connections: point.connections,
            sizes: point.sizes.clone(),
            depth: point.depth,
            messages_per_s: report.messages_per_s,
            cpu_us: of.map_or(0.0, |s| s.cpu_us),
            user_us: of.map_or(0.0, |s| s.user_us),
            system_us: of.map_or(0.0, |s| s.system_us),
            share: of.map_or(0.0, |s| s.share),
            driver_share: report.driver.share,
            p50_us: report.latency.p50_us,
            p99_us: report.latency.p99_us,
            p999_us: report.latency.p999_us,
            resident: match report.per_connection {
                // A process that shrank meanwhile would make a negative figure; 0 is as good.
                Some(each) => each.resident.max(0.0).round() as u64,
                None => of.map_or(0, |s| s.memory.resident),
            },
            fault: (!report.passed()).then(|| {
                report
                    .faults_told
                    .first()
                    .cloned()
                    .unwrap_or_else(|| "nothing came back".to_owned())
            }),
        }
    }
}

impl Row {
    /// Of a handshake test: a message is a handshake, and a latency that of its opening.
    pub(super) fn of_handshakes(
        point: &Point,
        server: &ServerEntry,
        round: usize,
        report: &WsperfReport,
    ) -> Self {
        let all = Aggregate::of(std::slice::from_ref(&report.result));
        let of = report.server;
        let [_, _, _, median, _, _, q99, q999, ..] = all.open_ms;
        Self {
            point: point.name.clone(),
            server: server.name.clone(),
            role: server.role,
            round,
            connections: point.connections,
            sizes: Vec::new(),
            depth: point.depth,
            messages_per_s: all.handshakes_per_s,
            cpu_us: of.map_or(0.0, |s| s.cpu_us),
            user_us: of.map_or(0.0, |s| s.user_us),
            system_us: of.map_or(0.0, |s| s.system_us),
            share: of.map_or(0.0, |s| s.share),
            driver_share: report.driver.share,
            p50_us: median * 1e3,
            p99_us: q99 * 1e3,
            p999_us: q999 * 1e3,
            resident: of.map_or(0, |s| s.memory.resident),
            fault: (!report.passed()).then(|| {
                report
                    .faults_told
                    .first()
                    .cloned()
                    .unwrap_or_else(|| "no handshake came through".to_owned())
            }),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:14} #{} {:18} {:>9.0}/s  cpu {:>9.3} us  server {:>3.0} %  driver {:>3.0} %  p50 {:>8.1} p99 {:>8.1} us",
            self.point,
            self.round,
            self.server,
            self.messages_per_s,
            self.cpu_us,
            self.share * 100.0,
            self.driver_share * 100.0,
            self.p50_us,
            self.p99_us,
        )?;
        match &self.fault {
            Some(fault) => write!(f, "  FAILED: {fault}"),
            None => Ok(()),
        }
    }
}

impl Record {
    pub(super) fn new(name: String, machine: Machine) -> Self {
        Self {
            name,
            machine,
            rows: Vec::new(),
        }
    }

    pub(super) const HEADER: &str = "date,processor,kernel,commit,scenario,point,server,round,connections,sizes,depth,messages_per_s,cpu_us,user_us,system_us,server_share,driver_share,p50_us,p99_us,p999_us,resident,fault";

    pub(super) fn append_to(&self, path: &Path, row: &Row) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        if file.metadata()?.len() == 0 {
            writeln!(file, "{}", Self::HEADER)?;
        }
        writeln!(file, "{}", self.line(row))
    }

    fn line(&self, row: &Row) -> String {
        let machine = &self.machine;
        let sizes: Vec<_> = row.sizes.iter().map(ToString::to_string).collect();
        // Names and faults are ours or the kernel's; a comma in one would still move the columns.
        let plain = |text: &str| text.replace([',', '\n', '"'], ";");
        [
            machine.date.clone(),
            plain(&machine.processor),
            plain(&machine.kernel),
            machine.commit.clone(),
            plain(&self.name),
            plain(&row.point),
            plain(&row.server),
            row.round.to_string(),
            row.connections.to_string(),
            sizes.join(" "),
            row.depth.to_string(),
            format!("{:.0}", row.messages_per_s),
            format!("{:.4}", row.cpu_us),
            format!("{:.4}", row.user_us),
            format!("{:.4}", row.system_us),
            format!("{:.3}", row.share),
            format!("{:.3}", row.driver_share),
            format!("{:.1}", row.p50_us),
            format!("{:.1}", row.p99_us),
            format!("{:.1}", row.p999_us),
            row.resident.to_string(),
            plain(row.fault.as_deref().unwrap_or_default()),
        ]
        .join(",")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn row(
        point: &str,
        server: &str,
        role: ServerRole,
        round: usize,
        cpu_us: f64,
    ) -> Row {
        Row {
            point: point.to_owned(),
            server: server.to_owned(),
            role,
            round,
            connections: 200,
            sizes: vec![16],
            depth: 1,
            messages_per_s: 1e6 / cpu_us,
            cpu_us,
            user_us: cpu_us / 4.0,
            system_us: cpu_us * 0.75,
            share: 1.0,
            driver_share: 0.9,
            p50_us: 10.0,
            p99_us: 20.0,
            p999_us: 30.0,
            resident: 1 << 20,
            fault: None,
        }
    }

    #[test]
    fn a_line_has_as_many_columns_as_the_header() {
        let mut row = row("16 B, d1", "a", ServerRole::Ours, 0, 3.0);
        row.fault = Some("this, \"that\"\nand more".to_owned());
        let record = Record::new("grid".to_owned(), Machine::here());
        let line = record.line(&row);
        assert_eq!(
            line.split(',').count(),
            Record::HEADER.split(',').count(),
            "{line}"
        );
    }
}
