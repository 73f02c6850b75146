//! TLS on the loop: an echo server and its client, with rustls and a self-signed certificate.
//!
//! ```text
//! cargo run -p tls_echo [-- LINE ...]
//! ```
//!
//! The client sends each line and prints the reply. rustls uses our streams through the traits of
//! the futures crates (feature `futures-io`), and needs nothing else from this loop. A second
//! client, which does not trust the certificate, is refused, which is printed too.

use std::env;
use std::process::ExitCode;
use std::sync::Arc;

use futures::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, io::BufReader};
use futures_rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use futures_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use futures_rustls::{TlsAcceptor, TlsConnector};
use mainspring::net::{TcpListener, TcpStream};
use mainspring::{Error, EventLoop, Result, spawn};

const NAME: &str = "localhost";
/// Maximum length of a line, in bytes. Without it a peer could make us use any amount of memory.
const MAX_LINE: u64 = 96 * 1024;

async fn accept(listener: TcpListener, acceptor: TlsAcceptor) -> Result<()> {
    loop {
        let (conn, _) = listener.accept().await?;
        spawn(serve(acceptor.clone(), conn)).detach();
    }
}

/// Sends back each line.
async fn serve(acceptor: TlsAcceptor, conn: TcpStream) -> Result<()> {
    // A client that refuses the certificate is no error of the server.
    let Ok(stream) = acceptor.accept(conn).await else { return Ok(()) };
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    while let Some(line) = next_line(&mut reader).await? {
        writer.write_all(&line).await?;
        writer.flush().await?;
    }
    Ok(writer.close().await?)
}

/// Returns the next line with its line end, or `None` at the end of the stream.
async fn next_line(reader: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let count = reader.take(MAX_LINE).read_until(b'\n', &mut line).await?;
    if count as u64 == MAX_LINE && !line.ends_with(b"\n") {
        return Err(Error::other(format!("a line is longer than {MAX_LINE} bytes")));
    }
    Ok((count > 0).then_some(line))
}

/// Sends the lines one by one and returns the answers.
async fn ask(connector: TlsConnector, conn: TcpStream, lines: &[String]) -> Result<Vec<String>> {
    let name = ServerName::try_from(NAME).map_err(Error::other)?;
    let stream = connector.connect(name, conn).await?;
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    let mut answers = Vec::new();
    for line in lines {
        writer.write_all(format!("{line}\n").as_bytes()).await?;
        writer.flush().await?;
        let answer = next_line(&mut reader).await?.ok_or(Error::other("the server has gone"))?;
        answers.push(String::from_utf8_lossy(&answer).trim_end_matches('\n').to_owned());
    }
    writer.close().await?;
    Ok(answers)
}

/// Returns a self-signed certificate for [`NAME`], and its key.
fn certificate() -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).map_err(Error::other)?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(Error::other)?;
    Ok((made.cert.der().clone(), key))
}

fn connector(trusted: Option<CertificateDer<'static>>) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    if let Some(certificate) = trusted {
        roots.add(certificate).map_err(Error::other)?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn serve_and_ask(lines: &[String]) -> Result<Vec<String>> {
    let (certificate, key) = certificate()?;
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.clone()], key).map_err(Error::other)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let accepting = spawn(accept(listener, acceptor));

    let answers =
        ask(connector(Some(certificate))?, TcpStream::connect(address).await?, lines).await;
    let without_certificate =
        ask(connector(None)?, TcpStream::connect(address).await?, lines).await;
    if let Err(error) = without_certificate {
        println!("a client without the certificate: {}", error.chain());
    }
    accepting.cancel("all clients are done");
    answers
}

fn run(lines: &[String]) -> Result<()> {
    for line in EventLoop::new()?.run_until_complete(serve_and_ask(lines))?? {
        println!("came back: {line}");
    }
    Ok(())
}

fn main() -> ExitCode {
    let mut lines: Vec<String> = env::args().skip(1).collect();
    if lines.is_empty() {
        lines = ["hello", "over TLS"].map(str::to_owned).to_vec();
    }
    match run(&lines) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tls_echo: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}
