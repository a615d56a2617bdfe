//! Several services on one port. A client chooses by subprotocol, or else by path:
//!
//! | service | path | subprotocol |
//! |---|---|---|
//! | sends messages back | `/echo` | `echo.v1` |
//! | sends text back in capitals | `/shout` | `shout.v1` |
//! | sends the length of each message | `/count` | `count.v1` |

use std::env;
use std::error::Error;
use std::net::SocketAddr;

use wirebahn::{Answer, CloseCode, Context, Decision, Denial, Handler, Message, Request, Server};

/// What a connection is for, decided when it opens.
#[derive(Clone, Copy)]
enum Service {
    Echo,
    Shout,
    Count,
}

const SERVICES: [(&str, &str, Service); 3] = [
    ("/echo", "echo.v1", Service::Echo),
    ("/shout", "shout.v1", Service::Shout),
    ("/count", "count.v1", Service::Count),
];

struct Multi;

impl Handler for Multi {
    type Session = Service;

    fn upgrade(&mut self, request: &Request<'_>, _: SocketAddr) -> Decision<Service> {
        // The first of our subprotocols that the client offers. It must be named in the answer,
        // or the client ends the connection.
        let names = SERVICES.map(|(_, subprotocol, _)| subprotocol);
        let subprotocol = request.choose_subprotocol(&names);
        let service = SERVICES
            .into_iter()
            .find(|&(path, name, _)| match subprotocol {
                Some(chosen) => name == chosen,
                None => path == request.path(),
            });
        let Some((_, _, service)) = service else {
            let body = "There are /echo, /shout and /count.\n";
            return Decision::Deny(
                Denial::new(404)
                    .header("Content-Type", "text/plain")
                    .body(body),
            );
        };
        let answer = Answer {
            subprotocol: subprotocol.map(str::to_owned),
            ..Answer::default()
        };
        Decision::Accept(service, answer)
    }

    fn message(&mut self, service: &mut Service, context: &mut Context<'_>, message: Message<'_>) {
        match (*service, message) {
            (Service::Echo, message) => {
                let _ = context.send(message);
            }
            (Service::Shout, Message::Text(text)) => {
                let _ = context.send(&text.to_uppercase());
            }
            (Service::Shout, Message::Binary(_)) => {
                // 1003 may always be sent.
                let _ = context.close(CloseCode::UNSUPPORTED, "only text can be shouted");
            }
            (Service::Count, message) => {
                let _ = context.send(&message.len().to_string());
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:9000".to_owned());
    let server = Server::builder().bind(address).serve(|_| Multi)?;
    println!("listening on ws://{}", server.local_addr());
    server.join()?;
    Ok(())
}
