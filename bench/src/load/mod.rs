//! The load driver: connections by the thousand, and everything that comes back checked.
//!
//! In the order in which the files import one another: `target` is where the load goes, `wire` a
//! socket to it; `random` and `reel` make the messages before the run, `check` holds what comes
//! against them; `fleet` is the loop of a thread, `crew` the threads of a run and who conducts
//! them, `report` what a run found, `plot` draws it. Then one file a test: `echo`, `broadcast`,
//! `connect`, `wsperf`.
//!
//! Per message of a pipelined echo the driver does: a share of one `recv`, of one comparison of
//! memory, of one clock read and of one `send`; it encodes, masks and allocates nothing.

mod aside;
mod broadcast;
mod check;
mod connect;
mod crew;
mod echo;
mod fleet;
pub mod plot;
mod random;
mod reel;
mod report;
mod target;
mod wire;
mod wsperf;

pub use broadcast::BroadcastPlan;
pub use check::{Correctness, Fault};
pub use connect::ConnectPlan;
pub use crew::pin;
pub use echo::EchoPlan;
pub use reel::Content;
pub use report::{Asked, Driver, Latency, PerConnection, Report, Server};
pub use target::{Endpoint, Target, TargetError};
pub use wsperf::{Aggregate, ConnectionTimes, WsperfPlan, WsperfReport, WsperfResult};
