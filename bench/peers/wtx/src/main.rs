//! An echo server on wtx: one thread, whole messages, Nagle off. Listens on the address that is
//! its only argument.

use std::error::Error;

use tokio::net::{TcpListener, TcpStream};
use wtx::collection::Vector;
use wtx::web_socket::{OpCode, WebSocketAcceptor, WebSocketPayloadOrigin};

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("an address to listen on is missing")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(&address).await?;
        println!("listening on {address}");
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(echo(stream));
        }
    })
}

/// An error is the end of one connection, which the load driver reports.
async fn echo(stream: TcpStream) -> wtx::Result<()> {
    let mut socket = WebSocketAcceptor::default().no_masking(false).accept(stream).await?;
    let (mut common, mut reader, mut writer) = socket.split_mut();
    let mut buffer = Vector::new();
    loop {
        let mut frame = reader
            .read_frame(&mut buffer, &mut common, WebSocketPayloadOrigin::Adaptive)
            .await?;
        match frame.op_code() {
            OpCode::Close => return Ok(()),
            OpCode::Binary | OpCode::Text => writer.write_frame(&mut common, &mut frame).await?,
            _ => {}
        }
    }
}
