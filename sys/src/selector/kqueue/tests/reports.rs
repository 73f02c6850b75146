//! Reports: their contents and how often they come.

use std::sync::Arc;

use super::*;

#[test]
fn two_filters_of_an_fd_are_added_in_one_call_and_reported_as_one_event() {
    on_every_kernel(|| {
        let mut bench = Bench::with(READY);
        bench.register(7, 1, BOTH, TriggerMode::Level).unwrap();
        assert_eq!(bench.calls(), [(2, Some(Duration::ZERO))]);
        assert_eq!(bench.select(), [(1, Readiness::READABLE | Readiness::WRITABLE)]);
    });
}

#[test]
fn events_of_many_fds_are_merged_each_with_its_own() {
    on_every_kernel(|| {
        let mut bench = Bench::new();
        for fd in 10..20 {
            bench.kernel.open(fd, READY);
            bench.register(fd, fd as u32, WRITE, TriggerMode::Level).unwrap();
        }
        for fd in (10..20).rev() {
            bench.reregister(fd, fd as u32, BOTH, TriggerMode::Level).unwrap();
        }
        for _ in 0..3 {
            let mut reports = bench.select();
            reports.sort_by_key(|report| report.0);
            let each = Readiness::READABLE | Readiness::WRITABLE;
            assert_eq!(reports, (10..20).map(|fd| (fd, each)).collect::<Vec<_>>());
        }
    });
}

#[test]
fn the_end_of_a_direction_closes_that_direction() {
    on_every_kernel(|| {
        let mut bench = Bench::with(FakeFile { read_end: true, ..EMPTY });
        bench.register(7, 1, BOTH, TriggerMode::Level).unwrap();
        assert_eq!(bench.select(), [(1, Readiness::READ_CLOSED.with_implied())]);
        bench.kernel.happen(7, |file| (file.read_end, file.write_end) = (false, true));
        assert_eq!(bench.select(), [(1, Readiness::WRITE_CLOSED.with_implied())]);
    });
}

#[test]
fn the_end_of_both_directions_is_a_hang_up() {
    on_every_kernel(|| {
        let mut bench = Bench::with(FakeFile { read_end: true, write_end: true, ..EMPTY });
        bench.register(7, 1, BOTH, TriggerMode::Level).unwrap();
        assert_eq!(bench.select(), [(1, Readiness::HANGUP.with_implied())]);
        bench.reregister(7, 1, READ, TriggerMode::Level).unwrap();
        assert_eq!(bench.select(), [(1, Readiness::READ_CLOSED.with_implied())]);
    });
}

#[test]
fn one_end_with_an_errno_is_an_error_but_not_a_hang_up() {
    on_every_kernel(|| {
        let reset = FakeFile { read_end: true, error: libc::ECONNRESET, ..EMPTY };
        let mut bench = Bench::with(reset);
        bench.register(7, 1, READ, TriggerMode::Level).unwrap();
        let report = bench.select();
        assert_eq!(report, [(1, (Readiness::READ_CLOSED | Readiness::ERROR).with_implied())]);
        assert!(!report[0].1.contains(Readiness::HANGUP));
    });
}

#[test]
fn priority_data_comes_by_its_own_filter() {
    on_every_kernel(|| {
        let mut bench = Bench::with(EMPTY);
        if !bench.kernel.has_except() {
            return;
        }
        bench.register(7, 1, READ | Interest::PRIORITY, TriggerMode::Level).unwrap();
        assert_eq!(bench.select(), []);
        bench.kernel.happen(7, |file| file.priority = true);
        assert_eq!(bench.select(), [(1, Readiness::PRIORITY)]);
        bench.kernel.happen(7, |file| file.readable = true);
        assert_eq!(bench.select(), [(1, Readiness::PRIORITY | Readiness::READABLE)]);
    });
}

#[test]
fn level_is_reported_for_as_long_as_it_lasts() {
    on_every_kernel(|| {
        let mut bench = Bench::with(EMPTY);
        bench.register(7, 1, READ, TriggerMode::Level).unwrap();
        assert_eq!(bench.select(), []);
        bench.kernel.happen(7, |file| file.readable = true);
        for _ in 0..3 {
            assert_eq!(bench.select(), [(1, Readiness::READABLE)]);
        }
        bench.kernel.happen(7, |file| file.readable = false);
        assert_eq!(bench.select(), []);
    });
}

#[test]
fn an_edge_is_reported_once_per_direction_and_again_after_reregister() {
    on_every_kernel(|| {
        let mut bench = Bench::with(READY);
        bench.register(7, 1, BOTH, TriggerMode::Edge).unwrap();
        assert_eq!(bench.select(), [(1, Readiness::READABLE | Readiness::WRITABLE)]);
        assert_eq!(bench.select(), []);
        bench.kernel.happen(7, |file| file.writable = false);
        bench.kernel.happen(7, |file| file.arrivals += 1);
        assert_eq!(bench.select(), [(1, Readiness::READABLE)]);
        assert_eq!(bench.select(), []);
        bench.reregister(7, 2, BOTH, TriggerMode::Edge).unwrap();
        assert_eq!(bench.select(), [(2, Readiness::READABLE)]);
    });
}

#[test]
fn oneshot_disables_both_directions_after_the_first_report_of_either() {
    on_every_kernel(|| {
        let mut bench = Bench::with(FakeFile { writable: true, ..EMPTY });
        bench.register(7, 1, BOTH, TriggerMode::Oneshot).unwrap();
        assert_eq!(bench.select(), [(1, Readiness::WRITABLE)]);
        assert_eq!(bench.kernel.enabled(7), Interest::empty());
        bench.kernel.happen(7, |file| file.readable = true);
        assert_eq!(bench.select(), []);
        bench.reregister(7, 1, BOTH, TriggerMode::Oneshot).unwrap();
        bench.calls();
        assert_eq!(bench.select(), [(1, Readiness::READABLE | Readiness::WRITABLE)]);
        assert_eq!(bench.calls().len(), 1, "the kernel itself disables a filter that reported");
        assert_eq!(bench.select(), []);
    });
}

#[test]
fn oneshot_is_reported_once_even_if_its_filters_are_ready_in_two_calls() {
    on_every_kernel(|| {
        let mut bench = Bench::with(READY);
        bench.register(7, 1, BOTH, TriggerMode::Oneshot).unwrap();
        assert_eq!(bench.select_at_most(1).len(), 1);
        assert_eq!(bench.select_at_most(1), []);
        assert_eq!(bench.kernel.enabled(7), Interest::empty());
    });
}

#[test]
fn a_filter_that_the_kernel_did_not_disable_is_disabled_without_a_report() {
    on_every_kernel(|| {
        let mut bench = Bench::with(READY);
        bench.register(7, 1, READ, TriggerMode::Oneshot).unwrap();
        bench.select();
        let never_disabled =
            |one: &mut fake::Knote| (one.disabled, one.mode, one.active) = (false, 0, true);
        never_disabled(&mut bench.kernel.state().filters[0]);
        assert_eq!(bench.select(), []);
        assert!(bench.kernel.enabled(7).is_empty(), "an enabled filter would end every later wait");
        bench.reregister(7, 1, READ, TriggerMode::Oneshot).unwrap();
        assert_eq!(bench.select(), [(1, Readiness::READABLE)]);
    });
}

#[test]
fn a_change_of_mode_reaches_the_kernel() {
    on_every_kernel(|| {
        let mut bench = Bench::with(READY);
        bench.register(7, 1, READ, TriggerMode::Level).unwrap();
        bench.reregister(7, 1, READ, TriggerMode::Edge).unwrap();
        assert_eq!((bench.select().len(), bench.select().len()), (1, 0));
        bench.reregister(7, 1, READ, TriggerMode::Level).unwrap();
        assert_eq!((bench.select().len(), bench.select().len()), (1, 1));
        bench.reregister(7, 1, READ, TriggerMode::Oneshot).unwrap();
        assert_eq!(bench.kernel.state().filters[0].mode & EV_DISPATCH, EV_DISPATCH);
    });
}

#[test]
fn each_ready_fd_is_served_before_any_is_served_twice() {
    on_every_kernel(|| {
        let mut bench = Bench::new();
        for fd in 10..20 {
            bench.kernel.open(fd, READY);
            bench.register(fd, fd as u32, READ, TriggerMode::Level).unwrap();
        }
        let mut served: Vec<u32> =
            (0..5).flat_map(|_| bench.select_at_most(2)).map(|e| e.0).collect();
        served.sort_unstable();
        assert_eq!(served, (10..20).collect::<Vec<_>>());
    });
}

#[test]
fn an_event_of_a_process_whose_id_equals_the_fd_is_ignored() {
    on_every_kernel(|| {
        let mut bench = Bench::with(EMPTY);
        bench.register(7, 1, READ, TriggerMode::Level).unwrap();
        bench.kernel.state().foreign_ident = Some(7);
        assert_eq!(bench.select(), []);
        assert_eq!(bench.kernel.enabled(7), READ);
    });
}

#[test]
fn an_event_of_an_earlier_registration_is_dropped_with_its_filter() {
    on_every_kernel(|| {
        let mut bench = Bench::with(READY);
        bench.register(7, 1, READ, TriggerMode::Level).unwrap();
        bench.kernel.state().filters[0].udata += 1;
        assert_eq!(bench.select(), []);
        assert!(bench.kernel.state().filters.is_empty());
    });
}

#[test]
fn a_user_event_is_reported_once_per_trigger() {
    on_every_kernel(|| {
        let mut bench = Bench::with(READY);
        bench.register(7, 1, READ, TriggerMode::Level).unwrap();
        let first = bench.selector.user_event(Token::new(50, 9)).unwrap();
        let second = bench.selector.user_event(Token::new(51, 9)).unwrap();
        assert_eq!(bench.select(), [(1, Readiness::READABLE)]);
        second.trigger().unwrap();
        second.trigger().unwrap();
        assert_eq!(bench.select(), [(51, Readiness::READABLE), (1, Readiness::READABLE)]);
        first.trigger().unwrap();
        assert_eq!(bench.select().len(), 2);
        assert_eq!(bench.select(), [(1, Readiness::READABLE)]);
    });
}

#[test]
fn a_signal_does_not_end_a_wait_and_the_timeout_reaches_the_kernel() {
    on_every_kernel(|| {
        let mut bench = Bench::with(EMPTY);
        let mut events = Events::with_capacity(4);
        bench.selector.select(&mut events, Some(Duration::from_nanos(1))).unwrap();
        assert_eq!(bench.calls(), [(0, Some(Duration::from_nanos(1)))]);
        bench.kernel.state().signals = 2;
        bench.selector.select(&mut events, Some(Duration::from_secs(9))).unwrap();
        let waits: Vec<_> = bench.calls().into_iter().filter_map(|(_, wait)| wait).collect();
        assert_eq!(waits.len(), 3);
        assert!(
            waits[1] < waits[0] && waits[2] < waits[1],
            "the time that has passed must be subtracted: {waits:?}"
        );
    });
}

#[test]
fn files_that_never_block_are_always_ready_and_end_a_wait() {
    on_every_kernel(|| {
        let (mut bench, null) = (Bench::with(READY), null());
        let fd = null.as_raw_fd();
        bench.kernel.open(fd, FILE);
        bench.register(fd, 2, READ, TriggerMode::Level).unwrap();
        bench.register(7, 1, READ, TriggerMode::Level).unwrap();
        assert_eq!(bench.register(fd, 3, READ, TriggerMode::Level), EXISTS);
        bench.calls();
        for _ in 0..2 {
            let mut events = Events::with_capacity(8);
            bench.selector.select(&mut events, None).unwrap();
            assert_eq!(events.len(), 2);
        }
        assert!(bench.calls().iter().all(|call| call.1 == Some(Duration::ZERO)));
        let in_turn = [bench.select_at_most(1), bench.select_at_most(1)].concat();
        assert!(in_turn.iter().any(|e| e.0 == 1) && in_turn.iter().any(|e| e.0 == 2));
        bench.deregister(fd).unwrap();
        assert_eq!(bench.select(), [(1, Readiness::READABLE)]);
    });
}

#[test]
fn an_outer_loop_can_sleep_on_the_selector() {
    on_every_kernel(|| {
        let bench = Bench::new();
        let (first, again) = (bench.selector.poll_fd().unwrap(), bench.selector.poll_fd().unwrap());
        assert!(Arc::ptr_eq(&first, &again));
    });
}
