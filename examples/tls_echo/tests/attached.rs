//! TLS over transports: a `TransportStream` that decodes holds bytes that are not in the kernel.
//! All of them are delivered without another byte from the peer, for any size of the read buffer,
//! and after pauses. In the other direction everything the stream holds is sent, including its
//! closing message.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use futures_rustls::pki_types::{PrivateKeyDer, ServerName};
use futures_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
use mainspring::net::{Transport, TransportStream};
use mainspring::{EventLoop, SelectorKind};

const LENGTH: usize = 10 << 20;

/// Server's end of a TLS connection.
struct Tls {
    socket: TcpStream,
    session: RefCell<ServerConnection>,
    sent_close_notify: bool,
    /// True if `has_buffered` is exact; otherwise it always returns true.
    is_exact: bool,
}

impl TransportStream for Tls {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut session = self.session.borrow_mut();
        loop {
            match session.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            session.read_tls(&mut &self.socket)?;
            session.process_new_packets().map_err(io::Error::other)?;
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        match self.session.borrow_mut().writer().write(bytes)? {
            0 => Err(ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        slices.iter().find(|slice| !slice.is_empty()).map_or(Ok(0), |slice| self.write(slice))
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.sent_close_notify, true) {
            self.session.borrow_mut().send_close_notify();
        }
        self.flush()?;
        self.socket.shutdown(Shutdown::Write)
    }

    fn reader(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn has_buffered(&self) -> bool {
        !self.is_exact || !self.session.borrow().wants_read()
    }

    fn flush(&self) -> io::Result<()> {
        let mut session = self.session.borrow_mut();
        while session.wants_write() {
            session.write_tls(&mut &self.socket)?;
        }
        Ok(())
    }
}

struct Configs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Configs {
    fn new() -> Configs {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let certificate = made.cert.der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let server = ServerConfig::builder().with_no_client_auth();
        let server = server.with_single_cert(vec![certificate], key).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Configs { server: Arc::new(server), client: Arc::new(client) }
    }

    /// Returns the server's end, and the thread of the client.
    fn connect(
        &self,
        is_exact: bool,
        client: impl FnOnce(&mut StreamOwned<ClientConnection, TcpStream>) + Send + 'static,
    ) -> (Tls, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(self.client.clone(), name).unwrap();
        let client = thread::spawn(move || client(&mut StreamOwned::new(session, theirs)));
        let session = RefCell::new(ServerConnection::new(self.server.clone()).unwrap());
        (Tls { socket, session, sent_close_notify: false, is_exact }, client)
    }
}

/// Returns `length` bytes at `from` in a pattern. Its period divides no buffer size.
fn pattern(from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(|at| (at % 251) as u8).collect()
}

fn event_loop(kind: SelectorKind, buffer: usize) -> EventLoop {
    EventLoop::builder().selector(kind).read_buffer(buffer).build().unwrap()
}

#[test]
fn s1_ten_megabytes_over_tls_arrive_with_any_read_buffer() {
    let configs = Configs::new();
    for kind in SelectorKind::available() {
        for (turn, buffer) in [1, 4, 16, 64].map(|kib| kib << 10).into_iter().enumerate() {
            for pauses in [false, true] {
                println!("on {kind}, {buffer} bytes, pauses: {pauses}");
                let (ours, client) = configs.connect(turn % 2 == 0, |stream| {
                    stream.write_all(&pattern(0, LENGTH)).unwrap();
                    stream.flush().unwrap();
                    // The client sends nothing more before it has the answer.
                    stream.read_exact(&mut [0; 8]).unwrap();
                    stream.conn.send_close_notify();
                    stream.flush().unwrap();
                });
                let mut el = event_loop(*kind, buffer);
                let received = Rc::new(Cell::new(0));
                let count = received.clone();
                el.attach(ours, move |el, _, conn: &Transport, data| {
                    assert!(data == pattern(count.get(), data.len()));
                    count.set(count.get() + data.len());
                    if count.get() == LENGTH {
                        conn.write(b"received");
                    }
                    if pauses {
                        conn.pause_reading();
                        let conn = conn.clone();
                        el.call_soon(move |_, _| conn.resume_reading());
                    }
                    Ok(())
                })
                .unwrap();
                el.run().unwrap();
                client.join().unwrap();
                assert_eq!(received.get(), LENGTH);
            }
        }
    }
}

#[test]
fn s3_ten_megabytes_over_tls_are_sent_before_a_close() {
    let configs = Configs::new();
    for kind in SelectorKind::available() {
        let (ours, client) = configs.connect(false, |stream| {
            stream.write_all(b"give").unwrap();
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap(); // Fails without the server's close_notify.
            assert!(got == pattern(0, LENGTH));
        });
        let mut el = event_loop(*kind, 16 << 10);
        el.attach(ours, |_, _, conn: &Transport, data| {
            assert_eq!(data, b"give");
            conn.write(&pattern(0, LENGTH));
            conn.close();
            Ok(())
        })
        .unwrap();
        el.run().unwrap();
        client.join().unwrap();
    }
}
