//! Values the kernel forgets at boot (interrupts, queues, clock): set now, and
//! by a script that finds interrupts by name, since numbers change.

use std::collections::BTreeMap;

use super::{BOOT_SCRIPT, BOOT_UNIT, Plan, Step, values};
use crate::{check::Report, root::Root, systemd};

const HEAD: &str = r#"#!/bin/sh
# Written by `wirebahn tune apply`; `wirebahn tune undo` takes it back.
# Sends the interrupts and packets of the network cards to the CPUs of the
# workers. Interrupts are found by name: their numbers change from boot to boot.
# What a driver refuses is told and passed over.

put() { # VALUE FILE
    if ! { echo "$1" > "$2"; } 2> /dev/null; then
        echo "wirebahn: $2 refused $1" >&2
    fi
}

irq() { # NAME CPU
    name=$1 awk '$NF == ENVIRON["name"] { sub(":", "", $1); print $1 }' /proc/interrupts |
    while read -r number; do
        put "$2" "/proc/irq/$number/smp_affinity_list"
    done
}

"#;

pub(super) fn steps(root: &Root, report: &Report, plan: &mut Plan) {
    let writes = values(report);
    if writes.is_empty() {
        return;
    }
    // By what they are about, so that a later run replaces its own line.
    let mut lines: BTreeMap<String, String> = root
        .read(BOOT_SCRIPT)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| Some((subject(line)?, line.to_owned())))
        .collect();
    for write in &writes {
        let line = match &write.irq {
            Some(name) => format!("irq {} {}", quoted(name), quoted(&write.value)),
            None => format!(
                "put {} {}",
                quoted(&write.value),
                quoted(&format!("/{}", write.path))
            ),
        };
        if let Some(subject) = subject(&line) {
            lines.insert(subject, line);
        }
    }
    let mut script = HEAD.to_owned();
    for line in lines.values() {
        script.push_str(line);
        script.push('\n');
    }
    plan.steps.push(Step::File {
        path: BOOT_SCRIPT.to_owned(),
        contents: script,
        mode: 0o755,
    });
    if systemd::runs(root) {
        plan.steps.push(Step::File {
            path: format!("etc/systemd/system/{BOOT_UNIT}"),
            contents: format!(
                "# Written by `wirebahn tune apply`; `wirebahn tune undo` takes it back.\n\
                 [Unit]\n\
                 Description=Interrupts and queues for the workers of Wirebahn\n\
                 After=network.target\n\n\
                 [Service]\n\
                 Type=oneshot\n\
                 ExecStart=/{BOOT_SCRIPT}\n\n\
                 [Install]\n\
                 WantedBy=multi-user.target\n"
            ),
            mode: 0o644,
        });
        plan.notes.push(format!(
            "systemctl daemon-reload && systemctl enable {BOOT_UNIT}, to have it at each boot"
        ));
    } else {
        plan.notes.push(format!("run /{BOOT_SCRIPT} at each boot"));
    }
    for write in writes {
        plan.steps.push(Step::Value {
            path: write.path.clone(),
            value: write.value.clone(),
            volatile: true,
        });
    }
}

/// What a line of the script is about: `irq NAME …` its interrupt, `put … FILE`
/// its file; `None` for any other line.
fn subject(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split('\'').collect();
    match (words.as_slice(), line.get(..4)) {
        (["irq ", name, " ", _, ""], Some("irq ")) => Some(format!("irq {name}")),
        (["put ", _, " ", file, ""], Some("put ")) => Some(format!("put {file}")),
        _ => None,
    }
}

/// A word for the shell, whatever is in it. One with a quote in it cannot be
/// told apart again and gets no line.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_known_by_what_they_are_about() {
        assert_eq!(
            subject("irq 'eth0-rx-1' '3'"),
            Some("irq eth0-rx-1".to_owned())
        );
        assert_eq!(
            subject("put 'ff' '/sys/class/net/eth0/queues/rx-0/rps_cpus'"),
            Some("put /sys/class/net/eth0/queues/rx-0/rps_cpus".to_owned())
        );
        for line in ["", "put() { # VALUE FILE", "irq", "rm -rf '/' 'x'"] {
            assert_eq!(subject(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_name_with_a_quote_gets_no_line() {
        let line = format!("irq {} '1'", quoted("a'; reboot; '"));
        assert_eq!(subject(&line), None);
    }
}
