//! Apply and undo on trees: whatever the machine, the plan and the moment of
//! the crash, undo leaves every octet as it was.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::PathBuf};

use proptest::{collection::btree_set, prelude::*, sample::select};

use super::{journal::Octets, *};
use crate::{
    Load, Machine, check,
    plan::{self, BOOT_SCRIPT, LIMITS_FILE, Part, PlanOptions, SYSCTL_FILE},
    probe::Fixed,
    trees::{self, Thing, Tree},
};

fn root(tree: &Tree) -> Root {
    Root::new(&tree.dir)
}

fn planned(tree: &Tree, connections: u64, options: &PlanOptions) -> Plan {
    let machine = Machine::new(root(tree), Fixed::modern());
    let load = Load::new(connections).outgoing(connections / 3);
    plan::plan(&machine, &check(&machine, &load), options).unwrap()
}

fn everything(tree: &Tree) -> Plan {
    planned(tree, 300_000, &PlanOptions::default())
}

#[test]
fn applied_is_read_back_and_undone_to_the_octet() {
    for (name, tree) in trees::all() {
        let before = tree.snapshot();
        let plan = everything(&tree);
        let would = dry_run(&root(&tree), &plan).unwrap();
        assert_eq!(tree.snapshot(), before, "{name}: a dry run changes nothing");

        let applied = apply(&root(&tree), &plan).unwrap();
        assert!(applied.complete(), "{name}: {applied:#?}");
        assert_eq!(
            applied.outcomes, would.outcomes,
            "{name}: done exactly what was said"
        );
        for step in &plan.steps {
            match step {
                Step::File { path, contents, .. } => assert_eq!(&tree.text(path), contents),
                Step::Value { path, value, .. } => {
                    assert_eq!(tree.text(path).trim(), value, "{name} {path}");
                }
            }
        }
        // The patient is well: the same check finds nothing left to apply,
        // but for what a process gets only when it is started anew.
        let again = everything(&tree);
        let left: Vec<_> = dry_run(&root(&tree), &again)
            .unwrap()
            .outcomes
            .into_iter()
            .filter(|it| it.deed != Deed::Same && !it.path.contains("effective"))
            .map(|it| it.path)
            .collect();
        // In a tree of plain files the effective affinity does not follow.
        let irq_only = left
            .iter()
            .all(|path| path == BOOT_SCRIPT || path.contains("irq"));
        assert!(irq_only, "{name}: {left:?}");

        let undone = undo(&root(&tree), false).unwrap();
        assert_eq!(undone.conflicts, [], "{name}");
        assert_eq!(tree.snapshot(), before, "{name}");
        assert!(matches!(
            undo(&root(&tree), false),
            Err(ApplyError::Nothing)
        ));
    }
}

#[test]
fn what_is_so_already_is_left_alone() {
    let tree = trees::two_cores();
    let plan = Plan::default();
    let before = tree.snapshot();
    let applied = apply(&root(&tree), &plan).unwrap();
    assert_eq!(applied.journal, None);
    assert_eq!(tree.snapshot(), before, "not even a directory is left");

    let plan = Plan {
        steps: vec![Step::Value {
            path: "proc/sys/net/ipv4/tcp_rmem".to_owned(),
            value: "4096 131072 6291456".to_owned(),
            volatile: false,
        }],
        ..Plan::default()
    };
    let applied = apply(&root(&tree), &plan).unwrap();
    assert_eq!(
        applied.outcomes[0].deed,
        Deed::Same,
        "blanks for the kernel's tabs"
    );
    assert_eq!(tree.snapshot(), before);
}

#[test]
fn one_over_the_other_and_back_in_turn() {
    let tree = trees::two_cores();
    let first = tree.snapshot();
    apply(
        &root(&tree),
        &planned(&tree, 50_000, &PlanOptions::default()),
    )
    .unwrap();
    let second = tree.snapshot();
    let bigger = planned(&tree, 900_000, &PlanOptions::default());
    let applied = apply(&root(&tree), &bigger).unwrap();
    assert_eq!(
        applied.journal.as_deref(),
        Some("var/lib/wirebahn/tune/journal-000002.json")
    );
    undo(&root(&tree), false).unwrap();
    assert_eq!(tree.snapshot(), second);
    undo(&root(&tree), false).unwrap();
    assert_eq!(tree.snapshot(), first);
}

#[test]
fn what_someone_else_has_changed_is_left_to_them() {
    let tree = trees::two_cores();
    let before = tree.snapshot();
    apply(&root(&tree), &everything(&tree)).unwrap();
    tree.file(SYSCTL_FILE, "net.core.somaxconn = 7\n")
        .file("proc/sys/net/ipv4/tcp_migrate_req", "2\n")
        .remove(LIMITS_FILE);
    let undone = undo(&root(&tree), false).unwrap();
    let mut left: Vec<&str> = undone.conflicts.iter().map(|it| it.path.as_str()).collect();
    left.sort_unstable();
    // The file removed was made by us: that it is gone is as it was before.
    assert_eq!(left, [SYSCTL_FILE, "proc/sys/net/ipv4/tcp_migrate_req"]);
    assert_eq!(tree.text(SYSCTL_FILE), "net.core.somaxconn = 7\n");
    assert_eq!(tree.text("proc/sys/net/ipv4/tcp_migrate_req"), "2\n");
    assert_eq!(
        tree.text("proc/sys/net/ipv4/tcp_notsent_lowat"),
        "4294967295\n"
    );

    // Settled by hand: undo goes on from there.
    tree.file("proc/sys/net/ipv4/tcp_migrate_req", "0\n");
    let undone = undo(&root(&tree), false).unwrap();
    assert_eq!(undone.conflicts.len(), 1);
    // Or by force.
    let undone = undo(&root(&tree), true).unwrap();
    assert_eq!(undone.conflicts, []);
    assert_eq!(tree.snapshot(), before);
}

#[test]
fn a_file_that_cannot_be_written_takes_the_plan_back() {
    let tree = trees::two_cores();
    // A directory where the script should go, found only after other files.
    tree.file("etc/wirebahn", "a file where a directory is needed\n");
    let before = tree.snapshot();
    let plan = everything(&tree);
    let error = apply(&root(&tree), &plan).unwrap_err();
    assert!(
        matches!(&error, ApplyError::Io { left, .. } if left.is_empty()),
        "{error}"
    );
    assert_eq!(tree.snapshot(), before);
}

#[test]
fn links_are_not_followed_out_of_the_tree() {
    let tree = trees::two_cores();
    let elsewhere = Tree::empty();
    elsewhere.file("secret", "untouched\n");
    let target = elsewhere.path("secret");
    tree.link(SYSCTL_FILE, target.to_str().unwrap());
    let error = apply(&root(&tree), &everything(&tree)).unwrap_err();
    assert!(error.to_string().contains("not a plain file"), "{error}");
    assert_eq!(elsewhere.text("secret"), "untouched\n");
}

#[test]
fn values_of_interrupts_are_not_restored_after_a_reboot() {
    let tree = trees::two_cores();
    apply(&root(&tree), &everything(&tree)).unwrap();
    assert_eq!(tree.text("proc/irq/29/smp_affinity_list"), "1\n");
    tree.file("proc/sys/kernel/random/boot_id", "another\n")
        // Interrupt 29 now belongs to a disk.
        .file("proc/irq/29/smp_affinity_list", "1\n");
    let undone = undo(&root(&tree), false).unwrap();
    assert_eq!(undone.conflicts, []);
    assert_eq!(tree.text("proc/irq/29/smp_affinity_list"), "1\n");
    assert_eq!(tree.text("proc/sys/net/ipv4/tcp_migrate_req"), "0\n");
    assert!(!tree.path(BOOT_SCRIPT).exists());
}

#[test]
fn two_at_once_do_not_meet() {
    let tree = trees::two_cores();
    tree.dir(STATE_DIR);
    let held = root(&tree).lock(STATE_DIR).unwrap().unwrap();
    assert!(matches!(
        apply(&root(&tree), &everything(&tree)),
        Err(ApplyError::Busy)
    ));
    assert!(matches!(undo(&root(&tree), false), Err(ApplyError::Busy)));
    drop(held);
    apply(&root(&tree), &everything(&tree)).unwrap();
}

#[test]
fn a_forged_journal_reaches_nothing_outside() {
    let tree = trees::two_cores();
    apply(&root(&tree), &everything(&tree)).unwrap();
    let name = "var/lib/wirebahn/tune/journal-000001.json";
    let good = tree.text(name);
    for path in ["../../outside", "/etc/passwd"] {
        tree.file(name, good.replace(LIMITS_FILE, path));
        let undone = undo(&root(&tree), true).unwrap();
        assert!(undone.conflicts.iter().any(|it| it.path == path));
        tree.file(name, &good);
    }
    for bad in ["", "{}", "[1]", &good.replace("journal/1", "journal/9")] {
        tree.file(name, bad);
        assert!(matches!(
            undo(&root(&tree), false),
            Err(ApplyError::Journal(_))
        ));
    }
}

#[test]
fn journals_are_for_the_owner_alone_and_keep_what_is_not_text() {
    let tree = trees::two_cores();
    tree.file(SYSCTL_FILE, [0xff, 0x00, 0x80])
        .mode(SYSCTL_FILE, 0o640);
    let before = tree.snapshot();
    let name = apply(&root(&tree), &everything(&tree))
        .unwrap()
        .journal
        .unwrap();
    let mode = fs::metadata(tree.path(&name)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(tree.text(&name).contains("/wCA"), "base64 of ff 00 80");
    let mode = fs::metadata(tree.path(SYSCTL_FILE))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640, "what was there keeps its mode");
    let mode = fs::metadata(tree.path(BOOT_SCRIPT))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o755);
    undo(&root(&tree), false).unwrap();
    assert_eq!(tree.snapshot(), before);
}

#[test]
fn values_are_one_whatever_stands_between_their_words() {
    assert!(same_value(b"1\t2\n", b"1 2"));
    assert!(same_value(b"\n", b""));
    assert!(!same_value(b"12", b"1 2"));
    assert_eq!(Octets::new(b"a\tb\n").shown(), "a b");
}

/// What a crash may leave besides the old state: directories of the journal,
/// empty. Everything else must be as before.
fn without_state(things: BTreeMap<PathBuf, Thing>) -> BTreeMap<PathBuf, Thing> {
    things
        .into_iter()
        .filter(|(path, thing)| !(path.starts_with("var") && matches!(thing, Thing::Dir(_))))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn undo_restores_every_octet_whenever_the_crash_comes(
        shape in 0usize..4,
        connections in 1u64..2_000_000,
        parts in btree_set(select(vec![Part::Sysctl, Part::Limits, Part::Unit, Part::Irq]), 1..=4),
        exec in any::<bool>(),
        old_sysctl in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..80)),
        old_script in proptest::option::of("[ -~\n]{0,80}"),
        mode in select(vec![0o600u32, 0o644, 0o755]),
        crash_at in proptest::option::of(0usize..60),
        draft in any::<bool>(),
    ) {
        let tree = match shape {
            0 => trees::one_core(),
            1 => trees::two_cores(),
            2 => trees::container(),
            _ => trees::isolated(),
        };
        if let Some(octets) = old_sysctl {
            tree.file(SYSCTL_FILE, octets).mode(SYSCTL_FILE, mode);
        }
        if let Some(text) = old_script {
            tree.file(BOOT_SCRIPT, text).mode(BOOT_SCRIPT, mode);
        }
        let before = tree.snapshot();
        let options = PlanOptions {
            parts,
            exec: exec.then(|| "/bin/true".to_owned()),
            ..PlanOptions::default()
        };
        let plan = planned(&tree, connections, &options);
        let mut left = crash_at;
        let result = apply_while(&root(&tree), &plan, &mut || match &mut left {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        });
        if result.is_err() && draft && tree.path("etc/sysctl.d").is_dir() {
            // The crash came while a file was being written.
            tree.file("etc/sysctl.d/.90-wirebahn.conf.wirebahn-new", "half a li");
        }
        match undo(&root(&tree), false) {
            Ok(undone) => {
                prop_assert_eq!(undone.conflicts, []);
                if draft && !plan.steps.iter().any(|it| matches!(it, Step::File { path, .. } if path == SYSCTL_FILE)) {
                    // Not ours to know of.
                    let _ = fs::remove_file(tree.path("etc/sysctl.d/.90-wirebahn.conf.wirebahn-new"));
                }
                prop_assert_eq!(tree.snapshot(), before);
            }
            Err(ApplyError::Nothing) => {
                // The crash came before the journal: nothing was changed.
                let _ = fs::remove_file(tree.path("etc/sysctl.d/.90-wirebahn.conf.wirebahn-new"));
                prop_assert_eq!(without_state(tree.snapshot()), without_state(before));
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
