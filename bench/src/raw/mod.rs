//! The limits: echo servers with no WebSocket in them, only the system calls that any server on
//! the same kernel interface must make. Nothing here looks at an octet.

pub mod epoll;
#[cfg(target_os = "linux")]
pub mod uring;
