//! What the kernel knows of a process: processor time and memory, from `/proc`.
//!
//! Reads text files, nothing else. Processor time comes twice: from `stat`, split into user and
//! system but rounded to hundredths of a second, and from each thread's `schedstat`, exact to
//! about a scheduler tick. The exact sum is reported, split in the ratio of the other.

use std::fs;
use std::io;
use std::time::Duration;

/// What `utime` and `stime` are counted in: `USER_HZ`, which is 100 on every architecture that
/// Linux runs on except Alpha and IA-64.
const TICKS_PER_SECOND: u64 = 100;

/// Processor time of a process, with all its threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// All of it.
    pub total: Duration,
    /// In its own code, rounded to 10 ms.
    pub user: Duration,
    /// In the kernel on its behalf, rounded to 10 ms.
    pub system: Duration,
}

impl CpuTime {
    /// What was used from `earlier` to now. `user` and `system` add up to `total`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        let total = self.total.saturating_sub(earlier.total);
        let user = self.user.saturating_sub(earlier.user);
        let system = self.system.saturating_sub(earlier.system);
        let coarse = (user + system).as_secs_f64();
        let user = if coarse > 0.0 {
            total.mul_f64((user.as_secs_f64() / coarse).clamp(0.0, 1.0))
        } else {
            Duration::ZERO
        };
        Self {
            total,
            user,
            system: total.saturating_sub(user),
        }
    }
}

/// Processor time a process has used so far.
///
/// # Errors
/// There is no such process.
pub fn cpu_time(pid: u32) -> io::Result<CpuTime> {
    let (user, system) = ticks(&fs::read_to_string(format!("/proc/{pid}/stat"))?)?;
    let mut total = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that ended between the two reads takes its time with it into `stat` only.
        if let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) {
            total += run_time(&text)?;
        }
    }
    // Threads that ended are missing in the exact sum, and a kernel without schedstat gives none.
    if total + Duration::from_millis(200) < user + system {
        total = user + system;
    }
    Ok(CpuTime {
        total,
        user,
        system,
    })
}

/// Processor time the calling thread has used so far.
///
/// # Errors
/// The kernel does not tell.
pub fn thread_cpu_time() -> io::Result<Duration> {
    run_time(&fs::read_to_string("/proc/thread-self/schedstat")?)
}

/// Memory of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    /// Resident octets.
    pub resident: u64,
    /// Resident octets that no file backs: heap and stacks.
    pub anonymous: u64,
}

/// Memory a process holds now.
///
/// # Errors
/// There is no such process.
pub fn memory(pid: u32) -> io::Result<Memory> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.trim_start_matches(':').trim().split(' ').next())
            .and_then(|number| number.parse::<u64>().ok())
            .map(|kib| kib << 10)
            .ok_or_else(|| io::Error::other(format!("no {name} in /proc/{pid}/status")))
    };
    Ok(Memory {
        resident: kib("VmRSS")?,
        anonymous: kib("RssAnon")?,
    })
}

/// `utime` and `stime`, the 14th and 15th field of `stat`. The 2nd, a name in parentheses, may
/// contain blanks and parentheses.
fn ticks(stat: &str) -> io::Result<(Duration, Duration)> {
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let mut numbers = fields
        .split_ascii_whitespace()
        .skip(11)
        .map_while(|field| field.parse::<u64>().ok())
        .map(|ticks| Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND));
    match (numbers.next(), numbers.next()) {
        (Some(user), Some(system)) => Ok((user, system)),
        _ => Err(io::Error::other("stat has no times")),
    }
}

/// The first number of `schedstat`: nanoseconds on a processor.
fn run_time(schedstat: &str) -> io::Result<Duration> {
    schedstat
        .split_ascii_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .map(Duration::from_nanos)
        .ok_or_else(|| io::Error::other("schedstat has no time"))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn names_may_contain_anything() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 150 25 0 0 20 0 1 0 5";
        assert_eq!(
            ticks(stat).unwrap(),
            (Duration::from_millis(1500), Duration::from_millis(250))
        );
        assert!(ticks("7 (a").is_err());
    }

    #[test]
    fn work_shows_in_the_times_of_process_and_thread() {
        let pid = std::process::id();
        let before = (cpu_time(pid).unwrap(), thread_cpu_time().unwrap());
        let start = Instant::now();
        let mut sum = 0_u64;
        while start.elapsed() < Duration::from_millis(300) {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(1));
        }
        let used = cpu_time(pid).unwrap().since(before.0);
        let thread = thread_cpu_time().unwrap() - before.1;
        // On a loaded machine less than the wall-clock time, but not nothing.
        assert!(thread > Duration::from_millis(20), "{thread:?}");
        assert!(used.total + Duration::from_millis(10) > thread, "{used:?}");
        assert_eq!(used.user + used.system, used.total);
    }

    #[test]
    fn memory_that_is_touched_shows() {
        let pid = std::process::id();
        let before = memory(pid).unwrap();
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = memory(pid).unwrap();
        assert!(after.anonymous >= before.anonymous + (60 << 20));
        assert!(after.resident >= after.anonymous);
        drop(block);
        assert!(memory(0).is_err());
    }
}
