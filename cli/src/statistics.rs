//! What the workers counted, as a block of text to read at a glance.
//!
//! Pure: times and counters in, text out.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use wirebahn::Statistics;

/// Makes one block after the other; each tells what happened since the one before.
pub(crate) struct Report {
    started: Instant,
    last: Instant,
    before: Vec<Statistics>,
}

impl Report {
    /// Begins now, with nothing counted by so many workers.
    pub(crate) fn new(now: Instant, workers: usize) -> Self {
        Self {
            started: now,
            last: now,
            before: vec![Statistics::default(); workers],
        }
    }

    /// The block for the time since the last one.
    pub(crate) fn next(&mut self, now: Instant, counted: Vec<Statistics>) -> String {
        let text = block(now - self.started, now - self.last, &self.before, &counted);
        self.last = now;
        self.before = counted;
        text
    }
}

/// What a figure is called, and how it is read.
type Figure = (&'static str, fn(&Statistics) -> u64);

/// What the columns show, in order. `connected`, a level, stands apart.
const COLUMNS: [Figure; 7] = [
    ("handshakes", |counted| counted.handshakes),
    ("messages in", |counted| counted.messages_in),
    ("messages out", |counted| counted.messages_out),
    ("octets in", |counted| counted.octets_in),
    ("octets out", |counted| counted.octets_out),
    ("wire in", |counted| counted.wire_in),
    ("wire out", |counted| counted.wire_out),
];

/// What should be zero; shown where it is not.
const TROUBLES: [Figure; 7] = [
    ("refused", |counted| counted.refused),
    ("dropped", |counted| counted.dropped),
    ("violations", |counted| counted.violations),
    ("timeouts", |counted| counted.timeouts),
    ("shed", |counted| counted.shed),
    ("panics", |counted| counted.panics),
    ("accept errors", |counted| counted.accept_errors),
];

/// The whole block: for the period, per second, in total; each worker and all together.
fn block(
    uptime: Duration,
    period: Duration,
    before: &[Statistics],
    counted: &[Statistics],
) -> String {
    let sum = |all: &[Statistics]| {
        all.iter()
            .fold(Statistics::default(), |sum, one| sum + *one)
    };
    let (all_before, all) = (sum(before), sum(counted));
    let seconds = period.as_secs_f64();
    let mut table = Table::default();
    table.title(
        &format!("period {seconds:.1} s"),
        ["connected"]
            .into_iter()
            .chain(COLUMNS.map(|(name, _)| name)),
    );
    let workers = || {
        let pairs = before.iter().copied().zip(counted.iter().copied());
        pairs
            .enumerate()
            .map(|(worker, pair)| (format!("worker {worker}"), pair))
            .chain([("all".to_owned(), (all_before, all))])
    };
    for (name, (before, counted)) in workers() {
        let period = counted - before;
        let cells = COLUMNS.map(|(_, count)| whole(count(&period)));
        table.row(&name, [whole(counted.connected)].into_iter().chain(cells));
    }
    table.title("per second", []);
    for (name, (before, counted)) in workers() {
        let period = counted - before;
        let cells = COLUMNS.map(|(_, count)| rate(count(&period), seconds));
        table.row(&name, [String::new()].into_iter().chain(cells));
    }
    table.title(&format!("total {:.1} s", uptime.as_secs_f64()), []);
    for (name, (_, counted)) in workers() {
        let cells = COLUMNS.map(|(_, count)| whole(count(&counted)));
        table.row(&name, [String::new()].into_iter().chain(cells));
    }
    let mut text = table.finish();
    let troubles: Vec<String> = TROUBLES
        .iter()
        .filter(|(_, count)| count(&all) > 0)
        .map(|(name, count)| format!("{name} {}", whole(count(&all))))
        .collect();
    if !troubles.is_empty() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "troubles in total: {}", troubles.join(", "));
    }
    text.push('\n');
    text
}

/// Rows whose columns become as wide as their widest cell.
#[derive(Default)]
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn title<'a>(&mut self, name: &str, columns: impl IntoIterator<Item = &'a str>) {
        let mut row = vec![name.to_owned()];
        row.extend(columns.into_iter().map(str::to_owned));
        self.rows.push(row);
    }

    fn row(&mut self, name: &str, cells: impl IntoIterator<Item = String>) {
        let mut row = vec![format!("  {name}")];
        row.extend(cells);
        self.rows.push(row);
    }

    fn finish(&self) -> String {
        let mut widths = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.len().max(*width); // cells are ASCII
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            let start = text.len();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let _ = match column {
                    0 => write!(text, "{cell:<width$}"),
                    _ => write!(text, "  {cell:>width$}"),
                };
            }
            text.truncate(start + text[start..].trim_end().len());
            text.push('\n');
        }
        text
    }
}

/// A count, its thousands apart: `1,234,567`.
fn whole(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count over so many seconds; small ones keep a digit behind the point.
fn rate(count: u64, seconds: f64) -> String {
    if count == 0 || seconds <= 0.0 {
        return "0".to_owned();
    }
    let rate = count as f64 / seconds;
    if rate < 99.95 {
        format!("{rate:.1}")
    } else {
        whole(rate.round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(scale: u64) -> Statistics {
        let mut counted = Statistics::default();
        counted.connected = 100;
        counted.handshakes = 120 * scale;
        counted.messages_in = 1_000_000 * scale;
        counted.messages_out = 1_000_001 * scale;
        counted.octets_in = 16_000_000 * scale;
        counted.octets_out = 16_000_016 * scale;
        counted.wire_in = 22_000_000 * scale;
        counted.wire_out = 18_000_000 * scale;
        counted
    }

    #[test]
    fn a_block_reads_at_a_glance() {
        let start = Instant::now();
        let mut report = Report::new(start, 2);
        let first = start + Duration::from_secs(5);
        let _ = report.next(first, vec![counted(1), counted(1)]);
        let mut slower = counted(1);
        slower.connected = 7;
        slower.violations = 2;
        slower.refused = 1234;
        let text = report.next(first + Duration::from_secs(5), vec![counted(3), slower]);
        assert_eq!(
            text,
            "\
period 5.0 s  connected  handshakes  messages in  messages out   octets in  octets out     wire in    wire out
  worker 0          100         240    2,000,000     2,000,002  32,000,000  32,000,032  44,000,000  36,000,000
  worker 1            7           0            0             0           0           0           0           0
  all               107         240    2,000,000     2,000,002  32,000,000  32,000,032  44,000,000  36,000,000
per second
  worker 0                     48.0      400,000       400,000   6,400,000   6,400,006   8,800,000   7,200,000
  worker 1                        0            0             0           0           0           0           0
  all                          48.0      400,000       400,000   6,400,000   6,400,006   8,800,000   7,200,000
total 10.0 s
  worker 0                      360    3,000,000     3,000,003  48,000,000  48,000,048  66,000,000  54,000,000
  worker 1                      120    1,000,000     1,000,001  16,000,000  16,000,016  22,000,000  18,000,000
  all                           480    4,000,000     4,000,004  64,000,000  64,000,064  88,000,000  72,000,000
troubles in total: refused 1,234, violations 2

"
        );
    }

    #[test]
    fn counts_have_their_thousands_apart() {
        for (count, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (123_456, "123,456"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(whole(count), text);
        }
    }

    #[test]
    fn rates_are_short() {
        assert_eq!(rate(0, 5.0), "0");
        assert_eq!(rate(1, 5.0), "0.2");
        assert_eq!(rate(499, 5.0), "99.8");
        assert_eq!(rate(500, 5.0), "100");
        assert_eq!(rate(12_345_678, 5.0), "2,469,136");
        assert_eq!(rate(7, 0.0), "0", "two reports at the same time");
    }
}
