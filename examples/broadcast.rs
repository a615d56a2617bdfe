//! Every message goes to all connected clients, whichever core they are on, and a tick every
//! second.
//!
//! Open `pages/broadcast.html` in two windows and let them talk to each other.

use std::env;
use std::error::Error;
use std::thread;
use std::time::Duration;

use wirebahn::{Context, Message, Server, ServerConfig, SlowPolicy, handler_fn};

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:9000".to_owned());

    let config = ServerConfig::builder()
        // So that the page, opened from a file, may connect: see the example `echo`.
        .allow_null_origin(true)
        // Who reads too slowly misses messages. The default closes the connection instead, which
        // is right where a client must not miss anything without knowing.
        .slow_policy(SlowPolicy::Skip)
        .build()?;

    let server = Server::builder().bind(address).config(config).serve(|_| {
        handler_fn(|context: &mut Context<'_>, message: Message<'_>| {
            // Encoded once, whatever the number of clients; the sender gets it, too.
            context.broadcast(message);
        })
    })?;
    println!("listening on ws://{}", server.local_addr());

    // A `Remote` reaches the connections from any thread.
    let remote = server.remote();
    thread::spawn(move || {
        for number in 1_u64.. {
            thread::sleep(Duration::from_secs(1));
            if let Err(error) = remote.broadcast(&format!("tick {number}")) {
                eprintln!("tick {number} did not reach everybody: {error}");
            }
        }
    });

    server.join()?;
    Ok(())
}
