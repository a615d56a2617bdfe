//! What the kernel can do: its age, io_uring, BPF on listeners, TLS, MPTCP.
//! All of it is optional to the server, so nothing here limits a load.

use super::Context;
use crate::{
    finding::{Area, Finding, Severity},
    probe::{Support, URING_OPERATIONS, Uring},
    root::{Root, Unread},
};

pub(super) fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    findings.push(age(context.root));
    findings.push(uring_switch(context.root));
    findings.push(uring(context));
    let probe = context.machine.probe();
    for (key, answer, needed, how) in [
        (
            "kernel.reuseport_bpf",
            probe.reuseport_bpf(),
            "Linux 4.5 or later; a seccomp filter may be in the way",
            "allow setsockopt(SO_ATTACH_REUSEPORT_CBPF)",
        ),
        (
            "kernel.ktls",
            probe.ktls(),
            "CONFIG_TLS in the kernel, or its module tls",
            "modprobe tls, and \"tls\" in /etc/modules-load.d; only of use with TLS in the server",
        ),
        (
            "kernel.mptcp",
            probe.mptcp(),
            "CONFIG_MPTCP and net.mptcp.enabled",
            "sysctl -w net.mptcp.enabled=1; only of use to clients that roam",
        ),
    ] {
        findings.push(supported(key, &answer).needs("yes", needed).how(how));
    }
}

/// Major and minor of the running kernel.
pub(crate) fn release(root: &Root) -> Result<(u64, u64), Unread> {
    let text = root.word("proc/sys/kernel/osrelease")?;
    let mut parts = text.split(|c: char| !c.is_ascii_digit());
    let mut part = || parts.next().and_then(|word| word.parse().ok());
    match (part(), part()) {
        (Some(major), Some(minor)) => Ok((major, minor)),
        _ => Err(Unread::Malformed(format!("{text:?} is not a release"))),
    }
}

fn age(root: &Root) -> Finding {
    let release = release(root);
    let shown = root.word("proc/sys/kernel/osrelease");
    let shown = match &release {
        Ok(_) => shown,
        Err(why) => Err(why.clone()),
    };
    let good = release.is_ok_and(|release| release >= (6, 1));
    Finding::of(
        "kernel.release",
        Area::Kernel,
        &shown,
        Severity::Advice,
        |_| good,
    )
    .needs(
        "≥ 6.1",
        "multishot receive came with 6.0, completions on demand with 6.1",
    )
    .how("a newer kernel; with an older one the server uses epoll")
}

fn uring_switch(root: &Root) -> Finding {
    let key = "kernel.io_uring_disabled";
    let switch = root.number("proc/sys/kernel/io_uring_disabled");
    if switch == Err(Unread::Absent) && root.exists("proc/sys/kernel/osrelease") {
        return Finding::of(
            key,
            Area::Kernel,
            &Ok("no such switch"),
            Severity::Advice,
            |_| true,
        )
        .needs("0", "kernels before 6.6 cannot switch io_uring off here");
    }
    Finding::of(key, Area::Kernel, &switch, Severity::Advice, |&off| {
        off == 0
    })
    .needs(
        "0",
        "1 leaves it to the group of kernel.io_uring_group and to CAP_SYS_ADMIN, 2 to no one",
    )
    // Who switched io_uring off did so for safety's sake: not ours to undo.
    .how("sysctl -w kernel.io_uring_disabled=0, if your policy allows; epoll serves without it")
}

fn uring(context: &Context<'_>) -> Finding {
    let (present, good) = match context.machine.probe().io_uring() {
        Uring::Unknown(why) => (Err(Unread::Failed(why)), false),
        Uring::Refused(why) => (Ok(format!("refused: {why}")), false),
        Uring::Works(features) => {
            let missing: Vec<&str> = URING_OPERATIONS
                .into_iter()
                .filter(|name| !features.operations.contains(name))
                .collect();
            let mut text = match missing.as_slice() {
                [] => "works, with every operation looked for".to_owned(),
                missing => format!("works, without {}", missing.join(", ")),
            };
            text.push_str(if features.defer_taskrun {
                "; completions on demand"
            } else {
                "; no completions on demand"
            });
            if features.bundles {
                text.push_str("; bundles");
            }
            // What the driver cannot do without; the zero-copy operations are
            // extras.
            let core = URING_OPERATIONS
                .iter()
                .filter(|name| !name.ends_with("_zc"))
                .all(|name| features.operations.contains(name));
            (Ok(text), core && features.defer_taskrun)
        }
    };
    Finding::of(
        "kernel.io_uring",
        Area::Kernel,
        &present,
        Severity::Advice,
        |_| good,
    )
    .needs(
        "works, with completions on demand",
        "a ring of two entries was made and asked for its operations",
    )
    .how(
        "Linux 6.1 or later, kernel.io_uring_disabled=0, and a seccomp profile that lets \
         io_uring_setup, io_uring_enter and io_uring_register through; epoll serves without it",
    )
}

fn supported(key: &str, answer: &Support) -> Finding {
    let (present, good) = match answer {
        Support::Yes => (Ok("yes".to_owned()), true),
        Support::No(why) => (Ok(format!("no: {why}")), false),
        Support::Unknown(why) => (Err(Unread::Failed(why.clone())), false),
    };
    // TLS in the kernel and MPTCP are extras few servers use: their absence is
    // told, not complained about.
    let otherwise = match key {
        "kernel.reuseport_bpf" => Severity::Advice,
        _ => Severity::Fine,
    };
    Finding::of(key, Area::Kernel, &present, otherwise, |_| good)
}
