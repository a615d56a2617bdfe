//! Where the workers of a running server are, and where they should be.
//!
//! Reads `/proc/PID/task`; a worker is a thread called `wirebahn-N`. Moving one
//! is a system call, which the kernel behind the machine makes.

use std::{collections::BTreeSet, fmt, io};

use serde::Serialize;

use crate::{
    machine::Machine,
    root::{Unread, is_plain},
    topology::{Topology, allowed_in, format_list},
};

/// What the names of worker threads begin with; the worker's number follows.
pub const WORKER_NAME: &str = "wirebahn-";

/// A thread of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Thread {
    /// Its id.
    pub tid: u32,
    /// Its name.
    pub name: String,
    /// Which worker it is; `None` for all other threads.
    pub worker: Option<u32>,
    /// The CPUs it may run on.
    pub allowed: BTreeSet<u32>,
    /// The CPU it ran on last.
    pub last_cpu: Option<u32>,
    /// The CPU it should be on; `None` for threads that are not workers.
    pub planned: Option<u32>,
}

impl Thread {
    /// Whether it is bound to the planned CPU alone; threads without a plan
    /// are where they should be.
    pub fn placed(&self) -> bool {
        self.planned
            .is_none_or(|cpu| self.allowed.len() == 1 && self.allowed.contains(&cpu))
    }
}

/// Why a process could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PinError {
    /// There is no such process.
    NoProcess,
    /// It has no thread called `wirebahn-N`.
    NoWorkers,
    /// None of the wished CPUs is online.
    NoCpus(BTreeSet<u32>),
    /// Something could not be read.
    Unread(Unread),
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PinError::NoProcess => f.write_str("there is no such process"),
            PinError::NoWorkers => write!(
                f,
                "it has no worker: no thread is called {WORKER_NAME} and a number"
            ),
            PinError::NoCpus(cpus) => write!(f, "no CPU of {} is online", format_list(cpus)),
            PinError::Unread(why) => write!(f, "its threads could not be read: {why}"),
        }
    }
}

impl std::error::Error for PinError {}

impl From<Unread> for PinError {
    fn from(why: Unread) -> PinError {
        match why {
            Unread::Absent => PinError::NoProcess,
            why => PinError::Unread(why),
        }
    }
}

/// The threads of a process, the workers first and by number, each with the
/// CPU it should be on: in the order of [`Topology::placement`] among `cpus`,
/// or, without, among all CPUs that some thread of the process may use.
///
/// ```
/// use wirebahn_tuning::{Machine, pin};
///
/// // This process is no server: it has no workers.
/// let found = pin::threads(&Machine::host(), std::process::id(), None);
/// assert_eq!(found.unwrap_err(), pin::PinError::NoWorkers);
/// ```
///
/// # Errors
/// [`PinError`].
pub fn threads(
    machine: &Machine,
    pid: u32,
    cpus: Option<&BTreeSet<u32>>,
) -> Result<Vec<Thread>, PinError> {
    let root = machine.root();
    let dir = format!("proc/{pid}/task");
    let mut threads = Vec::new();
    for name in root.list(&dir)? {
        let Ok(tid) = name.parse() else {
            continue;
        };
        match thread(machine, &format!("{dir}/{name}"), tid) {
            Ok(thread) => threads.push(thread),
            // It ended while we looked.
            Err(Unread::Absent) => {}
            Err(why) => return Err(why.into()),
        }
    }
    if threads.is_empty() {
        return Err(PinError::NoProcess);
    }
    let topology = Topology::read_for(root, &pid.to_string())?;
    // A worker that is pinned already shows one CPU; together with the other
    // threads' they show what the process may use.
    let reach: BTreeSet<u32> = match cpus {
        Some(cpus) => cpus.clone(),
        None => threads.iter().flat_map(|it| &it.allowed).copied().collect(),
    };
    let workers = threads.iter().filter_map(|it| it.worker).max();
    let Some(last) = workers else {
        return Err(PinError::NoWorkers);
    };
    // A number is part of a name anyone may give: it does not decide how much
    // is allocated. Past one round the order repeats anyway.
    let order = topology.placement_on(reach.len().min(last as usize + 1), &reach);
    if order.is_empty() {
        return Err(PinError::NoCpus(reach));
    }
    for thread in &mut threads {
        thread.planned = thread
            .worker
            .and_then(|worker| order.get(worker as usize % order.len()).copied());
    }
    threads.sort_by_key(|it| (it.worker.is_none(), it.worker, it.tid));
    Ok(threads)
}

/// Binds every worker to its planned CPU. What became of each: `Ok(true)`
/// moved, `Ok(false)` was there already.
pub fn set(machine: &Machine, threads: &[Thread]) -> Vec<(u32, io::Result<bool>)> {
    threads
        .iter()
        .filter_map(|thread| Some((thread, thread.planned?)))
        .map(|(thread, cpu)| {
            let result = if thread.placed() {
                Ok(false)
            } else {
                machine
                    .probe()
                    .set_affinity(thread.tid, &BTreeSet::from([cpu]))
                    .map(|()| true)
            };
            (thread.tid, result)
        })
        .collect()
}

fn thread(machine: &Machine, dir: &str, tid: u32) -> Result<Thread, Unread> {
    debug_assert!(is_plain(dir));
    let root = machine.root();
    let name = root.word(&format!("{dir}/comm"))?;
    Ok(Thread {
        tid,
        worker: name
            .strip_prefix(WORKER_NAME)
            .and_then(|number| number.parse().ok()),
        allowed: allowed_in(&root.read(&format!("{dir}/status"))?)?,
        last_cpu: root
            .read(&format!("{dir}/stat"))
            .ok()
            .and_then(|stat| last_cpu(&stat)),
        name,
        planned: None,
    })
}

/// Field 39 of a `stat` file. The name in field 2 may hold blanks and
/// brackets, so fields are counted from the last bracket on.
fn last_cpu(stat: &str) -> Option<u32> {
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(39 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_cpu_is_found_behind_any_name() {
        let fields: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        let stat = format!("17 (a ) (b) 9) {}\n", fields.join(" "));
        assert_eq!(last_cpu(&stat), Some(39));
        assert_eq!(last_cpu("17 (a"), None);
        assert_eq!(last_cpu("17 (a) S 1"), None);
    }
}
