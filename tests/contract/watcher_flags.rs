//! What the loop does to a source and undoes again (S13), and what it keeps to itself (W11, S94).

use std::cell::Cell;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use mainspring::{Interest, Watched, Watcher};

use crate::files::{is_blocking, pair, readable, tick};
use crate::support::{on_every_selector, simulated};

const READ: Interest = Interest::READABLE;

/// However the watcher ends. The twin shares the flag, as a parent process would share its
/// terminal's.
#[test]
fn s13_a_blocking_source_is_blocking_again_when_its_watcher_ends() {
    on_every_selector(|kind| {
        const WAYS: usize = 5;
        for way in 0..WAYS {
            let (mut el, _clock) = simulated(kind, None);
            el.set_exception_handler(|_, _, _| {});
            let (ours, _theirs) = readable();
            let twin = ours.try_clone().unwrap();
            let watcher = el.add_reader(ours, move |_, taken: &mut Option<UnixStream>, socket| {
                assert!(!is_blocking(&**socket));
                match way {
                    0 => Ok(socket.remove()),
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
                assert!(el.remove(watcher));
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
fn s13_a_source_that_did_not_block_stays_so() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, ());
        let (ours, _theirs) = pair();
        ours.set_nonblocking(true).unwrap();
        let twin = ours.try_clone().unwrap();
        let watcher = el.add_reader(ours, |_, (), _| Ok(())).unwrap();
        assert!(el.remove(watcher));
        assert!(!is_blocking(&twin));
        tick(&mut el);
    });
}

/// The writer's socket must not wait because the reader has ended; the last of the two puts the
/// flag back.
#[test]
fn s13_the_last_watcher_of_a_socket_makes_it_blocking_again() {
    on_every_selector(|kind| {
        for reader_first in [false, true] {
            let (mut el, _clock) = simulated(kind, ());
            let (ours, _theirs) = readable();
            let ours = Rc::new(ours);
            let reader = el.add_reader(ours.clone(), |_, (), _| Ok(())).unwrap();
            let writer = el.add_writer(ours.clone(), |_, (), _| Ok(())).unwrap();
            let order = if reader_first { [reader, writer] } else { [writer, reader] };
            assert!(el.remove(order[0]));
            assert!(!is_blocking(&ours), "the other one's socket would wait");
            assert_eq!(tick(&mut el), 1);
            assert!(el.remove(order[1]));
            assert!(is_blocking(&ours), "O_NONBLOCK was left on");
        }
    });
}

/// S48 again: the old one ends after the new one has begun.
#[test]
fn s13_a_source_watched_anew_in_its_own_callback_does_not_block() {
    on_every_selector(|kind| {
        let (mut el, _clock) = simulated(kind, 0);
        let (ours, _theirs) = readable();
        let ours = Rc::new(ours);
        let (again, new) = (ours.clone(), Rc::new(Cell::new(None)));
        let newest: Rc<Cell<Option<Watcher<Rc<UnixStream>>>>> = new.clone();
        el.add_reader(ours.clone(), move |el, _, socket| {
            socket.remove();
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
        assert!(el.remove(newest.get().unwrap()));
        drop(el);
        assert!(is_blocking(&ours), "O_NONBLOCK was left on");
    });
}
