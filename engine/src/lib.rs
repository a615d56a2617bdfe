//! A WebSocket engine for multicore machines.
//!
//! One thread a core, each with its own listening socket (`SO_REUSEPORT`), its own event loop and
//! its own connections. A frame is decoded in place, in the buffer it was received into: unmasked,
//! and validated as text, in one pass of SIMD. All that a turn of the loop has to say to a
//! connection leaves in one write. An idle connection owns no buffer.
//!
//! ```no_run
//! use wirebahn::{Context, Message, Server, handler_fn};
//!
//! let server = Server::builder().bind("127.0.0.1:9000").serve(|_| {
//!     handler_fn(|context: &mut Context<'_>, message: Message<'_>| {
//!         let _ = context.send(message);
//!     })
//! })?;
//! println!("listening on {}", server.local_addr());
//! server.join()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to go on
//!
//! - [`Handler`] is what a program implements; [`Context`] is what it is called with.
//! - [`ServerConfig`] holds limits, deadlines and policies; safe values are the default.
//! - [`Remote`] sends and closes from any thread.
//! - [`proto`] is the protocol core: no socket, no clock, no thread. Without the default feature
//!   `runtime` it is all there is, for programs that bring their own transport.
//!
//! # What a message costs
//!
//! A message that lies whole in the receive buffer is neither copied nor allocated for on its way
//! to the handler; an echo copies it once, into the block that leaves at the end of the turn. A
//! turn costs one `epoll_wait` and one clock read; a readable connection one `recv` and one
//! `send`, however many messages they carry. There is no lock and no atomic operation per message.

pub mod close;
mod config;
mod error;
mod message;
pub mod proto;
mod tick;

#[cfg(feature = "runtime")]
mod driver;
#[cfg(feature = "runtime")]
mod handler;
#[cfg(feature = "runtime")]
mod remote;
#[cfg(feature = "runtime")]
mod server;
#[cfg(feature = "runtime")]
mod shard;
#[cfg(all(feature = "runtime", any(test, feature = "sim")))]
pub mod sim;

pub use close::{CloseCode, CloseInfo};
pub use config::{
    Compression, CompressionMode, DriverChoice, Limits, Placement, ProtocolConfig, ServerConfig,
    ServerConfigBuilder, SlowPolicy, SocketOptions, Timeouts,
};
pub use error::{ConfigError, UseError, Violation};
pub use message::{Kind, Message, Opcode, Role};
pub use proto::handshake::{OriginPattern, OriginPolicy, Request};
pub use proto::prepared::Prepared;
pub use tick::Tick;

#[cfg(feature = "runtime")]
pub use handler::{Answer, Context, Decision, Denial, Handler, Sent, handler_fn};
#[cfg(feature = "runtime")]
pub use remote::{ConnectionId, Remote};
#[cfg(feature = "runtime")]
pub use server::{Server, ServerBuilder, ServerError, Worker};
#[cfg(feature = "runtime")]
pub use shard::counters::Statistics;
