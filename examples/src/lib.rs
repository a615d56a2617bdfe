//! One small program a feature, in the files beside this folder. Each runs by its name,
//!
//! ```text
//! cargo run --release -p wirebahn-examples --example echo
//! ```
//!
//! listens on `127.0.0.1:9000`, or on the address given as first argument, and says so.
//!
//! | example | shows |
//! |---|---|
//! | `echo` | the smallest server; with a page for the browser, `pages/echo.html` |
//! | `broadcast` | messages to all connections of all cores; `pages/broadcast.html` |
//! | `echo_multicore` | workers, where they run, what each of them has counted |
//! | `echo_httpheaders` | headers of the opening handshake both ways, and a denial |
//! | `multiproto` | several services on one port, chosen by path or by subprotocol |
//! | `slowsquare` | slow work beside the event loop, answered from another thread |
//!
//! This crate itself is empty: a package of nothing but examples must have one.

#![forbid(unsafe_code)]

/// The program in the README compiles: it is what most people copy first.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
