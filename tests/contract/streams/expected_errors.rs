//! Expected errors that mean an end or a pause for their kind of descriptor: pseudo terminals and
//! datagram sockets (docs/contract.md, S1).

use std::fs::File;
use std::io::{Read, Write};
use std::rc::Rc;

use mainspring::net::{PipePair, TransportStream, UdpSocket, UnixDatagram};
use mainspring::{EventLoop, Io, SelectorKind};

use crate::support::descriptors::terminal;
use crate::support::network::short_dir;
use crate::support::process::alone_with_fault;
use crate::support::protocol::{Callback, Recorder, recording_loop, tick_until};
use crate::support::{on_every_selector, simulated};

fn ends_regularly(kind: SelectorKind, slave: File, stream: impl TransportStream + 'static) {
    let (mut el, _) = recording_loop(kind);
    let alive = Rc::new(());
    let protocol = Recorder::new(&alive, |_, _, conn, callback| {
        if *callback == Callback::Eof {
            conn.expect("the connection is open").close();
        }
        Ok(())
    });
    el.attach_with(stream, protocol).unwrap();
    (&slave).write_all(&[b'a'; 3000]).unwrap();
    tick_until(&mut el, |el| el.state().bytes().len() == 3000);
    (&slave).write_all(&[b'b'; 1000]).unwrap();
    drop(slave);
    tick_until(&mut el, |el| el.state().lost_reason().is_some());
    let record = el.state();
    assert_eq!(record.bytes().len(), 4000);
    assert!(record.order().contains(&Callback::Eof));
    assert_eq!(record.lost_reason(), Some(None), "the end is not an error");
    assert!(record.reports.is_empty(), "{:?}", record.reports);
}

/// On Linux reading from the master fails with EIO when the slave is closed.
#[test]
fn s1_the_end_of_a_terminal_is_the_end_of_the_stream() {
    on_every_selector(|kind| {
        let (master, slave) = terminal();
        ends_regularly(kind, slave, master);
        let (master, slave) = terminal();
        let writer = master.try_clone().unwrap();
        ends_regularly(kind, slave, PipePair::new(master, writer));
    });
}

#[test]
fn s1_a_watcher_reads_the_end_of_a_terminal() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, (Vec::new(), 0));
        el.set_exception_handler(|_, (_, reports), _| *reports += 1);
        let (master, mut slave) = terminal();
        el.add_reader(master, |el, (seen, _), master| {
            let count = master.read(&mut [0; 64])?;
            seen.push(count);
            if count == 0 {
                master.cancel();
                el.stop();
            }
            Ok(())
        })
        .unwrap();
        slave.write_all(b"bye").unwrap();
        drop(slave);
        el.run_forever().unwrap();
        assert_eq!(*el.state(), (vec![3, 0], 0));
    });
}

#[test]
fn s1_a_task_reads_the_end_of_a_terminal() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (master, mut slave) = terminal();
        slave.write_all(b"bye").unwrap();
        drop(slave);
        el.run_until_complete(async move {
            let io = Io::new(master).unwrap();
            let mut buffer = [0; 64];
            assert_eq!(io.read(&mut buffer).await.unwrap(), 3);
            assert_eq!(io.read(&mut buffer).await.unwrap(), 0);
            assert!(io.read_chunk().await.unwrap().is_empty());
            #[cfg(feature = "futures-io")]
            {
                let mut io = io;
                use futures::AsyncReadExt;
                assert_eq!(AsyncReadExt::read(&mut io, &mut buffer).await.unwrap(), 0);
            }
        })
        .unwrap();
    });
}

/// BSDs return ENOBUFS when the queue of a Unix receiver or of an interface is full (P88).
#[test]
fn m3_p88_enobufs_for_a_datagram_is_a_wait() {
    let name = "streams::expected_errors::m3_p88_enobufs_for_a_datagram_is_a_wait";
    let check = || {
        let mut el = EventLoop::builder().selector(SelectorKind::available()[0]).build().unwrap();
        el.run_until_complete(async {
            let mut buffer = [0; 8];
            let (one, other) = UnixDatagram::pair().unwrap();
            one.send(b"unix").await.unwrap();
            assert_eq!(other.recv(&mut buffer).await.unwrap(), 4);
            let path = short_dir().join(format!("ms-nobufs-{}", std::process::id()));
            let named = UnixDatagram::bind(&path).unwrap();
            let sent = one_send_to(&path).await;
            std::fs::remove_file(&path).unwrap();
            sent.unwrap();
            assert_eq!(named.recv(&mut buffer).await.unwrap(), 5);
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            udp.send_to(b"udp", udp.local_addr().unwrap()).await.unwrap();
            assert_eq!(udp.recv(&mut buffer).await.unwrap(), 3);
        })
        .unwrap();
    };
    alone_with_fault(name, "sendto:error=ENOBUFS:when=1..9+2", check);
}

async fn one_send_to(path: &std::path::Path) -> std::io::Result<usize> {
    UnixDatagram::unbound().unwrap().send_to(b"named", path).await
}
