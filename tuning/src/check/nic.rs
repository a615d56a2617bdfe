//! Network cards: how many queues they have, which CPUs their interrupts and
//! their packets go to, and how that meets the workers.

use std::collections::{BTreeMap, BTreeSet};

use super::Context;
use crate::{
    finding::{Area, Change, Finding, Severity, ValueWrite, plural},
    root::{Root, Unread},
    topology::{format_list, format_mask, parse_list, parse_mask},
};

const NET_DIR: &str = "sys/class/net";

/// Parts of an interrupt's name that say it carries no packets but news of
/// the link, the firmware or the device.
const CONTROL: [&str; 9] = [
    "config", "async", "ctrl", "control", "mgmnt", "misc", "event", "fdir", "admin",
];

/// A network card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nic {
    pub(crate) name: String,
    /// Whether the link is up, or does not say.
    pub(crate) up: bool,
    /// The NUMA node it hangs on.
    pub(crate) node: Option<u32>,
    /// Receive queues: the CPUs each spreads its packets over (RPS).
    pub(crate) rx: Vec<Result<BTreeSet<u32>, Unread>>,
    /// Send queues: the CPUs that use each (XPS).
    pub(crate) tx: Vec<Result<BTreeSet<u32>, Unread>>,
    /// The interrupts of its queues, in order.
    pub(crate) irqs: Vec<Irq>,
}

/// An interrupt of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Irq {
    pub(crate) number: u32,
    pub(crate) name: String,
    /// The queue its name tells, or its place among the card's interrupts.
    pub(crate) queue: usize,
    /// The CPUs it goes to.
    pub(crate) cpus: Result<BTreeSet<u32>, Unread>,
}

/// The cards of a machine; virtual interfaces, which have no device behind
/// them, are left out.
pub(crate) fn read(root: &Root) -> Result<Vec<Nic>, Unread> {
    let interrupts = root.read("proc/interrupts").unwrap_or_default();
    let mut nics = Vec::new();
    for name in root.list(NET_DIR)? {
        let dir = format!("{NET_DIR}/{name}");
        if !root.exists(&format!("{dir}/device")) {
            continue;
        }
        let up = match root.word(&format!("{dir}/operstate")) {
            Ok(state) => !matches!(state.as_str(), "down" | "dormant" | "lowerlayerdown"),
            Err(_) => true,
        };
        let device = root.target_name(&format!("{dir}/device")).ok();
        nics.push(Nic {
            up,
            // -1 says that the machine has no nodes.
            node: root
                .number(&format!("{dir}/device/numa_node"))
                .ok()
                .and_then(|node| u32::try_from(node).ok()),
            rx: queues(root, &dir, "rx-", "rps_cpus"),
            tx: queues(root, &dir, "tx-", "xps_cpus"),
            irqs: irqs(root, &interrupts, &name, device.as_deref()),
            name,
        });
    }
    Ok(nics)
}

fn queues(root: &Root, dir: &str, kind: &str, mask: &str) -> Vec<Result<BTreeSet<u32>, Unread>> {
    root.list(&format!("{dir}/queues"))
        .unwrap_or_default()
        .iter()
        .filter(|queue| queue.starts_with(kind))
        .map(|queue| {
            root.read(&format!("{dir}/queues/{queue}/{mask}"))
                .and_then(|text| parse_mask(&text))
        })
        .collect()
}

/// The card's interrupts: those its device directory lists, and those whose
/// names in `/proc/interrupts` bear the interface's or the device's name.
fn irqs(root: &Root, interrupts: &str, name: &str, device: Option<&str>) -> Vec<Irq> {
    let listed: BTreeSet<u32> = root
        .list(&format!("{NET_DIR}/{name}/device/msi_irqs"))
        .unwrap_or_default()
        .iter()
        .filter_map(|number| number.parse().ok())
        .collect();
    let mut named: Vec<(u32, String)> = Vec::new();
    for line in interrupts.lines() {
        let Some((number, rest)) = line.split_once(':') else {
            continue;
        };
        let (Ok(number), Some(irq)) = (number.trim().parse(), rest.split_whitespace().last())
        else {
            continue;
        };
        let ours = |owner: &str| {
            irq == owner
                || irq.starts_with(&format!("{owner}-"))
                || irq.ends_with(&format!("-{owner}"))
                || irq.contains(&format!("-{owner}-"))
                || irq.ends_with(&format!("@pci:{owner}"))
        };
        if listed.contains(&number) || ours(name) || device.is_some_and(ours) {
            named.push((number, irq.to_owned()));
        }
    }
    let carries = |(_, irq): &(u32, String)| !CONTROL.iter().any(|word| irq.contains(word));
    if named.iter().any(carries) {
        named.retain(carries);
    }
    // Pairs of one queue (input.0, output.0) share a number at the end of
    // their names; a card that numbers none gets the order they come in.
    let queue = |irq: &str| -> Option<usize> {
        let base = irq.split('@').next().unwrap_or(irq);
        let digits = base.len() - base.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        base.get(base.len() - digits..)?.parse().ok()
    };
    named
        .into_iter()
        .enumerate()
        .map(|(index, (number, name))| Irq {
            number,
            queue: queue(&name).unwrap_or(index),
            cpus: root
                .read(&format!("proc/irq/{number}/effective_affinity_list"))
                .and_then(|text| parse_list(&text))
                // Empty on architectures that do not fill it in.
                .and_then(|cpus| match cpus.is_empty() {
                    true => Err(Unread::Absent),
                    false => Ok(cpus),
                })
                .or_else(|_| {
                    root.read(&format!("proc/irq/{number}/smp_affinity_list"))
                        .and_then(|text| parse_list(&text))
                }),
            name,
        })
        .collect()
}

pub(super) fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let nics = match &context.nics {
        Ok(nics) => nics,
        Err(why) => {
            findings.push(
                Finding::of::<&str>("nic", Area::Nic, &Err(why.clone()), Severity::Fine, |_| {
                    true
                })
                .needs("network cards that can be seen", "none could be looked at"),
            );
            return;
        }
    };
    let up: Vec<&Nic> = nics.iter().filter(|nic| nic.up).collect();
    if up.is_empty() {
        findings.push(
            Finding::of("nic", Area::Nic, &Ok("none"), Severity::Fine, |_| true).needs(
                "nothing",
                "no card with a device behind it: in a container, queues and interrupts belong \
                 to the host",
            ),
        );
        return;
    }
    let balanced = irqbalance(context.root);
    for nic in up {
        findings.push(rx_queues(context, nic));
        findings.push(interrupts(context, nic, balanced));
        findings.push(rps(context, nic));
        findings.push(xps(context, nic));
        findings.push(numa(context, nic));
    }
}

/// Whether irqbalance runs, which moves interrupts about every ten seconds.
fn irqbalance(root: &Root) -> bool {
    root.list("proc")
        .unwrap_or_default()
        .iter()
        .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        .any(|pid| {
            root.word(&format!("proc/{pid}/comm"))
                .is_ok_and(|comm| comm == "irqbalance")
        })
}

/// Whether RPS is on for a queue.
fn spread(queue: &Result<BTreeSet<u32>, Unread>) -> bool {
    queue.as_ref().is_ok_and(|cpus| !cpus.is_empty())
}

fn counted(queues: &[Result<BTreeSet<u32>, Unread>]) -> Result<usize, Unread> {
    match queues.len() {
        0 => Err(Unread::Failed("no queues are shown".to_owned())),
        count => Ok(count),
    }
}

fn rx_queues(context: &Context<'_>, nic: &Nic) -> Finding {
    let workers = context.placement.len();
    let present = counted(&nic.rx).map(|rx| format!("{rx} receive, {} send", nic.tx.len()));
    let rps = nic.rx.iter().all(spread);
    let good = nic.rx.len() >= workers || rps;
    Finding::of(
        &format!("nic.{}.queues", nic.name),
        Area::Nic,
        &present,
        Severity::Advice,
        |_| good,
    )
    .needs(
        format!("≥ {workers} receive, or RPS"),
        format!(
            "each receive queue is served by one CPU; {} for {}",
            plural(nic.rx.len() as u64, "queue", "queues"),
            plural(workers as u64, "worker", "workers")
        ),
    )
    .how(format!(
        "ethtool -L {} combined {workers}, if the card has that many; otherwise RPS, which \
         `tune apply` sets",
        nic.name
    ))
}

/// The CPU for a queue: that of the worker with the same number.
fn cpu_for(placement: &[u32], queue: usize) -> Option<u32> {
    placement.get(queue.checked_rem(placement.len())?).copied()
}

fn interrupts(context: &Context<'_>, nic: &Nic, balanced: bool) -> Finding {
    let workers = context.worker_cpus();
    let mut read: Result<BTreeMap<u32, BTreeSet<u32>>, Unread> = match nic.irqs.is_empty() {
        true => Err(Unread::Failed("its interrupts are not shown".to_owned())),
        false => Ok(BTreeMap::new()),
    };
    for irq in &nic.irqs {
        match (&irq.cpus, &mut read) {
            (Ok(cpus), Ok(map)) => {
                map.insert(irq.number, cpus.clone());
            }
            (Err(why), Ok(_)) => read = Err(why.clone()),
            (_, Err(_)) => {}
        }
    }
    if workers.is_empty() {
        read = Err(Unread::Failed("where workers go is not known".to_owned()));
    }
    let present = read.as_ref().map_err(Clone::clone).map(|map| {
        let used: BTreeSet<u32> = map.values().flatten().copied().collect();
        format!(
            "{} on CPUs {}",
            plural(map.len() as u64, "interrupt", "interrupts"),
            format_list(&used)
        )
    });
    let queues: BTreeSet<usize> = nic.irqs.iter().map(|irq| irq.queue).collect();
    let wanted = queues.len().min(workers.len()).max(1);
    // Well placed: every interrupt goes to CPUs of workers alone, and together
    // they reach as many workers as there are queues for.
    let (inside, reached) = read.as_ref().map_or((false, 0), |map| {
        let used: BTreeSet<u32> = map.values().flatten().copied().collect();
        (used.is_subset(&workers), used.len())
    });
    let writes = nic
        .irqs
        .iter()
        .filter_map(|irq| {
            let cpu = cpu_for(&context.placement, irq.queue)?;
            Some(ValueWrite {
                path: format!("proc/irq/{}/smp_affinity_list", irq.number),
                value: cpu.to_string(),
                irq: Some(irq.name.clone()),
            })
        })
        .collect();
    let mut how = format!(
        "echo CPU > /proc/irq/N/smp_affinity_list for {}",
        nic.irqs
            .iter()
            .take(4)
            .map(|irq| format!("{} ({})", irq.number, irq.name))
            .collect::<Vec<_>>()
            .join(", ")
    );
    if nic.irqs.len() > 4 {
        how.push_str(&format!(" and {} more", nic.irqs.len() - 4));
    }
    if balanced {
        how.push_str("; irqbalance runs and would move them back: stop it or ban them there");
    }
    Finding::of(
        &format!("nic.{}.irq", nic.name),
        Area::Nic,
        &present,
        Severity::Advice,
        |_| inside && reached >= wanted,
    )
    .needs(
        format!("spread over CPUs {}", format_list(&workers)),
        format!(
            "{} with interrupts for {}: at least {} different",
            plural(queues.len() as u64, "queue", "queues"),
            plural(workers.len() as u64, "worker", "workers"),
            plural(wanted as u64, "CPU", "CPUs"),
        ),
    )
    .how(how)
    .change(Change::Values { writes })
}

fn rps(context: &Context<'_>, nic: &Nic) -> Finding {
    let workers = context.worker_cpus();
    let few = nic.rx.len() < workers.len();
    let failed = nic.rx.iter().find_map(|queue| queue.as_ref().err());
    let present = match (counted(&nic.rx), failed) {
        (Err(why), _) => Err(why),
        (Ok(_), Some(why)) => Err(why.clone()),
        (Ok(_), None) => {
            let used: BTreeSet<u32> = nic.rx.iter().flatten().flatten().copied().collect();
            Ok(match used.is_empty() {
                true => "off".to_owned(),
                false => format!("over CPUs {}", format_list(&used)),
            })
        }
    };
    let on = nic.rx.iter().filter(|queue| spread(queue)).count();
    let good = if few { on == nic.rx.len() } else { on == 0 };
    let mask = if few {
        format_mask(&workers)
    } else {
        "0".to_owned()
    };
    let writes = (0..nic.rx.len())
        .map(|queue| ValueWrite {
            path: format!("{NET_DIR}/{}/queues/rx-{queue}/rps_cpus", nic.name),
            value: mask.clone(),
            irq: None,
        })
        .collect();
    Finding::of(
        &format!("nic.{}.rps", nic.name),
        Area::Nic,
        &present,
        Severity::Advice,
        |_| good,
    )
    .needs(
        if few {
            format!("over CPUs {}", format_list(&workers))
        } else {
            "off".to_owned()
        },
        format!(
            "{} for {}{}",
            plural(nic.rx.len() as u64, "receive queue", "receive queues"),
            plural(workers.len() as u64, "worker", "workers"),
            if few {
                ": software must spread what the card does not"
            } else {
                ": the card spreads by itself, software would only add an interrupt a packet"
            }
        ),
    )
    .how(format!(
        "echo {mask} > /{NET_DIR}/{}/queues/rx-N/rps_cpus",
        nic.name
    ))
    .change(Change::Values { writes })
}

fn xps(context: &Context<'_>, nic: &Nic) -> Finding {
    let workers = context.worker_cpus();
    let key = format!("nic.{}.xps", nic.name);
    // With one send queue there is nothing to choose, and the kernel does not
    // even let the mask be read.
    if nic.tx.len() == 1 {
        return Finding::of(&key, Area::Nic, &Ok("one queue"), Severity::Fine, |_| true)
            .needs("nothing", "one send queue: all workers share it");
    }
    let failed = nic.tx.iter().find_map(|queue| queue.as_ref().err());
    let present = match (counted(&nic.tx), failed) {
        (Err(why), _) => Err(why),
        (Ok(_), Some(why)) => Err(why.clone()),
        (Ok(count), None) => Ok(format!(
            "{} of {count} queues have CPUs",
            nic.tx.iter().filter(|queue| spread(queue)).count()
        )),
    };
    let served: BTreeSet<u32> = nic.tx.iter().flatten().flatten().copied().collect();
    let good = workers.is_subset(&served);
    let writes = (0..nic.tx.len())
        .map(|queue| {
            // Queue q serves workers q, q + queues, …; with more queues than
            // workers several serve one.
            let cpus: BTreeSet<u32> = if nic.tx.len() >= context.placement.len() {
                cpu_for(&context.placement, queue).into_iter().collect()
            } else {
                context
                    .placement
                    .iter()
                    .copied()
                    .skip(queue)
                    .step_by(nic.tx.len())
                    .collect()
            };
            ValueWrite {
                path: format!("{NET_DIR}/{}/queues/tx-{queue}/xps_cpus", nic.name),
                value: format_mask(&cpus),
                irq: None,
            }
        })
        .collect();
    Finding::of(&key, Area::Nic, &present, Severity::Advice, |_| good)
        .needs(
            format!("a queue for each of CPUs {}", format_list(&workers)),
            format!(
                "{} for {}",
                plural(nic.tx.len() as u64, "send queue", "send queues"),
                plural(workers.len() as u64, "worker", "workers")
            ),
        )
        .how(format!(
            "echo MASK > /{NET_DIR}/{}/queues/tx-N/xps_cpus",
            nic.name
        ))
        .change(Change::Values { writes })
}

fn numa(context: &Context<'_>, nic: &Nic) -> Finding {
    let nodes: BTreeSet<u32> = match &context.topology {
        Ok(topology) => context
            .placement
            .iter()
            .filter_map(|id| topology.cpus.get(id)?.node)
            .collect(),
        Err(_) => BTreeSet::new(),
    };
    let present = match nic.node {
        Some(node) => format!("card on node {node}, workers on {}", format_list(&nodes)),
        None => "the card belongs to no node".to_owned(),
    };
    let far = nic
        .node
        .is_some_and(|node| nodes.iter().any(|&it| it != node));
    // More workers than the card's node has cores must stand elsewhere: told,
    // not complained about.
    Finding::of(
        &format!("nic.{}.numa", nic.name),
        Area::Nic,
        &Ok(present),
        Severity::Fine,
        |_| true,
    )
    .needs(
        "workers on the card's node first",
        if far {
            "more workers than that node has cores: the others reach over"
        } else {
            "no worker reaches over to another node for its packets"
        },
    )
    .how("`wirebahn tune pin`, or fewer workers")
}
