//! What the check says about machines made by hand, one in each shape that
//! servers meet.

mod trees;

use std::collections::BTreeSet;

use trees::Tree;
use wirebahn_tuning::{
    Change, Finding, Load, Machine, Reading, Report, Root, Severity, check, explain,
    plan::{PlanOptions, Step, plan},
    probe::{Fixed, Support, Uring},
    quick_check_at,
    topology::{Topology, format_list},
};

fn machine(tree: &Tree) -> Machine {
    Machine::new(Root::new(&tree.dir), Fixed::modern())
}

fn report(tree: &Tree, load: &Load) -> Report {
    check(&machine(tree), load)
}

fn finding<'a>(report: &'a Report, key: &str) -> &'a Finding {
    report
        .finding(key)
        .unwrap_or_else(|| panic!("no finding {key}"))
}

/// Key, severity and the beginning of the present value.
fn expect(report: &Report, expected: &[(&str, Severity, &str)]) {
    for (key, severity, present) in expected {
        let it = finding(report, key);
        assert_eq!(it.severity, *severity, "{it:#?}");
        assert!(it.present_word().starts_with(present), "{it:#?}");
    }
}

#[test]
fn one_core_is_too_small_for_a_hundred_thousand() {
    use Severity::{Advice, Fine, Limits};
    let tree = trees::one_core();
    let report = report(&tree, &Load::new(100_000));
    assert_eq!(report.load.workers, 1);
    assert_eq!(report.machine.placement, [0]);
    assert_eq!(report.exit_status(), 1);
    expect(
        &report,
        &[
            ("limits.nofile", Limits, "1024 (hard 1048576)"),
            ("limits.nofile.systemd", Advice, "not set"),
            ("fs.file-max", Fine, "9223372036854775807"),
            ("fs.nr_open", Fine, "1048576"),
            // 100,000 × (5,120 + 1,024 + 2,048) = 781 MiB of 595.
            ("memory.available", Limits, "595 MiB"),
            // 100,000 × 2,048 ÷ 4,096 = 50,000 pages of 29,617.
            ("net.ipv4.tcp_mem", Limits, "22212 29617 44424"),
            ("net.netfilter.nf_conntrack_max", Limits, "32768"),
            ("net.ipv4.tcp_migrate_req", Fine, "0"),
            ("kernel.release", Advice, "5.15.0-91-generic"),
            ("kernel.io_uring_disabled", Fine, "no such switch"),
            ("kernel.numa_balancing", Fine, "not built in"),
            ("cpu.governor", Fine, "not governed here"),
            ("nic.ens3.queues", Fine, "1 receive, 1 send"),
            ("nic.ens3.irq", Fine, "2 interrupts on CPUs 0"),
            ("nic.ens3.rps", Fine, "off"),
            ("nic.ens3.xps", Fine, "one queue"),
            ("vm.swappiness", Advice, "60 (1,023 MiB of swap)"),
        ],
    );
    let nofile = finding(&report, "limits.nofile");
    assert_eq!(nofile.needed, "≥ 100144");
    assert_eq!(
        nofile.arithmetic,
        "100,000 connections + 1 worker × 16 + 128 for the process = 100,144"
    );
    assert_eq!(nofile.change, Some(Change::Nofile { files: 125_952 }));
    // Half of this memory as socket buffers would be no help.
    assert!(!finding(&report, "memory.available").applyable());
}

#[test]
fn two_cores_whose_interrupts_all_go_to_the_first() {
    use Severity::{Advice, Fine};
    let tree = trees::two_cores();
    let report = report(&tree, &Load::new(10_000));
    assert_eq!(report.machine.placement, [0, 1]);
    assert_eq!(report.exit_status(), 0);
    expect(
        &report,
        &[
            ("limits.nofile", Fine, "65536 (hard 1048576)"),
            // The drop-in wins over the unit.
            (
                "limits.nofile.systemd",
                Fine,
                "200000:400000 in /etc/systemd/system/wirebahn.service.d/10-more.conf",
            ),
            ("net.netfilter.nf_conntrack_max", Fine, "not loaded"),
            ("net.ipv4.tcp_slow_start_after_idle", Advice, "1"),
            ("net.ipv4.tcp_notsent_lowat", Advice, "4294967295"),
            ("nic.ens5.queues", Fine, "2 receive, 2 send"),
            ("nic.ens5.irq", Advice, "2 interrupts on CPUs 0"),
            ("nic.ens5.xps", Advice, "0 of 2 queues have CPUs"),
            ("nic.ens5.numa", Fine, "card on node 0, workers on 0"),
        ],
    );
    let Some(Change::Values { writes }) = &finding(&report, "nic.ens5.irq").change else {
        panic!("interrupts can be moved");
    };
    let moved: Vec<_> = writes
        .iter()
        .map(|it| (it.path.as_str(), it.value.as_str(), it.irq.as_deref()))
        .collect();
    assert_eq!(
        moved,
        [
            ("proc/irq/28/smp_affinity_list", "0", Some("ens5-Tx-Rx-0")),
            ("proc/irq/29/smp_affinity_list", "1", Some("ens5-Tx-Rx-1")),
        ],
        "the management interrupt stays where it is"
    );
}

#[test]
fn sixty_four_cores_two_nodes_and_the_card_on_the_second() {
    use Severity::{Advice, Fine};
    let tree = trees::big();
    let root = Root::new(&tree.dir);
    let topology = Topology::read(&root).unwrap();
    assert!(topology.smt() && topology.cores_known);
    assert_eq!(topology.cores_allowed(), 64);
    assert_eq!(topology.nodes().len(), 2);
    // One a core first, siblings last, and round again after that.
    let all = topology.placement(130);
    assert_eq!(all[..64], (0..64).collect::<Vec<_>>());
    assert_eq!(all[64..128], (64..128).collect::<Vec<_>>());
    assert_eq!(all[128..], [0, 1]);
    // Near the card: its node's cores, then the other node's, then siblings.
    let near = topology.placement_near(128, Some(1));
    assert_eq!(near[..32], (32..64).collect::<Vec<_>>());
    assert_eq!(near[32..64], (0..32).collect::<Vec<_>>());
    assert_eq!(near[64..96], (96..128).collect::<Vec<_>>());

    let report = report(&tree, &Load::new(1_000_000).workers(32));
    assert_eq!(
        report.machine.placement,
        (32..64).collect::<Vec<_>>(),
        "all on the card's node"
    );
    assert_eq!(report.exit_status(), 0, "{:#?}", report.findings);
    expect(
        &report,
        &[
            ("limits.nofile", Fine, "1048576"),
            // 1,000,640 fit; the quarter of headroom does not.
            ("fs.nr_open", Advice, "1048576"),
            ("cpu.smt", Fine, "on"),
            ("cpu.numa", Fine, "2 nodes"),
            ("kernel.numa_balancing", Advice, "1"),
            ("cpu.governor", Advice, "powersave (intel_pstate)"),
            ("nic.enp65s0f0np0.queues", Fine, "32 receive, 32 send"),
            ("nic.enp65s0f0np0.irq", Advice, "32 interrupts on CPUs 0-31"),
            (
                "nic.enp65s0f0np0.numa",
                Fine,
                "card on node 1, workers on 1",
            ),
        ],
    );
    assert!(
        finding(&report, "nic.enp65s0f0np0.irq")
            .how
            .contains("irqbalance runs")
    );
    let Some(Change::Values { writes }) = &finding(&report, "nic.enp65s0f0np0.xps").change else {
        panic!("queues can be given to CPUs");
    };
    assert_eq!(writes.len(), 32);
    assert_eq!(writes[0].value, "1,00000000", "queue 0 to CPU 32");
    assert_eq!(writes[31].value, "80000000,00000000", "queue 31 to CPU 63");

    // Twice as many workers as the node has cores: both nodes, still no
    // siblings. All 128: siblings too, and that is said.
    let report = self::report(&tree, &Load::new(1_000_000).workers(64));
    assert_eq!(finding(&report, "cpu.smt").severity, Fine);
    let report = self::report(&tree, &Load::new(1_000_000).workers(128));
    assert_eq!(finding(&report, "cpu.smt").severity, Advice);
    assert_eq!(finding(&report, "cpu.workers").severity, Advice);
    let report = self::report(&tree, &Load::new(1_000_000).workers(129));
    assert_eq!(finding(&report, "cpu.workers").severity, Severity::Limits);
    assert_eq!(self::report(&tree, &Load::new(10)).load.workers, 64);
}

#[test]
fn a_container_has_less_than_it_seems() {
    use Severity::{Advice, Fine, Limits, Unknown};
    let tree = trees::container();
    let mut kernel = Fixed::modern();
    kernel.io_uring = Uring::Refused("Operation not permitted (os error 1)".to_owned());
    kernel.reuseport_bpf = Support::Unknown("Operation not permitted".to_owned());
    let machine = Machine::new(Root::new(&tree.dir), kernel);
    let report = check(&machine, &Load::new(10_000));
    // Four CPUs allowed, four cores; the quota carries two workers.
    assert_eq!(report.load.workers, 2);
    assert_eq!(report.machine.placement, [4, 5]);
    assert_eq!(report.machine.allowed.as_deref(), Some("4-7"));
    assert_eq!(report.exit_status(), 0);
    expect(
        &report,
        &[
            ("cpu.quota", Fine, "2.00 CPUs (200000 µs every 100000 µs)"),
            ("cpu.allowed", Fine, "4 of 16"),
            ("memory.cgroup", Fine, "512 MiB"),
            ("net.ipv4.tcp_mem", Unknown, "unknown"),
            ("net.core.netdev_max_backlog", Unknown, "unknown"),
            (
                "kernel.io_uring",
                Advice,
                "refused: Operation not permitted",
            ),
            ("kernel.reuseport_bpf", Unknown, "unknown"),
            ("limits.nofile.systemd", Fine, "systemd does not run here"),
            ("nic", Fine, "none"),
        ],
    );
    let tcp_mem = finding(&report, "net.ipv4.tcp_mem");
    assert_eq!(
        tcp_mem.present,
        Reading::Unknown("this kernel or this network namespace does not show it".to_owned())
    );
    assert!(!tcp_mem.applyable());

    let report = check(&machine, &Load::new(100_000).workers(4));
    expect(
        &report,
        &[
            ("cpu.quota", Limits, "2.00 CPUs"),
            ("memory.cgroup", Limits, "512 MiB"),
        ],
    );
    assert_eq!(
        finding(&report, "cpu.quota").arithmetic,
        "4 busy workers use up 200000 µs after 50000 µs; all of them then stand still until \
         100000 µs are over"
    );
    assert_eq!(report.exit_status(), 1);
}

#[test]
fn isolated_cpus_are_left_alone_until_they_are_ours() {
    use Severity::{Advice, Fine};
    let tree = trees::isolated();
    let report = report(&tree, &Load::new(10_000));
    assert_eq!(report.machine.placement, [0, 1, 2, 3]);
    expect(
        &report,
        &[
            ("cpu.isolated", Advice, "4-7"),
            ("cpu.quota", Fine, "none"),
            ("memory.cgroup", Fine, "none"),
            (
                "cpu.mitigations",
                Fine,
                "1 mitigated, 1 vulnerable (meltdown); mitigations=off",
            ),
            // 17 drops at a CPU's backlog.
            ("net.core.netdev_max_backlog", Advice, "1000"),
            ("nic.eno1.irq", Fine, "4 interrupts on CPUs 0-3"),
        ],
    );
    assert_eq!(
        finding(&report, "net.core.netdev_max_backlog").needed,
        "≥ 4000"
    );
    // Given to the process, they come first.
    tree.file("proc/self/status", "Name:\ttune\nCpus_allowed_list:\t0-7\n");
    let report = self::report(&tree, &Load::new(10_000).workers(6));
    assert_eq!(report.machine.placement, [4, 5, 6, 7, 0, 1]);
    assert_eq!(finding(&report, "cpu.isolated").severity, Fine);
}

#[test]
fn on_a_machine_without_anything_everything_is_unknown() {
    let tree = Tree::empty();
    let machine = Machine::at(Root::new(&tree.dir));
    let report = check(&machine, &Load::new(1_000_000));
    for it in &report.findings {
        let said_so = matches!(
            (it.key.as_str(), it.present_word()),
            ("limits.nofile.systemd", "systemd does not run here")
        );
        assert!(
            said_so || (it.severity == Severity::Unknown && !it.applyable()),
            "{it:#?}"
        );
    }
    assert_eq!(report.exit_status(), 3);
    assert!(report.machine.placement.is_empty());
    assert!(quick_check_at(machine.root(), &Load::new(1_000_000)).is_empty());
    let plan = plan(&machine, &report, &PlanOptions::default()).unwrap();
    assert!(plan.steps.is_empty(), "{plan:#?}");
}

#[test]
fn every_finding_says_all_there_is_to_say() {
    for (name, tree) in trees::all() {
        for connections in [1, 10_000, 5_000_000] {
            let report = report(&tree, &Load::new(connections).outgoing(connections / 10));
            let mut keys = BTreeSet::new();
            for it in &report.findings {
                assert!(keys.insert(&it.key), "{name}: {} twice", it.key);
                assert!(explain(&it.key).is_some(), "{name}: {} unexplained", it.key);
                for text in [&it.needed, &it.arithmetic, &it.why] {
                    assert!(!text.is_empty(), "{name}: {it:#?}");
                }
                if it.matters() {
                    assert!(!it.how.is_empty(), "{name}: {it:#?}");
                    assert!(!it.one_line().contains('\n'));
                } else {
                    assert!(!it.applyable(), "{name}: {it:#?}");
                }
            }
            assert!(
                report
                    .findings
                    .is_sorted_by(|a, b| a.severity >= b.severity),
                "the worst first"
            );
        }
    }
}

#[test]
fn garbage_in_a_file_is_never_taken_for_a_value() {
    // These hold words, and any word is one.
    let words = [
        "osrelease",
        "scaling_governor",
        "scaling_driver",
        "current_clocksource",
        "available_clocksource",
        "cmdline",
        "comm",
        "operstate",
        "boot_id",
        "ip_local_reserved_ports",
    ];
    for (name, tree) in trees::all() {
        let load = Load::new(50_000);
        let before = report(&tree, &load);
        for path in tree.all_files() {
            // One CPU of many is like another.
            let other = ["/cpu/cpu", "/rx-", "/tx-", "/irq/"].iter().any(|part| {
                path.split_once(part)
                    .is_some_and(|(_, rest)| !rest.starts_with("0/") && !rest.starts_with("101/"))
            });
            if name == "big" && other {
                continue;
            }
            // A line of a configuration that is no assignment is passed over, as
            // those who read it in earnest do.
            if path.starts_with("etc/") {
                continue;
            }
            if words.iter().any(|word| path.ends_with(word)) || path.contains("vulnerabilities") {
                continue;
            }
            let old = tree.text(&path);
            tree.file(&path, "?!\u{fffd} 12x 0x1f -");
            let after = report(&tree, &load);
            for it in &after.findings {
                assert!(!it.present_word().contains("?!"), "{name} {path}: {it:#?}");
                let Some(was) = before.finding(&it.key) else {
                    continue;
                };
                let same = it.present == was.present;
                let unknown = it.severity == Severity::Unknown;
                // What follows from the CPUs may follow from fewer of them.
                let derived = it.key.starts_with("cpu.") || it.key.starts_with("nic");
                assert!(
                    same || unknown || derived,
                    "{name}: garbage in {path} turned {:?} into {:?}",
                    was.present,
                    it.present
                );
            }
            tree.file(&path, old);
        }
    }
}

#[test]
fn the_cheap_part_speaks_only_when_it_matters() {
    let tree = trees::healthy();
    let root = Root::new(&tree.dir);
    assert_eq!(quick_check_at(&root, &Load::new(10_000).workers(2)), []);

    let tree = trees::one_core();
    let root = Root::new(&tree.dir);
    let found = quick_check_at(&root, &Load::new(100_000).workers(2).arrivals(100_000));
    let keys: Vec<&str> = found.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "limits.nofile",
            "net.netfilter.nf_conntrack_max",
            "cpu.workers",
            "net.core.somaxconn"
        ]
    );
    assert_eq!(
        found[0].one_line(),
        "limits.nofile is 1024 (hard 1048576), needed ≥ 100160 (100,000 connections + 2 workers \
         × 16 + 128 for the process = 100,160); `wirebahn tune explain limits.nofile` says more"
    );
}

#[test]
fn the_cheap_part_takes_less_than_a_millisecond() {
    let load = Load::new(10_000).workers(1);
    // The best of many: a busy machine makes some of them slow.
    let best = (0..200)
        .map(|_| {
            let start = std::time::Instant::now();
            let found = wirebahn_tuning::quick_check(&load);
            (start.elapsed(), found.len())
        })
        .min()
        .unwrap();
    assert!(best.0.as_micros() < 1000, "{best:?}");
}

#[test]
fn numbers_of_any_size_are_computed_with() {
    for (_, tree) in trees::all() {
        let mut load = Load::new(u64::MAX)
            .workers(u32::MAX)
            .backlog(u32::MAX)
            .arrivals(u64::MAX)
            .queued(u64::MAX)
            .outgoing(u64::MAX);
        assert_eq!(report(&tree, &load).exit_status(), 1);
        load = Load::new(0).workers(0).backlog(0).queued(0).port(0);
        let machine = machine(&tree);
        let report = check(&machine, &load);
        plan(&machine, &report, &PlanOptions::default()).unwrap();
    }
}

#[test]
fn a_plan_keeps_what_an_earlier_one_has_written() {
    let tree = trees::two_cores();
    tree.file(
        "etc/sysctl.d/90-wirebahn.conf",
        "# old\nnet.core.somaxconn = 9999\nnet.ipv4.tcp_notsent_lowat = 1\n",
    )
    .file(
        "etc/sysctl.d/99-mine.conf",
        "net.ipv4.tcp_slow_start_after_idle = 1\n",
    )
    .file(
        "etc/wirebahn/irq-affinity.sh",
        "#!/bin/sh\nirq 'ens5-Tx-Rx-0' '1'\nirq 'ens6-Tx-Rx-0' '1'\nrm -rf /\n",
    );
    let machine = machine(&tree);
    let report = check(&machine, &Load::new(10_000));
    let plan = plan(&machine, &report, &PlanOptions::default()).unwrap();
    let contents = |wanted: &str| {
        plan.steps
            .iter()
            .find_map(|step| match step {
                Step::File { path, contents, .. } if path == wanted => Some(contents.as_str()),
                _ => None,
            })
            .unwrap_or_else(|| panic!("no {wanted} in {plan:#?}"))
    };
    let sysctls = contents("etc/sysctl.d/90-wirebahn.conf");
    assert!(sysctls.contains("net.core.somaxconn = 9999\n"), "{sysctls}");
    assert!(sysctls.contains("net.ipv4.tcp_notsent_lowat = 131072\n"));
    assert!(!sysctls.contains("net.ipv4.tcp_notsent_lowat = 1\n"));
    let script = contents("etc/wirebahn/irq-affinity.sh");
    assert!(script.contains("irq 'ens5-Tx-Rx-0' '0'\n"), "{script}");
    assert!(script.contains("irq 'ens6-Tx-Rx-0' '1'\n"));
    assert!(!script.contains("rm -rf"));
    assert!(
        plan.notes
            .iter()
            .any(|note| note.contains("etc/sysctl.d/99-mine.conf")),
        "{:?}",
        plan.notes
    );
}

#[test]
fn a_unit_has_limits_cpus_and_walls() {
    let tree = trees::big();
    let machine = machine(&tree);
    let report = check(&machine, &Load::new(500_000).workers(8).port(443));
    let options = PlanOptions {
        exec: Some("/usr/local/bin/wirebahn echo --date %H".to_owned()),
        ..PlanOptions::default()
    };
    let plan = plan(&machine, &report, &options).unwrap();
    let unit = plan
        .steps
        .iter()
        .find_map(|step| match step {
            Step::File { path, contents, .. } if path == "etc/systemd/system/wirebahn.service" => {
                Some(contents)
            }
            _ => None,
        })
        .unwrap();
    for line in [
        "ExecStart=/usr/local/bin/wirebahn echo --date %%H",
        "LimitNOFILE=625664",
        "CPUAffinity=32-39",
        "DynamicUser=yes",
        "ProtectSystem=strict",
        "AmbientCapabilities=CAP_NET_BIND_SERVICE",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=io_uring_setup io_uring_enter io_uring_register",
        "SystemCallErrorNumber=EPERM",
        "WantedBy=multi-user.target",
    ] {
        assert!(unit.lines().any(|it| it == line), "no {line} in\n{unit}");
    }
    assert_eq!(
        format_list(&report.machine.placement),
        "32-39",
        "eight cores of the card's node"
    );
}
