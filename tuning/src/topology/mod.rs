//! The processors: which there are, which this process may use, how they hang
//! together, and in which order workers are put on them.
//!
//! Read from `/sys/devices/system`, `/proc/self/status` and the control
//! groups. Must not know what a worker does.

mod cgroup;
mod list;

use std::collections::{BTreeMap, BTreeSet};

pub use cgroup::Quota;
pub(crate) use cgroup::{cpu_quota, memory_max};
pub use list::{CPU_MAX, format_list, format_mask, parse_list, parse_mask};

use crate::root::{Root, Unread};

const CPU_DIR: &str = "sys/devices/system/cpu";
const NODE_DIR: &str = "sys/devices/system/node";

/// One logical CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpu {
    /// Its number.
    pub id: u32,
    /// Its package (socket); `None` when the kernel does not say.
    pub package: Option<u32>,
    /// Its NUMA node; `None` on a machine without nodes.
    pub node: Option<u32>,
    /// All logical CPUs of its physical core, itself included.
    pub siblings: BTreeSet<u32>,
}

impl Cpu {
    /// 0 for the first logical CPU of its core, 1 for the second, and so on.
    pub fn sibling_index(&self) -> usize {
        self.siblings.iter().filter(|&&cpu| cpu < self.id).count()
    }

    /// The lowest CPU of the core: one name for all its siblings.
    fn core(&self) -> u32 {
        self.siblings.first().copied().unwrap_or(self.id)
    }
}

/// The processors of a machine as one process sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Every CPU that is online, by number.
    pub cpus: BTreeMap<u32, Cpu>,
    /// CPUs that are there, online or not; empty when `/sys` does not say.
    pub present: BTreeSet<u32>,
    /// The CPUs this process may run on, by its affinity and its cpuset; only
    /// online ones.
    pub allowed: BTreeSet<u32>,
    /// CPUs taken out of the scheduler's balancing (`isolcpus=`).
    pub isolated: BTreeSet<u32>,
    /// The CPU quota of the control group, if there is one; an error when it
    /// could not be read.
    pub quota: Result<Option<Quota>, Unread>,
    /// Whether `/sys` told which CPUs share a core. Without it every CPU is
    /// taken for a core of its own.
    pub cores_known: bool,
}

impl Topology {
    /// The processors of the machine below `root`, as this process sees them.
    ///
    /// # Errors
    /// [`Unread`], when `/proc/self/status` does not tell the allowed CPUs:
    /// without them no placement is safe to propose.
    pub fn read(root: &Root) -> Result<Topology, Unread> {
        Topology::read_for(root, "self")
    }

    /// As [`Topology::read`], with the affinity of process `pid`.
    ///
    /// # Errors
    /// As [`Topology::read`].
    pub fn read_for(root: &Root, pid: &str) -> Result<Topology, Unread> {
        let status = root.read(&format!("proc/{pid}/status"))?;
        let allowed = allowed_in(&status)?;
        // A container may hide /sys; then the allowed CPUs are all we know of.
        let online = match root.read(&format!("{CPU_DIR}/online")) {
            Ok(text) => parse_list(&text)?,
            Err(_) => allowed.clone(),
        };
        let nodes = nodes(root);
        let mut cores_known = true;
        let mut cpus = BTreeMap::new();
        for &id in &online {
            let dir = format!("{CPU_DIR}/cpu{id}/topology");
            let siblings = root
                .read(&format!("{dir}/thread_siblings_list"))
                .and_then(|text| parse_list(&text));
            cores_known &= siblings.is_ok();
            let mut siblings = siblings.unwrap_or_default();
            siblings.insert(id);
            cpus.insert(
                id,
                Cpu {
                    id,
                    // A virtual machine may say -1 here: not known.
                    package: root
                        .number(&format!("{dir}/physical_package_id"))
                        .ok()
                        .and_then(|id| u32::try_from(id).ok()),
                    node: nodes
                        .iter()
                        .find(|(_, cpus)| cpus.contains(&id))
                        .map(|(&node, _)| node),
                    siblings,
                },
            );
        }
        Ok(Topology {
            present: set(root, "present"),
            allowed: allowed.intersection(&online).copied().collect(),
            isolated: set(root, "isolated"),
            quota: cpu_quota(root),
            cpus,
            cores_known,
        })
    }

    /// The processors of this machine.
    ///
    /// # Errors
    /// As [`Topology::read`].
    pub fn host() -> Result<Topology, Unread> {
        Topology::read(&Root::host())
    }

    /// The CPUs for `workers` threads, the first worker's first: one worker a
    /// physical core as long as there are cores, their siblings after that,
    /// only CPUs this process may use. More workers than CPUs start over at
    /// the first. Empty when no CPU is allowed.
    ///
    /// ```
    /// use wirebahn_tuning::topology::Topology;
    ///
    /// let topology = Topology::host()?;
    /// for (worker, cpu) in topology.placement(2).into_iter().enumerate() {
    ///     println!("worker {worker} on CPU {cpu}");
    /// }
    /// # Ok::<(), wirebahn_tuning::Unread>(())
    /// ```
    pub fn placement(&self, workers: usize) -> Vec<u32> {
        self.placement_near(workers, None)
    }

    /// As [`Topology::placement`], beginning with the cores of one NUMA node:
    /// the one the network card hangs on.
    pub fn placement_near(&self, workers: usize, node: Option<u32>) -> Vec<u32> {
        let order = self.order(&self.allowed, node);
        order.iter().copied().cycle().take(workers).collect()
    }

    /// As [`Topology::placement`], on a set of CPUs named by the operator
    /// rather than the allowed ones; CPUs that are not online are left out.
    pub fn placement_on(&self, workers: usize, cpus: &BTreeSet<u32>) -> Vec<u32> {
        let order = self.order(cpus, None);
        order.iter().copied().cycle().take(workers).collect()
    }

    /// The physical cores this process may use.
    pub fn cores_allowed(&self) -> usize {
        let cores: BTreeSet<u32> = self
            .allowed
            .iter()
            .filter_map(|id| self.cpus.get(id))
            .map(Cpu::core)
            .collect();
        cores.len()
    }

    /// How many workers can run at the same time on cores of their own: the
    /// allowed physical cores, or the CPU quota where that is less. At least 1.
    pub fn workers_default(&self) -> usize {
        let cores = self.cores_allowed() as u64;
        let quota = match self.quota {
            Ok(Some(quota)) => quota.cpus_ceil(),
            _ => u64::MAX,
        };
        usize::try_from(cores.min(quota)).unwrap_or(1).max(1)
    }

    /// The NUMA nodes that have CPUs, with all their online CPUs.
    pub fn nodes(&self) -> BTreeMap<u32, BTreeSet<u32>> {
        let mut nodes: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for cpu in self.cpus.values() {
            if let Some(node) = cpu.node {
                nodes.entry(node).or_default().insert(cpu.id);
            }
        }
        nodes
    }

    /// Whether some core has more than one logical CPU online.
    pub fn smt(&self) -> bool {
        self.cpus.values().any(|cpu| {
            let online = |sibling: &&u32| self.cpus.contains_key(sibling);
            cpu.siblings.iter().filter(online).count() > 1
        })
    }

    /// First siblings before second ones; among equals isolated CPUs (someone
    /// who lets us have one means us to use it), then the wished node, then
    /// by node and number.
    fn order(&self, among: &BTreeSet<u32>, node: Option<u32>) -> Vec<u32> {
        let mut order: Vec<&Cpu> = among.iter().filter_map(|id| self.cpus.get(id)).collect();
        // Which sibling comes first counts among the CPUs we may use: where
        // only second siblings are allowed, they are first ones to us.
        order.sort_by_cached_key(|cpu| {
            let before = cpu
                .siblings
                .iter()
                .filter(|&&sibling| sibling < cpu.id && among.contains(&sibling))
                .count();
            let far = node.is_some() && cpu.node != node;
            let common = !self.isolated.contains(&cpu.id);
            (before, common, far, cpu.node, cpu.package, cpu.id)
        });
        order.into_iter().map(|cpu| cpu.id).collect()
    }
}

/// The line `Cpus_allowed_list` of a `status` file.
pub(crate) fn allowed_in(status: &str) -> Result<BTreeSet<u32>, Unread> {
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .ok_or_else(|| Unread::Malformed("no line Cpus_allowed_list".to_owned()))?;
    parse_list(list)
}

fn set(root: &Root, file: &str) -> BTreeSet<u32> {
    root.read(&format!("{CPU_DIR}/{file}"))
        .and_then(|text| parse_list(&text))
        .unwrap_or_default()
}

fn nodes(root: &Root) -> BTreeMap<u32, BTreeSet<u32>> {
    let names = root.list(NODE_DIR).unwrap_or_default();
    names
        .iter()
        .filter_map(|name| {
            let node = name.strip_prefix("node")?.parse().ok()?;
            let list = root.read(&format!("{NODE_DIR}/{name}/cpulist")).ok()?;
            Some((node, parse_list(&list).ok()?))
        })
        .collect()
}
