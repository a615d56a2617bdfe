//! A raw TCP echo, the limit that WebSocket servers are held against.

use std::io;
use std::net::SocketAddr;

use clap::{Parser, ValueEnum};
use wirebahn_bench::raw;

/// Echoes octets on one thread: what any server on this kernel interface must at least do.
#[derive(Parser)]
#[command(name = "raw-echo", version)]
struct Program {
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// The kernel interface
    #[arg(long, value_enum, default_value_t = Driver::Epoll)]
    driver: Driver,
    /// Send what one connection says to all of them (epoll only)
    #[arg(long)]
    broadcast: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Driver {
    Epoll,
    Uring,
}

fn main() -> io::Result<()> {
    let program = Program::parse();
    let listening = |address| println!("listening on {address}");
    match program.driver {
        Driver::Epoll => raw::epoll::serve(program.listen, program.broadcast, listening),
        Driver::Uring if program.broadcast => Err(io::Error::other("--broadcast is for epoll")),
        Driver::Uring => raw::uring::serve(program.listen, listening),
    }
}
