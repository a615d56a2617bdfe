//! An echo server on yawc: one thread, whole messages, Nagle off. Listens on the address that is
//! its only argument.

use std::error::Error;

use futures_util::{SinkExt, StreamExt};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use yawc::{OpCode, Options, WebSocket};

/// The largest message of any scenario has its place in this.
const MESSAGE_LEN_MAX: usize = 64 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("an address to listen on is missing")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(&address).await?;
        println!("listening on {address}");
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                // An error is the end of one connection, which the load driver reports.
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(accept))
                    .with_upgrades()
                    .await;
            });
        }
    })
}

async fn accept(mut request: Request<Incoming>) -> yawc::Result<Response<Empty<Bytes>>> {
    let options = Options::default()
        .with_limits(MESSAGE_LEN_MAX, 2 * MESSAGE_LEN_MAX)
        .without_compression()
        .with_utf8();
    let (response, upgraded) = WebSocket::upgrade_with_options(&mut request, options)?;
    tokio::spawn(async move {
        let Ok(mut socket) = upgraded.await else {
            return;
        };
        while let Some(frame) = socket.next().await {
            if matches!(frame.opcode(), OpCode::Text | OpCode::Binary)
                && socket.send(frame).await.is_err()
            {
                return;
            }
        }
    });
    Ok(response)
}
