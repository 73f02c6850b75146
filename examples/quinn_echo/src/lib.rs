//! quinn on mainspring: its runtime, timer and socket, over the loop of the current thread.
//!
//! quinn requires `Send`, although everything runs on one thread here. [`ThreadBound`] provides it,
//! and panics if another thread uses a value.

pub mod echo;

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use mainspring::net::{
    Address, Datagram, DatagramBatch, DatagramOptions, Ecn, ErrorClass, Operation, Outgoing,
    UdpSocket,
};
use mainspring::{Sleep, ThreadBound};
use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, UdpPoller};

/// quinn's runtime: the loop that runs on the current thread.
#[derive(Debug)]
pub struct LoopRuntime;

impl Runtime for LoopRuntime {
    fn new_timer(&self, deadline: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Timer(ThreadBound::new(mainspring::sleep_until(deadline))))
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        mainspring::spawn(future).detach();
    }

    fn wrap_udp_socket(&self, socket: StdSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(Socket::new(socket)?))
    }
}

#[derive(Debug)]
struct Timer(ThreadBound<Sleep>);

impl AsyncTimer for Timer {
    fn reset(mut self: Pin<&mut Self>, deadline: Instant) {
        self.0.get_mut().reset(deadline);
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(self.0.get_mut()).poll(cx).map(drop)
    }
}

/// Number of messages that a call receives, at most. quinn offers 32 buffers, but the kernel merges
/// up to 64 datagrams into a message, so most calls receive one or none. Each further one is 20
/// instructions.
const BATCH: usize = 4;

/// A UDP socket with everything that quinn uses: batches, ECN, local addresses, GSO and GRO.
#[derive(Debug)]
struct Socket(Arc<ThreadBound<Parts>>);

#[derive(Debug)]
struct Parts {
    socket: UdpSocket,
    batch: RefCell<DatagramBatch>,
}

impl Socket {
    fn new(socket: StdSocket) -> io::Result<Socket> {
        let socket = UdpSocket::from_std(socket).map_err(io::Error::other)?;
        socket.enable(&DatagramOptions {
            packet_info: true,
            ecn: true,
            gro: true,
            dont_fragment: true,
        })?;
        let batch = RefCell::new(DatagramBatch::new(BATCH, 0));
        Ok(Socket(Arc::new(ThreadBound::new(Parts { socket, batch }))))
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller { parts: self.0.clone(), writable: ThreadBound::new(None) })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let to = Address::Inet(transmit.destination);
        let mut datagram = Outgoing::new(transmit.contents).to(&to);
        if let Some(ecn) = transmit.ecn {
            datagram = datagram.ecn(Ecn::from_bits(ecn as u8));
        }
        if let Some(ip) = transmit.src_ip {
            datagram = datagram.from(ip);
        }
        let datagram = datagram.segment(transmit.segment_size.unwrap_or(0));
        match self.0.get().socket.try_send_batch(&[datagram]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            // QUIC repeats what is lost, and probes for the length that the route allows.
            _ => Ok(()),
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let Parts { socket, batch } = self.0.get();
        let mut batch = batch.borrow_mut();
        let features = socket.features();
        let count = loop {
            let received = socket.io().poll_read_with(cx, |socket| {
                let count = buffers.len().min(meta.len()).min(BATCH);
                batch.recv_into(
                    socket,
                    features,
                    buffers[..count].iter_mut().map(|buffer| &mut **buffer),
                )
            });
            match ready!(received) {
                // An earlier datagram was refused (udp(7)). quinn would end the endpoint.
                Err(error) if Operation::ReceiveDatagram.classify(&error) == ErrorClass::OneOff => {
                }
                received => break received?,
            }
        };
        for (index, meta) in meta.iter_mut().enumerate().take(count) {
            if let Some(datagram) = batch.get_in(index, &buffers[index]) {
                *meta = meta_of(&datagram);
            }
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.get().socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.0.get().socket.max_segments()
    }

    fn max_receive_segments(&self) -> usize {
        if self.0.get().socket.features().gro { 64 } else { 1 }
    }

    fn may_fragment(&self) -> bool {
        !self.0.get().socket.features().dont_fragment
    }
}

fn meta_of(datagram: &Datagram<'_>) -> RecvMeta {
    let mut meta = RecvMeta::default();
    if let Some(from) = datagram.from.as_inet() {
        meta.addr = from;
    }
    meta.len = datagram.bytes.len();
    meta.stride = datagram.segment;
    meta.ecn = EcnCodepoint::from_bits(datagram.ecn.bits());
    meta.dst_ip = datagram.to;
    meta
}

type Writable = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// Waits for room. Each connection has one, because each has its own waker.
struct Poller {
    parts: Arc<ThreadBound<Parts>>,
    writable: ThreadBound<Option<Writable>>,
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Poller")
    }
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let parts = self.parts.clone();
        let writable = self.writable.get_mut();
        let waiting = writable
            .get_or_insert_with(|| Box::pin(async move { parts.get().socket.writable().await }));
        let result = ready!(waiting.as_mut().poll(cx));
        *writable = None;
        Poll::Ready(result)
    }
}
