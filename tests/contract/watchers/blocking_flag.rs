//! What the loop does to a source and undoes again (P13), and what it keeps to itself (W11, P94).

use std::cell::Cell;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::rc::Rc;

use mainspring::{Interest, Watched, Watcher};

use crate::support::files::{is_blocking, pair, tick};
use crate::support::{on_every_selector, simulated};

const READ: Interest = Interest::READABLE;

/// A pipe with data to read, and its writer.
fn readable() -> (PipeReader, PipeWriter) {
    let (ours, mut theirs) = std::io::pipe().unwrap();
    theirs.write_all(b"x").unwrap();
    (ours, theirs)
}

/// However the watcher ends. The twin shares the flag, as a parent process would share its
/// terminal's.
#[test]
fn p13_a_blocking_source_is_blocking_again_when_its_watcher_ends() {
    on_every_selector(|kind| {
        const WAYS: usize = 5;
        for way in 0..WAYS {
            let (mut el, _clock) = simulated(kind, None);
            el.set_exception_handler(|_, _, _| {});
            let (ours, _theirs) = readable();
            let twin = ours.try_clone().unwrap();
            let watcher = el.add_reader(ours, move |_, taken: &mut Option<PipeReader>, socket| {
                assert!(!is_blocking(&**socket));
                match way {
                    0 => Ok(socket.cancel()),
                    1 => Err(mainspring::Error::other("enough")),
                    2 => {
                        let source = Watched::into_inner(socket);
                        assert!(is_blocking(&source), "after into_inner");
                        Ok(*taken = Some(source))
                    }
                    _ => Ok(()),
                }
            });
            let watcher = watcher.unwrap();
            assert!(!is_blocking(&twin));
            tick(&mut el);
            if way == 3 {
                assert!(el.cancel(watcher));
            }
            if let Some(mut taken) = el.state_mut().take() {
                taken.read_exact(&mut [0]).unwrap();
            }
            drop(el);
            assert!(is_blocking(&twin), "after way {way}");
        }
    });
}

#[test]
fn p13_a_source_that_did_not_block_stays_so() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (ours, _theirs) = pair();
        ours.set_nonblocking(true).unwrap();
        let twin = ours.try_clone().unwrap();
        let watcher = el.add_reader(ours, |_, (), _| Ok(())).unwrap();
        assert!(el.cancel(watcher));
        assert!(!is_blocking(&twin));
        tick(&mut el);
    });
}

/// The reader of one copy must not wait because that of another has ended; the last one puts the
/// flag back.
#[test]
fn p13_the_last_watcher_of_a_pipe_makes_it_blocking_again() {
    on_every_selector(|kind| {
        for first in [0, 1] {
            let (mut el, _clock) = simulated(kind, ());
            let (ours, _theirs) = readable();
            let copies = [ours.try_clone().unwrap(), ours.try_clone().unwrap()];
            let readers = copies.map(|copy| el.add_reader(copy, |_, (), _| Ok(())).unwrap());
            assert!(el.cancel(readers[first]));
            assert!(!is_blocking(&ours), "the other one's pipe would wait");
            assert_eq!(tick(&mut el), 1);
            assert!(el.cancel(readers[1 - first]));
            assert!(is_blocking(&ours), "O_NONBLOCK was left on");
        }
    });
}

/// Trial 36: a copy may be watched by another loop, or be a listener that another process takes over.
#[test]
fn p13_sockets_and_listeners_keep_the_flag() {
    on_every_selector(|kind| {
        let (el, _clock) = simulated(kind, ());
        let (ours, _theirs) = pair();
        let (other, _peer) = pair();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let twin = listener.try_clone().unwrap();
        let watcher = el.add_reader(ours.try_clone().unwrap(), |_, (), _| Ok(())).unwrap();
        assert!(el.cancel(watcher));
        let conn = el.attach(other.try_clone().unwrap(), |_, (), _, _| Ok(())).unwrap();
        conn.abort();
        el.serve(listener, |_, (), _, _| Ok(())).unwrap().close();
        drop(el);
        assert!(!is_blocking(&ours) && !is_blocking(&other) && !is_blocking(&twin));
    });
}

/// A transport over two pipes follows the same rule as a watcher.
#[test]
fn p13_pipes_of_a_transport_block_again() {
    on_every_selector(|kind| {
        for aborts in [false, true] {
            let (mut el, _clock) = simulated(kind, ());
            let ((reader, _peers), (_peer, writer)) = (readable(), readable());
            let twins = (reader.try_clone().unwrap(), writer.try_clone().unwrap());
            let pair = mainspring::net::PipePair::new(reader, writer);
            let conn = el.attach(pair, |_, (), _, _| Ok(())).unwrap();
            assert!(!is_blocking(&twins.0) && !is_blocking(&twins.1));
            if aborts {
                conn.abort();
            } else {
                conn.shutdown_write(); // Closes the writer.
            }
            tick(&mut el);
            assert!(is_blocking(&twins.1), "O_NONBLOCK was left on");
            drop((el, conn));
            assert!(is_blocking(&twins.0), "O_NONBLOCK was left on");
        }
    });
}

/// P48 again: the old one ends after the new one has begun.
#[test]
fn p13_a_source_watched_anew_in_its_own_callback_does_not_block() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, 0);
        let (ours, _theirs) = readable();
        let ours = Rc::new(ours);
        let (again, new) = (ours.clone(), Rc::new(Cell::new(None)));
        let newest: Rc<Cell<Option<Watcher<Rc<PipeReader>>>>> = new.clone();
        el.add_reader(ours.clone(), move |el, _, socket| {
            socket.cancel();
            let watcher = el.watch(again.clone(), READ, |_, calls, socket| {
                assert!(!is_blocking(&**socket), "the new one's socket would wait");
                *calls += 1;
                Ok(())
            })?;
            new.set(Some(watcher));
            Ok(())
        })
        .unwrap();
        (0..3).for_each(|_| assert_eq!(tick(&mut el), 1));
        assert_eq!(*el.state(), 2);
        assert!(el.cancel(newest.get().unwrap()));
        drop(el);
        assert!(is_blocking(&ours), "O_NONBLOCK was left on");
    });
}
