//! A protocol that logs its calls, and sockets.

use std::cell::RefCell;
use std::io;
use std::net::UdpSocket;
use std::rc::Rc;

use mainspring::net::{Address, Datagram, DatagramProtocol, DatagramTransport};
use mainspring::{Error, LoopHandle, Result};

/// Log of the calls of a protocol.
pub type Log = Rc<RefCell<Vec<String>>>;

/// Protocol that logs its calls.
pub struct Logging(pub Log);

impl Logging {
    fn push(&self, line: impl Into<String>) {
        self.0.borrow_mut().push(line.into());
    }
}

impl<S> DatagramProtocol<S> for Logging {
    fn connection_made(
        &mut self,
        _: &LoopHandle<S>,
        _: &mut S,
        _: &DatagramTransport,
    ) -> Result<()> {
        self.push("made");
        Ok(())
    }

    fn datagram_received(
        &mut self,
        _: &LoopHandle<S>,
        _: &mut S,
        _: &DatagramTransport,
        datagram: &Datagram<'_>,
    ) -> Result<()> {
        self.push(String::from_utf8_lossy(datagram.bytes));
        Ok(())
    }

    fn error_received(
        &mut self,
        _: &LoopHandle<S>,
        _: &mut S,
        _: &DatagramTransport,
        error: &io::Error,
    ) -> Result<()> {
        self.push(format!("error {:?}", error.kind()));
        Ok(())
    }

    fn pause_writing(&mut self, _: &LoopHandle<S>, _: &mut S, _: &DatagramTransport) -> Result<()> {
        self.push("pause");
        Ok(())
    }

    fn resume_writing(
        &mut self,
        _: &LoopHandle<S>,
        _: &mut S,
        _: &DatagramTransport,
    ) -> Result<()> {
        self.push("resume");
        Ok(())
    }

    fn connection_lost(
        &mut self,
        _: &LoopHandle<S>,
        _: &mut S,
        reason: Option<&Error>,
    ) -> Result<()> {
        self.push(match reason {
            Some(reason) => format!("lost {:?}", reason.kind()),
            None => "lost".into(),
        });
        Ok(())
    }
}

/// Takes the lines of a log.
pub fn take(log: &Log) -> Vec<String> {
    std::mem::take(&mut log.borrow_mut())
}

/// Returns a UDP socket of std.
pub fn udp() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

/// Returns the internet address of an endpoint.
pub fn address_of(endpoint: &DatagramTransport) -> std::net::SocketAddr {
    endpoint.local_addr().unwrap().as_inet().unwrap()
}

/// Returns the address of a socket.
pub fn to(socket: &UdpSocket) -> Address {
    socket.local_addr().unwrap().into()
}
