//! Processors: enough of them, whose they are, how fast they run, and what
//! their clocks cost.

use std::{collections::BTreeMap, collections::BTreeSet};

use super::Context;
use crate::{
    finding::{Area, Change, Finding, Severity, ValueWrite, plural},
    root::{Root, Unread},
    topology::{Quota, Topology, allowed_in, cpu_quota, format_list},
};

/// Clocks that are read with a slow access to a device rather than with one
/// instruction.
const CLOCKS_SLOW: [&str; 5] = ["hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit"];

const VULNERABILITIES: &str = "sys/devices/system/cpu/vulnerabilities";

pub(super) fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let root = context.root;
    findings.push(workers(&context.topology, context.load.workers));
    let limit = match &context.topology {
        Ok(topology) => topology.quota.clone(),
        Err(why) => Err(why.clone()),
    };
    findings.push(quota(&limit, context.load.workers));
    findings.push(cpuset(&context.topology));
    findings.push(isolated(context));
    findings.push(smt(context));
    findings.push(numa(context));
    findings.push(numa_balancing(context));
    findings.push(governor(context));
    findings.push(mitigations(root));
    findings.push(clock(root));
}

/// The part that `quick_check` uses: the quota, which takes a handful of small
/// files however many CPUs there are.
pub(super) fn quick_quota(root: &Root, workers: u32) -> Finding {
    quota(&cpu_quota(root), workers)
}

/// The other part: more workers than CPUs. One small file tells how many; which
/// of them share a core would take two files a CPU.
pub(super) fn quick_workers(root: &Root, workers: u32) -> Finding {
    let allowed = root
        .read("proc/self/status")
        .and_then(|status| allowed_in(&status))
        .map(|cpus| cpus.len());
    let present = allowed.as_ref().map_err(Clone::clone).map(|&cpus| {
        format!(
            "{} on {}",
            plural(u64::from(workers), "worker", "workers"),
            plural(cpus as u64, "CPU", "CPUs")
        )
    });
    let cpus = allowed.unwrap_or(0);
    Finding::of("cpu.workers", Area::Cpu, &present, Severity::Limits, |_| {
        workers as usize <= cpus
    })
    .needs(
        format!("≥ {}", plural(u64::from(workers), "CPU", "CPUs")),
        format!(
            "{} may be used, by affinity and cpuset",
            plural(cpus as u64, "CPU", "CPUs")
        ),
    )
    .how(format!("--workers {}", cpus.max(1)))
}

fn workers(topology: &Result<Topology, Unread>, workers: u32) -> Finding {
    let present = topology.as_ref().map_err(Clone::clone).map(|it| {
        format!(
            "{} on {}{}",
            plural(u64::from(workers), "worker", "workers"),
            plural(it.cores_allowed() as u64, "core", "cores"),
            if it.cores_known {
                ""
            } else {
                " (which CPUs share a core is not shown)"
            }
        )
    });
    let (cores, cpus) = topology
        .as_ref()
        .map_or((0, 0), |it| (it.cores_allowed(), it.allowed.len()));
    let wanted = workers as usize;
    let otherwise = if wanted > cpus {
        Severity::Limits
    } else {
        Severity::Advice
    };
    Finding::of("cpu.workers", Area::Cpu, &present, otherwise, |_| {
        wanted <= cores
    })
    .needs(
        format!("≥ {}", plural(u64::from(workers), "core", "cores")),
        format!(
            "one core a worker; {} and {} may be used",
            plural(cpus as u64, "CPU", "CPUs"),
            plural(cores as u64, "core", "cores")
        ),
    )
    .how(format!("--workers {}", cores.max(1)))
}

fn quota(quota: &Result<Option<Quota>, Unread>, workers: u32) -> Finding {
    let present = quota
        .as_ref()
        .map(|quota| quota.map_or_else(|| "none".to_owned(), |quota| quota.to_string()))
        .map_err(Clone::clone);
    let wanted = u64::from(workers);
    let good = match quota {
        Ok(Some(quota)) => wanted <= quota.cpus_ceil(),
        _ => true,
    };
    Finding::of("cpu.quota", Area::Cpu, &present, Severity::Limits, |_| good)
        .needs(
            format!("none, or ≥ {}", plural(wanted, "CPU", "CPUs")),
            match quota {
                Ok(Some(quota)) => format!(
                    "{} busy workers use up {} µs after {} µs; all of them then stand still \
                     until {} µs are over",
                    wanted,
                    quota.quota_us,
                    quota.quota_us / wanted.max(1),
                    quota.period_us
                ),
                _ => "no CPU quota is in the way".to_owned(),
            },
        )
        .how(match quota {
            Ok(Some(quota)) => format!(
                "--workers {}, or a larger quota (docker --cpus, Kubernetes limits.cpu, \
                 systemd CPUQuota=)",
                quota.cpus_ceil().max(1)
            ),
            _ => String::new(),
        })
}

fn cpuset(topology: &Result<Topology, Unread>) -> Finding {
    let present = topology
        .as_ref()
        .map_err(Clone::clone)
        .map(|it| format!("{} of {}", it.allowed.len(), it.cpus.len()));
    // Fewer CPUs than there are is someone's decision; that there is one at all
    // is what must be.
    let some = topology.as_ref().is_ok_and(|it| !it.allowed.is_empty());
    Finding::of("cpu.allowed", Area::Cpu, &present, Severity::Limits, |_| {
        some
    })
    .needs(
        "≥ 1",
        topology.as_ref().map_or_else(
            |_| String::new(),
            |it| {
                format!(
                    "CPUs {} of {} by affinity and cpuset",
                    format_list(&it.allowed),
                    format_list(it.cpus.keys())
                )
            },
        ),
    )
    .how("taskset, CPUAffinity= and AllowedCPUs= in the systemd unit, the container's cpuset")
}

fn isolated(context: &Context<'_>) -> Finding {
    let present =
        context
            .topology
            .as_ref()
            .map_err(Clone::clone)
            .map(|it| match it.isolated.is_empty() {
                true => "none".to_owned(),
                false => format_list(&it.isolated),
            });
    let (unused, shared) = context.topology.as_ref().map_or((0, false), |it| {
        let unused: BTreeSet<&u32> = it.isolated.difference(&it.allowed).collect();
        (unused.len(), it.isolated.len() > unused.len())
    });
    Finding::of(
        "cpu.isolated",
        Area::Cpu,
        &present,
        Severity::Advice,
        |_| unused == 0,
    )
    .needs(
        "none, or given to the workers",
        if unused > 0 {
            format!(
                "{} taken from the scheduler, and this process may not run there",
                plural(unused as u64, "CPU is", "CPUs are")
            )
        } else if shared {
            "workers that are pinned there run undisturbed; one that is not pinned never moves"
                .to_owned()
        } else {
            "every CPU takes part in the scheduler's balancing".to_owned()
        },
    )
    .how(
        "if they were isolated for this server: CPUAffinity= in the unit, or \
         `wirebahn tune pin PID --cpus LIST --set`",
    )
}

fn smt(context: &Context<'_>) -> Finding {
    let known = match &context.topology {
        Ok(it) if it.cores_known => Ok(it),
        Ok(_) => Err(Unread::Failed(
            "which CPUs share a core is not shown here".to_owned(),
        )),
        Err(why) => Err(why.clone()),
    };
    let present = known
        .as_ref()
        .map_err(Clone::clone)
        .map(|it| match it.smt() {
            true => "on",
            false => "off",
        });
    let sharing = known.as_ref().map_or(0, |it| {
        let mut cores: BTreeMap<u32, u64> = BTreeMap::new();
        for id in &context.placement {
            let core = it
                .cpus
                .get(id)
                .and_then(|cpu| cpu.siblings.first().copied());
            *cores.entry(core.unwrap_or(*id)).or_default() += 1;
        }
        cores.values().filter(|&&count| count > 1).sum::<u64>()
    });
    Finding::of("cpu.smt", Area::Cpu, &present, Severity::Advice, |_| {
        sharing == 0
    })
    .needs(
        "no two workers on one core",
        if sharing > 0 {
            format!("{sharing} workers share a core with another: each runs slower")
        } else {
            "workers go on the first sibling of each core, interrupts may have the second"
                .to_owned()
        },
    )
    .how(format!(
        "--workers {}",
        known.as_ref().map_or(1, |it| it.cores_allowed())
    ))
}

/// The nodes the workers would stand on.
fn worker_nodes(context: &Context<'_>) -> BTreeSet<u32> {
    let cpus = context.topology.as_ref().map(|it| &it.cpus);
    context
        .placement
        .iter()
        .filter_map(|id| cpus.ok()?.get(id)?.node)
        .collect()
}

fn numa(context: &Context<'_>) -> Finding {
    let nodes = context.topology.as_ref().map(Topology::nodes);
    let present = match &nodes {
        Ok(nodes) if nodes.is_empty() => Ok("not shown; taken for one".to_owned()),
        Ok(nodes) => Ok(plural(nodes.len() as u64, "node", "nodes")),
        Err(why) => Err((*why).clone()),
    };
    let used = worker_nodes(context);
    Finding::of("cpu.numa", Area::Cpu, &present, Severity::Fine, |_| true)
        .needs(
            "as few nodes as carry the workers",
            if used.len() > 1 {
                format!(
                    "workers on nodes {}: messages between shards of two nodes cross the link \
                     between packages",
                    format_list(&used)
                )
            } else {
                "all workers on one node".to_owned()
            },
        )
        .how("--workers no larger than the cores of the node the network card hangs on")
}

fn numa_balancing(context: &Context<'_>) -> Finding {
    let key = "kernel.numa_balancing";
    let on = context.root.number("proc/sys/kernel/numa_balancing");
    let nodes = context.topology.as_ref().map_or(0, |it| it.nodes().len());
    if on == Err(Unread::Absent) && context.root.exists("proc/sys/kernel/osrelease") {
        return Finding::of(
            key,
            Area::Cpu,
            &Ok("not built in"),
            Severity::Advice,
            |_| true,
        )
        .needs("0 where workers are pinned", "this kernel moves no pages");
    }
    Finding::of(key, Area::Cpu, &on, Severity::Advice, |&on| {
        on == 0 || nodes < 2
    })
    .needs(
        if nodes < 2 { "anything" } else { "0" },
        format!(
            "{}; pinned workers touch their memory first where they stand",
            plural(nodes as u64, "node", "nodes")
        ),
    )
    .sysctl(key, "0")
}

fn governor(context: &Context<'_>) -> Finding {
    let root = context.root;
    let cpus = match &context.topology {
        Ok(it) => it.allowed.clone(),
        Err(_) => BTreeSet::new(),
    };
    let mut governors: BTreeMap<String, u64> = BTreeMap::new();
    let mut failed = None;
    for cpu in &cpus {
        let dir = format!("sys/devices/system/cpu/cpu{cpu}");
        match root.word(&format!("{dir}/cpufreq/scaling_governor")) {
            Ok(governor) => *governors.entry(governor).or_default() += 1,
            // The CPU is shown and has no frequency to govern: a virtual
            // machine, or firmware that decides alone.
            Err(Unread::Absent) if root.exists(&dir) => {
                *governors.entry("not governed here".to_owned()).or_default() += 1;
            }
            Err(why) => failed = Some(why),
        }
    }
    let driver = root.word("sys/devices/system/cpu/cpu0/cpufreq/scaling_driver");
    let present = match (failed, governors.is_empty()) {
        (Some(why), _) => Err(why),
        (None, true) => Err(Unread::Failed("no CPU is shown".to_owned())),
        (None, false) => {
            let names: Vec<&str> = governors.keys().map(String::as_str).collect();
            let driver = driver.map_or(String::new(), |driver| format!(" ({driver})"));
            Ok(format!("{}{driver}", names.join(", ")))
        }
    };
    let good = governors
        .keys()
        .all(|name| name == "performance" || name == "not governed here");
    let slow: u64 = governors
        .iter()
        .filter(|(name, _)| *name != "performance" && *name != "not governed here")
        .map(|(_, count)| count)
        .sum();
    Finding::of(
        "cpu.governor",
        Area::Cpu,
        &present,
        Severity::Advice,
        |_| good,
    )
    .needs(
        "performance",
        if slow > 0 {
            format!(
                "{} of {} clock down when idle and take time to come back",
                slow,
                plural(cpus.len() as u64, "CPU", "CPUs")
            )
        } else {
            "nothing here slows an idle CPU down".to_owned()
        },
    )
    // Heat and the electricity bill are not this program's to decide.
    .how("cpupower frequency-set -g performance")
}

fn mitigations(root: &Root) -> Finding {
    let mut mitigated = 0u64;
    let mut vulnerable = Vec::new();
    let present = root.list(VULNERABILITIES).and_then(|names| {
        for name in names {
            let status = root.word(&format!("{VULNERABILITIES}/{name}"))?;
            if status.starts_with("Mitigation") {
                mitigated += 1;
            } else if status.starts_with("Vulnerable") {
                vulnerable.push(name);
            }
        }
        let switch = root.word("proc/cmdline").ok().and_then(|line| {
            line.split_whitespace()
                .find_map(|word| word.strip_prefix("mitigations=").map(str::to_owned))
        });
        let switch = switch.map_or(String::new(), |it| format!("; mitigations={it}"));
        let open = match vulnerable.as_slice() {
            [] => String::new(),
            names => format!(" ({})", names.join(", ")),
        };
        Ok(format!(
            "{mitigated} mitigated, {} vulnerable{open}{switch}",
            vulnerable.len()
        ))
    });
    // A cost that is known and a risk that is not: shown, never judged.
    Finding::of(
        "cpu.mitigations",
        Area::Cpu,
        &present,
        Severity::Fine,
        |_| true,
    )
    .needs(
        "your decision",
        "each system call pays for some of them; fewer calls a message is the cure that costs \
         no safety",
    )
    .how("mitigations= on the kernel's command line; not advised where strangers' code runs")
}

fn clock(root: &Root) -> Finding {
    let dir = "sys/devices/system/clocksource/clocksource0";
    let current = root.word(&format!("{dir}/current_clocksource"));
    let available = root
        .word(&format!("{dir}/available_clocksource"))
        .unwrap_or_default();
    let better = available
        .split_whitespace()
        .find(|name| !CLOCKS_SLOW.contains(name))
        .map(str::to_owned);
    let finding = Finding::of(
        "cpu.clocksource",
        Area::Cpu,
        &current,
        Severity::Advice,
        |name| !CLOCKS_SLOW.contains(&name.as_str()),
    )
    .needs(
        "tsc, or another that is read without a system call",
        format!("available: {available}"),
    );
    match better {
        Some(better) => finding
            .how(format!(
                "echo {better} > /{dir}/current_clocksource; clocksource={better} on the \
                 kernel's command line to keep it. If the kernel gave up the tsc as unstable, \
                 dmesg says why"
            ))
            .change(Change::Values {
                writes: vec![ValueWrite {
                    path: format!("{dir}/current_clocksource"),
                    value: better,
                    irq: None,
                }],
            }),
        None => finding.how("no better one is available here"),
    }
}
