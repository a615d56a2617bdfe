//! A hostile peer against the running program: raw TCP, every octet of ours, strict answers.
//!
//! Each file is one group of attacks, most of them tables of cases; a failing test lists
//! every row that failed. The server is the program itself, in its own process, so that
//! its memory, its descriptors, its processor time and its end can be watched from
//! outside. This room knows nothing of the engine's types: only octets, `/proc` and
//! signals.
//!
//! What to run, by environment:
//! - `WIREBAHN_BIN`: the program; without it `cargo build -p wirebahn-cli` makes one first
//! - `WIREBAHN_DRIVER`: `auto` (default), `epoll` or `uring`
//! - `WIREBAHN_WORKERS`: how many workers the server gets (default 2)
//!
//! Strict means: the Close frame with the stated code, then FIN, nothing after, never a
//! reset, and the echoes of everything that was right before it delivered first. Time
//! limits only detect hangs. Where a deadline is itself the promise (10 s for a handshake,
//! 5 s for a close, 20 + 20 s for a pong), the window around it is wide.

mod cases;
mod peer;
mod target;

mod deflate;
mod floods;
mod frames;
mod handshake;
mod process;
mod slow;
