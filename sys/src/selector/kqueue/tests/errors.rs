//! Errors: what is returned, and what stays registered.

use super::*;

#[test]
fn errors_are_those_of_the_contract() {
    on_every_kernel(|| {
        let mut bench = Bench::with(READY);
        assert_eq!(bench.reregister(7, 1, READ, TriggerMode::Level), NOT_FOUND);
        assert_eq!(bench.deregister(7), NOT_FOUND);
        bench.register(7, 1, READ, TriggerMode::Level).unwrap();
        assert_eq!(bench.register(7, 2, WRITE, TriggerMode::Level), EXISTS);
        assert_eq!(bench.select(), [(1, Readiness::READABLE)]);
        for fd in [-1, 8, RawFd::MAX] {
            assert_eq!(bench.register(fd, 1, READ, TriggerMode::Level), BAD_FD);
            assert_eq!(bench.reregister(fd, 1, READ, TriggerMode::Level), BAD_FD);
            assert_eq!(bench.deregister(fd), BAD_FD);
        }
        let nothing = Err(Refusal::Kind(io::ErrorKind::InvalidInput));
        assert_eq!(bench.register(7, 1, Interest::empty(), TriggerMode::Level), nothing);
        assert_eq!(bench.reregister(7, 1, Interest::empty(), TriggerMode::Level), nothing);
        bench.deregister(7).unwrap();
        assert!(bench.kernel.state().filters.is_empty());
        bench.calls();
        assert_eq!(bench.deregister(7), NOT_FOUND);
        assert_eq!(bench.calls(), [], "no call of the kernel is needed");
    });
}

#[test]
fn a_second_registration_does_not_change_the_first_even_if_asleep() {
    on_every_kernel(|| {
        let mut bench = Bench::with(READY);
        bench.register(7, 1, BOTH, TriggerMode::Oneshot).unwrap();
        assert_eq!(bench.register(7, 2, READ, TriggerMode::Level), EXISTS);
        assert_eq!(bench.select(), [(1, Readiness::READABLE | Readiness::WRITABLE)]);
        assert_eq!(bench.register(7, 2, READ, TriggerMode::Level), EXISTS);
        assert_eq!(bench.select(), []);
    });
}

#[test]
fn a_kernel_that_keeps_filters_of_closed_fds_is_not_asked_for_them() {
    on_every_kernel(|| {
        let mut bench = Bench::with(READY);
        bench.kernel.state().is_library = true;
        bench.register(7, 1, READ, TriggerMode::Level).unwrap();
        bench.calls();
        assert_eq!(bench.register(7, 2, READ, TriggerMode::Level), EXISTS);
        assert_eq!(bench.calls(), []);
    });
}

#[test]
fn if_one_of_two_filters_is_refused_none_is_kept() {
    on_every_kernel(|| {
        let mut bench = Bench::with(READY);
        bench.kernel.state().refusals.insert((7, Filter::Write), libc::ENOMEM);
        assert_eq!(
            bench.register(7, 1, BOTH, TriggerMode::Level),
            Err(Refusal::Errno(libc::ENOMEM))
        );
        assert!(bench.kernel.state().filters.is_empty());
        assert_eq!(bench.deregister(7), NOT_FOUND);
    });
}

#[test]
fn a_refused_change_changes_nothing() {
    on_every_kernel(|| {
        let mut bench = Bench::with(READY);
        bench.register(7, 1, READ, TriggerMode::Edge).unwrap();
        bench.kernel.state().refusals.insert((7, Filter::Write), libc::ENOMEM);
        assert_eq!(
            bench.reregister(7, 2, BOTH, TriggerMode::Level),
            Err(Refusal::Errno(libc::ENOMEM))
        );
        assert_eq!(bench.select(), [(1, Readiness::READABLE)]);
        assert_eq!(bench.select(), []);
        bench.deregister(7).unwrap();
        assert!(bench.kernel.state().filters.is_empty());
    });
}

#[test]
fn a_refused_change_does_not_enable_a_disabled_registration() {
    on_every_kernel(|| {
        let mut bench = Bench::with(FakeFile { writable: true, ..EMPTY });
        if !bench.kernel.has_except() {
            return;
        }
        bench.register(7, 1, BOTH, TriggerMode::Oneshot).unwrap();
        bench.select();
        bench.kernel.happen(7, |file| file.readable = true);
        bench.kernel.state().refusals.insert((7, Filter::Except), libc::ENOMEM);
        bench.reregister(7, 2, BOTH | Interest::PRIORITY, TriggerMode::Oneshot).unwrap_err();
        assert_eq!(bench.kernel.held(7, |_| true), WRITE, "only the filter that reported");
        assert_eq!(bench.kernel.enabled(7), Interest::empty());
        assert_eq!(bench.select(), []);
        bench.reregister(7, 2, BOTH, TriggerMode::Oneshot).unwrap();
        assert_eq!(bench.select().len(), 1);
    });
}

#[test]
fn a_call_that_fails_halfway_is_undone() {
    on_every_kernel(|| {
        let mut bench = Bench::with(READY);
        bench.kernel.state().failure = Some(libc::ENOMEM);
        assert_eq!(
            bench.register(7, 1, BOTH, TriggerMode::Level),
            Err(Refusal::Errno(libc::ENOMEM))
        );
        assert!(bench.kernel.state().filters.is_empty());
        bench.register(7, 1, READ, TriggerMode::Level).unwrap();
        bench.kernel.state().failure = Some(libc::ENOMEM);
        assert_eq!(
            bench.reregister(7, 2, BOTH, TriggerMode::Level),
            Err(Refusal::Errno(libc::ENOMEM))
        );
        assert_eq!(bench.select(), [(1, Readiness::READABLE)]);
        assert_eq!(bench.kernel.enabled(7), READ);
    });
}

#[test]
fn other_errors_take_precedence_over_a_lost_end() {
    on_every_kernel(|| {
        let mut bench = Bench::with(EMPTY);
        bench.kernel.state().refusals.insert((7, Filter::Read), libc::EPIPE);
        bench.kernel.state().refusals.insert((7, Filter::Write), libc::ENOMEM);
        assert_eq!(
            bench.register(7, 1, BOTH, TriggerMode::Level),
            Err(Refusal::Errno(libc::ENOMEM))
        );
    });
}

#[test]
fn deregister_accepts_a_filter_that_the_kernel_has_lost() {
    on_every_kernel(|| {
        let mut bench = Bench::with(READY);
        bench.register(7, 1, BOTH, TriggerMode::Level).unwrap();
        bench.kernel.state().filters.remove(1);
        bench.deregister(7).unwrap();
        assert!(bench.kernel.state().filters.is_empty());
    });
}

#[test]
fn a_closed_fd_is_silent_and_then_forgotten() {
    on_every_kernel(|| {
        let mut bench = Bench::with(READY);
        bench.register(7, 1, BOTH, TriggerMode::Level).unwrap();
        bench.kernel.close(7);
        assert_eq!(bench.select(), []);
        assert_eq!(bench.register(7, 2, READ, TriggerMode::Level), BAD_FD);
        assert_eq!(bench.reregister(7, 2, READ, TriggerMode::Level), BAD_FD);
        assert_eq!(bench.deregister(7), BAD_FD);
        bench.kernel.open(7, READY);
        assert_eq!(bench.deregister(7), NOT_FOUND);
        bench.register(7, 3, READ, TriggerMode::Level).unwrap();
        assert_eq!(bench.select(), [(3, Readiness::READABLE)]);
    });
}

#[test]
fn deregister_of_a_closed_fd_removes_it() {
    on_every_kernel(|| {
        let mut bench = Bench::with(READY);
        bench.register(7, 1, BOTH, TriggerMode::Level).unwrap();
        bench.kernel.close(7);
        assert_eq!(bench.deregister(7), BAD_FD);
        bench.kernel.open(7, READY);
        assert_eq!(bench.deregister(7), NOT_FOUND);
    });
}

#[test]
fn a_reused_number_is_not_registered() {
    on_every_kernel(|| {
        let mut bench = Bench::with(READY);
        bench.register(7, 1, READ, TriggerMode::Oneshot).unwrap();
        bench.select();
        let reuse = |bench: &Bench| {
            bench.kernel.close(7);
            bench.kernel.open(7, READY);
        };
        reuse(&bench);
        assert_eq!(bench.reregister(7, 2, BOTH, TriggerMode::Level), NOT_FOUND);
        assert!(bench.kernel.state().filters.is_empty(), "the new file is not watched");
        bench.register(7, 3, READ, TriggerMode::Level).unwrap();
        reuse(&bench);
        bench.register(7, 4, WRITE, TriggerMode::Level).unwrap();
        assert_eq!(bench.select(), [(4, Readiness::WRITABLE)]);
        reuse(&bench);
        assert_eq!(bench.deregister(7), NOT_FOUND);
    });
}

#[test]
fn a_socket_can_get_the_number_of_a_closed_file() {
    on_every_kernel(|| {
        let (mut bench, null) = (Bench::new(), null());
        let fd = null.as_raw_fd();
        bench.kernel.open(fd, FILE);
        bench.register(fd, 1, READ, TriggerMode::Level).unwrap();
        bench.kernel.close(fd);
        bench.kernel.open(fd, FakeFile { writable: true, ..EMPTY });
        bench.register(fd, 2, WRITE, TriggerMode::Level).unwrap();
        assert_eq!(bench.select(), [(2, Readiness::WRITABLE)]);
    });
}

#[test]
fn a_file_can_get_the_number_of_a_closed_socket() {
    on_every_kernel(|| {
        let (mut bench, null) = (Bench::new(), null());
        let fd = null.as_raw_fd();
        bench.kernel.open(fd, READY);
        bench.register(fd, 1, READ, TriggerMode::Level).unwrap();
        bench.kernel.close(fd);
        bench.kernel.open(fd, FILE);
        bench.register(fd, 2, READ, TriggerMode::Level).unwrap();
        assert_eq!(bench.select(), [(2, Readiness::READABLE)]);
        bench.deregister(fd).unwrap();
        assert_eq!(bench.select(), []);
    });
}

#[test]
fn without_a_filter_for_priority_data_an_interest_in_it_is_refused() {
    on_every_kernel(|| {
        let (mut bench, null) = (Bench::with(READY), null());
        if bench.kernel.has_except() {
            return;
        }
        bench.register(7, 1, READ, TriggerMode::Level).unwrap();
        assert_eq!(
            bench.reregister(7, 2, READ | Interest::PRIORITY, TriggerMode::Level),
            UNSUPPORTED
        );
        assert_eq!(bench.select(), [(1, Readiness::READABLE)]);
        bench.deregister(7).unwrap();
        assert_eq!(bench.register(7, 1, Interest::PRIORITY, TriggerMode::Level), UNSUPPORTED);
        // Like on the other selectors, a file never has priority data, which is not an error.
        bench.kernel.open(null.as_raw_fd(), FILE);
        bench.register(null.as_raw_fd(), 1, Interest::PRIORITY, TriggerMode::Level).unwrap();
        assert_eq!(bench.select(), []);
    });
}

#[test]
fn a_kernel_without_user_events_is_unsupported() {
    on_every_kernel(|| {
        let mut bench = Bench::new();
        bench.kernel.state().refusals.insert((0, Filter::User), libc::EINVAL);
        let error = bench.selector.user_event(Token::new(1, 1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        bench.kernel.state().refusals.insert((0, Filter::User), libc::ENOMEM);
        let error = bench.selector.user_event(Token::new(1, 1)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
    });
}

#[test]
fn missing_receipts_are_an_error() {
    on_every_kernel(|| {
        let mut bench = Bench::with(READY);
        bench.kernel.state().ignores_receipts = true;
        let error = bench.register(7, 1, BOTH, TriggerMode::Level).unwrap_err();
        assert_eq!(error, Refusal::Kind(io::ErrorKind::Other));
        assert!(bench.kernel.state().filters.is_empty());
    });
}

#[test]
fn reset_removes_every_fd_and_keeps_user_events() {
    on_every_kernel(|| {
        let (mut bench, null) = (Bench::with(READY), null());
        let file = null.as_raw_fd();
        bench.kernel.open(file, FILE);
        bench.register(7, 1, READ, TriggerMode::Level).unwrap();
        bench.register(file, 2, READ, TriggerMode::Level).unwrap();
        let old = bench.selector.user_event(Token::new(3, 9)).unwrap();
        bench.selector.reset().unwrap();
        assert_eq!(bench.select(), []);
        let new = bench.selector.user_event(Token::new(4, 9)).unwrap();
        old.trigger().unwrap();
        assert_eq!(bench.select(), [(3, Readiness::READABLE)], "user events are registered again");
        new.trigger().unwrap();
        assert_eq!(bench.select(), [(4, Readiness::READABLE)]);
        bench.calls();
        assert_eq!(bench.reregister(7, 1, READ, TriggerMode::Level), NOT_FOUND);
        assert_eq!(bench.calls(), [], "no call of the kernel is needed");
        bench.register(7, 1, READ, TriggerMode::Level).unwrap();
        bench.register(file, 2, READ, TriggerMode::Level).unwrap();
    });
}

#[test]
fn a_failed_reset_changes_nothing() {
    on_every_kernel(|| {
        let mut bench = Bench::with(READY);
        bench.register(7, 1, READ, TriggerMode::Level).unwrap();
        bench.kernel.state().renewal_fails = true;
        bench.selector.reset().unwrap_err();
        assert_eq!(bench.select(), [(1, Readiness::READABLE)]);
        assert_eq!(bench.register(7, 2, READ, TriggerMode::Level), EXISTS);
    });
}
