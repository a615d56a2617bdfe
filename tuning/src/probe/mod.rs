//! What no file tells and only a system call can: whether io_uring, a BPF
//! program on a group of listeners, TLS in the kernel and MPTCP work here.
//!
//! One small trait with a real face ([`Kernel`]) and a made-up one
//! ([`Fixed`]), so that a fake tree has a fake kernel to go with it.

#[cfg(target_os = "linux")]
mod linux;

use std::{collections::BTreeSet, fmt, io};

/// The answer to "does this kernel let us do it?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Support {
    /// Tried, and it worked.
    Yes,
    /// Tried, and the kernel said no, in these words.
    No(String),
    /// Not tried, or the answer says neither yes nor no.
    Unknown(String),
}

/// What io_uring offers, as far as a WebSocket server makes use of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uring {
    /// A ring could be made.
    Works(UringFeatures),
    /// The kernel, its sysctl or a seccomp filter refuses, in these words.
    Refused(String),
    /// Not tried.
    Unknown(String),
}

/// The operations and set-up flags that a ring offers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UringFeatures {
    /// The operations of [`URING_OPERATIONS`] that the kernel has.
    pub operations: BTreeSet<&'static str>,
    /// `IORING_SETUP_SINGLE_ISSUER` and `IORING_SETUP_DEFER_TASKRUN` (6.1):
    /// completions are run when we ask. Their presence also says that
    /// multishot receive (6.0) and provided buffer rings (5.19) are there,
    /// which no probe of operations tells.
    pub defer_taskrun: bool,
    /// `IORING_FEAT_RECVSEND_BUNDLE` (6.10): several buffers in one completion.
    pub bundles: bool,
}

/// The operations a server looks for, in the order they are shown.
pub const URING_OPERATIONS: [&str; 10] = [
    "accept",
    "recv",
    "send",
    "sendmsg",
    "poll_add",
    "timeout",
    "async_cancel",
    "msg_ring",
    "send_zc",
    "recv_zc",
];

/// The questions that take a system call.
pub trait Probe: fmt::Debug {
    /// Makes a small ring and asks it what it can do.
    fn io_uring(&self) -> Uring;
    /// Puts a classic BPF program on a TCP socket of a `SO_REUSEPORT` group,
    /// to choose the listener by CPU.
    fn reuseport_bpf(&self) -> Support;
    /// Whether TCP sockets take the upper-layer protocol "tls".
    fn ktls(&self) -> Support;
    /// Whether a socket with the protocol `IPPROTO_MPTCP` can be made.
    fn mptcp(&self) -> Support;
    /// The size of a page in octets.
    fn page_size(&self) -> Option<u64>;
    /// Whether this process is root, who alone may apply a plan to the machine.
    fn is_root(&self) -> bool;
    /// Binds the thread `tid` to `cpus`.
    ///
    /// # Errors
    /// What the kernel answers: no such thread, not permitted, no CPU of the
    /// set allowed.
    fn set_affinity(&self, tid: u32, cpus: &BTreeSet<u32>) -> io::Result<()>;
}

/// The kernel this process runs on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kernel;

#[cfg(not(target_os = "linux"))]
impl Probe for Kernel {
    fn io_uring(&self) -> Uring {
        Uring::Refused("this is not Linux".to_owned())
    }
    fn reuseport_bpf(&self) -> Support {
        Support::No("this is not Linux".to_owned())
    }
    fn ktls(&self) -> Support {
        Support::No("this is not Linux".to_owned())
    }
    fn mptcp(&self) -> Support {
        Support::No("this is not Linux".to_owned())
    }
    fn page_size(&self) -> Option<u64> {
        None
    }
    fn is_root(&self) -> bool {
        false
    }
    fn set_affinity(&self, _tid: u32, _cpus: &BTreeSet<u32>) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}

/// Answers given beforehand, for a tree that is not this machine's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// The answer of [`Probe::io_uring`].
    pub io_uring: Uring,
    /// The answer of [`Probe::reuseport_bpf`].
    pub reuseport_bpf: Support,
    /// The answer of [`Probe::ktls`].
    pub ktls: Support,
    /// The answer of [`Probe::mptcp`].
    pub mptcp: Support,
    /// The answer of [`Probe::page_size`].
    pub page_size: Option<u64>,
    /// The answer of [`Probe::is_root`].
    pub is_root: bool,
}

impl Fixed {
    /// Nothing known: for the tree of a machine that does not run.
    pub fn unknown() -> Fixed {
        let why = || "only the machine itself can tell".to_owned();
        Fixed {
            io_uring: Uring::Unknown(why()),
            reuseport_bpf: Support::Unknown(why()),
            ktls: Support::Unknown(why()),
            mptcp: Support::Unknown(why()),
            page_size: None,
            is_root: false,
        }
    }

    /// A kernel that has everything, with pages of 4 KiB.
    pub fn modern() -> Fixed {
        Fixed {
            io_uring: Uring::Works(UringFeatures {
                operations: URING_OPERATIONS.into(),
                defer_taskrun: true,
                bundles: true,
            }),
            reuseport_bpf: Support::Yes,
            ktls: Support::Yes,
            mptcp: Support::Yes,
            page_size: Some(4096),
            is_root: true,
        }
    }
}

impl Probe for Fixed {
    fn io_uring(&self) -> Uring {
        self.io_uring.clone()
    }
    fn reuseport_bpf(&self) -> Support {
        self.reuseport_bpf.clone()
    }
    fn ktls(&self) -> Support {
        self.ktls.clone()
    }
    fn mptcp(&self) -> Support {
        self.mptcp.clone()
    }
    fn page_size(&self) -> Option<u64> {
        self.page_size
    }
    fn is_root(&self) -> bool {
        self.is_root
    }
    fn set_affinity(&self, _tid: u32, _cpus: &BTreeSet<u32>) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}
