//! Files over sockets (docs/contract.md, B7 and B3).

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek};
use std::path::PathBuf;

use mainspring::net::{TcpStream, UnixStream};
use mainspring::{Error, EventLoop};

use crate::support::bytes::pattern;
use crate::support::descriptors::{reset_connection, tcp_pair};
use crate::support::{on_every_selector, simulated};

const LARGE: usize = 5 << 20;

/// A file with the bytes of `pattern`. The drop removes it.
struct Sent {
    path: PathBuf,
    file: File,
}

impl Sent {
    fn new(name: &str, length: usize) -> Sent {
        let name = format!("mainspring-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, pattern(0, length)).unwrap();
        let file = File::open(&path).unwrap();
        Sent { path, file }
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        fs::remove_file(&self.path).unwrap();
    }
}

#[test]
fn b7_a_file_is_sent_between_other_writes() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let mut sent = Sent::new("between", LARGE);
        let (ours, mut theirs) = tcp_pair();
        let ours = TcpStream::from_std(ours).unwrap();
        let received = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            theirs.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let file = &sent.file;
        let count = el.run_until_complete(async move {
            ours.write_all(b"head").await?;
            let count = ours.send_file(file, 100..u64::MAX).await?;
            ours.write_all(b"tail").await?;
            assert_eq!(ours.send_file(file, 0..3).await?, 3);
            Ok::<_, Error>(count)
        });
        assert_eq!(count.unwrap().unwrap(), LARGE as u64 - 100);
        let expected = [b"head", &pattern(100, LARGE - 100)[..], b"tail", &pattern(0, 3)].concat();
        assert!(received.join().unwrap() == expected, "in order");
        assert_eq!(sent.file.stream_position().unwrap(), 0, "the position is the user's");
    });
}

#[test]
fn b7_only_the_range_is_sent() {
    let mut el = EventLoop::new().unwrap();
    let sent = Sent::new("range", 1000);
    let file = &sent.file;
    el.run_until_complete(async move {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let ranges = [(0..0, 0), (5..5, 0), (999..5000, 1), (1000..2000, 0), (9000..9001, 0)];
        for (range, length) in ranges {
            assert_eq!(ours.send_file(file, range).await.unwrap(), length);
        }
        #[allow(clippy::reversed_empty_ranges)]
        let nothing = ours.send_file(file, 7..3).await.unwrap();
        assert_eq!(nothing, 0);
        assert_eq!(ours.send_file(file, 10..30).await.unwrap(), 20);
        drop(ours);
        let mut bytes = Vec::new();
        theirs.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, [pattern(999, 1), pattern(10, 20)].concat());
    })
    .unwrap();
}

/// Files without pages, which sendfile(2) refuses: of the proc file system, or none at all.
#[test]
fn b7_a_file_that_the_kernel_does_not_send_is_read() {
    let mut el = EventLoop::new().unwrap();
    let Ok(file) = File::open("/proc/self/cmdline") else {
        println!("skipped: no /proc");
        return;
    };
    let expected = fs::read("/proc/self/cmdline").unwrap();
    let file = &file;
    el.run_until_complete(async move {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let count = ours.send_file(file, 0..u64::MAX).await.unwrap();
        assert_eq!(count, expected.len() as u64);
        // Beyond the largest offset of sendfile(2), and of pread(2).
        assert!(ours.send_file(file, u64::MAX - 9..u64::MAX).await.is_err());
        drop(ours);
        let mut bytes = Vec::new();
        theirs.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, expected);
    })
    .unwrap();
}

#[test]
fn b7_errors_of_both_ends_are_passed_on() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let sent = Sent::new("errors", 1000);
        let file = &sent.file;
        el.run_until_complete(async move {
            let (ours, _theirs) = UnixStream::pair().unwrap();
            let folder = File::open(std::env::temp_dir()).unwrap();
            let error = ours.send_file(&folder, 0..9).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::IsADirectory);
            let reset = TcpStream::from_std(reset_connection()).unwrap();
            let error = reset.send_file(file, 0..9).await.unwrap_err();
            assert!(Error::from(error).is_disconnect());
        })
        .unwrap();
    });
}

/// Two tasks that send one file to a peer that reads all the time.
#[test]
fn b3_sending_a_file_starves_no_other_callback() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let sent = Sent::new("starve", LARGE);
        let done = std::rc::Rc::new(std::cell::Cell::new(0));
        for _ in 0..2 {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let file = sent.file.try_clone().unwrap();
            el.spawn(async move { ours.send_file(&file, 0..u64::MAX).await.map(drop) }).detach();
            let done = done.clone();
            el.spawn(async move {
                let mut count = 0;
                while count < LARGE {
                    count += theirs.read_chunk().await.unwrap().len();
                }
                done.set(done.get() + 1);
            })
            .detach();
        }
        let mut ticks = 0;
        while done.get() < 2 {
            el.tick(None).unwrap();
            ticks += 1;
        }
        // In a tick no call of a task begins after 256 KiB, and a call moves less than that.
        assert!(ticks >= LARGE / (512 * 1024), "{ticks} ticks");
    });
}
