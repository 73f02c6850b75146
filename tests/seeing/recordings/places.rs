//! Places of turns, and the times that count from the creation of the loop (docs/contract.md, R1).

use std::time::{Duration, Instant, SystemTime};

use mainspring::{EventLoop, Recorder};

use super::{callbacks, recorded};
use crate::support::{on_every_selector, simulated};

/// Asserts that the place of a timer with this name begins with `begin`.
fn check_place(name: &str, begin: &str) {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(64), ());
        let timer = el.call_later(Duration::from_secs(1), |_, ()| {});
        assert!(el.set_name(timer, name));
        el.run().unwrap();
        let place = &callbacks(&el.tape().unwrap())[0].place;
        assert!(place.starts_with(begin), "{place:?}");
    });
}

#[test]
fn r1_a_name_is_in_front_of_its_place() {
    check_place("hourly", "hourly (");
}

#[test]
fn r1_a_place_is_one_line_of_text() {
    check_place("a\nb\u{1b}[31m", "a\\nb\\u{1b}[31m (");
}

/// A daemon that names each connection has more names than a tape has room for.
#[test]
fn r1_names_leave_room_for_the_places_of_the_program() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(4096), ());
        let line = line!() + 2;
        for number in 0..3000 {
            let named = el.call_soon(|_, ()| {});
            assert!(el.set_name(named, &format!("connection {number}")));
        }
        el.run().unwrap();
        el.call_soon(|_, ()| {});
        el.run().unwrap();
        let turns = callbacks(&el.tape().unwrap());
        let plain = format!("{}:{line}", file!());
        assert_eq!(*turns[0].place, *format!("connection 0 ({plain})"));
        let named = turns.iter().filter(|turn| turn.place.starts_with("connection ")).count();
        assert!((300..1500).contains(&named), "{named} names");
        assert!(turns[named..3000].iter().all(|turn| *turn.place == *plain));
        assert_eq!(*turns[3000].place, *format!("{}:{}", file!(), line + 4));
    });
}

/// The end of a very long name is kept.
#[test]
fn r1_a_very_long_name_leaves_room_for_others() {
    on_every_selector(|kind| {
        let mut el = recorded(kind, Recorder::ring(64), ());
        for name in [&format!("{}end", "é".repeat(1 << 15)), "short"] {
            let named = el.call_soon(|_, ()| {});
            assert!(el.set_name(named, name));
        }
        el.run().unwrap();
        let turns = callbacks(&el.tape().unwrap());
        let (long, short) = (&*turns[0].place, &*turns[1].place);
        assert!(long.starts_with("éé") && long.contains("ééend (") && long.len() < 512, "{long}");
        assert!(short.starts_with("short ("), "{short}");
    });
}

/// The heartbeat begins the tape an hour after the creation of the loop.
#[test]
fn r1_a_tape_that_begins_later_has_the_time_at_which_its_loop_was_created() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let before = SystemTime::now();
        clock.advance(Duration::from_secs(3600));
        let _heartbeat = el.heartbeat();
        el.run_until_stalled().unwrap();
        assert!(el.tape().unwrap().started() < before);
    });
}

/// Without the time before the heartbeat, the callback would seem to begin in the future.
#[test]
fn r1_the_age_of_a_turn_is_its_own() {
    let wait = |time| {
        let begin = Instant::now();
        while begin.elapsed() < time {
            std::hint::spin_loop();
        }
    };
    on_every_selector(|kind| {
        let mut el = EventLoop::builder().selector(kind).build().unwrap();
        wait(Duration::from_millis(10));
        let _heartbeat = el.heartbeat();
        el.call_soon(move |el, ()| {
            wait(Duration::from_millis(5));
            assert!(el.tape().unwrap().age() >= Duration::from_millis(5));
        });
        el.run().unwrap();
    });
}
