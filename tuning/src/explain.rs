//! What each setting does, why a WebSocket server cares, and what may go wrong
//! when it is changed: a few honest lines each. Knows no machine.

/// What there is to say about a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// Its name; `*` stands for the name of an interface.
    pub key: &'static str,
    /// What it does.
    pub does: &'static str,
    /// Why a WebSocket server cares, in one sentence.
    pub why: &'static str,
    /// What changing it risks.
    pub risk: &'static str,
}

/// The explanation of a setting; `nic.eth0.irq` finds `nic.*.irq`.
///
/// ```
/// let it = wirebahn_tuning::explain("net.core.somaxconn").unwrap();
/// assert!(it.does.contains("accept"));
/// assert!(wirebahn_tuning::explain("nic.eth0.irq").is_some());
/// assert!(wirebahn_tuning::explain("no.such.thing").is_none());
/// ```
pub fn explain(key: &str) -> Option<&'static Explanation> {
    EXPLANATIONS.iter().find(|it| matches(it.key, key))
}

/// Every explanation there is, in the order of the check.
pub fn explanations() -> &'static [Explanation] {
    EXPLANATIONS
}

/// The names nearest to a mistyped one, the likeliest first, at most five.
pub fn similar(key: &str) -> Vec<&'static str> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or("").to_owned();
    let wanted = last(key);
    let mut near: Vec<(usize, &'static str)> = EXPLANATIONS
        .iter()
        .map(|it| {
            let inside = !wanted.is_empty() && it.key.contains(&wanted);
            let far = distance(it.key, key).min(distance(&last(it.key), &wanted));
            (if inside { 0 } else { far }, it.key)
        })
        .filter(|&(far, _)| far <= 4)
        .collect();
    near.sort_by_key(|&(far, _)| far);
    near.into_iter().take(5).map(|(_, key)| key).collect()
}

fn matches(pattern: &str, key: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == key,
        // The name of an interface may hold dots itself (eth0.100).
        Some((head, tail)) => key
            .strip_prefix(head)
            .and_then(|rest| rest.strip_suffix(tail))
            .is_some_and(|name| !name.is_empty()),
    }
}

/// How many letters must be put in, taken out or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    // Arguments come from a command line; only near misses are of interest.
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut above_left = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let above = *cell;
            left = (above_left + usize::from(x != *y))
                .min(above + 1)
                .min(left + 1);
            above_left = above;
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

static EXPLANATIONS: &[Explanation] = &[
    Explanation {
        key: "limits.nofile",
        does: "RLIMIT_NOFILE: how many files one process may have open. The soft limit counts; a \
               process may raise it to the hard one by itself. Each connection is a file.",
        why: "At the limit accept fails with EMFILE and every further client waits in vain.",
        risk: "Next to none. Programs that close every possible descriptor one by one get slower, \
               and those that use select() break above 1,024, which is why the soft default is low.",
    },
    Explanation {
        key: "limits.nofile.systemd",
        does: "LimitNOFILE= of the unit, or DefaultLimitNOFILE= of the manager: the limit on open \
               files a service is started with. limits.d and ulimit do not reach services.",
        why: "What a shell shows is not what the service gets: this is.",
        risk: "A limit above fs.nr_open keeps the unit from starting.",
    },
    Explanation {
        key: "fs.file-max",
        does: "How many files all processes of the machine together may have open.",
        why: "At the limit everyone's open and accept fail with ENFILE, not only the server's.",
        risk: "None by itself: files cost memory only when they are open.",
    },
    Explanation {
        key: "fs.nr_open",
        does: "The highest value a process's limit on open files may be set to.",
        why: "A million connections fit under the default of 1,048,576 only just.",
        risk: "The table of descriptors of a process is one array: 8 octets for each up to the \
               highest in use.",
    },
    Explanation {
        key: "limits.memlock",
        does: "RLIMIT_MEMLOCK: how much memory a process may keep from being swapped. io_uring \
               counted its rings here before Linux 5.12; registered buffers and zero-copy sends \
               still count.",
        why: "Too little, and a ring cannot be made: the server falls back to epoll.",
        risk: "Locked memory is gone for everyone else.",
    },
    Explanation {
        key: "net.core.somaxconn",
        does: "The longest accept queue a listener may have; whatever the program asks of listen() \
               is cut down to it. It also bounds the queue of half-open handshakes.",
        why: "When the queue is full, the last ACK of a handshake is dropped and the client waits \
               a second for the next try: a reconnecting crowd turns into seconds of delay.",
        risk: "Under overload a longer queue hides the trouble: clients wait in it rather than \
               being turned away.",
    },
    Explanation {
        key: "tcp.listen_overflows",
        does: "A counter, not a setting: how often since boot a finished handshake found the \
               accept queue of its listener full. It counts for all listeners of the machine.",
        why: "It is the proof that a queue was too short, or a worker too long away.",
        risk: "None: it is only read.",
    },
    Explanation {
        key: "net.ipv4.tcp_max_syn_backlog",
        does: "How many half-open handshakes a listener remembers before it refuses strangers. \
               Works only without SYN cookies; with them the accept queue's length is the limit.",
        why: "During a mass reconnect each client is half open for one round trip.",
        risk: "About 300 octets for each half-open handshake.",
    },
    Explanation {
        key: "net.ipv4.tcp_syncookies",
        does: "1: when the queue of half-open handshakes is full, answer with a cookie instead of \
               remembering the client. 0: drop. 2: always send cookies.",
        why: "It keeps the door open during a SYN flood, which a mass reconnect resembles.",
        risk: "A connection that comes by cookie may lose window scaling and SACK when the client \
               sends no timestamps; that is slower, and better than none.",
    },
    Explanation {
        key: "net.core.netdev_max_backlog",
        does: "How many packets may wait for one CPU when they come by RPS, loopback or an old \
               driver; drivers with NAPI do not use it.",
        why: "Above it packets are dropped silently and come again only after a timeout.",
        risk: "A long queue adds delay under overload.",
    },
    Explanation {
        key: "net.ipv4.ip_local_port_range",
        does: "The local ports outgoing connections are given. Each needs one of its own for the \
               same remote address and port.",
        why: "A proxy to one backend or a load driver runs out of ports at 28,232 by default; \
               connections that come in need none.",
        risk: "Ports of servers on this machine may lie in a wider range: keep them free with \
               net.ipv4.ip_local_reserved_ports.",
    },
    Explanation {
        key: "net.ipv4.ip_local_reserved_ports",
        does: "Ports that outgoing connections are never given, though they lie in the range.",
        why: "If an outgoing connection happens to sit on the server's port, a restart fails with \
               EADDRINUSE.",
        risk: "None worth the name.",
    },
    Explanation {
        key: "net.netfilter.nf_conntrack_max",
        does: "How many connections netfilter tracks, for stateful rules and NAT. Counts both \
               directions as one, and keeps closed ones for a while.",
        why: "When the table is full, packets of new connections are dropped: \"nf_conntrack: \
               table full\" in the kernel's log.",
        risk: "About 320 octets an entry; raise nf_conntrack_buckets with it. Better still, let a \
               rule exempt the server's port (notrack).",
    },
    Explanation {
        key: "net.netfilter.nf_conntrack_buckets",
        does: "The size of the hash table behind connection tracking.",
        why: "With few buckets each packet walks a long chain.",
        risk: "8 octets a bucket; the table is rebuilt when it is changed.",
    },
    Explanation {
        key: "net.ipv4.conf.all.rp_filter",
        does: "Reverse path filter: 1 drops a packet whose sender would not be answered by the \
               same interface, 2 only one whose sender would not be answered at all. The larger of \
               \"all\" and the interface's own counts.",
        why: "With two cards or asymmetric routes, strict checking drops good packets silently.",
        risk: "0 lets forged sender addresses in; 2 is the middle way.",
    },
    Explanation {
        key: "net.ipv4.tcp_migrate_req",
        does: "When one of several listeners on a port closes, hand the connections that wait in \
               its queue to another one (Linux 5.14).",
        why: "A worker that stops would otherwise reset every client it has not accepted yet.",
        risk: "None known; a BPF program on the listeners must allow it.",
    },
    Explanation {
        key: "net.ipv4.tcp_mem",
        does: "How much memory all TCP buffers together may take, in pages: below the first number \
               nothing happens, above the second the kernel shrinks windows, above the third it \
               drops packets. Idle connections take none of it.",
        why: "A broadcast to many slow readers fills it, and then every connection slows down.",
        risk: "It is memory that cannot be swapped: set beyond what the machine has, the \
               out-of-memory killer decides instead.",
    },
    Explanation {
        key: "net.ipv4.tcp_rmem",
        does: "Receive buffer of a connection: the least, the first, the most octets. The kernel \
               moves between them by itself.",
        why: "The most bounds how fast one client can upload over a long path.",
        risk: "A client that sends faster than the server reads may fill its buffer up to the most.",
    },
    Explanation {
        key: "net.ipv4.tcp_wmem",
        does: "Send buffer of a connection: the least, the first, the most octets. The kernel \
               moves between them by itself.",
        why: "The most bounds how fast one client can be served over a long path.",
        risk: "A client that reads slowly may hold up to the most in the kernel.",
    },
    Explanation {
        key: "net.ipv4.tcp_max_orphans",
        does: "How many connections may exist that no process holds any more: closed, but with \
               octets still to be acknowledged. Above it they are reset.",
        why: "A server that shuts down orphans all its connections at once, and the last message \
               and the close frame of those above the limit are lost.",
        risk: "Each orphan may hold up to 64 KiB that cannot be swapped.",
    },
    Explanation {
        key: "net.ipv4.tcp_tw_reuse",
        does: "1: an outgoing connection may take over a port whose last connection is still in \
               TIME-WAIT, if timestamps tell them apart. 2: only on loopback. It does nothing for \
               connections that come in.",
        why: "A load driver or proxy that opens and closes quickly runs out of ports without it.",
        risk: "Small. It is not tcp_tw_recycle, which broke clients behind NAT and is gone since \
               Linux 4.12.",
    },
    Explanation {
        key: "net.ipv4.tcp_fin_timeout",
        does: "How many seconds a connection closed by us waits for the peer's FIN (FIN-WAIT-2). \
               It does not shorten TIME-WAIT, which is 60 seconds, fixed.",
        why: "Clients that vanish in the middle of closing pile up for this long.",
        risk: "Much lower than the default cuts off peers on slow paths.",
    },
    Explanation {
        key: "net.ipv4.tcp_slow_start_after_idle",
        does: "1: a connection that was silent for one retransmission timeout starts sending \
               slowly again. 0: it keeps the window it had.",
        why: "A WebSocket is idle and then sends a burst: with 1 a large message needs several \
               round trips more each time.",
        risk: "After a long silence the path may have become slower, and the first burst may lose \
               packets.",
    },
    Explanation {
        key: "net.ipv4.tcp_notsent_lowat",
        does: "How many octets not yet sent a connection may hold in the kernel before it stops \
               saying \"writable\".",
        why: "What waits in the kernel can be neither dropped nor replaced by something newer; a \
               low mark keeps a slow reader's backlog in the server, where policies reach it.",
        risk: "More wake-ups for a fast reader; far below 16 KiB throughput suffers.",
    },
    Explanation {
        key: "net.core.busy_poll",
        does: "Microseconds that poll and epoll spin on the card's queue before they sleep.",
        why: "It trades CPU time for a few microseconds of latency.",
        risk: "Each wait burns the CPU that long; with workers on all cores it takes time from \
               real work.",
    },
    Explanation {
        key: "net.core.busy_read",
        does: "Microseconds that a blocking read spins on the card's queue before it sleeps.",
        why: "Workers never block in a read, so it does nothing for them and costs others CPU.",
        risk: "As net.core.busy_poll.",
    },
    Explanation {
        key: "kernel.release",
        does: "The version of the running kernel.",
        why: "io_uring serves sockets well from 6.1 on; before, epoll is the better choice.",
        risk: "A new kernel wants testing like any other change.",
    },
    Explanation {
        key: "kernel.io_uring_disabled",
        does: "0: everyone may use io_uring. 1: only the group in kernel.io_uring_group and \
               CAP_SYS_ADMIN. 2: no one.",
        why: "Switched off, the server uses epoll: it works, with more CPU a message.",
        risk: "io_uring has had its share of kernel vulnerabilities; where untrusted code runs on \
               the machine, off is a sound policy.",
    },
    Explanation {
        key: "kernel.io_uring",
        does: "Whether a ring can be made here, and which operations it has. A ring of two entries \
               is made and asked.",
        why: "Multishot receive and one system call a turn save CPU on every message.",
        risk: "See kernel.io_uring_disabled.",
    },
    Explanation {
        key: "kernel.reuseport_bpf",
        does: "Whether a program of a few instructions may choose which of several listeners gets \
               a connection (SO_ATTACH_REUSEPORT_CBPF).",
        why: "It can give a connection to the worker on the CPU its packets arrive at.",
        risk: "Arrivals then follow the card's queues: uneven queues make uneven workers.",
    },
    Explanation {
        key: "kernel.ktls",
        does: "Whether the kernel can encrypt and decrypt TLS records itself.",
        why: "With TLS it saves a copy on large messages and lets files be sent as they are.",
        risk: "Key updates and errors are handled by two parties; measure before you rely on it.",
    },
    Explanation {
        key: "kernel.mptcp",
        does: "Whether sockets of Multipath TCP can be made: one connection over several paths.",
        why: "A phone that goes from one network to another keeps its WebSocket.",
        risk: "A little more work for each packet, and middle boxes that do not like it.",
    },
    Explanation {
        key: "cpu.workers",
        does: "How many workers there are against how many cores they may use.",
        why: "A worker is made for a core of its own: two on one take turns, and messages wait.",
        risk: "Too few workers leave cores idle; one a physical core is where to begin.",
    },
    Explanation {
        key: "cpu.quota",
        does: "The control group's limit on CPU time (cpu.max, cpu.cfs_quota_us).",
        why: "When the quota is used up, all workers stand still until the period is over: tens of \
               milliseconds in which nothing is answered.",
        risk: "A larger quota takes time from the neighbours.",
    },
    Explanation {
        key: "cpu.allowed",
        does: "The CPUs this process may run on, by its affinity and its cpuset.",
        why: "Workers can be pinned only to these.",
        risk: "None: it is only read.",
    },
    Explanation {
        key: "cpu.isolated",
        does: "CPUs taken out of the scheduler's balancing on the kernel's command line \
               (isolcpus=). Only what is pinned there runs there.",
        why: "Workers pinned to them are disturbed by no other program.",
        risk: "A program with several threads that is let in there without pinning has all of them \
               pile up on one CPU.",
    },
    Explanation {
        key: "cpu.smt",
        does: "Whether a core shows as two CPUs (Hyper-Threading).",
        why: "Two workers on one core share its caches and units: each does about two thirds of \
               what it would do alone.",
        risk: "The other way round, the second sibling is left idle, or to interrupts.",
    },
    Explanation {
        key: "cpu.numa",
        does: "How many groups of CPUs with memory of their own the machine has.",
        why: "Memory and messages of another node take about twice as long.",
        risk: "None: it is only read.",
    },
    Explanation {
        key: "kernel.numa_balancing",
        does: "1: the kernel unmaps pages now and then to see which node uses them, and moves them \
               there.",
        why: "Pinned workers already have their memory near them: the sampling faults are waste.",
        risk: "Other programs on the machine may live by it.",
    },
    Explanation {
        key: "cpu.governor",
        does: "How a CPU's frequency follows its load.",
        why: "A worker that sleeps between messages wakes up on a slow CPU.",
        risk: "\"performance\" draws more power and heat when idle.",
    },
    Explanation {
        key: "cpu.mitigations",
        does: "What the kernel does against flaws of this processor (Spectre and its kin).",
        why: "Some make every system call dearer, which a server of small messages feels most.",
        risk: "Switched off, one program may read what belongs to another. We never advise it.",
    },
    Explanation {
        key: "cpu.clocksource",
        does: "What the kernel reads to know the time.",
        why: "The tsc is read in some 20 ns without a system call; hpet and acpi_pm take a \
               microsecond or more, each time a timer is set.",
        risk: "A tsc the kernel found unstable may run backwards: find out why first.",
    },
    Explanation {
        key: "nic",
        does: "The network cards that have a device behind them.",
        why: "Their queues and interrupts decide which CPUs work on packets.",
        risk: "None: it is only read.",
    },
    Explanation {
        key: "nic.*.queues",
        does: "How many receive and send queues a card has; each has an interrupt of its own.",
        why: "One queue means that one CPU does all the work on arriving packets.",
        risk: "Changing the number takes the link down for a moment.",
    },
    Explanation {
        key: "nic.*.irq",
        does: "The CPUs the interrupts of the card's queues go to.",
        why: "A packet that is worked on where its worker runs finds its caches warm; interrupts \
               of all queues on one CPU make that one the bottleneck.",
        risk: "irqbalance moves them back; some drivers' interrupts cannot be moved.",
    },
    Explanation {
        key: "nic.*.rps",
        does: "Receive Packet Steering: software that spreads a queue's packets over CPUs.",
        why: "It helps a card with fewer queues than workers, and costs where there are enough.",
        risk: "One interrupt between CPUs more for each packet or bunch of packets.",
    },
    Explanation {
        key: "nic.*.xps",
        does: "Transmit Packet Steering: which CPUs send by which queue.",
        why: "Workers with a send queue each never wait for another's lock.",
        risk: "None worth the name.",
    },
    Explanation {
        key: "nic.*.numa",
        does: "The memory node the card hangs on, against those of the workers.",
        why: "Packets are written into memory of the card's node; workers elsewhere reach over.",
        risk: "None: it is only read.",
    },
    Explanation {
        key: "memory.available",
        does: "Memory that can be had without swapping, as the kernel estimates it.",
        why: "Every connection costs some kilobytes even when it is silent.",
        risk: "None: it is only read.",
    },
    Explanation {
        key: "memory.cgroup",
        does: "The control group's limit on memory; sockets count.",
        why: "At the limit the kernel kills the process with the most memory, which is the server.",
        risk: "A larger limit takes memory from the neighbours.",
    },
    Explanation {
        key: "memory.thp",
        does: "Transparent huge pages: \"always\" gives any large allocation pages of 2 MiB, \
               \"madvise\" only those that ask.",
        why: "Buffers that come and go leave half-empty huge pages, and making one stops a worker \
               for a moment.",
        risk: "Programs that profit from huge pages without asking get slower with \"madvise\".",
    },
    Explanation {
        key: "vm.swappiness",
        does: "How readily the kernel swaps programs' memory out rather than dropping cached \
               files: 0 hardly, 100 equally.",
        why: "A connection silent for hours has its memory swapped out, and the first message \
               afterwards waits for a disk.",
        risk: "With less swapping, memory that runs short is felt sooner.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_explained_once_and_in_full() {
        let mut keys: Vec<&str> = EXPLANATIONS.iter().map(|it| it.key).collect();
        keys.sort_unstable();
        let count = keys.len();
        keys.dedup();
        assert_eq!(keys.len(), count);
        for it in EXPLANATIONS {
            for text in [it.does, it.why, it.risk] {
                assert!(text.ends_with('.') && text.len() > 10, "{}: {text}", it.key);
                assert!(!text.contains("  "), "{}: {text}", it.key);
            }
        }
    }

    #[test]
    fn interfaces_of_any_name_are_found() {
        assert_eq!(explain("nic.eth0.100.irq").unwrap().key, "nic.*.irq");
        assert_eq!(explain("nic").unwrap().key, "nic");
        assert!(explain("nic..irq").is_none());
        assert!(explain("nic.eth0.colour").is_none());
    }

    #[test]
    fn a_mistyped_key_finds_its_neighbour() {
        assert_eq!(similar("somaxconn").first(), Some(&"net.core.somaxconn"));
        assert_eq!(
            similar("net.core.somaxcon").first(),
            Some(&"net.core.somaxconn")
        );
        assert!(similar("xyzzyxyzzy").is_empty());
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
