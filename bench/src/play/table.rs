//! From runs to tables: medians, and ratios taken within a round.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{Record, Row, ServerRole};

/// What all rounds of one server at one point come to: the median of each figure.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)] // the columns of the record
pub struct Cell {
    pub runs: usize,
    pub messages_per_s: f64,
    pub cpu_us: f64,
    pub user_us: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub resident: f64,
    /// Of the driver's busiest thread, and of the server.
    pub driver_share: f64,
    pub share: f64,
}

impl Record {
    /// The medians of a server at a point; none if no run of it passed.
    #[must_use]
    pub fn cell(&self, point: &str, server: &str) -> Option<Cell> {
        let rows: Vec<&Row> = self
            .rows
            .iter()
            .filter(|row| row.point == point && row.server == server && row.fault.is_none())
            .collect();
        let of = |value: fn(&Row) -> f64| median(rows.iter().map(|row| value(row)).collect());
        Some(Cell {
            runs: rows.len(),
            messages_per_s: of(|row| row.messages_per_s)?,
            cpu_us: of(|row| row.cpu_us)?,
            user_us: of(|row| row.user_us)?,
            p50_us: of(|row| row.p50_us)?,
            p99_us: of(|row| row.p99_us)?,
            p999_us: of(|row| row.p999_us)?,
            resident: of(|row| row.resident as f64)?,
            driver_share: of(|row| row.driver_share)?,
            share: of(|row| row.share)?,
        })
    }

    /// Processor time per message of one server over another's: the median of the ratios within
    /// each round, so that what changes between rounds cancels out.
    #[must_use]
    pub fn ratio(&self, point: &str, over: &str, under: &str) -> Option<f64> {
        let find = |server: &str, round| {
            self.rows.iter().find(|row| {
                row.point == point
                    && row.server == server
                    && row.round == round
                    && row.fault.is_none()
            })
        };
        let rounds: BTreeSet<usize> = self.rows.iter().map(|row| row.round).collect();
        let ratios = rounds.into_iter().filter_map(|round| {
            let (over, under) = (find(over, round)?, find(under, round)?);
            (under.cpu_us > 0.0).then(|| over.cpu_us / under.cpu_us)
        });
        median(ratios.collect())
    }

    /// Whether there is any run of a server at a point, passed or not.
    fn ran(&self, point: &str, server: &str) -> bool {
        let mut rows = self.rows.iter();
        rows.any(|row| row.point == point && row.server == server)
    }

    /// The limit with the least processor time at a point.
    fn best_limit(&self, point: &str) -> Option<&str> {
        self.names(Some(ServerRole::Limit))
            .into_iter()
            .filter_map(|name| Some((name, self.cell(point, name)?.cpu_us)))
            .filter(|(_, cpu_us)| *cpu_us > 0.0)
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(name, _)| name)
    }

    /// Names of servers, in the order they first ran.
    fn names(&self, role: Option<ServerRole>) -> Vec<&str> {
        let mut names = Vec::new();
        for row in &self.rows {
            if role.is_none_or(|role| row.role == role) && !names.contains(&row.server.as_str()) {
                names.push(row.server.as_str());
            }
        }
        names
    }

    fn points(&self) -> Vec<&str> {
        let mut points = Vec::new();
        for row in &self.rows {
            if !points.contains(&row.point.as_str()) {
                points.push(row.point.as_str());
            }
        }
        points
    }
}

/// The tables of a record, in Markdown.
#[must_use]
pub fn tables(record: &Record) -> String {
    let mut out = String::new();
    let limits = record.names(Some(ServerRole::Limit));
    let ours = record.names(Some(ServerRole::Ours));
    let peers = record.names(Some(ServerRole::Peer));
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "Server processor time per message, µs (median of the rounds). `× limit` is ours over the \
         cheapest limit, `÷ us` how many times ours a peer needs; both are medians of the ratios \
         within each round.\n"
    );
    let mut head = vec!["point".to_owned()];
    head.extend(limits.iter().map(|name| (*name).to_owned()));
    for name in &ours {
        head.push(format!("**{name}**"));
        head.push("× limit".to_owned());
    }
    for name in &peers {
        head.push((*name).to_owned());
        head.push("÷ us".to_owned());
    }
    line(&mut out, &head);
    line(&mut out, &vec!["---".to_owned(); head.len()]);
    for point in record.points() {
        let cpu = |name: &str| {
            record
                .cell(point, name)
                .filter(|cell| cell.cpu_us > 0.0)
                .map_or("–".to_owned(), |cell| number(cell.cpu_us))
        };
        let ratio = |over: &str, under: &str| {
            record
                .ratio(point, over, under)
                .map_or("–".to_owned(), |ratio| format!("{ratio:.2}"))
        };
        let mut row = vec![point.to_owned()];
        row.extend(limits.iter().map(|name| cpu(name)));
        for name in &ours {
            row.push(format!("**{}**", cpu(name)));
            row.push(
                record
                    .best_limit(point)
                    .map_or("–".to_owned(), |limit| ratio(name, limit)),
            );
        }
        for name in &peers {
            row.push(cpu(name));
            row.push(ours.first().map_or("–".to_owned(), |us| ratio(name, us)));
        }
        line(&mut out, &row);
    }
    let _ = writeln!(
        out,
        "\nThe same runs in full. *memory* is that of the server's process; where connections are idle, \
         of one of them. *busy* is the share of its processor that the server and that \
         the driver used: a server below 95 % beside a driver above it was not saturated.\n"
    );
    let head = [
        "point",
        "server",
        "messages/s",
        "CPU µs",
        "of it user",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "memory",
        "busy",
        "runs",
    ];
    line(&mut out, &head.map(str::to_owned));
    line(&mut out, &vec!["---".to_owned(); head.len()]);
    for point in record.points() {
        for name in record.names(None) {
            if !record.ran(point, name) {
                continue;
            }
            let Some(cell) = record.cell(point, name) else {
                let _ = writeln!(out, "| {point} | {name} | failed |");
                continue;
            };
            line(
                &mut out,
                &[
                    point.to_owned(),
                    name.to_owned(),
                    format!("{:.0}", cell.messages_per_s),
                    number(cell.cpu_us),
                    number(cell.user_us),
                    format!("{:.0}", cell.p50_us),
                    format!("{:.0}", cell.p99_us),
                    format!("{:.0}", cell.p999_us),
                    octets(cell.resident),
                    format!(
                        "{:.0} / {:.0} %",
                        cell.share * 100.0,
                        cell.driver_share * 100.0
                    ),
                    cell.runs.to_string(),
                ],
            );
        }
    }
    out
}

/// Memory, in a unit of its size.
fn octets(count: f64) -> String {
    match count {
        c if c >= 1_048_576.0 => format!("{:.1} MiB", c / 1_048_576.0),
        c if c >= 10_240.0 => format!("{:.1} KiB", c / 1024.0),
        c => format!("{c:.0} B"),
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    let decimals = match value {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

fn line(out: &mut String, cells: &[String]) {
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(values[middle - 1], upper))
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::row;
    use super::*;
    use crate::measure::machine::Machine;

    fn record(rows: Vec<Row>) -> Record {
        Record {
            name: "test".to_owned(),
            machine: Machine::here(),
            rows,
        }
    }

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    }

    /// A machine that becomes slower by half from round to round changes every figure, and no ratio.
    #[test]
    fn ratios_are_taken_within_a_round() {
        let mut rows = Vec::new();
        for (round, slow) in [1.0, 1.5, 2.25].into_iter().enumerate() {
            rows.push(row("p", "us", ServerRole::Ours, round, slow));
            rows.push(row("p", "they", ServerRole::Peer, round, 2.0 * slow));
        }
        let record = record(rows);
        assert_eq!(record.ratio("p", "they", "us"), Some(2.0));
        assert_eq!(record.cell("p", "us").unwrap().cpu_us, 1.5);
    }

    #[test]
    fn a_run_that_failed_counts_for_nothing() {
        let mut failed = row("p", "they", ServerRole::Peer, 0, 0.001);
        failed.fault = Some("octets changed".to_owned());
        let record = record(vec![row("p", "us", ServerRole::Ours, 0, 1.0), failed]);
        assert_eq!(record.cell("p", "they"), None);
        assert_eq!(record.ratio("p", "they", "us"), None);
        let text = tables(&record);
        assert!(text.contains("| p | they | failed |"), "{text}");
    }

    #[test]
    fn tables_hold_ours_against_the_cheapest_limit() {
        let record = record(vec![
            row("p", "dear", ServerRole::Limit, 0, 2.0),
            row("p", "cheap", ServerRole::Limit, 0, 1.0),
            row("p", "us", ServerRole::Ours, 0, 1.2),
            row("p", "they", ServerRole::Peer, 0, 3.0),
        ]);
        let text = tables(&record);
        assert!(
            text.contains("| p | 2.00 | 1.00 | **1.20** | 1.20 | 3.00 | 2.50 |"),
            "{text}"
        );
    }
}
