//! async-tungstenite on the loop: an echo server for WebSockets, and a client.
//!
//! ```text
//! cargo run -p ecosystem --bin websocket -- serve [ADDR]
//! cargo run -p ecosystem --bin websocket -- send ADDR TEXT ...
//! ```
//!
//! The server prints `listening on ADDR`. The client sends each text and prints the answer.

use std::env;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use async_tungstenite::{accept_async, client_async};
use ecosystem::Result;
use futures_util::StreamExt;
use mainspring::net::{TcpListener, TcpStream};
use mainspring::{Error, spawn};

/// Sends back each message until the client closes the connection.
async fn echo(conn: TcpStream) -> mainspring::Result<()> {
    let mut socket = accept_async(conn).await.map_err(Error::other)?;
    while let Some(message) = socket.next().await {
        let message = message.map_err(Error::other)?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await.map_err(Error::other)?;
        }
    }
    Ok(())
}

async fn serve(address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    io::stdout().flush()?;
    loop {
        let (conn, _peer) = listener.accept().await?;
        spawn(echo(conn)).detach(); // An error of a client is reported, and ends that client only.
    }
}

async fn send(address: SocketAddr, texts: impl Iterator<Item = String>) -> Result<()> {
    let conn = TcpStream::connect(address).await?;
    let (mut socket, _response) = client_async(format!("ws://{address}/"), conn).await?;
    for text in texts {
        socket.send(text.into()).await?;
        let answer = socket.next().await.ok_or("the server has closed the connection")??;
        println!("{}", answer.to_text()?);
    }
    socket.close(None).await?;
    while let Some(Ok(_)) = socket.next().await {} // Until the server has closed it, too.
    Ok(())
}

async fn run() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let (command, address) = (arguments.next(), arguments.next());
    match (command.as_deref(), address) {
        (Some("serve"), None) => serve(([127, 0, 0, 1], 0).into()).await,
        (Some("serve"), Some(address)) => serve(address.parse()?).await,
        (Some("send"), Some(address)) => send(address.parse()?, arguments).await,
        _ => Err("usage: websocket serve [ADDR] | websocket send ADDR TEXT ...".into()),
    }
}

fn main() -> ExitCode {
    ecosystem::main("websocket", run())
}
