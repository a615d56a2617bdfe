//! What control groups, version 1 and 2, allow this process: CPU time and
//! memory. Knows where the files lie; must not know what is done about them.

use std::fmt;

use crate::root::{Root, Unread, number};

/// The deepest nesting of groups that is walked; systemd and Kubernetes stay
/// below ten.
const DEPTH_MAX: usize = 32;

/// CPU time a group may use: `quota_us` in every `period_us`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Microseconds of CPU time a period.
    pub quota_us: u64,
    /// The period, in microseconds; never 0.
    pub period_us: u64,
}

impl Quota {
    /// The quota in CPUs, rounded up: with 1.5 CPUs two workers still make
    /// sense, with a third one all of them wait.
    pub fn cpus_ceil(self) -> u64 {
        self.quota_us.div_ceil(self.period_us.max(1))
    }

    /// The quota in thousandths of a CPU.
    pub fn millicpus(self) -> u64 {
        self.quota_us.saturating_mul(1000) / self.period_us.max(1)
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milli = self.millicpus();
        write!(
            f,
            "{}.{:02} CPUs ({} µs every {} µs)",
            milli / 1000,
            milli % 1000 / 10,
            self.quota_us,
            self.period_us
        )
    }
}

/// The tightest CPU quota on the way from this process's group to the root of
/// the hierarchy; `None` when there is none.
pub(crate) fn cpu_quota(root: &Root) -> Result<Option<Quota>, Unread> {
    let mut tightest: Option<Quota> = None;
    let mut seen = false;
    for dir in dirs(root, "cpu")? {
        let found = match dir.version {
            Version::Two => quota_v2(root, &dir.path),
            Version::One => quota_v1(root, &dir.path),
        };
        match found {
            Ok(quota) => {
                seen = true;
                if let Some(quota) = quota
                    && tightest.is_none_or(|least| quota.millicpus() < least.millicpus())
                {
                    tightest = Some(quota);
                }
            }
            // The root of a hierarchy has no such file, nor has a group
            // whose parent does not hand the controller down.
            Err(Unread::Absent) => {}
            Err(other) => return Err(other),
        }
    }
    // Not one file in sight: either nothing limits us (a host in its root
    // group, where version 2 has no cpu.max), or the hierarchy is hidden.
    if seen || root.exists("sys/fs/cgroup") {
        Ok(tightest)
    } else {
        Err(Unread::Absent)
    }
}

/// The tightest memory limit in octets on the way to the root; `None` when
/// there is none.
pub(crate) fn memory_max(root: &Root) -> Result<Option<u64>, Unread> {
    let mut tightest: Option<u64> = None;
    for dir in dirs(root, "memory")? {
        let file = match dir.version {
            Version::Two => "memory.max",
            Version::One => "memory.limit_in_bytes",
        };
        match root.word(&format!("{}/{file}", dir.path)) {
            Ok(word) if word == "max" => {}
            Ok(word) => {
                let limit = number(&word)?;
                // Version 1 writes "no limit" as the largest page-aligned i64.
                if limit < i64::MAX as u64 / 2 {
                    tightest = Some(tightest.map_or(limit, |least| least.min(limit)));
                }
            }
            Err(Unread::Absent) => {}
            Err(other) => return Err(other),
        }
    }
    if tightest.is_some() || root.exists("sys/fs/cgroup") {
        Ok(tightest)
    } else {
        Err(Unread::Absent)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

struct Dir {
    version: Version,
    path: String,
}

/// The directories of this process's groups, from the innermost outwards, in
/// every hierarchy that carries `controller`.
fn dirs(root: &Root, controller: &str) -> Result<Vec<Dir>, Unread> {
    let mut dirs = Vec::new();
    for line in root.read("proc/self/cgroup")?.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(group)) =
            (fields.next(), fields.next(), fields.next())
        else {
            return Err(Unread::Malformed("a line of proc/self/cgroup".to_owned()));
        };
        if controllers.is_empty() {
            // Alone, version 2 is mounted at the top; beside version 1, below.
            for mount in ["sys/fs/cgroup", "sys/fs/cgroup/unified"] {
                if root.exists(&format!("{mount}/cgroup.controllers")) {
                    climb(mount, group, Version::Two, &mut dirs);
                }
            }
        } else if controllers.split(',').any(|name| name == controller) {
            // The mount is called after the set of controllers or after one.
            for mount in [controllers, controller] {
                let mount = format!("sys/fs/cgroup/{mount}");
                if root.exists(&mount) {
                    climb(&mount, group, Version::One, &mut dirs);
                    break;
                }
            }
        }
    }
    Ok(dirs)
}

/// A container often sees the host's name of its group while only its own
/// part of the hierarchy is mounted: the names that are not there are passed
/// over by the caller, and the mount itself is always looked at last.
fn climb(mount: &str, group: &str, version: Version, dirs: &mut Vec<Dir>) {
    let mut names: Vec<&str> = group.split('/').filter(|name| !name.is_empty()).collect();
    // Seen from inside a namespace of groups, an outer group starts with "..".
    if names.contains(&"..") {
        names.clear();
    }
    names.truncate(DEPTH_MAX);
    loop {
        let below: String = names.iter().map(|name| format!("/{name}")).collect();
        dirs.push(Dir {
            version,
            path: format!("{mount}{below}"),
        });
        if names.pop().is_none() {
            break;
        }
    }
}

fn quota_v2(root: &Root, dir: &str) -> Result<Option<Quota>, Unread> {
    let text = root.word(&format!("{dir}/cpu.max"))?;
    let (quota, period) = text
        .split_once(' ')
        .ok_or_else(|| Unread::Malformed(format!("cpu.max holds {text:?}")))?;
    if quota == "max" {
        return Ok(None);
    }
    checked(number(quota)?, number(period)?)
}

fn quota_v1(root: &Root, dir: &str) -> Result<Option<Quota>, Unread> {
    let quota = root.word(&format!("{dir}/cpu.cfs_quota_us"))?;
    if quota == "-1" {
        return Ok(None);
    }
    let period = root.number(&format!("{dir}/cpu.cfs_period_us"))?;
    checked(number(&quota)?, period)
}

fn checked(quota_us: u64, period_us: u64) -> Result<Option<Quota>, Unread> {
    if period_us == 0 {
        return Err(Unread::Malformed("a CPU period of 0".to_owned()));
    }
    Ok(Some(Quota {
        quota_us,
        period_us,
    }))
}
