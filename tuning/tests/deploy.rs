//! The files a plan writes are understood by those they are written for:
//! systemd and the shell. Where one of them is missing the test says so.

mod trees;

use std::process::Command;

use wirebahn_tuning::{
    Load, Machine, Root, apply, check,
    plan::{BOOT_SCRIPT, BOOT_UNIT, PlanOptions, plan},
    probe::Fixed,
};

#[test]
fn systemd_and_the_shell_understand_what_is_written() {
    let tree = trees::two_cores();
    let machine = Machine::new(Root::new(&tree.dir), Fixed::modern());
    for port in [443, 9000] {
        let report = check(&machine, &Load::new(100_000).port(port));
        let options = PlanOptions {
            exec: Some("/bin/true --listen 0.0.0.0".to_owned()),
            unit: format!("wirebahn-{port}.service"),
            ..PlanOptions::default()
        };
        let plan = plan(&machine, &report, &options).unwrap();
        apply::apply(machine.root(), &plan).unwrap();
        let unit = tree.path(&format!("etc/systemd/system/{}", options.unit));
        verify(unit.to_str().unwrap());
    }
    let script = tree.path(BOOT_SCRIPT);
    // Its unit names the script by its path on the machine.
    let unit = tree.path(&format!("etc/systemd/system/{BOOT_UNIT}"));
    let text = std::fs::read_to_string(&unit).unwrap();
    assert!(text.contains("ExecStart=/etc/wirebahn/irq-affinity.sh\n"));

    // The script itself, on the tree's files instead of the machine's.
    let text = std::fs::read_to_string(&script).unwrap();
    let dir = tree.dir.to_str().unwrap();
    let text = text
        .replace("/proc/", &format!("{dir}/proc/"))
        .replace("'/sys/", &format!("'{dir}/sys/"));
    let here = tree.path("script.sh");
    std::fs::write(&here, text).unwrap();
    tree.file("proc/irq/28/smp_affinity_list", "7\n")
        .file("proc/irq/29/smp_affinity_list", "7\n")
        .file("proc/irq/27/smp_affinity_list", "7\n");
    let output = Command::new("sh").arg(&here).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(tree.text("proc/irq/28/smp_affinity_list"), "0\n");
    assert_eq!(tree.text("proc/irq/29/smp_affinity_list"), "1\n");
    assert_eq!(tree.text("proc/irq/27/smp_affinity_list"), "7\n");
    // What is not there is told and passed over.
    tree.remove("proc/irq/29");
    let output = Command::new("sh").arg(&here).output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("refused 1"));
}

fn verify(unit: &str) {
    let output = match Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no", unit])
        .output()
    {
        Ok(output) => output,
        Err(e) => {
            println!("systemd-analyze cannot be run, the unit is not verified: {e}");
            return;
        }
    };
    let complaints: Vec<String> = String::from_utf8_lossy(&output.stderr)
        .lines()
        // Of the machine's other units it may say what it likes.
        .filter(|line| line.contains("wirebahn"))
        .map(str::to_owned)
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}
