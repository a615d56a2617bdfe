//! The smallest server: every message back to its sender, on all cores.
//!
//! Open `pages/echo.html` in a browser and talk to it.

use std::env;
use std::error::Error;

use wirebahn::{Context, Message, Server, ServerConfig, handler_fn};

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:9000".to_owned());

    // By default only pages of the server's own origin may connect. A page opened from a file has
    // no origin: browsers send `null`, and so must be allowed for `pages/echo.html`. A real
    // service would rather serve its page itself, or name the origins it trusts.
    let config = ServerConfig::builder().allow_null_origin(true).build()?;

    let server = Server::builder().bind(address).config(config).serve(|_| {
        // Called once on each worker's thread; what it makes never leaves that thread.
        handler_fn(|context: &mut Context<'_>, message: Message<'_>| {
            // The reply leaves at the end of this turn. It is dropped, and counted as such, when
            // the client does not read and too much waits already.
            let _ = context.send(message);
        })
    })?;
    println!("listening on ws://{}", server.local_addr());
    server.join()?;
    Ok(())
}
