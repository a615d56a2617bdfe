//! Runs tables of cases, several at a time, and lists every row that failed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Cases under way at once. They wait for the server far more than they compute.
const LANES: usize = 16;

/// A table that has failures stops after this: a server that hangs on every row costs
/// [`PATIENCE`](crate::peer::PATIENCE) a row. How many rows were left out is said.
const FAILING_MAX: Duration = Duration::from_secs(180);

/// Runs `check` on every row; panics with the name and the reason of every row that failed.
#[track_caller]
pub(crate) fn check_all<C: Sync>(
    what: &str,
    rows: &[C],
    name: impl Fn(&C) -> String + Sync,
    check: impl Fn(&C) -> Result<(), String> + Sync,
) {
    assert!(!rows.is_empty(), "{what}: the table is empty");
    let start = Instant::now();
    let next = AtomicUsize::new(0);
    let run = AtomicUsize::new(0);
    let failures: Mutex<Vec<(usize, String)>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..LANES.min(rows.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(row) = rows.get(index) else { break };
                    if start.elapsed() > FAILING_MAX && !failures.lock().unwrap().is_empty() {
                        break;
                    }
                    run.fetch_add(1, Ordering::Relaxed);
                    if let Err(why) = check(row) {
                        let line = format!("  {}: {why}", name(row));
                        failures.lock().unwrap().push((index, line));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    let run = run.into_inner();
    if failures.is_empty() {
        assert_eq!(run, rows.len(), "{what}: rows were left out");
        println!("{what}: {run} checks");
        return;
    }
    let lines: Vec<&str> = failures.iter().map(|(_, line)| line.as_str()).collect();
    panic!(
        "{what}: {} of {} checks failed ({} not run):\n{}",
        failures.len(),
        run,
        rows.len() - run,
        lines.join("\n")
    );
}

/// Asks until `holds` says yes or `limit` is over; the last answer either way.
pub(crate) fn eventually(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if holds() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
}
