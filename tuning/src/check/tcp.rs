//! Memory and behaviour of the connections themselves.

use std::fmt;

use super::{Context, sysctl, sysctl_finding, sysctls};
use crate::{
    finding::{Area, Finding, Severity, n, octets, plural},
    load::Load,
    root::{Root, Unread},
};

/// A long fat path to be filled by one connection: 100 Mbit/s over 100 ms.
const PATH_OCTETS: u64 = 100_000_000 / 8 / 10;

/// Unsent octets a connection may keep in the kernel before it stops saying
/// "writable".
const LOWAT: u64 = 131_072;

pub(super) fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let (root, load) = (context.root, &context.load);
    findings.push(memory(context));
    // A receive buffer holds the kernel's bookkeeping beside the octets; the
    // kernel itself counts on half of it (tcp_adv_win_scale 1).
    findings.push(buffers(root, "net.ipv4.tcp_rmem", 2 * PATH_OCTETS));
    findings.push(buffers(root, "net.ipv4.tcp_wmem", PATH_OCTETS));
    findings.push(orphans(root, load));
    findings.push(tw_reuse(root, load));
    findings.push(fin_timeout(root));
    findings.push(slow_start(root));
    findings.push(lowat(root));
    findings.push(busy(root, "net.core.busy_poll"));
    findings.push(busy(root, "net.core.busy_read"));
}

/// Three numbers, written with blanks between.
struct Three([u64; 3]);

impl fmt::Display for Three {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Three([a, b, c]) = self;
        write!(f, "{a} {b} {c}")
    }
}

fn three(root: &Root, key: &str) -> Result<Three, Unread> {
    let numbers = sysctls(root, key)?;
    numbers
        .try_into()
        .map(Three)
        .map_err(|other| Unread::Malformed(format!("{other:?} are not three numbers")))
}

fn memory(context: &Context<'_>) -> Finding {
    let key = "net.ipv4.tcp_mem";
    let load = &context.load;
    let page = context.page_size();
    // Without the size of a page nothing can be compared.
    let present = match &page {
        Ok(_) => three(context.root, key),
        Err(why) => Err(why.clone()),
    };
    let page = page.unwrap_or(4096);
    let needed = load.connections.saturating_mul(load.queued).div_ceil(page);
    let pressure = needed.saturating_add(needed / 4);
    let value = match &present {
        Ok(Three([low, old, high])) => Three([
            (*low).max(pressure / 4 * 3),
            (*old).max(pressure),
            (*high).max(pressure / 2 * 3),
        ]),
        Err(_) => Three([pressure / 4 * 3, pressure, pressure / 2 * 3]),
    };
    let finding = Finding::of(
        key,
        Area::Network,
        &present,
        Severity::Limits,
        |Three([_, pressure, _])| *pressure >= needed,
    )
    .needs(
        format!("pressure (2nd) ≥ {needed} pages"),
        format!(
            "{} × {} queued ÷ pages of {} = {} pages ({})",
            plural(load.connections, "connection", "connections"),
            octets(load.queued),
            octets(page),
            n(needed),
            octets(needed.saturating_mul(page))
        ),
    );
    // Raising the limit beyond half of the memory would only move the failure
    // from here to the out-of-memory killer.
    let memory = super::memory::meminfo(context.root, "MemTotal").unwrap_or(0);
    if needed.saturating_mul(page) > memory / 2 {
        finding.how(format!(
            "more memory: {} of {} would be socket buffers; or a smaller --queued if that is \
             not your traffic",
            octets(needed.saturating_mul(page)),
            octets(memory)
        ))
    } else {
        finding.sysctl(key, value.to_string())
    }
}

fn buffers(root: &Root, key: &str, needed: u64) -> Finding {
    let present = three(root, key);
    let value = match &present {
        Ok(Three([min, default, max])) => Three([*min, *default, (*max).max(needed)]),
        Err(_) => Three([4096, 131_072, needed]),
    };
    Finding::of(
        key,
        Area::Network,
        &present,
        Severity::Advice,
        |Three([_, _, max])| *max >= needed,
    )
    .needs(
        format!("max (3rd) ≥ {needed}"),
        format!(
            "100 Mbit/s × 100 ms = {} in flight{}",
            octets(PATH_OCTETS),
            if needed > PATH_OCTETS {
                ", twice that with the kernel's bookkeeping"
            } else {
                ""
            }
        ),
    )
    .sysctl(key, value.to_string())
}

fn orphans(root: &Root, load: &Load) -> Finding {
    let key = "net.ipv4.tcp_max_orphans";
    let needed = load.connections;
    sysctl_finding(root, key, Area::Network, Severity::Advice, |&max| {
        max >= needed
    })
    .needs(
        format!("≥ {needed}"),
        format!(
            "a server that stops closes {} at once, each an orphan until its last octets are \
             acknowledged",
            plural(load.connections, "connection", "connections")
        ),
    )
    .sysctl(key, needed.to_string())
}

fn tw_reuse(root: &Root, load: &Load) -> Finding {
    let key = "net.ipv4.tcp_tw_reuse";
    let needed = u64::from(load.outgoing > 0);
    sysctl_finding(root, key, Area::Network, Severity::Advice, |&on| {
        needed == 0 || on == 1
    })
    .needs(
        if needed == 0 { "anything" } else { "1" },
        match load.outgoing {
            0 => "no outgoing connections stated; it does nothing for those that come in".into(),
            outgoing => format!(
                "{} outgoing connections; a closed one keeps its port for 60 s",
                n(outgoing)
            ),
        },
    )
    .sysctl(key, "1")
}

fn fin_timeout(root: &Root) -> Finding {
    let key = "net.ipv4.tcp_fin_timeout";
    sysctl_finding(root, key, Area::Network, Severity::Advice, |&s| s <= 60)
        .needs(
            "≤ 60",
            "seconds a closed connection waits for a peer that never says FIN",
        )
        .sysctl(key, "60")
}

fn slow_start(root: &Root) -> Finding {
    let key = "net.ipv4.tcp_slow_start_after_idle";
    sysctl_finding(root, key, Area::Network, Severity::Advice, |&on| on == 0)
        .needs(
            "0",
            "a connection silent for one retransmission timeout starts again from 10 segments \
             (14 KiB a round trip)",
        )
        .sysctl(key, "0")
}

fn lowat(root: &Root) -> Finding {
    let key = "net.ipv4.tcp_notsent_lowat";
    let max = three(root, "net.ipv4.tcp_wmem").map(|Three([_, _, max])| max);
    sysctl_finding(root, key, Area::Network, Severity::Advice, |&lowat| {
        lowat <= 1 << 20
    })
    .needs(
        format!("{LOWAT}"),
        match max {
            Ok(max) => format!(
                "without it up to {} (tcp_wmem) wait unsent in the kernel for each slow reader",
                octets(max)
            ),
            Err(_) => "without it all of tcp_wmem waits unsent for each slow reader".to_owned(),
        },
    )
    .sysctl(key, LOWAT.to_string())
}

fn busy(root: &Root, key: &str) -> Finding {
    let present = sysctl(root, key);
    Finding::of(key, Area::Network, &present, Severity::Advice, |&us| {
        us == 0
    })
    .needs(
        "0",
        "microseconds of spinning a wait; with many connections a core, another packet is \
         always about to come anyway",
    )
    .sysctl(key, "0")
}
