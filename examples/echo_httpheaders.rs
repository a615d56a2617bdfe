//! An echo that looks at the headers of the opening handshake and adds its own.
//!
//! Clients must show a token; others are denied with a status, a header and a body. Try
//!
//! ```text
//! curl -i -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
//!      -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' http://127.0.0.1:9000/
//! ```
//!
//! with and without `-H 'Authorization: Bearer let-me-in' -H 'X-Name: Ada'`.

use std::env;
use std::error::Error;
use std::net::SocketAddr;

use wirebahn::proto::handshake::Request;
use wirebahn::{Answer, Context, Decision, Denial, Handler, Message, Server, ServerConfig};

/// One of these lives on each worker.
struct Echo {
    worker: usize,
    visitors: u64,
}

/// What is kept for each connection.
struct Visitor {
    name: String,
}

impl Handler for Echo {
    type Session = Visitor;

    fn upgrade(&mut self, request: &Request<'_>, peer: SocketAddr) -> Decision<Visitor> {
        // A header has octets; `text` gives it when they are UTF-8. In earnest, compare secrets in
        // constant time, and over TLS only.
        if request.headers().text("Authorization") != Some("Bearer let-me-in") {
            let denial = Denial::new(401)
                .header("WWW-Authenticate", "Bearer realm=\"echo\"")
                .header("Content-Type", "text/plain")
                .body("Who are you?\n");
            return Decision::Deny(denial);
        }
        let name = request.headers().text("X-Name").unwrap_or("nobody");
        println!("{name} comes from {peer}");

        self.visitors += 1;
        let answer = Answer {
            headers: vec![
                // The same for everybody ...
                ("X-Service".to_owned(), "echo".to_owned()),
                // ... and for this client alone.
                (
                    "X-Visitor".to_owned(),
                    format!("{}/{}", self.worker, self.visitors),
                ),
            ],
            ..Answer::default()
        };
        let name = name.to_owned();
        Decision::Accept(Visitor { name }, answer)
    }

    fn open(&mut self, visitor: &mut Visitor, context: &mut Context<'_>) {
        let _ = context.send(&format!("Hello, {}", visitor.name));
    }

    fn message(&mut self, _: &mut Visitor, context: &mut Context<'_>, message: Message<'_>) {
        let _ = context.send(message);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:9000".to_owned());
    let config = ServerConfig::builder()
        // The `Server` header of all answers, also of those that deny.
        .server_name(Some("echo_httpheaders"))
        .build()?;
    let server = Server::builder()
        .bind(address)
        .config(config)
        .serve(|worker| Echo {
            worker: worker.index,
            visitors: 0,
        })?;
    println!("listening on ws://{}", server.local_addr());
    server.join()?;
    Ok(())
}
