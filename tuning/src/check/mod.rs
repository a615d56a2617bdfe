//! The examination: reads a machine and says, setting by setting, whether it
//! carries a load.
//!
//! | room | what it looks at |
//! |---|---|
//! | `limits` | files a process and the system may open, locked memory |
//! | `sockets` | queues and tables between the wire and `accept` |
//! | `tcp` | memory and behaviour of connections |
//! | `kernel` | io_uring, BPF on listeners, TLS in the kernel, MPTCP |
//! | `cpu` | processors, quotas, clocks |
//! | `nic` | network cards, their queues, where their interrupts go |
//! | `memory` | memory, huge pages, swap |
//!
//! Changes nothing.

mod cpu;
mod kernel;
pub(crate) mod limits;
mod memory;
pub(crate) mod nic;
mod sockets;
mod tcp;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{
    finding::{Area, Change, Finding, Severity},
    load::Load,
    machine::Machine,
    root::{Root, Unread},
    topology::{Topology, format_list},
};

/// Keys without which nothing worth saying can be said about a load.
pub const ESSENTIAL: [&str; 3] = ["limits.nofile", "fs.file-max", "net.core.somaxconn"];

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The load, with every default filled in.
    pub load: Load,
    /// The machine in a few words.
    pub machine: Summary,
    /// One for every setting looked at, the worst first.
    pub findings: Vec<Finding>,
}

/// A machine in a few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The kernel's release; `None` if it could not be read.
    pub kernel: Option<String>,
    /// Logical CPUs online.
    pub cpus: Option<usize>,
    /// The CPUs this process may use, as a list.
    pub allowed: Option<String>,
    /// The CPUs the workers would be put on, the first worker's first.
    pub placement: Vec<u32>,
    /// NUMA nodes that have CPUs.
    pub nodes: Option<usize>,
    /// Memory in octets.
    pub memory: Option<u64>,
}

impl Report {
    /// How many findings have this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    }

    /// The finding of that name.
    pub fn finding(&self, key: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.key == key)
    }

    /// 1 if a finding limits the stated load; otherwise 3 if one of
    /// [`ESSENTIAL`] could not be read; otherwise 0.
    pub fn exit_status(&self) -> u8 {
        let unread = |key: &&str| {
            self.finding(key)
                .is_none_or(|finding| finding.severity == Severity::Unknown)
        };
        if self.count(Severity::Limits) > 0 {
            1
        } else if ESSENTIAL.iter().any(unread) {
            3
        } else {
            0
        }
    }
}

/// Looks at everything.
///
/// ```
/// use wirebahn_tuning::{Load, Machine, check};
///
/// let report = check(&Machine::host(), &Load::new(1_000));
/// for finding in &report.findings {
///     println!("{:8} {} = {}", finding.severity.word(), finding.key, finding.present_word());
/// }
/// ```
pub fn check(machine: &Machine, load: &Load) -> Report {
    check_process(machine, load, None)
}

/// As [`check`], with the limits and the affinity of the running process `pid`
/// instead of our own.
pub fn check_process(machine: &Machine, load: &Load, pid: Option<u32>) -> Report {
    let context = Context::new(machine, load, pid);
    let mut findings = Vec::new();
    limits::check(&context, &mut findings);
    sockets::check(&context, &mut findings);
    tcp::check(&context, &mut findings);
    kernel::check(&context, &mut findings);
    cpu::check(&context, &mut findings);
    nic::check(&context, &mut findings);
    memory::check(&context, &mut findings);
    for finding in &mut findings {
        if let Some(Change::Sysctl { key, .. }) = &finding.change
            && !context.root.is_writable(&sysctl_path(key))
        {
            finding.change = None;
            finding.how.push_str("; on the host: it is read-only here");
        }
    }
    // Stable: equals stay in the order of their rooms.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Report {
        machine: context.summary(),
        load: context.load,
        findings,
    }
}

/// The cheap part of [`check`], for a server to call when it starts: reads
/// about ten small files in well under a millisecond and asks the kernel
/// nothing. Only what [matters](Finding::matters) comes back, the worst first;
/// what could not be read is passed over in silence.
///
/// ```
/// use wirebahn_tuning::{Load, quick_check};
///
/// for finding in quick_check(&Load::new(100_000).workers(4).backlog(4096)) {
///     eprintln!("warning: {}", finding.one_line());
/// }
/// ```
pub fn quick_check(load: &Load) -> Vec<Finding> {
    quick_check_at(&Root::host(), load)
}

/// As [`quick_check`], on the tree below `root`.
pub fn quick_check_at(root: &Root, load: &Load) -> Vec<Finding> {
    let mut findings = vec![
        limits::nofile(
            root,
            load.connections,
            u64::from(load.workers.max(1)),
            "self",
        ),
        limits::file_max(root, load.connections, u64::from(load.workers.max(1))),
        sockets::somaxconn(root, load, u64::from(load.workers.max(1))),
        sockets::conntrack(root, load.connections),
        memory::cgroup(root, load),
        cpu::quick_quota(root, load.workers),
        cpu::quick_workers(root, load.workers),
    ];
    findings.retain(Finding::matters);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// What every room of the check is given.
pub(crate) struct Context<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) root: &'a Root,
    /// The load with every default filled in.
    pub(crate) load: Load,
    pub(crate) topology: Result<Topology, Unread>,
    pub(crate) nics: Result<Vec<nic::Nic>, Unread>,
    /// Where the workers would be put; empty when that is not known.
    pub(crate) placement: Vec<u32>,
    /// The name of the process under `/proc`.
    pub(crate) pid: String,
}

impl<'a> Context<'a> {
    pub(crate) fn new(machine: &'a Machine, load: &Load, pid: Option<u32>) -> Context<'a> {
        let root = machine.root();
        let pid = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
        let topology = Topology::read_for(root, &pid);
        let nics = nic::read(root);
        let mut load = load.clone();
        load.arrivals = load.arrivals_or_default();
        let mut placement = Vec::new();
        match &topology {
            Ok(topology) => {
                if load.workers == 0 {
                    load.workers = u32::try_from(topology.workers_default()).unwrap_or(1);
                }
                // More workers than CPUs share them: one round is the whole story.
                let workers = (load.workers as usize).min(topology.allowed.len().max(1));
                let node = nics
                    .iter()
                    .flatten()
                    .find(|nic| nic.up)
                    .and_then(|nic| nic.node);
                placement = topology.placement_near(workers, node);
            }
            Err(_) => load.workers = load.workers.max(1),
        }
        Context {
            machine,
            root,
            load,
            topology,
            nics,
            placement,
            pid,
        }
    }

    /// How many workers, as the arithmetic wants it.
    pub(crate) fn workers(&self) -> u64 {
        u64::from(self.load.workers.max(1))
    }

    /// The CPUs of the workers, as a set.
    pub(crate) fn worker_cpus(&self) -> BTreeSet<u32> {
        self.placement.iter().copied().collect()
    }

    /// The size of a page in octets.
    pub(crate) fn page_size(&self) -> Result<u64, Unread> {
        self.machine
            .probe()
            .page_size()
            .ok_or_else(|| Unread::Failed("the size of a page is not known".to_owned()))
    }

    fn summary(&self) -> Summary {
        let topology = self.topology.as_ref().ok();
        Summary {
            kernel: self.root.word("proc/sys/kernel/osrelease").ok(),
            cpus: topology.map(|it| it.cpus.len()),
            allowed: topology.map(|it| format_list(&it.allowed)),
            placement: self.placement.clone(),
            nodes: topology.map(|it| it.nodes().len()),
            memory: memory::meminfo(self.root, "MemTotal").ok(),
        }
    }
}

/// Reads a sysctl of one number. On a machine whose network sysctls can be
/// seen at all, one that is missing is not a mystery but a fact about this
/// kernel or this network namespace, and is said so.
pub(crate) fn sysctl(root: &Root, key: &str) -> Result<u64, Unread> {
    root.number(&sysctl_path(key)).map_err(|e| unseen(root, e))
}

/// As [`sysctl`], for one of several numbers.
pub(crate) fn sysctls(root: &Root, key: &str) -> Result<Vec<u64>, Unread> {
    root.numbers(&sysctl_path(key)).map_err(|e| unseen(root, e))
}

/// Where a sysctl lies.
pub(crate) fn sysctl_path(key: &str) -> String {
    format!("proc/sys/{}", key.replace('.', "/"))
}

fn unseen(root: &Root, why: Unread) -> Unread {
    if why == Unread::Absent && root.exists("proc/sys/net/core/somaxconn") {
        Unread::Failed("this kernel or this network namespace does not show it".to_owned())
    } else {
        why
    }
}

/// Whether the network sysctls can be seen at all, so that the absence of one
/// says something.
pub(crate) fn network_visible(root: &Root) -> bool {
    root.exists("proc/sys/net/core/somaxconn")
}

/// A finding about a sysctl of one number.
pub(crate) fn sysctl_finding(
    root: &Root,
    key: &str,
    area: Area,
    otherwise: Severity,
    good: impl FnOnce(&u64) -> bool,
) -> Finding {
    Finding::of(key, area, &sysctl(root, key), otherwise, good)
}
