//! Files that the kernel does not watch, or no longer watches: pipes without a reader, revoked
//! terminals, idle devices.

use super::profiles::{Except, Null, current};
use super::*;

const RW: Readiness = Readiness::READABLE.union(Readiness::WRITABLE);
const MODES: [TriggerMode; 3] = [TriggerMode::Level, TriggerMode::Oneshot, TriggerMode::Edge];

/// A bench with `file`, open under a number that is also open in this process.
fn bench_with(file: FakeFile) -> (Bench, RawFd, File) {
    let (bench, null) = (Bench::new(), null());
    let fd = null.as_raw_fd();
    bench.kernel.open(fd, file);
    (bench, fd, null)
}

fn lose_reader(bench: &Bench, fd: RawFd) {
    bench.kernel.happen(fd, |file| (file.read_end, file.write_end) = (true, true));
}

/// Returns the directions of each report.
fn directions(reports: &[(u32, Readiness)]) -> Vec<(u32, Interest)> {
    reports.iter().map(|(token, readiness)| (*token, Interest::answered_by(*readiness))).collect()
}

#[test]
fn w1_a_pipe_that_loses_its_reader_is_reported_according_to_its_mode() {
    on_every_kernel(|| {
        for mode in MODES {
            let (mut bench, fd, _null) = bench_with(FakeFile { writable: true, ..PIPE });
            bench.register(fd, 1, WRITE, mode).unwrap();
            assert_eq!(bench.select(), [(1, Readiness::WRITABLE)]);
            bench.reregister(fd, 1, WRITE, mode).unwrap();
            lose_reader(&bench, fd);
            let counts: Vec<usize> = (0..4).map(|_| bench.select().len()).collect();
            let expected = if mode == TriggerMode::Level { [1, 1, 1, 1] } else { [1, 0, 0, 0] };
            assert_eq!(counts, expected, "{mode:?}");
            bench.reregister(fd, 2, WRITE, mode).unwrap();
            assert_eq!(directions(&bench.select()), [(2, WRITE)], "{mode:?}");
            bench.deregister(fd).unwrap();
            assert_eq!(bench.select(), [], "{mode:?}");
            assert!(bench.kernel.state().filters.is_empty(), "{mode:?}");
            assert_eq!(bench.deregister(fd), NOT_FOUND);
        }
    });
}

#[test]
fn w5_the_writer_of_a_full_pipe_is_reported_when_the_reader_is_closed() {
    on_every_kernel(|| {
        for mode in MODES {
            let (mut bench, fd, _null) = bench_with(PIPE);
            bench.register(fd, 1, WRITE, mode).unwrap();
            assert_eq!(bench.select(), []);
            lose_reader(&bench, fd);
            let reports = bench.select();
            assert_eq!(directions(&reports), [(1, WRITE)], "{mode:?}");
            assert!(reports[0].1.contains(Readiness::WRITE_CLOSED), "{mode:?}");
        }
    });
}

#[test]
fn w5_a_reader_that_is_closed_while_the_writer_is_asleep_is_reported_later() {
    on_every_kernel(|| {
        let (mut bench, fd, _null) = bench_with(FakeFile { writable: true, ..PIPE });
        bench.register(fd, 1, WRITE, TriggerMode::Oneshot).unwrap();
        assert_eq!(bench.select().len(), 1);
        lose_reader(&bench, fd);
        assert_eq!(bench.select(), []);
        bench.reregister(fd, 2, WRITE, TriggerMode::Oneshot).unwrap();
        assert_eq!(directions(&bench.select()), [(2, WRITE)]);
        assert_eq!(bench.select(), []);
    });
}

/// Both filters of one fd, reported in one call and in two.
#[test]
fn w1_the_other_direction_of_a_lost_pipe_is_reported_too() {
    on_every_kernel(|| {
        for room in [64, 1] {
            let (mut bench, fd, _null) = bench_with(PIPE);
            bench.register(fd, 1, BOTH, TriggerMode::Level).unwrap();
            lose_reader(&bench, fd);
            assert_eq!(bench.select_at_most(room).len(), 1);
            for _ in 0..3 {
                assert_eq!(directions(&bench.select()), [(1, BOTH)], "room {room}");
            }
            assert_eq!(bench.register(fd, 2, READ, TriggerMode::Level), EXISTS);
            bench.deregister(fd).unwrap();
            assert!(bench.kernel.state().filters.is_empty());
        }
    });
}

#[test]
fn a_lost_pipe_in_oneshot_mode_is_reported_once_even_if_ready_in_two_calls() {
    on_every_kernel(|| {
        let (mut bench, fd, _null) = bench_with(PIPE);
        bench.register(fd, 1, BOTH, TriggerMode::Oneshot).unwrap();
        lose_reader(&bench, fd);
        let counts: Vec<usize> = (0..4).map(|_| bench.select_at_most(1).len()).collect();
        assert_eq!(counts, [1, 0, 0, 0]);
        assert_eq!(bench.kernel.enabled(fd), Interest::empty());
        bench.reregister(fd, 2, BOTH, TriggerMode::Oneshot).unwrap();
        assert_eq!(directions(&bench.select()), [(2, BOTH)]);
    });
}

#[test]
fn a_pipe_without_a_reader_can_be_registered_and_never_blocks() {
    on_every_kernel(|| {
        let lost = FakeFile { read_end: true, write_end: true, ..PIPE };
        for requested in [WRITE, BOTH] {
            let (mut bench, fd, _null) = bench_with(lost.clone());
            bench.register(fd, 1, requested, TriggerMode::Level).unwrap();
            for _ in 0..2 {
                assert_eq!(directions(&bench.select()), [(1, requested)]);
            }
            for other in [READ, WRITE, BOTH] {
                assert_eq!(bench.register(fd, 2, other, TriggerMode::Level), EXISTS);
            }
            bench.reregister(fd, 2, WRITE, TriggerMode::Oneshot).unwrap();
            assert_eq!(directions(&bench.select()), [(2, WRITE)]);
            assert_eq!(bench.select(), []);
            bench.reregister(fd, 3, READ, TriggerMode::Level).unwrap();
            assert_eq!(directions(&bench.select()), [(3, READ)]);
            bench.deregister(fd).unwrap();
            assert_eq!(bench.deregister(fd), NOT_FOUND);
            assert!(bench.kernel.state().filters.is_empty());
        }
    });
}

#[test]
fn a_pipe_that_loses_its_reader_before_a_change_never_blocks() {
    on_every_kernel(|| {
        let (mut bench, fd, _null) = bench_with(READY);
        bench.kernel.happen(fd, |file| file.is_pipe = true);
        bench.register(fd, 1, READ, TriggerMode::Level).unwrap();
        lose_reader(&bench, fd);
        bench.reregister(fd, 2, WRITE, TriggerMode::Level).unwrap();
        assert_eq!(directions(&bench.select()), [(2, WRITE)]);
        bench.deregister(fd).unwrap();
        assert!(bench.kernel.state().filters.is_empty());
    });
}

/// The number proves nothing: the filter that stays in the kernel proves that the fd is the same.
#[test]
fn w4_the_next_owner_of_the_number_of_a_lost_pipe_is_watched() {
    on_every_kernel(|| {
        let (mut bench, fd, _null) = bench_with(PIPE);
        bench.register(fd, 1, WRITE, TriggerMode::Level).unwrap();
        lose_reader(&bench, fd);
        assert_eq!(bench.select().len(), 1);
        bench.kernel.close(fd);
        bench.kernel.open(fd, FakeFile { readable: true, ..EMPTY });
        bench.register(fd, 2, READ, TriggerMode::Level).unwrap();
        for _ in 0..2 {
            assert_eq!(bench.select(), [(2, Readiness::READABLE)]);
        }
        bench.kernel.close(fd);
        bench.kernel.open(fd, EMPTY);
        assert_eq!(bench.reregister(fd, 3, READ, TriggerMode::Level), NOT_FOUND);
        assert_eq!(bench.select(), []);
    });
}

#[test]
fn w8_a_lost_pipe_that_is_closed_is_reported_or_silently_removed() {
    on_every_kernel(|| {
        let (mut bench, fd, null) = bench_with(PIPE);
        bench.register(fd, 1, WRITE, TriggerMode::Level).unwrap();
        lose_reader(&bench, fd);
        bench.select();
        bench.kernel.close(fd);
        drop(null);
        let last = bench.select();
        assert!(last.iter().all(|report| report.1.contains(Readiness::INVALID)), "{last:?}");
        assert_eq!(bench.select(), []);
        assert_eq!(bench.deregister(fd), BAD_FD);
    });
}

#[test]
fn a_revoked_terminal_never_blocks() {
    on_every_kernel(|| {
        if !current().drops_filters {
            return;
        }
        let (mut bench, fd, _null) = bench_with(FakeFile { writable: true, ..EMPTY });
        bench.register(fd, 1, BOTH, TriggerMode::Level).unwrap();
        assert_eq!(bench.select(), [(1, Readiness::WRITABLE)]);
        bench.kernel.revoke(fd);
        assert_eq!(directions(&bench.select()), [(1, WRITE)]);
        for _ in 0..2 {
            assert_eq!(directions(&bench.select()), [(1, BOTH)]);
        }
        bench.deregister(fd).unwrap();
        assert!(bench.kernel.state().filters.is_empty());
    });
}

/// NetBSD's errno for a lost pipe is also that of a closed fd.
#[test]
fn w7_a_closed_fd_is_not_taken_for_a_lost_pipe() {
    on_every_kernel(|| {
        let mut bench = Bench::with(PIPE);
        bench.register(7, 1, READ, TriggerMode::Level).unwrap();
        bench.kernel.close(7);
        assert_eq!(bench.reregister(7, 2, WRITE, TriggerMode::Level), BAD_FD);
        assert_eq!(bench.register(7, 2, WRITE, TriggerMode::Level), BAD_FD);
        bench.kernel.open(7, EMPTY);
        bench.kernel.state().refusals.insert((7, Filter::Write), libc::ENOMEM);
        assert_eq!(
            bench.register(7, 1, BOTH, TriggerMode::Level),
            Err(Refusal::Errno(libc::ENOMEM))
        );
    });
}

#[test]
fn w6_an_idle_device_is_always_ready_even_if_its_filters_are_silent() {
    on_every_kernel(|| {
        for requested in [READ, WRITE, BOTH] {
            let (mut bench, fd, _null) = bench_with(NULL);
            bench.register(fd, 1, requested, TriggerMode::Level).unwrap();
            for _ in 0..2 {
                assert_eq!(directions(&bench.select()), [(1, requested)], "{requested:?}");
            }
            assert_eq!(bench.register(fd, 2, READ, TriggerMode::Level), EXISTS);
            for other in [WRITE, READ, BOTH] {
                bench.reregister(fd, 3, other, TriggerMode::Level).unwrap();
                assert_eq!(
                    directions(&bench.select()),
                    [(3, other)],
                    "{requested:?}, then {other:?}"
                );
            }
            bench.deregister(fd).unwrap();
            assert_eq!(bench.select(), []);
            assert!(bench.kernel.state().filters.is_empty());
        }
    });
}

/// `/dev/random` is ready for reading only, and poll(2) then reports no other direction.
#[test]
fn w6_a_device_that_is_ready_in_one_direction_is_reported_in_that_one() {
    on_every_kernel(|| {
        if !matches!(current().null, Null::Refused(_)) {
            return;
        }
        let random = FakeFile { writable: false, ..NULL };
        for requested in [READ, BOTH] {
            let (mut bench, fd, _null) = bench_with(random.clone());
            bench.register(fd, 1, requested, TriggerMode::Level).unwrap();
            assert_eq!(bench.select(), [(1, Readiness::READABLE)], "{requested:?}");
        }
        let (mut bench, fd, _null) = bench_with(random);
        let Null::Refused(errno) = current().null else { unreachable!() };
        assert_eq!(bench.register(fd, 1, WRITE, TriggerMode::Level), Err(Refusal::Errno(errno)));
    });
}

/// A device that has data at present may still block: its filter reports the data as well.
#[test]
fn w1_a_device_with_data_is_watched() {
    on_every_kernel(|| {
        let (mut bench, fd, _null) = bench_with(FakeFile { kind: FileKind::Device, ..READY });
        bench.register(fd, 1, READ, TriggerMode::Level).unwrap();
        assert_eq!(bench.select(), [(1, Readiness::READABLE)]);
        bench.kernel.happen(fd, |file| file.readable = false);
        assert_eq!(bench.select(), []);
    });
}

#[test]
fn a_refused_terminal_is_an_error() {
    on_every_kernel(|| {
        let mut bench = Bench::with(READY);
        bench.kernel.state().refusals.insert((7, Filter::Read), libc::EINVAL);
        assert_eq!(
            bench.register(7, 2, READ, TriggerMode::Level),
            Err(Refusal::Errno(libc::EINVAL))
        );
    });
}

#[test]
fn the_end_of_input_is_not_priority_data() {
    on_every_kernel(|| {
        let file = match current().except {
            Except::Missing | Except::Urgent => return,
            Except::UrgentAndEnds => PIPE,
            Except::Reads => EMPTY,
        };
        for errno in [0, libc::ECONNRESET] {
            let (mut bench, fd, _null) = bench_with(file.clone());
            bench.register(fd, 1, Interest::PRIORITY, TriggerMode::Level).unwrap();
            bench.kernel.happen(fd, |file| (file.read_end, file.error) = (true, errno));
            let end = Readiness::READ_CLOSED;
            let error = if errno == 0 { Readiness::empty() } else { Readiness::ERROR };
            assert_eq!(bench.select(), [(1, (end | error).with_implied())]);
        }
    });
}

#[test]
fn ordinary_data_is_not_priority_data() {
    on_every_kernel(|| {
        if current().except == Except::Missing {
            return;
        }
        for mode in MODES {
            let mut bench = Bench::with(EMPTY);
            bench.register(7, 1, Interest::PRIORITY, mode).unwrap();
            bench.kernel.happen(7, |file| (file.readable, file.is_full) = (true, true));
            assert_eq!(bench.select(), [], "{mode:?}");
            assert_eq!(bench.kernel.enabled(7), Interest::PRIORITY, "{mode:?}");
            assert!(
                bench.kernel.state().filters[0].lowat,
                "without it, a single byte would end each wait"
            );
            bench.kernel.happen(7, |file| file.priority = true);
            assert_eq!(bench.select(), [(1, Readiness::PRIORITY)], "{mode:?}");
        }
    });
}

#[test]
fn a_file_is_readable_and_writable() {
    on_every_kernel(|| {
        let (mut bench, fd, _null) = bench_with(FILE);
        bench.register(fd, 1, BOTH, TriggerMode::Level).unwrap();
        assert_eq!(bench.select(), [(1, RW)]);
    });
}
