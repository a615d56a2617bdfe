//! Load driver, scenarios and benches of Wirebahn.
//!
//! [`load`] drives WebSocket servers, any of them, and checks what they answer; [`measure`] asks
//! the kernel what they used for it; [`play`] plays scenarios against several servers, [`raw`]
//! among them as the limit; [`hot`] has the paths that criterion and callgrind watch; [`cli`] is
//! the command line of the load driver.
//!
//! ```no_run
//! use wirebahn_bench::load::{EchoPlan, Target};
//!
//! let mut plan = EchoPlan::new(Target::parse("ws://127.0.0.1:9000")?);
//! plan.connections = 1000;
//! plan.depth = 16;
//! let report = plan.run()?;
//! assert!(report.passed());
//! println!("{report}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod cli;
pub mod hot;
pub mod load;
pub mod measure;
pub mod play;
pub mod raw;
