//! An echo over QUIC, the same on every runtime of quinn.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, Runtime, ServerConfig, TransportConfig,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Any error.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Returns a server at a free port of the loopback, and a client that trusts it.
///
/// # Errors
///
/// Those of the sockets and of the certificate.
pub fn endpoints(runtime: &Arc<dyn Runtime>) -> Result<(Endpoint, Endpoint), Error> {
    let (server, certificate) = server(runtime)?;
    let client = client(runtime, certificate, loopback()?, TransportConfig::default())?;
    Ok((server, client))
}

/// Returns a server at a free port of the loopback, and its certificate.
///
/// # Errors
///
/// Those of the socket and of the certificate.
pub fn server(runtime: &Arc<dyn Runtime>) -> Result<(Endpoint, CertificateDer<'static>), Error> {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".into()])?;
    let certificate = CertificateDer::from(certified.cert);
    let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let config = ServerConfig::with_single_cert(vec![certificate.clone()], key)?;
    let runtime = runtime.clone();
    let server = Endpoint::new(EndpointConfig::default(), Some(config), loopback()?, runtime)?;
    Ok((server, certificate))
}

/// Returns a client that trusts the server with this certificate.
///
/// # Errors
///
/// Those of the socket and of the certificate.
pub fn client(
    runtime: &Arc<dyn Runtime>,
    certificate: CertificateDer<'static>,
    socket: UdpSocket,
    transport: TransportConfig,
) -> Result<Endpoint, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let mut config = ClientConfig::with_root_certificates(Arc::new(roots))?;
    config.transport_config(Arc::new(transport));
    let mut client = Endpoint::new(EndpointConfig::default(), None, socket, runtime.clone())?;
    client.set_default_client_config(config);
    Ok(client)
}

/// Returns a socket at a free port of the loopback.
///
/// # Errors
///
/// Those of bind(2).
pub fn loopback() -> io::Result<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
}

/// Echoes each stream of each connection, until the endpoint is closed. Each connection is served
/// by a task of `runtime`.
pub async fn serve(server: Endpoint, runtime: Arc<dyn Runtime>) {
    while let Some(incoming) = server.accept().await {
        runtime.spawn(Box::pin(async move {
            let Ok(connection) = incoming.await else { return };
            while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                while let Ok(Some(chunk)) = receive.read_chunk(1 << 16, true).await {
                    if send.write_chunk(chunk.bytes).await.is_err() {
                        break;
                    }
                }
                let _ = send.finish();
            }
        }));
    }
}

/// Connects to `server`.
///
/// # Errors
///
/// Those of the connection.
pub async fn connect(client: &Endpoint, server: SocketAddr) -> Result<Connection, Error> {
    Ok(client.connect(server, "localhost")?.await?)
}

/// Sends `bytes` over a new stream, and returns the number of bytes that come back, all of them
/// compared.
///
/// # Errors
///
/// Those of the connection, and a difference.
pub async fn request(
    connection: &Connection,
    runtime: &Arc<dyn Runtime>,
    bytes: Arc<[u8]>,
) -> Result<usize, Error> {
    let (mut send, mut receive) = connection.open_bi().await?;
    let sent = bytes.clone();
    runtime.spawn(Box::pin(async move {
        if send.write_all(&sent).await.is_ok() {
            let _ = send.finish();
        }
    }));
    let mut count = 0;
    while let Some(chunk) = receive.read_chunk(1 << 16, true).await? {
        if bytes.get(count..count + chunk.bytes.len()) != Some(&chunk.bytes[..]) {
            return Err("the echo differs".into());
        }
        count += chunk.bytes.len();
    }
    Ok(count)
}
