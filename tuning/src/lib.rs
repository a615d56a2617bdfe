//! A doctor for the machine a WebSocket server runs on.
//!
//! Without tuning, no server shows what it can; with tuning by hand from a
//! list found somewhere, no one knows what it did. This crate reads the limits,
//! the settings, the processors and the network cards of a machine, compares
//! them with a stated load, and says for each what there is, what is needed,
//! by which arithmetic, why, and how to change it. It can also carry the
//! changes out and take them back, byte for byte.
//!
//! ```
//! use wirebahn_tuning::{Load, Machine, Severity, check};
//!
//! let report = check(&Machine::host(), &Load::new(100_000).workers(4).port(443));
//! for finding in report.findings.iter().filter(|it| it.severity == Severity::Limits) {
//!     println!("{}", finding.one_line());
//! }
//! ```
//!
//! | room | what it does |
//! |---|---|
//! | [`Root`] | the one door to the file system, real or made by hand |
//! | [`probe`] | what only a system call can tell |
//! | [`topology`] | the processors, and in which order workers go on them |
//! | [`check`](fn@check), [`quick_check`] | compares a machine with a [`Load`] |
//! | [`explain`](fn@explain) | what a setting does, and its risk |
//! | [`plan`] | what would be changed: files and values |
//! | [`apply`] | carries a plan out, with a journal, and takes it back |
//! | [`pin`] | where the workers of a running server are, and where they should be |
//! | [`cli`] | `wirebahn tune` |
//!
//! Three rules hold everywhere. A setting that cannot be read is reported as
//! unknown and never guessed. Nothing is changed that could not be read, for it
//! could not be put back. And nothing of Wirebahn is imported: the doctor
//! serves any server that takes one connection a file and one worker a core.

#![forbid(unsafe_code)]

pub mod apply;
mod check;
pub mod cli;
mod explain;
mod finding;
mod load;
mod machine;
pub mod pin;
pub mod plan;
pub mod probe;
mod root;
mod systemd;
pub mod topology;

// The machines made by hand, which the tests outside the crate use too.
#[cfg(test)]
#[path = "../tests/trees/mod.rs"]
mod trees;

pub use check::{ESSENTIAL, Report, Summary, check, check_process, quick_check, quick_check_at};
pub use explain::{Explanation, explain, explanations, similar};
pub use finding::{Area, Change, Finding, Reading, Severity, ValueWrite};
pub use load::Load;
pub use machine::Machine;
pub use root::{ENTRIES_MAX, FILE_LEN_MAX, Root, Unread};
