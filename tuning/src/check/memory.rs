//! Memory: enough of it for the connections, and no surprises from huge pages
//! or swap.

use super::Context;
use crate::{
    finding::{Area, Finding, Reading, Severity, n, octets, plural},
    load::Load,
    root::{Root, Unread},
    topology::memory_max,
};

/// What the kernel holds for one idle connection on the server's side: socket,
/// file, inode, directory entry and the epoll item, in octets. Measured (see
/// `docs/TUNING.md`), rounded up.
const KERNEL_OCTETS: u64 = 5 << 10;

/// What the server holds for one idle connection, in octets: its target is
/// 256; four times that leaves room for an application's own state.
const USER_OCTETS: u64 = 1 << 10;

pub(super) fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    findings.push(available(context));
    findings.push(cgroup(context.root, &context.load));
    findings.push(huge_pages(context.root));
    findings.push(swap(context.root));
}

/// A line of `/proc/meminfo`, in octets.
pub(crate) fn meminfo(root: &Root, name: &str) -> Result<u64, Unread> {
    let text = root.read("proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .ok_or_else(|| Unread::Malformed(format!("no {name} in meminfo")))?;
    let kib = line.trim().strip_suffix("kB").unwrap_or(line).trim();
    Ok(crate::root::number(kib)?.saturating_mul(1024))
}

fn needed(load: &Load) -> (u64, String) {
    let each = KERNEL_OCTETS + USER_OCTETS;
    let needed = load
        .connections
        .saturating_mul(each.saturating_add(load.queued));
    (
        needed,
        format!(
            "{} × ({} of the kernel's + {} of the server's + {} queued) = {}",
            plural(load.connections, "connection", "connections"),
            n(KERNEL_OCTETS),
            n(USER_OCTETS),
            n(load.queued),
            octets(needed)
        ),
    )
}

fn available(context: &Context<'_>) -> Finding {
    let (needed, arithmetic) = needed(&context.load);
    let available = meminfo(context.root, "MemAvailable");
    let mut finding = Finding::of(
        "memory.available",
        Area::Memory,
        &available,
        Severity::Limits,
        |&available| available >= needed,
    )
    .needs(format!("≥ {needed} octets"), arithmetic)
    .how("more memory, or fewer connections on this machine");
    if let (Reading::Known(shown), Ok(available)) = (&mut finding.present, available) {
        *shown = octets(available);
    }
    finding
}

pub(super) fn cgroup(root: &Root, load: &Load) -> Finding {
    let (needed, arithmetic) = needed(load);
    let limit = memory_max(root);
    let shown = limit
        .as_ref()
        .map(|limit| limit.map_or_else(|| "none".to_owned(), octets))
        .map_err(Clone::clone);
    let good = match limit {
        Ok(Some(limit)) => limit >= needed,
        _ => true,
    };
    Finding::of(
        "memory.cgroup",
        Area::Memory,
        &shown,
        Severity::Limits,
        |_| good,
    )
    .needs(
        format!("none, or ≥ {needed} octets"),
        format!("{arithmetic}; sockets count against the group's memory"),
    )
    .how("MemoryMax= in the systemd unit, the container's memory limit")
}

fn huge_pages(root: &Root) -> Finding {
    let mode = root
        .word("sys/kernel/mm/transparent_hugepage/enabled")
        .and_then(|text| {
            text.split_whitespace()
                .find_map(|word| word.strip_prefix('[')?.strip_suffix(']').map(str::to_owned))
                .ok_or_else(|| Unread::Malformed(format!("{text:?} selects nothing")))
        });
    let finding = match mode {
        Err(Unread::Absent) if root.exists("sys/kernel/mm") => Finding::of(
            "memory.thp",
            Area::Memory,
            &Ok("not built in"),
            Severity::Advice,
            |_| true,
        ),
        mode => Finding::of(
            "memory.thp",
            Area::Memory,
            &mode,
            Severity::Advice,
            |mode| mode != "always",
        ),
    };
    finding
        .needs(
            "madvise or never",
            "with \"always\" a page of 2 MiB may stand behind a few KiB in use",
        )
        // Other programs on the machine may count on it: not applied.
        .how("echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")
}

fn swap(root: &Root) -> Finding {
    let key = "vm.swappiness";
    let total = meminfo(root, "SwapTotal");
    let swappiness = root.number("proc/sys/vm/swappiness");
    let present = match (&total, &swappiness) {
        (Ok(0), _) => Ok("no swap".to_owned()),
        (Ok(total), Ok(swappiness)) => Ok(format!("{swappiness} ({} of swap)", octets(*total))),
        (Err(why), _) | (_, Err(why)) => Err(why.clone()),
    };
    let good = matches!(total, Ok(0)) || swappiness.is_ok_and(|it| it <= 10);
    Finding::of(key, Area::Memory, &present, Severity::Advice, |_| good)
        .needs(
            "no swap, or ≤ 10",
            "one page fetched back from a disk costs as much as thousands of messages",
        )
        .sysctl(key, "10")
}
