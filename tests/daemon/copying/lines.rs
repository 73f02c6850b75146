//! Lines and delimited parts (docs/contract.md, B3 to B6).

use std::cell::RefCell;
use std::io::{ErrorKind, Write};
use std::rc::Rc;
use std::time::Duration;

use mainspring::io::{AsyncRead, AsyncWrite, BufReader};
use mainspring::net::UnixStream;
use mainspring::{EventLoop, Io, spawn, timeout};

use super::{Counted, Pieces};
use crate::support::bytes::RandomNumbers;
use crate::support::{on_every_selector, simulated};

/// Runs a future in a new loop.
fn run<T>(future: impl Future<Output = T>) -> T {
    EventLoop::new().unwrap().run_until_complete(future).unwrap()
}

async fn all_lines<R: AsyncRead>(reader: R) -> Vec<String> {
    let (mut lines, mut all) = (BufReader::new(reader).lines(), Vec::new());
    while let Some(line) = lines.next_line().await.unwrap() {
        all.push(line);
    }
    assert_eq!(lines.next_line().await.unwrap(), None, "the end is reported again");
    all
}

#[test]
fn b4_lines_end_with_a_newline_or_with_the_input() {
    let cases: [(&[u8], &[&str]); 8] = [
        (b"", &[]),
        (b"a", &["a"]),
        (b"a\n", &["a"]),
        (b"a\r\nb\n", &["a", "b"]),
        (b"\n\r\n\n", &["", "", ""]),
        (b"a\rb\r\r\nc\r", &["a\rb\r", "c\r"]), // Only a `\r` before the `\n` is removed.
        ("ä\nö".as_bytes(), &["ä", "ö"]),
        (b"a\n\0\nb", &["a", "\0", "b"]),
    ];
    for (input, lines) in cases {
        // In one piece, and byte by byte.
        assert_eq!(run(all_lines(Pieces(vec![input; usize::from(!input.is_empty())]))), lines);
        assert_eq!(run(all_lines(Pieces(input.chunks(1).collect()))), lines);
    }
}

#[test]
fn b4_parts_are_whole_whatever_the_sizes_of_the_reads() {
    let mut random = RandomNumbers::new(7);
    for _ in 0..200 {
        let text: Vec<u8> = (0..random.below(300)).map(|_| b"ab;"[random.below(3)]).collect();
        let (mut pieces, mut rest) = (Vec::new(), &text[..]);
        while !rest.is_empty() {
            let (piece, others) = rest.split_at(1 + random.below(rest.len()));
            (rest, _) = (others, pieces.push(piece));
        }
        let mut reader = BufReader::new(Pieces(pieces));
        let parts = run(async {
            let mut parts = Vec::new();
            loop {
                let mut part = Vec::new();
                let length = reader.read_until(b';', &mut part).await.unwrap();
                assert_eq!(length, part.len());
                if part.is_empty() {
                    return parts;
                }
                parts.push(part);
            }
        });
        let expected: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b';').collect();
        assert_eq!(parts, expected);
    }
}

#[test]
fn b4_lines_of_sockets_and_pipes_on_every_selector() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"from a pipe\nlast").unwrap();
        drop(writer);
        let lines = el.run_until_complete(async move {
            let socket = spawn(all_lines(ours));
            let pipe = spawn(all_lines(Io::new(reader).unwrap()));
            for piece in ["one\ntw", "o\nthr", "ee"] {
                theirs.write_all(piece.as_bytes()).await.unwrap();
                mainspring::yield_now().await;
            }
            drop(theirs);
            (socket.await.unwrap(), pipe.await.unwrap())
        });
        let (socket, pipe) = lines.unwrap();
        assert_eq!(socket, ["one", "two", "three"]);
        assert_eq!(pipe, ["from a pipe", "last"]);
    });
}

/// A peer that sends no delimiter.
#[test]
fn b5_a_part_beyond_the_limit_is_an_error() {
    let read = Rc::new(RefCell::new(0));
    let endless = Counted(Pieces(vec![&[b'x'; 1000]; 100]), read.clone());
    let mut reader = BufReader::with_limit(2500, endless);
    run(async {
        let (mut part, mut line) = (Vec::new(), String::new());
        for _ in 0..3 {
            let error = reader.read_until(b'\n', &mut part).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert_eq!(error.to_string(), "no delimiter within the limit of 2500 bytes");
        }
        assert!(reader.read_line(&mut line).await.is_err());
        assert_eq!((part.len(), line.len()), (0, 0));
        assert_eq!((*read.borrow(), reader.buffer().len()), (3000, 3000), "nothing more is read");
        reader.set_limit(usize::MAX);
        assert_eq!(reader.read_until(b'\n', &mut part).await.unwrap(), 100_000);
        assert_eq!(part.len(), 100_000);
    });
}

/// The limit does not depend on how many bytes a read returns.
#[test]
fn b5_a_part_of_the_limit_is_read() {
    let text = b"12345\n123456\n1234";
    for size in 1..=text.len() {
        let mut reader = BufReader::with_limit(5, Pieces(text.chunks(size).collect()));
        run(async {
            let mut part = Vec::new();
            assert_eq!(reader.read_until(b'\n', &mut part).await.unwrap(), 6);
            assert!(reader.read_until(b'\n', &mut part).await.is_err(), "reads of {size}");
            // The bytes are still in the buffer, so a higher limit reads them.
            reader.set_limit(6);
            assert_eq!(reader.read_until(b'\n', &mut part).await.unwrap(), 7);
            reader.set_limit(4);
            assert_eq!(reader.read_until(b'\n', &mut part).await.unwrap(), 4);
            assert_eq!(part, text);
        });
    }
}

#[test]
fn b6_a_dropped_read_loses_no_byte() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (ours, theirs) = UnixStream::pair().unwrap();
        let all = el.run_until_complete(async move {
            let (mut lines, mut all) = (BufReader::new(&ours).lines(), Vec::new());
            for byte in b"first line\nsecond\r\nthird" {
                theirs.write_all(&[*byte]).await.unwrap();
                // Ends each read after one byte.
                match timeout(Duration::from_millis(10), lines.next_line()).await {
                    Ok(line) => all.push(line.unwrap().unwrap()),
                    Err(_expired) => {}
                }
            }
            drop(theirs);
            while let Some(line) = lines.next_line().await.unwrap() {
                all.push(line);
            }
            all
        });
        assert_eq!(all.unwrap(), ["first line", "second", "third"]);
    });
}

#[test]
fn b6_a_line_that_is_not_text_can_be_read_as_bytes() {
    let mut reader = BufReader::new(Pieces(vec![b"ok\n\xff\xfe\nend\n"]));
    run(async {
        let (mut line, mut bytes) = (String::new(), Vec::new());
        assert_eq!(reader.read_line(&mut line).await.unwrap(), 3);
        let error = reader.read_line(&mut line).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(line, "ok\n", "nothing was appended");
        assert_eq!(reader.read_until(b'\n', &mut bytes).await.unwrap(), 3);
        assert_eq!(bytes, b"\xff\xfe\n");
        assert_eq!(reader.lines().next_line().await.unwrap().unwrap(), "end");
    });
}

/// Lines that are in the buffer already are awaits that complete at once.
#[test]
fn b3_a_loop_over_buffered_lines_leaves_the_tick() {
    let mut el = EventLoop::new().unwrap();
    let count = Rc::new(RefCell::new(0));
    let counted = count.clone();
    el.spawn(async move {
        let mut lines = BufReader::new(Pieces(vec![&[b'\n'; 10_000]])).lines();
        while lines.next_line().await.unwrap().is_some() {
            *counted.borrow_mut() += 1;
        }
    })
    .detach();
    el.tick(None).unwrap();
    assert!((1..=128).contains(&*count.borrow()), "{}", count.borrow());
    el.run().unwrap();
    assert_eq!(*count.borrow(), 10_000);
}

#[test]
fn b4_a_buffered_reader_reads_and_writes_like_its_source() {
    let mut el = EventLoop::new().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    el.run_until_complete(async {
        theirs.write_all(b"line\nrest").await.unwrap();
        let mut reader = BufReader::new(ours);
        reader.read_line(&mut String::new()).await.unwrap();
        let mut buffer = [0; 3];
        assert_eq!(reader.read(&mut buffer).await.unwrap(), 3);
        assert_eq!(&reader.next_chunk().await.unwrap()[..], b"t");
        theirs.write_all(b"more").await.unwrap();
        assert_eq!(&reader.next_chunk().await.unwrap()[..], b"more");
        assert_eq!(reader.write_some(b"answer").await.unwrap(), 6);
        reader.flush().await.unwrap();
        reader.finish().await.unwrap();
        let mut answer = Vec::new();
        theirs.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
        assert!(reader.get_ref().local_addr().is_ok());
        drop(reader.into_inner());
    })
    .unwrap();
}
