//! Descriptors over Unix sockets: what a kernel does with them.

mod fd_limit;

use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};

use mainspring_sys::fd::is_nonblocking;
use mainspring_sys::socket::{MAX_FDS, recv, recv_fds, send, send_fds};

/// Sends `writer`, which is closed here.
fn send_writer(socket: &UnixStream, bytes: &[u8], writer: PipeWriter) {
    assert_eq!(send_fds(socket, bytes, &[writer.as_fd()]).unwrap(), bytes.len());
}

/// Asserts that no process has a writer of the pipe.
#[track_caller]
fn assert_all_closed(mut reader: PipeReader) {
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}

fn is_close_on_exec(fd: &OwnedFd) -> bool {
    // SAFETY: F_GETFD takes no argument and touches no memory of ours.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) };
    flags & libc::FD_CLOEXEC != 0
}

#[test]
fn d1_received_descriptors_are_close_on_exec_and_owned() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (reader, writer) = pipe().unwrap();
    send_writer(&ours, b"x", writer);
    let (count, fds) = recv_fds(&theirs, &mut [0; 8]).unwrap();
    assert_eq!((count, fds.len()), (1, 1));
    assert!(is_close_on_exec(&fds[0]));
    assert!(!is_nonblocking(fds[0].as_raw_fd()).unwrap(), "flags of the file are the sender's");
    drop(fds);
    assert_all_closed(reader);
}

/// On a stream, each call returns the descriptors of one message, with its first byte.
#[test]
fn d3_descriptors_stay_in_order_with_the_bytes() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let pipes: Vec<_> = (0..3).map(|_| pipe().unwrap()).collect();
    send(&ours, b"a").unwrap();
    for (index, (_, writer)) in pipes.iter().enumerate() {
        let fds = vec![writer.as_fd(); index + 1];
        assert_eq!(send_fds(&ours, &[b'0' + index as u8], &fds).unwrap(), 1);
        send(&ours, b"b").unwrap();
    }
    drop(ours);
    let (mut bytes, mut order) = (Vec::new(), Vec::new());
    loop {
        let mut buffer = [0; 64];
        let (count, fds) = recv_fds(&theirs, &mut buffer).unwrap();
        if count == 0 {
            break;
        }
        if !fds.is_empty() {
            let digits = buffer[..count].iter().filter(|byte| byte.is_ascii_digit());
            let index = digits.map(|digit| usize::from(digit - b'0')).collect::<Vec<_>>();
            assert_eq!(index, [fds.len() - 1], "with the first byte of its message");
            order.push(fds.len());
        }
        bytes.extend(&buffer[..count]);
    }
    assert_eq!((&bytes[..], &order[..]), (&b"a0b1b2b"[..], &[1, 2, 3][..]));
}

#[test]
fn d3_a_short_write_has_sent_all_descriptors() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let (reader, writer) = pipe().unwrap();
    let bytes = vec![7; 8 << 20];
    let count = send_fds(&ours, &bytes, &[writer.as_fd()]).unwrap();
    assert!(count < bytes.len());
    drop((writer, ours));
    let (mut received, mut fds) = (0, Vec::new());
    loop {
        let mut buffer = vec![0; 1 << 20];
        let (count, some) = recv_fds(&theirs, &mut buffer).unwrap();
        fds.extend(some);
        received += count;
        if count == 0 {
            break;
        }
    }
    assert_eq!((received, fds.len()), (count, 1));
    drop(fds);
    assert_all_closed(reader);
}

#[test]
fn d4_a_plain_receive_closes_them() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (reader, writer) = pipe().unwrap();
    send_writer(&ours, b"x", writer);
    assert_eq!(recv(&theirs, &mut [0; 8]).unwrap(), 1);
    assert_all_closed(reader);
}

#[test]
fn d1_a_message_carries_up_to_the_maximum() {
    if !fd_limit::has_room_for(2 * MAX_FDS as u64) {
        return;
    }
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let (reader, writer) = pipe().unwrap();
    let fds: Vec<BorrowedFd<'_>> = vec![writer.as_fd(); MAX_FDS + 1];
    assert_eq!(send_fds(&ours, b"all", &fds[..MAX_FDS]).unwrap(), 3);
    let (count, received) = recv_fds(&theirs, &mut [0; 8]).unwrap();
    assert_eq!((count, received.len()), (3, MAX_FDS));
    let error = send_fds(&ours, b"more", &fds).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().starts_with("254 descriptors"), "{error}");
    let error = send_fds(&ours, b"", &fds[..1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    drop((writer, received));
    assert_all_closed(reader);
}

#[test]
fn a_message_without_descriptors_is_a_plain_one() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    assert_eq!(send_fds(&ours, b"plain", &[]).unwrap(), 5);
    (&ours).write_all(b"x").unwrap();
    let (count, fds) = recv_fds(&theirs, &mut [0; 16]).unwrap();
    assert_eq!((count, fds.len()), (6, 0));
    drop(ours);
    assert_eq!(recv_fds(&theirs, &mut [0; 16]).unwrap().0, 0);
}

/// A socket with the option SO_PASSCRED: each message has the credentials of its sender as well.
#[cfg(has_so_peercred)]
#[test]
fn d1_credentials_beside_descriptors_are_ignored() {
    if !fd_limit::has_room_for(2 * MAX_FDS as u64) {
        return;
    }
    let (ours, theirs) = UnixStream::pair().unwrap();
    let on: libc::c_int = 1;
    // SAFETY: `on` is readable for its size and outlives the call.
    let set = unsafe {
        libc::setsockopt(
            theirs.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PASSCRED,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    assert_eq!(set, 0);
    let (reader, writer) = pipe().unwrap();
    send_fds(&ours, b"all", &vec![writer.as_fd(); MAX_FDS]).unwrap();
    let (count, fds) = recv_fds(&theirs, &mut [0; 8]).unwrap();
    assert_eq!((count, fds.len()), (3, MAX_FDS));
    drop((fds, writer));
    assert_all_closed(reader);
}

/// All eventfds have one inode, so the flag of one must not be cleared for another.
#[cfg(has_eventfd)]
#[test]
fn w11_p13_an_eventfd_keeps_its_flag() {
    use mainspring_sys::nonblocking;
    use std::os::fd::FromRawFd;

    let open = |flags| {
        // SAFETY: the call takes integers and touches no memory of ours.
        let fd = unsafe { libc::eventfd(0, flags) };
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        // SAFETY: the call succeeded, so `fd` is open, and has no other owner.
        unsafe { OwnedFd::from_raw_fd(fd) }
    };
    let (blocking, other) = (open(libc::EFD_CLOEXEC), open(libc::EFD_CLOEXEC | libc::EFD_NONBLOCK));
    let all = [&blocking, &other].map(|fd| (fd, nonblocking::begin(fd.as_fd()).unwrap()));
    assert!(is_nonblocking(blocking.as_raw_fd()).unwrap());
    for (fd, mode) in all {
        nonblocking::end(fd.as_raw_fd(), mode);
    }
    assert!(is_nonblocking(other.as_raw_fd()).unwrap(), "it had the flag before");
}
