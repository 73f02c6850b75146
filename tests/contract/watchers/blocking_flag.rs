//! The non-blocking flag of sources: set while they are watched, and restored afterwards (P13;
//! docs/contract.md, W11).

use std::cell::Cell;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::rc::Rc;

use mainspring::{Interest, Watched, Watcher};

use crate::support::descriptors::{is_blocking, pair};
use crate::support::ticks::tick;
use crate::support::{on_every_selector, simulated};

const READ: Interest = Interest::READABLE;

/// Returns a pipe with data to read, and its writer.
fn readable() -> (PipeReader, PipeWriter) {
    let (ours, mut theirs) = std::io::pipe().unwrap();
    theirs.write_all(b"x").unwrap();
    (ours, theirs)
}

/// The flag is restored in whatever way the watcher ends. The duplicate shares the flag, as a
/// parent process shares that of its terminal.
#[test]
fn w11_p13_a_blocking_source_is_blocking_again_after_its_watcher() {
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
fn w11_p13_a_non_blocking_source_stays_non_blocking() {
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

/// While one copy is still watched, the flag stays set. The last watcher restores it.
#[test]
fn w11_p13_the_last_watcher_of_a_pipe_makes_it_blocking_again() {
    on_every_selector(|kind| {
        for first in [0, 1] {
            let (mut el, _clock) = simulated(kind, ());
            let (ours, _theirs) = readable();
            let copies = [ours.try_clone().unwrap(), ours.try_clone().unwrap()];
            let readers = copies.map(|copy| el.add_reader(copy, |_, (), _| Ok(())).unwrap());
            assert!(el.cancel(readers[first]));
            assert!(!is_blocking(&ours), "the duplicate became blocking");
            assert_eq!(tick(&mut el), 1);
            assert!(el.cancel(readers[1 - first]));
            assert!(is_blocking(&ours), "O_NONBLOCK is still set");
        }
    });
}

/// A copy of a socket may be watched by another loop, or be a listener that another process takes
/// over.
#[test]
fn w11_p13_sockets_and_listeners_stay_non_blocking() {
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
fn w11_p13_pipes_of_a_transport_are_blocking_again() {
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
            assert!(is_blocking(&twins.1), "O_NONBLOCK is still set");
            drop((el, conn));
            assert!(is_blocking(&twins.0), "O_NONBLOCK is still set");
        }
    });
}

/// The old watcher ends after the new one has begun (P48).
#[test]
fn w11_p13_a_source_watched_again_in_its_own_callback_is_non_blocking() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, 0);
        let (ours, _theirs) = readable();
        let ours = Rc::new(ours);
        let (again, new) = (ours.clone(), Rc::new(Cell::new(None)));
        let newest: Rc<Cell<Option<Watcher<Rc<PipeReader>>>>> = new.clone();
        el.add_reader(ours.clone(), move |el, _, socket| {
            socket.cancel();
            let watcher = el.watch(again.clone(), READ, |_, calls, socket| {
                assert!(!is_blocking(&**socket), "the watched pipe became blocking");
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
        assert!(is_blocking(&ours), "O_NONBLOCK is still set");
    });
}
