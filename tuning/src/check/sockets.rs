//! The queues and tables a connection passes on its way to `accept`: SYN
//! queue, accept queue, per-CPU backlog, connection tracking; and the ports of
//! connections that go out.

use super::{Context, network_visible, sysctl, sysctl_finding, sysctls};
use crate::{
    finding::{Area, Finding, Reading, Severity, n, plural},
    load::Load,
    root::{Root, Unread},
};

/// How long a worker may be away from `accept` in a bad moment, in
/// milliseconds: a broadcast to everyone, a burst of handshakes.
const STALL_MS: u64 = 250;

/// Where `listen` stops believing anyone: a longer queue holds connections
/// whose clients have given up.
const BACKLOG_MAX: u64 = 65_535;

/// The kernel's default for packets that wait for a CPU.
const NETDEV_BACKLOG: u64 = 1000;

/// The same where that has been too little.
const NETDEV_BACKLOG_DROPPED: u64 = 4 * NETDEV_BACKLOG;

pub(super) fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let (root, load) = (context.root, &context.load);
    findings.push(somaxconn(root, load, context.workers()));
    findings.push(overflows(root));
    findings.push(syn_backlog(root, load));
    findings.push(syncookies(root));
    findings.push(netdev_backlog(root));
    findings.push(port_range(root, load));
    findings.push(port_reserved(root, load));
    findings.push(conntrack(root, load.connections));
    findings.push(conntrack_buckets(root, load.connections));
    findings.push(rp_filter(root, context));
    findings.push(migrate(root, context.workers()));
}

/// The queue one listener needs: what it asks for, or what arrives while its
/// worker is away, whichever is more.
fn backlog_needed(load: &Load, workers: u64) -> (u64, String) {
    let arrivals = load.arrivals_or_default();
    let stalled = (arrivals.saturating_mul(STALL_MS) / 1000).div_ceil(workers.max(1));
    let asked = u64::from(load.backlog);
    let needed = asked.max(stalled).min(BACKLOG_MAX);
    (
        needed,
        format!(
            "listen asks for {}; {} arrivals/s × {STALL_MS} ms ÷ {} = {}",
            n(asked),
            n(arrivals),
            plural(workers, "worker", "workers"),
            n(stalled)
        ),
    )
}

pub(super) fn somaxconn(root: &Root, load: &Load, workers: u64) -> Finding {
    let key = "net.core.somaxconn";
    let (needed, arithmetic) = backlog_needed(load, workers);
    let asked = u64::from(load.backlog);
    let max = sysctl(root, key);
    // A queue cut below what the server asked for is a promise broken; one
    // that only a bad second would overflow costs that second's clients time.
    let otherwise = match max {
        Ok(max) if max >= asked => Severity::Advice,
        _ => Severity::Limits,
    };
    let finding = Finding::of(key, Area::Network, &max, otherwise, |&max| max >= needed)
        .needs(format!("≥ {needed}"), arithmetic)
        .sysctl(key, needed.to_string());
    if needed > asked {
        let how = format!("{}; the server must ask for as much", finding.how);
        finding.how(how)
    } else {
        finding
    }
}

fn overflows(root: &Root) -> Finding {
    let count = tcp_ext(root, "ListenOverflows");
    Finding::of(
        "tcp.listen_overflows",
        Area::Network,
        &count,
        Severity::Advice,
        |&count| count == 0,
    )
    .needs(
        "0",
        "connections that found an accept queue full since boot, in this network namespace",
    )
    .how("a longer queue (net.core.somaxconn and the server's backlog), or more workers")
}

/// One counter of the `TcpExt` pair of lines in `/proc/net/netstat`: names
/// first, values below.
fn tcp_ext(root: &Root, name: &str) -> Result<u64, Unread> {
    let text = root.read("proc/net/netstat")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return Err(Unread::Malformed("no TcpExt in netstat".to_owned()));
    };
    names
        .split_whitespace()
        .zip(values.split_whitespace())
        .find(|&(found, _)| found == name)
        .ok_or_else(|| Unread::Malformed(format!("no {name} in netstat")))
        .and_then(|(_, value)| crate::root::number(value))
}

fn syn_backlog(root: &Root, load: &Load) -> Finding {
    let key = "net.ipv4.tcp_max_syn_backlog";
    let cookies = sysctl(root, "net.ipv4.tcp_syncookies");
    let arrivals = load.arrivals_or_default();
    // A handshake waits one round trip for its last part; a quarter of the
    // queue is closed to newcomers the kernel knows nothing good about.
    let needed = (arrivals / 5).saturating_mul(4) / 3;
    let guarded = matches!(cookies, Ok(1 | 2));
    let arithmetic = if guarded {
        "with SYN cookies on, the accept queue is the limit of the SYN queue; this counts only \
         without them"
            .to_owned()
    } else {
        format!(
            "{} arrivals/s × 200 ms of round trip × 4/3 (a quarter is kept for known peers)",
            n(arrivals)
        )
    };
    let needed = if guarded { 0 } else { needed.max(128) };
    sysctl_finding(root, key, Area::Network, Severity::Advice, |&max| {
        max >= needed
    })
    .needs(format!("≥ {needed}"), arithmetic)
    .sysctl(key, needed.to_string())
}

fn syncookies(root: &Root) -> Finding {
    let key = "net.ipv4.tcp_syncookies";
    sysctl_finding(root, key, Area::Network, Severity::Advice, |&on| on == 1)
        .needs(
            "1",
            "0 drops strangers when the SYN queue is full; 2 is for tests",
        )
        .sysctl(key, "1")
}

fn netdev_backlog(root: &Root) -> Finding {
    let key = "net.core.netdev_max_backlog";
    let drops = softnet_drops(root);
    // The counter runs from boot and never falls: it must not ask for more each
    // time it is looked at.
    let needed = match drops {
        Ok(drops) if drops > 0 => NETDEV_BACKLOG_DROPPED,
        _ => NETDEV_BACKLOG,
    };
    sysctl_finding(root, key, Area::Network, Severity::Advice, |&max| {
        max >= needed
    })
    .needs(
        format!("≥ {needed}"),
        match drops {
            Ok(0) => "no packet was dropped at a CPU's backlog since boot".to_owned(),
            Ok(drops) => format!(
                "{} dropped at a CPU's backlog since boot: four times the default",
                plural(drops, "packet was", "packets were")
            ),
            Err(why) => format!("the kernel's default; drops could not be read ({why})"),
        },
    )
    .sysctl(key, needed.to_string())
}

/// The second column of `/proc/net/softnet_stat`, one line a CPU, hexadecimal.
fn softnet_drops(root: &Root) -> Result<u64, Unread> {
    let mut sum = 0u64;
    for line in root.read("proc/net/softnet_stat")?.lines() {
        let drops = line
            .split_whitespace()
            .nth(1)
            .and_then(|word| u64::from_str_radix(word, 16).ok())
            .ok_or_else(|| Unread::Malformed("a line of softnet_stat".to_owned()))?;
        sum = sum.saturating_add(drops);
    }
    Ok(sum)
}

fn range(root: &Root) -> Result<(u64, u64), Unread> {
    match sysctls(root, "net.ipv4.ip_local_port_range")?.as_slice() {
        &[first, last] if first <= last => Ok((first, last)),
        other => Err(Unread::Malformed(format!("{other:?} is not a range"))),
    }
}

fn port_range(root: &Root, load: &Load) -> Finding {
    let key = "net.ipv4.ip_local_port_range";
    let range = range(root);
    let shown = range
        .as_ref()
        .map(|&(first, last)| format!("{first} {last}"))
        .map_err(Clone::clone);
    let ports = range.map_or(0, |(first, last)| last - first + 1);
    // The widest range that spares the privileged ports.
    let widest = 65_535 - 1_024 + 1;
    let finding = Finding::of(key, Area::Network, &shown, Severity::Limits, |_| {
        ports >= load.outgoing
    })
    .needs(
        format!("≥ {} ports", load.outgoing),
        match load.outgoing {
            0 => "no outgoing connections stated; those that come in use no local port".to_owned(),
            outgoing => format!(
                "{} outgoing connections to one address and port, {} ports",
                n(outgoing),
                n(ports)
            ),
        },
    );
    if load.outgoing > widest {
        finding.how(format!(
            "at most {} connections go from one address to one address and port: use more \
             local addresses or more remote ports",
            n(widest)
        ))
    } else {
        finding.sysctl(key, "1024 65535")
    }
}

fn port_reserved(root: &Root, load: &Load) -> Finding {
    let key = "net.ipv4.ip_local_reserved_ports";
    let port = u64::from(load.port);
    let reserved = root
        .word(&super::sysctl_path(key))
        .map_err(|e| super::unseen(root, e));
    // The format is a list of ports, as CPUs are listed, with larger numbers.
    let listed = reserved.as_ref().is_ok_and(|text| {
        text.split(',').any(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            matches!((first.trim().parse::<u64>(), last.trim().parse::<u64>()),
                (Ok(first), Ok(last)) if first <= port && port <= last)
        })
    });
    let inside = range(root).map(|(first, last)| first <= port && port <= last);
    let present = match (&reserved, &inside) {
        (Ok(text), Ok(_)) if text.is_empty() => Ok("none".to_owned()),
        (Ok(text), Ok(_)) => Ok(text.clone()),
        (Err(why), _) | (_, Err(why)) => Err(why.clone()),
    };
    let inside = inside.unwrap_or(false);
    let value = match &reserved {
        Ok(text) if !text.is_empty() => format!("{text},{port}"),
        _ => port.to_string(),
    };
    Finding::of(key, Area::Network, &present, Severity::Advice, |_| {
        !inside || listed
    })
    .needs(
        if inside {
            format!("{port} in it")
        } else {
            "nothing".to_owned()
        },
        if inside {
            format!("port {port} lies in ip_local_port_range")
        } else {
            format!("port {port} lies outside ip_local_port_range")
        },
    )
    .sysctl(key, value)
}

/// How many connections are tracked now, and how many will be.
fn tracked(root: &Root, connections: u64) -> (u64, u64) {
    let count = root
        .number("proc/sys/net/netfilter/nf_conntrack_count")
        .unwrap_or(0);
    (count, count.saturating_add(connections.saturating_mul(2)))
}

pub(super) fn conntrack(root: &Root, connections: u64) -> Finding {
    let key = "net.netfilter.nf_conntrack_max";
    let max = root.number(&super::sysctl_path(key));
    if max == Err(Unread::Absent) && network_visible(root) {
        return Finding::of(
            key,
            Area::Network,
            &Ok("not loaded"),
            Severity::Limits,
            |_| true,
        )
        .needs("nothing", "connections are not tracked here");
    }
    let (count, needed) = tracked(root, connections);
    // A kernel may have the table built in and no rule that uses it. That
    // nothing at all is tracked, on a machine with at least this server's
    // neighbours on it, suggests so; it does not prove it.
    let otherwise = if count == 0 {
        Severity::Advice
    } else {
        Severity::Limits
    };
    Finding::of(key, Area::Network, &max, otherwise, |&max| max >= needed)
        .needs(
            format!("≥ {needed}"),
            format!(
                "{} tracked now + 2 × {} connections: after a mass reconnect the old entry of \
                 each stays for up to 120 s",
                n(count),
                n(connections)
            ),
        )
        .sysctl(key, needed.to_string())
}

fn conntrack_buckets(root: &Root, connections: u64) -> Finding {
    let key = "net.netfilter.nf_conntrack_buckets";
    let max = root.number("proc/sys/net/netfilter/nf_conntrack_max");
    let buckets = root.number(&super::sysctl_path(key));
    if buckets == Err(Unread::Absent) && network_visible(root) {
        return Finding::of(
            key,
            Area::Network,
            &Ok("not loaded"),
            Severity::Advice,
            |_| true,
        )
        .needs("nothing", "connections are not tracked here");
    }
    // Not a reading without the other.
    let judged = match (&buckets, &max) {
        (Ok(buckets), Ok(_)) => Ok(*buckets),
        (Err(why), _) | (_, Err(why)) => Err(why.clone()),
    };
    // The table as large as it is, or as large as we want it.
    let (_, entries) = tracked(root, connections);
    let needed = max.unwrap_or(0).max(entries).div_ceil(8);
    Finding::of(key, Area::Network, &judged, Severity::Advice, |&buckets| {
        buckets >= needed
    })
    .needs(
        format!("≥ {needed}"),
        "the table's entries ÷ 8: chains of eight on average when it is full",
    )
    .sysctl(key, needed.to_string())
}

fn rp_filter(root: &Root, context: &Context<'_>) -> Finding {
    let key = "net.ipv4.conf.all.rp_filter";
    let all = sysctl(root, key);
    let mut strict = Vec::new();
    let cards = context.nics.as_ref().map_or(0, Vec::len);
    // The kernel uses the larger of "all" and the interface's own.
    for nic in context.nics.iter().flatten() {
        let own = root.number(&format!("proc/sys/net/ipv4/conf/{}/rp_filter", nic.name));
        let (Ok(all), Ok(own)) = (&all, own) else {
            continue;
        };
        if own.max(*all) == 1 {
            strict.push(nic.name.as_str());
        }
    }
    let good = strict.is_empty() || cards < 2;
    let mut finding = Finding::of(key, Area::Network, &all, Severity::Advice, |_| good).needs(
        "0 or 2 where routes are not symmetric",
        if strict.is_empty() {
            "no card checks strictly".to_owned()
        } else {
            format!(
                "strict on {} of {}: {}",
                strict.len(),
                plural(cards as u64, "card", "cards"),
                strict.join(", ")
            )
        },
    );
    if let (Reading::Known(value), false) = (&mut finding.present, strict.is_empty()) {
        *value = format!("{value} (strict on {})", strict.join(", "));
    }
    // Which routes are symmetric is the operator's knowledge, so no change is
    // offered.
    finding.how("sysctl -w net.ipv4.conf.IF.rp_filter=2 on the cards that answers leave by")
}

fn migrate(root: &Root, workers: u64) -> Finding {
    let key = "net.ipv4.tcp_migrate_req";
    sysctl_finding(root, key, Area::Network, Severity::Advice, |&on| {
        on == 1 || workers < 2
    })
    .needs(
        if workers < 2 { "nothing" } else { "1" },
        format!(
            "{}: one that closes its queue loses what waits in it",
            plural(workers, "listener on one port", "listeners on one port")
        ),
    )
    .sysctl(key, "1")
}
