//! How many files a process and the system may have open, and how much memory
//! may be locked. A connection is a file; everything starts here.

use super::{Context, kernel};
use crate::{
    finding::{Area, Change, Finding, Reading, Severity, n, octets, plural},
    root::{Root, Unread},
    systemd,
};

/// Files a worker has besides its connections: listener, ring or epoll, waker,
/// timer, a descriptor held in reserve for the day there are none, and a few
/// connections being accepted or closed.
const WORKER_FILES: u64 = 16;

/// Files the process has besides its workers': the three standard ones, logs,
/// certificates, a control socket, what a program around the engine opens.
const PROCESS_FILES: u64 = 128;

/// Memory of one worker's ring of 4,096 submissions and 8,192 completions:
/// 256 KiB of the one, 128 KiB of the other, and their indices.
const RING_OCTETS: u64 = 512 << 10;

pub(super) fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let (root, load) = (context.root, &context.load);
    let workers = context.workers();
    findings.push(nofile(root, load.connections, workers, &context.pid));
    findings.push(unit_nofile(root, load.connections, workers));
    findings.push(file_max(root, load.connections, workers));
    findings.push(nr_open(root, load.connections, workers));
    findings.push(memlock(context));
}

/// The files a server of this load has open.
pub(crate) fn files_needed(connections: u64, workers: u64) -> u64 {
    connections
        .saturating_add(workers.saturating_mul(WORKER_FILES))
        .saturating_add(PROCESS_FILES)
}

/// What to set the limit to: a quarter on top of the need, so that the next
/// step of growth is not the next outage, rounded up to a multiple of 1,024.
pub(crate) fn files_suggested(connections: u64, workers: u64) -> u64 {
    let needed = files_needed(connections, workers);
    needed
        .saturating_add(needed / 4)
        .checked_next_multiple_of(1024)
        .unwrap_or(needed)
}

fn files_arithmetic(connections: u64, workers: u64) -> String {
    format!(
        "{} + {} × {WORKER_FILES} + {PROCESS_FILES} for the process = {}",
        plural(connections, "connection", "connections"),
        plural(workers, "worker", "workers"),
        n(files_needed(connections, workers))
    )
}

pub(super) fn nofile(root: &Root, connections: u64, workers: u64, pid: &str) -> Finding {
    let needed = files_needed(connections, workers);
    let suggested = files_suggested(connections, workers);
    let limit = limit(root, pid, "Max open files");
    let mut finding = Finding::of(
        "limits.nofile",
        Area::Limits,
        &limit.as_ref().map(|it| it.soft).map_err(Clone::clone),
        Severity::Limits,
        |&soft| soft >= needed,
    );
    if let Ok(limit) = &limit {
        finding.present = Reading::Known(format!(
            "{} (hard {})",
            unlimited(limit.soft),
            unlimited(limit.hard)
        ));
    }
    finding
        .needs(
            format!("≥ {needed}"),
            files_arithmetic(connections, workers),
        )
        .how(format!(
            "LimitNOFILE={suggested} in the systemd unit; \"* - nofile {suggested}\" in \
             /etc/security/limits.d for logins; ulimit -n in the shell that starts it"
        ))
        .change(Change::Nofile { files: suggested })
}

fn unit_nofile(root: &Root, connections: u64, workers: u64) -> Finding {
    let needed = files_needed(connections, workers);
    let suggested = files_suggested(connections, workers);
    let setting = systemd::nofile(root, systemd::UNIT_DEFAULT);
    let present = match &setting {
        systemd::Nofile::NoSystemd => Ok("systemd does not run here".to_owned()),
        systemd::Nofile::Unset => Ok("not set (systemd's own default is 1024:524288)".to_owned()),
        systemd::Nofile::Set { text, file, .. } => Ok(format!("{text} in {file}")),
        systemd::Nofile::Unread(why) => Err(why.clone()),
    };
    let good = match setting {
        systemd::Nofile::NoSystemd => true,
        systemd::Nofile::Set { soft, .. } => soft >= needed,
        systemd::Nofile::Unset | systemd::Nofile::Unread(_) => needed <= 1024,
    };
    Finding::of(
        "limits.nofile.systemd",
        Area::Limits,
        &present,
        // What a service would get says nothing certain about how this server
        // is started; the limit of the process itself is `limits.nofile`.
        Severity::Advice,
        |_| good,
    )
    .needs(
        format!("≥ {needed}"),
        files_arithmetic(connections, workers),
    )
    .how(format!(
        "LimitNOFILE={suggested} in the [Service] section of {}",
        systemd::UNIT_DEFAULT
    ))
    .change(Change::Nofile { files: suggested })
}

pub(super) fn file_max(root: &Root, connections: u64, workers: u64) -> Finding {
    let key = "fs.file-max";
    let open = root.numbers("proc/sys/fs/file-nr").ok();
    let open = open.and_then(|it| it.first().copied());
    let ours = files_needed(connections, workers);
    let needed = ours.saturating_add(open.unwrap_or(0));
    super::sysctl_finding(root, key, Area::Limits, Severity::Limits, |&max| {
        max >= needed
    })
    .needs(
        format!("≥ {needed}"),
        match open {
            Some(open) => format!(
                "{} open now on the whole machine + {} for this server",
                n(open),
                n(ours)
            ),
            None => format!(
                "{} for this server; what is open now could not be read",
                n(ours)
            ),
        },
    )
    .sysctl(key, needed.saturating_add(needed / 4).to_string())
}

fn nr_open(root: &Root, connections: u64, workers: u64) -> Finding {
    let key = "fs.nr_open";
    let needed = files_needed(connections, workers);
    // Not only the need must fit under it but the limit we propose: a unit
    // whose LimitNOFILE is above nr_open does not start.
    let suggested = files_suggested(connections, workers);
    let max = super::sysctl(root, key);
    let otherwise = match max {
        Ok(max) if max >= needed => Severity::Advice,
        _ => Severity::Limits,
    };
    Finding::of(key, Area::Limits, &max, otherwise, |&max| max >= suggested)
        .needs(
            format!("≥ {suggested}"),
            format!(
                "no process may raise its limit of open files above this: {} needed, and a \
                 quarter of headroom",
                n(needed)
            ),
        )
        .sysctl(key, suggested.to_string())
}

fn memlock(context: &Context<'_>) -> Finding {
    let limit = limit(context.root, &context.pid, "Max locked memory");
    let release = kernel::release(context.root);
    let charged = match &release {
        Ok(release) => Ok(*release < (5, 12)),
        Err(why) => Err(why.clone()),
    };
    // Either reading missing, nothing can be judged.
    let judged = match (&limit, &charged) {
        (Ok(limit), Ok(_)) => Ok(*limit),
        (Err(why), _) | (_, Err(why)) => Err(why.clone()),
    };
    let needed = match charged {
        Ok(true) => context.workers().saturating_mul(RING_OCTETS),
        _ => 0,
    };
    let mut finding = Finding::of(
        "limits.memlock",
        Area::Limits,
        &judged.as_ref().map(|it| it.soft).map_err(Clone::clone),
        Severity::Advice,
        |&soft| soft >= needed,
    );
    if let Ok(limit) = judged {
        let shown = |limit| match limit {
            u64::MAX => "unlimited".to_owned(),
            limit => octets(limit),
        };
        finding.present = Reading::Known(format!(
            "{} (hard {})",
            shown(limit.soft),
            shown(limit.hard)
        ));
    }
    let arithmetic = if needed > 0 {
        format!(
            "before 5.12 a ring counts as locked memory: {} × {}",
            plural(context.workers(), "worker", "workers"),
            octets(RING_OCTETS)
        )
    } else {
        "since 5.12 rings count against the memory of the control group, not this; \
         only registered buffers and zero-copy sends still do"
            .to_owned()
    };
    finding
        .needs(format!("≥ {needed}"), arithmetic)
        .how("LimitMEMLOCK= in the systemd unit, \"* - memlock\" in /etc/security/limits.d")
}

/// A soft and a hard limit; `u64::MAX` stands for "unlimited".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

fn unlimited(limit: u64) -> String {
    match limit {
        u64::MAX => "unlimited".to_owned(),
        limit => limit.to_string(),
    }
}

/// One line of `/proc/PID/limits`: a name padded to 26 columns, soft, hard,
/// unit.
fn limit(root: &Root, pid: &str, name: &str) -> Result<Limit, Unread> {
    let text = root.read(&format!("proc/{pid}/limits"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .ok_or_else(|| Unread::Malformed(format!("no line {name:?}")))?;
    let mut words = line.split_whitespace().map(|word| match word {
        "unlimited" => Ok(u64::MAX),
        number => crate::root::number(number),
    });
    match (words.next(), words.next()) {
        (Some(soft), Some(hard)) => Ok(Limit {
            soft: soft?,
            hard: hard?,
        }),
        _ => Err(Unread::Malformed(format!("the line {name:?} is short"))),
    }
}
