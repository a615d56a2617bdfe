//! An echo that tells where its workers run and what each of them does.
//!
//! Arguments: the address, the number of workers (default: one for each processor), the seconds
//! between two reports (default: 5).

use std::env;
use std::error::Error;
use std::thread;
use std::time::Duration;

use wirebahn::{Context, Message, Placement, Server, ServerConfig, Statistics, Worker, handler_fn};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:9000".to_owned());
    let workers = arguments.next().map_or(Ok(0), |text| text.parse())?;
    let seconds = arguments.next().map_or(Ok(5), |text| text.parse())?;

    let config = ServerConfig::builder()
        // Each worker is a thread with an event loop, a listening socket and connections of its
        // own; the kernel spreads new connections over the sockets. 0: one for each processor.
        .workers(workers)
        // Worker 0 on the first processor this process may use, and so on: caches stay warm.
        .placement(Placement::Pinned)
        .build()?;

    let server = Server::builder().bind(address).config(config).serve(|_| {
        handler_fn(|context: &mut Context<'_>, message: Message<'_>| {
            let _ = context.send(message);
        })
    })?;
    println!("listening on ws://{}", server.local_addr());
    for worker in server.workers() {
        match worker.processor {
            Some(processor) => println!("worker {} on processor {processor}", worker.index),
            None => println!("worker {} where the kernel puts it", worker.index),
        }
    }

    // Counters begin at zero and only grow, `connected` aside. A period is a difference.
    let mut before = vec![Statistics::default(); server.workers().len()];
    loop {
        thread::sleep(Duration::from_secs(seconds));
        let now = server.statistics();
        report(server.workers(), &before, &now);
        before = now;
    }
}

/// One line a worker: what it did since the last report.
fn report(workers: &[Worker], before: &[Statistics], now: &[Statistics]) {
    for ((worker, before), now) in workers.iter().zip(before).zip(now) {
        let period = *now - *before;
        println!(
            "worker {}: {} connected, {} handshakes, {} messages of {} octets, {} octets at the wire",
            worker.index,
            now.connected,
            period.handshakes,
            period.messages_in,
            period.octets_in,
            period.wire_in + period.wire_out,
        );
    }
}
