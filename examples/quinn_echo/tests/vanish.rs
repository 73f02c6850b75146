//! quinn on the loop, with a peer that is killed: no packet announces its end.

use std::env;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mainspring::{EventLoop, SelectorKind};
use quinn::{Connection, ConnectionError, Endpoint, Runtime, TransportConfig};
use quinn_echo::echo::Error;
use quinn_echo::{LoopRuntime, echo};
use rustls::pki_types::CertificateDer;

/// Environment variable of the process that serves.
const SERVES: &str = "QUINN_ECHO_SERVES";
const NAME: &str = "a_peer_that_is_killed_is_noticed_by_the_idle_timeout";
const HELLO: &[u8] = b"hello";

/// First idle timeout. A machine that does not answer in time gets five times as much.
const IDLE: Duration = Duration::from_secs(2);
const LONGEST_IDLE: Duration = Duration::from_secs(50);

/// Serves until it is killed. Prints the port and the certificate.
fn serve() {
    let serving = async {
        let runtime: Arc<dyn Runtime> = Arc::new(LoopRuntime);
        let (server, certificate) = echo::server(&runtime).unwrap();
        let bytes: String = certificate.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("serves {} {bytes}", server.local_addr().unwrap());
        echo::serve(server, runtime).await;
    };
    EventLoop::new().unwrap().run_until_complete(serving).unwrap();
}

/// A process that serves. The drop kills it, after a failed assertion too.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill(); // It has ended already, or the panic is of more interest.
        let _ = self.0.wait();
    }
}

/// Starts a process that serves. Also returns its address and its certificate.
fn start() -> (Server, SocketAddr, CertificateDer<'static>) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", NAME, "--nocapture"]).env(SERVES, "1").stdout(Stdio::piped());
    let mut server = Server(command.spawn().unwrap());
    let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let found = lines.find_map(|line| line.split_once("serves ").map(|parts| parts.1.to_owned()));
    let found = found.expect("the other process serves");
    let (address, certificate) = found.split_once(' ').unwrap();
    let byte = |at| u8::from_str_radix(&certificate[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..certificate.len()).step_by(2).map(byte).collect();
    (server, address.parse().unwrap(), bytes.into())
}

/// Connects, and sends a request.
async fn connect(
    runtime: &Arc<dyn Runtime>,
    (address, certificate): (SocketAddr, CertificateDer<'static>),
    idle: Duration,
) -> Result<(Endpoint, Connection), Error> {
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(idle.try_into()?));
    let socket = echo::loopback()?;
    socket.connect(address)?;
    let client = echo::client(runtime, certificate, socket, transport)?;
    let connection = echo::connect(&client, address).await?;
    assert_eq!(echo::request(&connection, runtime, HELLO.into()).await?, HELLO.len());
    Ok((client, connection))
}

/// Connects, and sends a request, with an idle timeout that suffices for this machine.
async fn connect_in_time(
    runtime: &Arc<dyn Runtime>,
    server: (SocketAddr, CertificateDer<'static>),
) -> (Endpoint, Connection) {
    let mut idle = IDLE;
    loop {
        match connect(runtime, server.clone(), idle).await {
            Err(error) if idle < LONGEST_IDLE => println!("not within {idle:?}: {error}"),
            connected => return connected.unwrap(),
        }
        idle *= 5;
    }
}

fn open_files() -> usize {
    std::fs::read_dir("/dev/fd").unwrap().count()
}

/// The socket of the client is connected, so the kernel reports that the port is closed. That is no
/// end for quinn. While the connection waits, the loop sleeps. Afterwards no task and no
/// descriptor is left.
#[test]
fn a_peer_that_is_killed_is_noticed_by_the_idle_timeout() {
    if env::var_os(SERVES).is_some() {
        return serve();
    }
    for kind in SelectorKind::available() {
        let files = open_files();
        let mut el = EventLoop::builder().selector(*kind).build().unwrap();
        let (server, address, certificate) = start();
        let metrics = el.metrics();
        let ticks = el.run_until_complete(async {
            let runtime: Arc<dyn Runtime> = Arc::new(LoopRuntime);
            let (client, connection) = connect_in_time(&runtime, (address, certificate)).await;
            drop(server);
            let before = metrics.ticks();
            // Sent again and again to a closed port.
            let lost = echo::request(&connection, &runtime, HELLO.into()).await;
            assert!(lost.is_err());
            let reason = connection.closed().await;
            assert!(matches!(reason, ConnectionError::TimedOut), "{reason:?} on {kind}");
            let ticks = metrics.ticks() - before;
            drop(connection);
            client.wait_idle().await;
            ticks
        });
        let ticks = ticks.unwrap();
        assert!(ticks < 200, "{ticks} ticks on {kind}");
        el.run().unwrap(); // Ends, because no task is left.
        assert_eq!(el.metrics().tasks(), 0);
        drop(el);
        assert_eq!(open_files(), files, "descriptors on {kind}");
    }
}
