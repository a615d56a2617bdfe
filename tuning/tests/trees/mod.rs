//! Machines made by hand: trees of /proc, /sys and /etc in the shapes of real
//! ones, written into a directory of their own and removed with it.

// Each test that includes this file uses its own part of it.
#![allow(dead_code)]

use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// A directory that stands for a machine.
pub(crate) struct Tree {
    pub(crate) dir: PathBuf,
}

impl Drop for Tree {
    fn drop(&mut self) {
        // Left behind at worst: the test has its verdict already.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// What lies at a path: octets and mode, or a link's target, or a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Thing {
    File(Vec<u8>, u32),
    Link(PathBuf),
    Dir(u32),
}

impl Tree {
    pub(crate) fn empty() -> Tree {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // In memory where that is to be had: syncing a file costs nothing there.
        let base = Path::new("/dev/shm");
        let base = match base.is_dir() {
            true => base.to_owned(),
            false => env::temp_dir(),
        };
        let dir = base.join(format!("wirebahn-tuning-{}-{number}", process::id()));
        fs::create_dir(&dir).unwrap();
        Tree { dir }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.join(path)
    }

    pub(crate) fn file(&self, path: &str, contents: impl AsRef<[u8]>) -> &Tree {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
        self
    }

    pub(crate) fn files(&self, files: &[(&str, &str)]) -> &Tree {
        for (path, contents) in files {
            self.file(path, format!("{contents}\n"));
        }
        self
    }

    pub(crate) fn sysctls(&self, settings: &[(&str, &str)]) -> &Tree {
        for (key, value) in settings {
            let path = format!("proc/sys/{}", key.replace('.', "/"));
            self.file(&path, format!("{}\n", value.replace(' ', "\t")));
        }
        self
    }

    pub(crate) fn dir(&self, path: &str) -> &Tree {
        fs::create_dir_all(self.path(path)).unwrap();
        self
    }

    pub(crate) fn link(&self, path: &str, target: &str) -> &Tree {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    pub(crate) fn mode(&self, path: &str, mode: u32) -> &Tree {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub(crate) fn remove(&self, path: &str) -> &Tree {
        let path = self.path(path);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        self
    }

    pub(crate) fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// Everything in it, for comparing before with after.
    pub(crate) fn snapshot(&self) -> BTreeMap<PathBuf, Thing> {
        fn walk(dir: &Path, base: &Path, things: &mut BTreeMap<PathBuf, Thing>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let meta = fs::symlink_metadata(&path).unwrap();
                let name = path.strip_prefix(base).unwrap().to_owned();
                if meta.is_symlink() {
                    things.insert(name, Thing::Link(fs::read_link(&path).unwrap()));
                } else if meta.is_dir() {
                    things.insert(name, Thing::Dir(meta.mode()));
                    walk(&path, base, things);
                } else {
                    let octets = fs::read(&path).unwrap();
                    things.insert(name, Thing::File(octets, meta.mode()));
                }
            }
        }
        let mut things = BTreeMap::new();
        walk(&self.dir, &self.dir, &mut things);
        things
    }

    /// The paths of all files in it.
    pub(crate) fn all_files(&self) -> Vec<String> {
        self.snapshot()
            .into_iter()
            .filter(|(_, thing)| matches!(thing, Thing::File(..)))
            .map(|(path, _)| path.to_str().unwrap().to_owned())
            .collect()
    }

    fn limits(&self, soft: &str, hard: &str) -> &Tree {
        self.file(
            "proc/self/limits",
            format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max cpu time              unlimited            unlimited            seconds   \n\
                 Max open files            {soft:<20} {hard:<20} files     \n\
                 Max locked memory         8388608              8388608              bytes     \n\
                 Max realtime timeout      unlimited            unlimited            us        \n"
            ),
        )
    }

    fn status(&self, allowed: &str) -> &Tree {
        self.file(
            "proc/self/status",
            format!(
                "Name:\ttune\nUmask:\t0022\nState:\tR (running)\nThreads:\t1\n\
                 Cpus_allowed:\tff\nCpus_allowed_list:\t{allowed}\n\
                 Mems_allowed:\t1\nMems_allowed_list:\t0\n"
            ),
        )
    }

    fn meminfo(&self, total_kib: u64, available_kib: u64, swap_kib: u64) -> &Tree {
        self.file(
            "proc/meminfo",
            format!(
                "MemTotal:       {total_kib:>8} kB\nMemFree:        {available_kib:>8} kB\n\
                 MemAvailable:   {available_kib:>8} kB\nSwapTotal:      {swap_kib:>8} kB\n\
                 SwapFree:       {swap_kib:>8} kB\n"
            ),
        )
    }

    /// One CPU: which share its core, its package.
    fn cpu(&self, id: u32, siblings: &str, core: u32, package: u32) -> &Tree {
        let dir = format!("sys/devices/system/cpu/cpu{id}/topology");
        self.file(
            &format!("{dir}/thread_siblings_list"),
            format!("{siblings}\n"),
        )
        .file(&format!("{dir}/core_id"), format!("{core}\n"))
        .file(
            &format!("{dir}/physical_package_id"),
            format!("{package}\n"),
        )
    }

    fn cpus(&self, online: &str, isolated: &str) -> &Tree {
        self.files(&[
            ("sys/devices/system/cpu/present", online),
            ("sys/devices/system/cpu/online", online),
            ("sys/devices/system/cpu/isolated", isolated),
        ])
    }

    /// The sysctls and counters a kernel of 6.x comes with.
    fn defaults(&self, release: &str) -> &Tree {
        self.sysctls(&[
            ("kernel.osrelease", release),
            ("kernel.io_uring_disabled", "0"),
            (
                "kernel.random.boot_id",
                "0b5a6c1e-0000-4000-8000-000000000001",
            ),
            ("fs.file-max", "9223372036854775807"),
            ("fs.file-nr", "1344 0 9223372036854775807"),
            ("fs.nr_open", "1048576"),
            ("net.core.somaxconn", "4096"),
            ("net.core.netdev_max_backlog", "1000"),
            ("net.core.busy_poll", "0"),
            ("net.core.busy_read", "0"),
            ("net.ipv4.tcp_max_syn_backlog", "512"),
            ("net.ipv4.tcp_syncookies", "1"),
            ("net.ipv4.ip_local_port_range", "32768 60999"),
            ("net.ipv4.ip_local_reserved_ports", ""),
            ("net.ipv4.tcp_mem", "22212 29617 44424"),
            ("net.ipv4.tcp_rmem", "4096 131072 6291456"),
            ("net.ipv4.tcp_wmem", "4096 16384 4194304"),
            ("net.ipv4.tcp_max_orphans", "16384"),
            ("net.ipv4.tcp_tw_reuse", "2"),
            ("net.ipv4.tcp_fin_timeout", "60"),
            ("net.ipv4.tcp_slow_start_after_idle", "1"),
            ("net.ipv4.tcp_notsent_lowat", "4294967295"),
            ("net.ipv4.tcp_migrate_req", "0"),
            ("net.ipv4.conf.all.rp_filter", "0"),
            ("net.ipv4.conf.default.rp_filter", "2"),
            ("vm.swappiness", "60"),
        ])
        .files(&[
            (
                "sys/kernel/mm/transparent_hugepage/enabled",
                "always [madvise] never",
            ),
            (
                "sys/devices/system/clocksource/clocksource0/current_clocksource",
                "tsc",
            ),
            (
                "sys/devices/system/clocksource/clocksource0/available_clocksource",
                "tsc hpet acpi_pm",
            ),
            (
                "sys/devices/system/cpu/vulnerabilities/meltdown",
                "Mitigation: PTI",
            ),
            (
                "sys/devices/system/cpu/vulnerabilities/spectre_v2",
                "Mitigation: Retpolines; IBPB: conditional",
            ),
            (
                "sys/devices/system/cpu/vulnerabilities/tsx_async_abort",
                "Not affected",
            ),
            ("proc/cmdline", "root=/dev/vda1 ro quiet"),
            (
                "proc/net/netstat",
                "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 0 0 0\n\
                 IpExt: InNoRoutes InOctets\nIpExt: 0 12",
            ),
        ])
    }

    fn softnet(&self, cpus: usize, dropped: u32) -> &Tree {
        let line = |index: usize| {
            let dropped = if index == 0 { dropped } else { 0 };
            format!("0000000c {dropped:08x} 00000000 00000000 00000000 {index:08x}\n")
        };
        self.file(
            "proc/net/softnet_stat",
            (0..cpus).map(line).collect::<String>(),
        )
    }

    /// A card whose device is `device`, with that many queues; interrupts come
    /// with [`Tree::interrupts`].
    fn nic(&self, name: &str, device: &str, node: i32, queues: usize, mask: &str) -> &Tree {
        let device_dir = format!("sys/devices/pci0000:00/{device}");
        let dir = format!("{device_dir}/net/{name}");
        self.dir(&dir)
            .link(
                &format!("sys/class/net/{name}"),
                &format!("../../devices/pci0000:00/{device}/net/{name}"),
            )
            .link(&format!("{dir}/device"), &format!("../../../{device}"))
            .file(&format!("{device_dir}/numa_node"), format!("{node}\n"))
            .file(&format!("{dir}/operstate"), "up\n")
            .sysctls(&[(&format!("net.ipv4.conf.{name}.rp_filter"), "2")]);
        for queue in 0..queues {
            self.file(
                &format!("{dir}/queues/rx-{queue}/rps_cpus"),
                format!("{mask}\n"),
            )
            .file(
                &format!("{dir}/queues/tx-{queue}/xps_cpus"),
                format!("{mask}\n"),
            );
        }
        self
    }

    fn loopback(&self) -> &Tree {
        self.file("sys/devices/virtual/net/lo/operstate", "unknown\n")
            .link("sys/class/net/lo", "../../devices/virtual/net/lo")
    }

    /// Interrupts: number, name, the CPUs it goes to.
    fn interrupts(&self, cpus: usize, interrupts: &[(u32, String, String)]) -> &Tree {
        let mut text = format!(
            "      {}\n",
            (0..cpus)
                .map(|cpu| format!("     CPU{cpu}"))
                .collect::<String>()
        );
        for (number, name, cpus_of) in interrupts {
            let counts: String = (0..cpus).map(|cpu| format!("{:>9}", cpu * 7)).collect();
            text.push_str(&format!(
                "{number:>4}: {counts}  PCI-MSIX-0000:00:05.0   1-edge      {name}\n"
            ));
            let dir = format!("proc/irq/{number}");
            self.file(&format!("{dir}/smp_affinity_list"), format!("{cpus_of}\n"))
                .file(
                    &format!("{dir}/effective_affinity_list"),
                    format!("{cpus_of}\n"),
                );
        }
        text.push_str(" NMI:          0   Non-maskable interrupts\n ERR:          0\n");
        self.file("proc/interrupts", text)
    }

    fn conntrack(&self, max: u32, count: u32, buckets: u32) -> &Tree {
        self.sysctls(&[
            ("net.netfilter.nf_conntrack_max", &max.to_string()),
            ("net.netfilter.nf_conntrack_count", &count.to_string()),
            ("net.netfilter.nf_conntrack_buckets", &buckets.to_string()),
        ])
    }

    fn cgroup_v2(&self, group: &str) -> &Tree {
        self.file("proc/self/cgroup", format!("0::{group}\n")).file(
            "sys/fs/cgroup/cgroup.controllers",
            "cpuset cpu io memory pids\n",
        )
    }
}

/// A small virtual machine: one CPU, one queue, systemd, swap, a firewall.
pub(crate) fn one_core() -> Tree {
    let tree = Tree::empty();
    tree.defaults("5.15.0-91-generic")
        .remove("proc/sys/kernel/io_uring_disabled")
        .limits("1024", "1048576")
        .status("0")
        .meminfo(985_000, 610_000, 1_048_572)
        .cpus("0", "")
        .cpu(0, "0", 0, 0)
        .softnet(1, 0)
        .conntrack(32_768, 40, 32_768)
        .cgroup_v2("/user.slice/user-1000.slice/session-1.scope")
        .file("sys/fs/cgroup/user.slice/cpu.max", "max 100000\n")
        .file("sys/fs/cgroup/user.slice/memory.max", "max\n")
        .loopback()
        .nic("ens3", "virtio0", -1, 1, "0")
        .interrupts(
            1,
            &[
                (24, "virtio0-config".to_owned(), "0".to_owned()),
                (25, "virtio0-input.0".to_owned(), "0".to_owned()),
                (26, "virtio0-output.0".to_owned(), "0".to_owned()),
            ],
        )
        .files(&[
            ("etc/sysctl.d/99-sysctl.conf", "# nothing here"),
            (
                "etc/systemd/system.conf",
                "[Manager]\n#DefaultLimitNOFILE=1024:524288",
            ),
            ("etc/security/limits.conf", "# nothing here"),
        ])
        .dir("run/systemd/system");
    tree
}

/// A cloud's machine: two CPUs, two queues, all interrupts on CPU 0.
pub(crate) fn two_cores() -> Tree {
    let tree = Tree::empty();
    tree.defaults("6.8.0-1015-aws")
        .limits("65536", "1048576")
        .status("0-1")
        .meminfo(3_900_000, 3_300_000, 0)
        .cpus("0-1", "")
        .cpu(0, "0", 0, 0)
        .cpu(1, "1", 1, 0)
        .file("sys/devices/system/node/node0/cpulist", "0-1\n")
        .softnet(2, 0)
        .sysctls(&[("kernel.numa_balancing", "0")])
        .cgroup_v2("/system.slice/wirebahn.service")
        .file(
            "sys/fs/cgroup/system.slice/wirebahn.service/cpu.max",
            "max 100000\n",
        )
        .file(
            "sys/fs/cgroup/system.slice/wirebahn.service/memory.max",
            "max\n",
        )
        .loopback()
        .nic("ens5", "0000:00:05.0", 0, 2, "0")
        .interrupts(
            2,
            &[
                (27, "ena-mgmnt@pci:0000:00:05.0".to_owned(), "0".to_owned()),
                (28, "ens5-Tx-Rx-0".to_owned(), "0".to_owned()),
                (29, "ens5-Tx-Rx-1".to_owned(), "0".to_owned()),
            ],
        )
        .files(&[
            (
                "etc/systemd/system/wirebahn.service",
                "[Service]\nExecStart=/usr/local/bin/wirebahn\nLimitNOFILE=65536",
            ),
            (
                "etc/systemd/system/wirebahn.service.d/10-more.conf",
                "[Service]\nLimitNOFILE=200000:400000",
            ),
        ])
        .dir("run/systemd/system");
    tree
}

/// A server in a rack: 2 packages of 32 cores with two siblings each, a node a
/// package, the card on node 1, irqbalance at work.
pub(crate) fn big() -> Tree {
    let tree = Tree::empty();
    tree.defaults("6.12.9")
        .limits("1048576", "1048576")
        .status("0-127")
        .meminfo(263_000_000, 250_000_000, 0)
        .cpus("0-127", "")
        .files(&[
            ("sys/devices/system/node/node0/cpulist", "0-31,64-95"),
            ("sys/devices/system/node/node1/cpulist", "32-63,96-127"),
        ])
        .softnet(128, 0)
        .sysctls(&[
            ("kernel.numa_balancing", "1"),
            ("net.ipv4.tcp_mem", "3093123 4124166 6186246"),
            ("net.ipv4.tcp_max_orphans", "262144"),
        ])
        .cgroup_v2("/")
        .loopback()
        .nic(
            "enp65s0f0np0",
            "0000:41:00.0",
            1,
            32,
            "0000,00000000,00000000,00000000",
        )
        .file("proc/1234/comm", "irqbalance\n")
        .dir("run/systemd/system");
    for cpu in 0..128 {
        let core = cpu % 64;
        tree.cpu(cpu, &format!("{core},{}", core + 64), core % 32, core / 32);
        let dir = format!("sys/devices/system/cpu/cpu{cpu}/cpufreq");
        tree.file(&format!("{dir}/scaling_governor"), "powersave\n")
            .file(&format!("{dir}/scaling_driver"), "intel_pstate\n");
    }
    let mut interrupts = vec![(
        100,
        "mlx5_async0@pci:0000:41:00.0".to_owned(),
        "0".to_owned(),
    )];
    for queue in 0..32 {
        interrupts.push((
            101 + queue,
            format!("mlx5_comp{queue}@pci:0000:41:00.0"),
            queue.to_string(),
        ));
    }
    tree.interrupts(128, &interrupts);
    tree
}

/// A container: 4 of 16 CPUs, two CPUs' worth of time, 512 MiB, a network
/// namespace of its own, and no say about the machine.
pub(crate) fn container() -> Tree {
    let tree = Tree::empty();
    tree.defaults("6.6.30")
        .limits("1048576", "1048576")
        .status("4-7")
        .meminfo(65_000_000, 40_000_000, 0)
        .cpus("0-15", "")
        .cgroup_v2("/")
        .file("sys/fs/cgroup/cpu.max", "200000 100000\n")
        .file("sys/fs/cgroup/memory.max", "536870912\n")
        .softnet(16, 0)
        .loopback()
        .file("sys/devices/virtual/net/eth0/operstate", "up\n")
        .link("sys/class/net/eth0", "../../devices/virtual/net/eth0");
    for cpu in 0..16 {
        let core = cpu % 8;
        tree.cpu(cpu, &format!("{core},{}", core + 8), core, 0);
    }
    // A namespace does not show what belongs to the machine.
    for key in [
        "core/netdev_max_backlog",
        "core/busy_poll",
        "core/busy_read",
        "ipv4/tcp_mem",
        "ipv4/tcp_max_orphans",
    ] {
        tree.remove(&format!("proc/sys/net/{key}"));
    }
    tree
}

/// Eight CPUs of which four are isolated and not ours, in control groups of
/// version 1.
pub(crate) fn isolated() -> Tree {
    let tree = Tree::empty();
    tree.defaults("6.1.0-18-amd64")
        .remove("proc/sys/kernel/io_uring_disabled")
        .limits("524288", "524288")
        .status("0-3")
        .meminfo(16_000_000, 14_000_000, 0)
        .cpus("0-7", "4-7")
        .softnet(8, 17)
        .files(&[(
            "proc/cmdline",
            "root=/dev/sda1 isolcpus=4-7 mitigations=off",
        )])
        .files(&[(
            "sys/devices/system/cpu/vulnerabilities/meltdown",
            "Vulnerable",
        )])
        .file(
            "proc/self/cgroup",
            "3:cpu,cpuacct:/user.slice\n2:memory:/user.slice\n1:name=systemd:/user.slice\n0::/\n",
        )
        .files(&[
            (
                "sys/fs/cgroup/cpu,cpuacct/user.slice/cpu.cfs_quota_us",
                "-1",
            ),
            (
                "sys/fs/cgroup/cpu,cpuacct/user.slice/cpu.cfs_period_us",
                "100000",
            ),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1"),
            (
                "sys/fs/cgroup/memory/user.slice/memory.limit_in_bytes",
                "9223372036854771712",
            ),
        ])
        .loopback()
        .nic("eno1", "0000:03:00.0", -1, 4, "00")
        .interrupts(
            8,
            &[
                (40, "eno1-TxRx-0".to_owned(), "0".to_owned()),
                (41, "eno1-TxRx-1".to_owned(), "1".to_owned()),
                (42, "eno1-TxRx-2".to_owned(), "2".to_owned()),
                (43, "eno1-TxRx-3".to_owned(), "3".to_owned()),
            ],
        )
        .dir("run/systemd/system");
    for cpu in 0..8 {
        tree.cpu(cpu, &cpu.to_string(), cpu, 0);
    }
    tree
}

/// All of them, by name.
pub(crate) fn all() -> Vec<(&'static str, Tree)> {
    vec![
        ("one core", one_core()),
        ("two cores", two_cores()),
        ("big", big()),
        ("container", container()),
        ("isolated", isolated()),
    ]
}

/// A machine on which nothing is left to be said about 10,000 connections.
pub(crate) fn healthy() -> Tree {
    let tree = two_cores();
    tree.sysctls(&[
        ("net.ipv4.tcp_slow_start_after_idle", "0"),
        ("net.ipv4.tcp_notsent_lowat", "131072"),
        ("net.ipv4.tcp_migrate_req", "1"),
    ])
    .files(&[
        ("proc/irq/29/smp_affinity_list", "1"),
        ("proc/irq/29/effective_affinity_list", "1"),
        (
            "sys/devices/pci0000:00/0000:00:05.0/net/ens5/queues/tx-0/xps_cpus",
            "1",
        ),
        (
            "sys/devices/pci0000:00/0000:00:05.0/net/ens5/queues/tx-1/xps_cpus",
            "2",
        ),
    ]);
    tree
}
