//! The command line on trees: what it prints and how it ends.

use clap::Parser;
use serde_json::Value;

use super::*;
use crate::{
    probe::Fixed,
    trees::{self, Tree},
};

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    tune: TuneArgs,
}

const PLAIN: Style = Style {
    colour: false,
    width: 80,
};

struct Ran {
    status: u8,
    out: String,
    err: String,
}

fn run_styled(tree: &Tree, style: Style, words: &[&str]) -> Ran {
    let words = ["tune"].into_iter().chain(words.iter().copied());
    let command = Program::try_parse_from(words).unwrap().tune.command;
    let machine = Machine::new(Root::new(&tree.dir), Fixed::modern());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = run_on(&machine, &command, style, &mut out, &mut err);
    Ran {
        status,
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
    }
}

fn run(tree: &Tree, words: &[&str]) -> Ran {
    run_styled(tree, PLAIN, words)
}

#[test]
fn a_healthy_machine_fits_on_one_screen() {
    let tree = trees::healthy();
    let ran = run(&tree, &["check", "--connections", "10k"]);
    assert_eq!(ran.status, 0, "{}", ran.out);
    assert!(ran.out.lines().count() <= 24, "{}", ran.out);
    assert!(
        ran.out.lines().all(|line| line.chars().count() <= 80),
        "{}",
        ran.out
    );
    assert!(
        ran.out
            .contains("fine: 0 limit the load, 0 advised, 0 unknown, 51 fine"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("somaxconn=4096"), "{}", ran.out);
}

#[test]
fn the_worst_comes_first_with_its_arithmetic() {
    let tree = trees::one_core();
    let ran = run(&tree, &["check", "-n", "100k", "-w", "1"]);
    assert_eq!(ran.status, 1);
    let third = ran.out.lines().nth(3).unwrap();
    assert_eq!(
        third,
        "limits   limits.nofile = 1024 (hard 1048576), needed ≥ 100144"
    );
    assert!(
        ran.out
            .contains("100,000 connections + 1 worker × 16 + 128")
    );
    let limits = ran.out.find("\nlimits   ").unwrap();
    let advice = ran.out.find("\nadvice   ").unwrap();
    assert!(limits < advice);
    assert!(ran.out.contains("not enough: "), "{}", ran.out);
}

#[test]
fn colour_is_for_eyes_only() {
    let tree = trees::one_core();
    let words = ["check", "-n", "100k"];
    let plain = run(&tree, &words).out;
    assert!(!plain.contains('\x1b'));
    let style = Style {
        colour: true,
        ..PLAIN
    };
    let painted = run_styled(&tree, style, &words).out;
    assert!(painted.contains("\x1b[1;31mlimits  \x1b[0m"));
    let mut bare = String::new();
    let mut escape = false;
    for c in painted.chars() {
        escape |= c == '\x1b';
        if !escape {
            bare.push(c);
        }
        escape &= c != 'm';
    }
    assert_eq!(bare, plain, "colour moves nothing");
}

#[test]
fn json_has_its_schema_and_every_finding() {
    let tree = trees::one_core();
    let ran = run(&tree, &["check", "-n", "100000", "--json"]);
    assert_eq!(ran.status, 1);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["schema"], "wirebahn-tune-check/1");
    assert_eq!(report["exit_status"], 1);
    assert_eq!(report["load"]["connections"], 100_000);
    assert_eq!(report["load"]["arrivals"], 10_000);
    assert_eq!(report["machine"]["placement"], serde_json::json!([0]));
    let first = &report["findings"][0];
    assert_eq!(
        first,
        &serde_json::json!({
            "key": "limits.nofile",
            "area": "limits",
            "severity": "limits",
            "present": {"known": "1024 (hard 1048576)"},
            "needed": "≥ 100144",
            "arithmetic":
                "100,000 connections + 1 worker × 16 + 128 for the process = 100,144",
            "why": explain("limits.nofile").unwrap().why,
            "how": first["how"],
            "change": {"nofile": {"files": 125_952}},
        })
    );
    let findings = report["findings"].as_array().unwrap();
    let counted: u64 = ["limits", "advice", "unknown", "fine"]
        .iter()
        .map(|word| report["summary"][word].as_u64().unwrap())
        .sum();
    assert_eq!(counted as usize, findings.len());
    for unknown in findings.iter().filter(|it| it["severity"] == "unknown") {
        assert!(unknown["present"]["unknown"].is_string(), "{unknown}");
        assert!(unknown["change"].is_null());
    }
}

#[test]
fn essentials_that_cannot_be_read_are_a_status_of_their_own() {
    let tree = trees::healthy();
    tree.remove("proc/self/limits");
    let ran = run(&tree, &["check"]);
    assert_eq!(ran.status, 3);
    assert!(
        ran.out
            .contains("unknown  limits.nofile: there is no such file")
    );
    assert!(ran.out.contains("cannot tell: "));
    let ran = run(&tree, &["check", "--pid", "4711"]);
    assert_eq!((ran.status, ran.out.as_str()), (3, ""));
    assert_eq!(ran.err, "error: there is no process 4711\n");
}

#[test]
fn another_process_is_judged_by_its_own_limits() {
    let tree = trees::healthy();
    tree.file(
        "proc/77/limits",
        "Max open files            256                  512                  files\n",
    )
    .file("proc/77/status", "Cpus_allowed_list:\t1\n");
    let ran = run(&tree, &["check", "--pid", "77"]);
    assert_eq!(ran.status, 1);
    assert!(
        ran.out.contains("limits.nofile = 256 (hard 512)"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("workers on 1"), "{}", ran.out);
}

#[test]
fn a_plan_is_shown_applied_and_undone() {
    let tree = trees::two_cores();
    let before = tree.snapshot();
    let plan = run(&tree, &["plan", "-n", "200k"]);
    assert_eq!(plan.status, 0, "{}", plan.err);
    assert!(
        plan.out
            .contains("create   /etc/sysctl.d/90-wirebahn.conf\n")
    );
    assert!(
        plan.out
            .contains("    net.ipv4.tcp_slow_start_after_idle = 0\n")
    );
    assert!(
        plan.out.contains(
            "write    /proc/sys/net/ipv4/tcp_mem: 22212 29617 44424 -> 93750 125000 187500\n"
        ),
        "{}",
        plan.out
    );
    let dry = run(&tree, &["apply", "-n", "200k", "--dry-run"]);
    assert_eq!(dry.out, plan.out, "a dry run is the plan");
    assert_eq!(tree.snapshot(), before);

    let applied = run(&tree, &["apply", "-n", "200k"]);
    assert_eq!(applied.status, 0, "{}{}", applied.out, applied.err);
    assert!(
        applied
            .out
            .contains("wrote    /proc/sys/net/ipv4/tcp_migrate_req: 0 -> 1\n")
    );
    assert!(applied.out.contains("wirebahn tune undo takes it back"));
    assert_eq!(tree.text("proc/sys/net/ipv4/tcp_migrate_req"), "1\n");

    let undone = run(&tree, &["undo", "--all"]);
    assert_eq!(undone.status, 0, "{}", undone.err);
    assert!(
        undone
            .out
            .contains("restored /etc/sysctl.d/90-wirebahn.conf\n")
    );
    assert_eq!(tree.snapshot(), before);
    let nothing = run(&tree, &["undo"]);
    assert_eq!(nothing.status, 3);
    assert_eq!(nothing.err, "error: there is nothing to undo\n");
}

#[test]
fn a_plan_may_be_one_part_and_json() {
    let tree = trees::two_cores();
    let ran = run(
        &tree,
        &[
            "plan", "-n", "200k", "--only", "limits", "--user", "@web", "--json",
        ],
    );
    assert_eq!(ran.status, 0);
    let plan: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(plan["schema"], "wirebahn-tune-plan/1");
    let steps = plan["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0]["kind"], "file");
    assert_eq!(steps[0]["path"], "etc/security/limits.d/90-wirebahn.conf");
    assert!(
        steps[0]["contents"]
            .as_str()
            .unwrap()
            .ends_with("@web soft nofile 250880\n@web hard nofile 250880\n"),
        "{}",
        steps[0]["contents"]
    );
    let ran = run(&tree, &["plan", "--unit", "../evil.service"]);
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("is not the name of a service"));
}

#[test]
fn explain_tells_or_points_to_the_neighbour() {
    let tree = Tree::empty();
    let ran = run(&tree, &["explain", "net.core.somaxconn"]);
    assert_eq!(ran.status, 0);
    for word in ["net.core.somaxconn\n", "  does  ", "  why   ", "  risk  "] {
        assert!(ran.out.contains(word), "{}", ran.out);
    }
    let ran = run(&tree, &["explain", "somaxcon"]);
    assert_eq!(ran.status, 2);
    assert_eq!(
        ran.err,
        "error: nothing is known of \"somaxcon\"; did you mean net.core.somaxconn?\n"
    );
    let ran = run(&tree, &["explain"]);
    assert_eq!(ran.out.lines().count(), crate::explanations().len());
}

fn server(tree: &Tree) -> &Tree {
    let thread = |tid: u32, name: &str, allowed: &str, last: u32| {
        let dir = format!("proc/500/task/{tid}");
        let fields: Vec<String> = (3..=52)
            .map(|field| if field == 39 { last } else { field }.to_string())
            .collect();
        tree.file(&format!("{dir}/comm"), format!("{name}\n"))
            .file(
                &format!("{dir}/status"),
                format!("Cpus_allowed_list:\t{allowed}\n"),
            )
            .file(
                &format!("{dir}/stat"),
                format!("{tid} ({name}) {}\n", fields.join(" ")),
            );
    };
    thread(500, "wirebahn", "0-127", 3);
    thread(501, "wirebahn-1", "0-127", 70);
    thread(502, "wirebahn-0", "0", 0);
    thread(503, "wirebahn-x", "0-127", 9);
    tree.file("proc/500/status", "Cpus_allowed_list:\t0-127\n")
}

#[test]
fn pin_shows_workers_by_number_and_where_they_should_be() {
    let tree = trees::big();
    server(&tree);
    let ran = run(&tree, &["pin", "500"]);
    assert_eq!(ran.status, 1, "{}", ran.err);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(
        lines[..5],
        [
            "  thread name             worker may run on       last planned",
            "     502 wirebahn-0            0 0                   0       0",
            "     501 wirebahn-1            1 0-127              70       1",
            "     500 wirebahn              - 0-127               3       -",
            "     503 wirebahn-x            - 0-127               9       -",
        ]
    );
    assert!(ran.out.contains("1 worker is not bound"));
    let ran = run(&tree, &["pin", "500", "--cpus", "40-41", "--json"]);
    assert_eq!(ran.status, 1);
    let pin: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(pin["schema"], "wirebahn-tune-pin/1");
    assert_eq!(pin["threads"][0]["planned"], 40);
    assert_eq!(pin["threads"][1]["planned"], 41);
    // A tree has no kernel that could move a thread.
    let ran = run(&tree, &["pin", "500", "--set"]);
    assert_eq!(ran.status, 1);
    assert!(ran.out.contains("error: thread 501: "), "{}", ran.out);

    let ran = run(&tree, &["pin", "501"]);
    assert_eq!(
        (ran.status, ran.err.as_str()),
        (3, "error: there is no such process\n")
    );
    let ran = run(&tree, &["pin", "500", "--cpus", "banana"]);
    assert_eq!(ran.status, 2);
    let ran = run(&tree, &["pin", "500", "--cpus", "4000"]);
    assert_eq!(ran.status, 3);
}

#[test]
fn numbers_in_names_do_not_decide_how_much_is_done() {
    let tree = trees::two_cores();
    tree.file("proc/500/status", "Cpus_allowed_list:\t0-1\n")
        .file("proc/500/task/500/comm", "wirebahn-4294967295\n")
        .file("proc/500/task/500/status", "Cpus_allowed_list:\t0-1\n");
    let ran = run(&tree, &["pin", "500"]);
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert!(ran.out.contains("wirebahn-4294967"), "{}", ran.out);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::BrokenPipe))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let command = Program::try_parse_from(["tune", "explain"])
        .unwrap()
        .tune
        .command;
    let machine = Machine::host();
    let mut err = Vec::new();
    assert_eq!(run_on(&machine, &command, PLAIN, &mut Closed, &mut err), 0);
    assert!(err.is_empty());
}

#[test]
fn the_command_line_is_consistent() {
    use clap::CommandFactory;
    Program::command().debug_assert();
    for words in [
        &["tune"][..],
        &["tune", "check", "--connections", "many"],
        &["tune", "check", "--workers", "0"],
        &["tune", "check", "--port", "70000"],
        &["tune", "plan", "--only", "coffee"],
        &["tune", "pin"],
    ] {
        let error = Program::try_parse_from(words).err().unwrap();
        assert_eq!(error.exit_code(), 2, "{words:?}");
    }
}
