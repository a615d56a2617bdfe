//! The real thing: a network namespace made for the test, whose sysctls are
//! checked, changed, read back and put back. Where a namespace may not be made
//! the test says so, and the fake trees have to do.

mod trees;

use std::{
    env, fs,
    process::{Command, Output},
};

use trees::Tree;
use wirebahn_tuning::{
    Load, Machine, Root, Severity, apply, check,
    plan::{Part, PlanOptions, plan},
    probe::Fixed,
};

/// Set in the process that runs inside the namespace.
const INSIDE: &str = "WIREBAHN_TUNING_INSIDE";

const SETTINGS: [&str; 5] = [
    "net/core/somaxconn",
    "net/ipv4/tcp_slow_start_after_idle",
    "net/ipv4/tcp_notsent_lowat",
    "net/ipv4/tcp_migrate_req",
    "net/ipv4/ip_local_port_range",
];

fn live() -> Vec<String> {
    SETTINGS
        .iter()
        .map(|name| fs::read_to_string(format!("/proc/sys/{name}")).unwrap())
        .collect()
}

#[test]
fn sysctls_of_a_real_namespace_are_applied_read_back_and_undone() {
    if env::var_os(INSIDE).is_some() {
        inside();
        return;
    }
    let before = live();
    let me = env::current_exe().unwrap();
    let enter = |flags: &[&str]| -> std::io::Result<Output> {
        Command::new("unshare")
            .args(flags)
            .arg(&me)
            .args([
                "--exact",
                "sysctls_of_a_real_namespace_are_applied_read_back_and_undone",
                "--nocapture",
            ])
            .env(INSIDE, "1")
            .output()
    };
    let mut refusals = Vec::new();
    // As root; or, where that is allowed, as root of a user namespace only.
    for flags in [&["--net"][..], &["--net", "--user", "--map-root-user"]] {
        match enter(flags) {
            Err(e) => refusals.push(format!("unshare cannot be run: {e}")),
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stdout);
                let errors = String::from_utf8_lossy(&output.stderr);
                if text.contains("running 1 test") {
                    print!("{text}");
                    assert!(output.status.success(), "{text}\n{errors}");
                    assert_eq!(live(), before, "nothing outside the namespace is touched");
                    return;
                }
                refusals.push(format!("unshare {}: {}", flags.join(" "), errors.trim()));
            }
        }
    }
    println!("no network namespace can be made here, the fake trees have to do: {refusals:?}");
}

fn inside() {
    // The namespace's own sysctls through a link, everything else made by
    // hand, so that nothing of the machine itself is in reach.
    let tree = trees::two_cores();
    tree.remove("proc/sys/net")
        .link("proc/sys/net", "/proc/sys/net");
    let before_live = live();
    let before = |tree: &Tree| fs::read_dir(tree.path("etc")).unwrap().count();
    let etc = before(&tree);

    let machine = Machine::new(Root::new(&tree.dir), Fixed::modern());
    let load = Load::new(200_000).backlog(10_000).outgoing(50_000);
    let report = check(&machine, &load);
    let key = "net.core.somaxconn";
    let somaxconn = report.finding(key).unwrap();
    assert_eq!(somaxconn.present_word(), before_live[0].trim());
    assert_eq!(somaxconn.severity, Severity::Limits);
    assert_eq!(
        report.finding("net.ipv4.tcp_mem").unwrap().severity,
        Severity::Unknown,
        "a namespace does not show it"
    );

    let options = PlanOptions {
        parts: [Part::Sysctl].into(),
        ..PlanOptions::default()
    };
    let plan = plan(&machine, &report, &options).unwrap();
    let applied = apply::apply(machine.root(), &plan).unwrap();
    assert!(applied.complete(), "{applied:#?}");
    // The table of tracked connections is the machine's: read-only in here.
    assert!(
        !plan
            .steps
            .iter()
            .any(|step| format!("{step:?}").contains("nf_conntrack_max ="))
    );
    let now: Vec<String> = live()
        .iter()
        .map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    // 20,000 arrivals/s × 250 ms ÷ 2 workers = 2,500 < 10,000 asked for.
    assert_eq!(now, ["10000", "0", "131072", "1", "1024 65535"]);
    let after = check(&machine, &load);
    for name in SETTINGS {
        let key = name.replace('/', ".");
        assert_eq!(
            after.finding(&key).unwrap().severity,
            Severity::Fine,
            "{key}"
        );
    }

    let undone = apply::undo(machine.root(), false).unwrap();
    assert_eq!(undone.conflicts, []);
    assert_eq!(live(), before_live, "read back to the octet");
    assert_eq!(before(&tree), etc);
    println!("inside a namespace of its own: applied, read back, undone");
}
