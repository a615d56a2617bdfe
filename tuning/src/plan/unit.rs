//! The systemd unit: limits, CPUs, and walls around the server. Written as a
//! whole unit when the command is known, as a drop-in otherwise.

use super::{Plan, PlanOptions, Step};
use crate::{
    check::{Report, limits},
    root::Root,
    systemd,
    topology::format_list,
};

/// Threads beside the workers: the main one, a resolver, what a program adds.
const THREADS_BESIDE: u64 = 64;

pub(super) fn step(root: &Root, report: &Report, options: &PlanOptions, plan: &mut Plan) {
    let unit = &options.unit;
    let path = match options.exec {
        Some(_) => format!("etc/systemd/system/{unit}"),
        None => format!("etc/systemd/system/{unit}.d/50-wirebahn-tune.conf"),
    };
    plan.steps.push(Step::File {
        path,
        contents: contents(report, options),
        mode: 0o644,
    });
    plan.notes.push(match options.exec {
        Some(_) => format!("systemctl daemon-reload && systemctl enable --now {unit}"),
        None => format!("systemctl daemon-reload && systemctl restart {unit}"),
    });
    if options.exec.is_none() && !systemd::unit_exists(root, unit) {
        plan.notes.push(format!(
            "there is no {unit} yet: the drop-in waits for one, or name its command with --exec"
        ));
    }
}

fn contents(report: &Report, options: &PlanOptions) -> String {
    let load = &report.load;
    let workers = u64::from(load.workers.max(1));
    let files = limits::files_suggested(load.connections, workers);
    let mut text =
        "# Written by `wirebahn tune apply`; `wirebahn tune undo` takes it back.\n".to_owned();
    if options.exec.is_some() {
        text.push_str(
            "[Unit]\n\
             Description=Wirebahn WebSocket server\n\
             After=network-online.target\n\
             Wants=network-online.target\n\n",
        );
    }
    text.push_str("[Service]\n");
    if let Some(exec) = &options.exec {
        // "%" starts a specifier in a unit (systemd.unit(5)).
        let exec = exec.replace('%', "%%");
        text.push_str(&format!(
            "Type=exec\n\
             ExecStart={exec}\n\
             Restart=on-failure\n\
             TimeoutStopSec=30\n\n"
        ));
    }
    text.push_str(&format!(
        "# {} connections, {workers} workers, and a quarter of headroom.\n\
         LimitNOFILE={files}\n\
         # Enough for the registered buffers and zero-copy sends of io_uring.\n\
         LimitMEMLOCK=64M\n\
         TasksMax={}\n",
        load.connections,
        workers.saturating_add(THREADS_BESIDE)
    ));
    if report.machine.placement.is_empty() {
        text.push_str("# CPUAffinity= is left out: which CPUs may be used could not be read.\n");
    } else {
        text.push_str(&format!(
            "# The workers' CPUs, one a physical core.\n\
             CPUAffinity={}\n",
            format_list(&report.machine.placement).replace(',', " ")
        ));
    }
    if options.hardening {
        text.push_str(&hardening(load.port));
    }
    if options.exec.is_some() {
        text.push_str("\n[Install]\nWantedBy=multi-user.target\n");
    }
    text
}

/// Walls that leave a server all it needs: sockets, io_uring, its own state
/// directory, and a look at /proc/sys and /sys for its check at start.
fn hardening(port: u16) -> String {
    let capabilities = if port < 1024 {
        "# A port below 1024 needs this one and no other.\n\
         AmbientCapabilities=CAP_NET_BIND_SERVICE\n\
         CapabilityBoundingSet=CAP_NET_BIND_SERVICE\n"
    } else {
        "CapabilityBoundingSet=\n"
    };
    format!(
        "\n# A user of its own, who lives as long as the service does.\n\
         DynamicUser=yes\n\
         StateDirectory=wirebahn\n\
         {capabilities}\
         NoNewPrivileges=yes\n\
         UMask=0077\n\
         ProtectSystem=strict\n\
         ProtectHome=yes\n\
         PrivateTmp=yes\n\
         PrivateDevices=yes\n\
         ProtectClock=yes\n\
         ProtectControlGroups=yes\n\
         ProtectHostname=yes\n\
         ProtectKernelLogs=yes\n\
         ProtectKernelModules=yes\n\
         ProtectKernelTunables=yes\n\
         # Not ProcSubset=pid: it would hide /proc/sys from the check at start.\n\
         ProtectProc=invisible\n\
         LockPersonality=yes\n\
         MemoryDenyWriteExecute=yes\n\
         RemoveIPC=yes\n\
         RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX\n\
         RestrictNamespaces=yes\n\
         RestrictRealtime=yes\n\
         RestrictSUIDSGID=yes\n\
         SystemCallArchitectures=native\n\
         # The second line names io_uring, whichever groups it is in: without it\n\
         # the server would fall back to epoll. What is refused gets EPERM rather\n\
         # than a kill, so that probing stays possible.\n\
         SystemCallFilter=@system-service\n\
         SystemCallFilter=io_uring_setup io_uring_enter io_uring_register\n\
         SystemCallErrorNumber=EPERM\n"
    )
}
