//! The real probes: each makes something small, asks, and lets it go. None
//! leaves a trace, and none sends a packet off this machine.

use std::{
    collections::BTreeSet,
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
};

use io_uring::{IoUring, cqueue, opcode, squeue};
use nix::{
    errno::Errno,
    sched::CpuSet,
    sys::socket::{setsockopt, sockopt},
    unistd::{Pid, SysconfVar, geteuid, sysconf},
};
use socket2::{Domain, Protocol, Socket, Type};

use super::{Kernel, Probe, Support, Uring, UringFeatures};

impl Probe for Kernel {
    fn io_uring(&self) -> Uring {
        let ring = match IoUring::new(2) {
            Ok(ring) => ring,
            Err(e) => return Uring::Refused(e.to_string()),
        };
        let mut probe = io_uring::Probe::new();
        if let Err(e) = ring.submitter().register_probe(&mut probe) {
            // Before 5.6, or a filter that lets rings be made and not asked.
            return Uring::Refused(format!("a ring can be made but not asked: {e}"));
        }
        let codes = [
            ("accept", opcode::Accept::CODE),
            ("recv", opcode::Recv::CODE),
            ("send", opcode::Send::CODE),
            ("sendmsg", opcode::SendMsg::CODE),
            ("poll_add", opcode::PollAdd::CODE),
            ("timeout", opcode::Timeout::CODE),
            ("async_cancel", opcode::AsyncCancel::CODE),
            ("msg_ring", opcode::MsgRingData::CODE),
            ("send_zc", opcode::SendZc::CODE),
            ("recv_zc", opcode::RecvZc::CODE),
        ];
        Uring::Works(UringFeatures {
            operations: codes
                .into_iter()
                .filter(|&(_, code)| probe.is_supported(code))
                .map(|(name, _)| name)
                .collect(),
            defer_taskrun: IoUring::<squeue::Entry, cqueue::Entry>::builder()
                .setup_single_issuer()
                .setup_defer_taskrun()
                .build(2)
                .is_ok(),
            bundles: ring.params().is_feature_recvsend_bundle(),
        })
    }

    fn reuseport_bpf(&self) -> Support {
        let socket = match Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)) {
            Ok(socket) => socket,
            Err(e) => return Support::Unknown(e.to_string()),
        };
        if let Err(e) = socket.set_reuse_port(true) {
            return Support::No(e.to_string());
        }
        // "Return the number of the CPU": load it into A, return A. The two
        // codes are BPF_LD|BPF_W|BPF_ABS at SKF_AD_OFF+SKF_AD_CPU, BPF_RET|BPF_A.
        let mut program = [
            libc::sock_filter {
                code: 0x20,
                jt: 0,
                jf: 0,
                k: 0xffff_f024,
            },
            libc::sock_filter {
                code: 0x16,
                jt: 0,
                jf: 0,
                k: 0,
            },
        ];
        let program = libc::sock_fprog {
            len: program.len() as u16,
            filter: program.as_mut_ptr(),
        };
        match setsockopt(&socket, sockopt::AttachReusePortCbpf, &program) {
            Ok(()) => Support::Yes,
            Err(e) => refused(e),
        }
    }

    fn ktls(&self) -> Support {
        // The kernel looks for the protocol (and loads its module) before it
        // looks at the socket, and then wants an established one; so a pair on
        // loopback is made. ENOENT: no such protocol.
        let pair = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .and_then(|listener| TcpStream::connect(listener.local_addr()?));
        match pair {
            Ok(stream) => match setsockopt(&stream, sockopt::TcpUlp::default(), b"tls") {
                Ok(()) => Support::Yes,
                Err(Errno::ENOENT) => {
                    Support::No("the kernel has no upper-layer protocol \"tls\"".to_owned())
                }
                Err(e) => refused(e),
            },
            Err(e) => Support::Unknown(format!("no connection over loopback: {e}")),
        }
    }

    fn mptcp(&self) -> Support {
        match Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)) {
            Ok(_) => Support::Yes,
            Err(e) if e.kind() == ErrorKind::PermissionDenied => Support::Unknown(e.to_string()),
            Err(e) => Support::No(e.to_string()),
        }
    }

    fn page_size(&self) -> Option<u64> {
        let size = sysconf(SysconfVar::PAGE_SIZE).ok()??;
        u64::try_from(size).ok().filter(|&size| size > 0)
    }

    fn is_root(&self) -> bool {
        geteuid().is_root()
    }

    fn set_affinity(&self, tid: u32, cpus: &BTreeSet<u32>) -> io::Result<()> {
        let tid = i32::try_from(tid)
            .ok()
            .filter(|&tid| tid > 0)
            .ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
        let mut set = CpuSet::new();
        for &cpu in cpus {
            // A CPU beyond the set's 1,024 is an error, never left out silently.
            set.set(cpu as usize)?;
        }
        Ok(nix::sched::sched_setaffinity(Pid::from_raw(tid), &set)?)
    }
}

/// A refusal for lack of permission says nothing about the kernel.
fn refused(errno: Errno) -> Support {
    match errno {
        Errno::EPERM | Errno::EACCES => Support::Unknown(errno.desc().to_owned()),
        _ => Support::No(errno.desc().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::URING_OPERATIONS;

    #[test]
    fn the_real_kernel_answers_every_question() {
        match Kernel.io_uring() {
            Uring::Works(features) => {
                // accept came with 5.5, the probe with 5.6.
                assert!(features.operations.contains("accept"));
                assert!(
                    features
                        .operations
                        .iter()
                        .all(|name| URING_OPERATIONS.contains(name))
                );
            }
            Uring::Refused(why) => assert!(!why.is_empty()),
            Uring::Unknown(why) => panic!("the real probe always tries: {why}"),
        }
        for answer in [Kernel.reuseport_bpf(), Kernel.ktls(), Kernel.mptcp()] {
            if let Support::No(why) | Support::Unknown(why) = answer {
                assert!(!why.is_empty());
            }
        }
        assert!(Kernel.page_size().is_some_and(u64::is_power_of_two));
    }

    #[test]
    fn a_thread_can_be_bound_to_a_cpu_it_may_use() {
        let tid = u32::try_from(nix::unistd::gettid().as_raw()).unwrap();
        let root = crate::Root::host();
        let before =
            crate::topology::allowed_in(&root.read("proc/thread-self/status").unwrap()).unwrap();
        let one = BTreeSet::from([*before.last().unwrap()]);
        Kernel.set_affinity(tid, &one).unwrap();
        let now =
            crate::topology::allowed_in(&root.read("proc/thread-self/status").unwrap()).unwrap();
        assert_eq!(now, one);
        Kernel.set_affinity(tid, &before).unwrap();
        assert!(Kernel.set_affinity(tid, &BTreeSet::from([5000])).is_err());
        assert!(Kernel.set_affinity(0, &before).is_err());
    }
}
