//! The feature `futures-io`: code written for the traits of the futures crates works with our
//! streams (docs/contract.md, S1).

use std::io::{ErrorKind, pipe};

use futures::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter, copy};
use futures::{StreamExt, future};
use mainspring::Io;
use mainspring::net::{TcpListener, TcpStream, UnixStream};

use crate::support::descriptors::hang_up;
use crate::support::{on_every_selector, simulated};

#[test]
fn s1_lines_of_a_buffered_stream_are_read() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (client, server) = UnixStream::pair().unwrap();
        let serving = el.spawn(async move {
            let mut lines = BufReader::new(&server).lines();
            let mut answers = BufWriter::new(&server);
            while let Some(line) = lines.next().await {
                answers.write_all(line?.to_uppercase().as_bytes()).await?;
                answers.write_all(b"\n").await?;
                answers.flush().await?;
            }
            answers.close().await
        });
        let answers = el.run_until_complete(async {
            let (reader, writer) = client.into_split();
            let asking = mainspring::spawn(async move {
                let mut writer = writer;
                for word in ["one\n", "two\n", "three"] {
                    AsyncWriteExt::write_all(&mut writer, word.as_bytes()).await.unwrap();
                    mainspring::yield_now().await;
                }
            });
            let answers: Vec<_> =
                BufReader::new(reader).lines().map(Result::unwrap).collect().await;
            asking.await.unwrap();
            answers
        });
        assert_eq!(answers.unwrap(), ["ONE", "TWO", "THREE"]);
        el.run_until_complete(serving).unwrap().unwrap().unwrap();
    });
}

/// Sends 4 MiB there and back, with `copy` on the server's side.
#[test]
fn s1_copy_echoes_a_stream() {
    const TOTAL: usize = 4 << 20;
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = el.spawn(async move {
            let (conn, _) = listener.accept().await.unwrap();
            copy(&conn, &mut &conn).await.unwrap()
        });
        let sent: Vec<u8> = (0..TOTAL).map(|at| ((at * 7919) >> 3) as u8).collect();
        el.run_until_complete(async {
            let conn = TcpStream::connect(address).await.unwrap();
            let (mut reader, mut writer) = conn.split();
            let sending = async {
                AsyncWriteExt::write_all(&mut writer, &sent).await.unwrap();
                writer.close().await.unwrap();
            };
            let mut received = Vec::new();
            let receiving = AsyncReadExt::read_to_end(&mut reader, &mut received);
            assert_eq!(future::join(sending, receiving).await.1.unwrap(), TOTAL);
            assert!(received == sent);
        })
        .unwrap();
        assert_eq!(el.run_until_complete(serving).unwrap().unwrap(), TOTAL as u64);
    });
}

#[test]
fn s1_pipes_implement_the_traits() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (reader, writer) = pipe().unwrap();
        let (mut reader, mut writer) = (Io::new(reader).unwrap(), Io::new(writer).unwrap());
        let reading = el.spawn(async move {
            let mut text = String::new();
            reader.read_to_string(&mut text).await.unwrap();
            text
        });
        el.run_until_complete(async move {
            AsyncWriteExt::write_all(&mut writer, b"through a pipe").await.unwrap();
            writer.close().await.unwrap();
        })
        .unwrap();
        assert_eq!(el.run_until_complete(reading).unwrap().unwrap(), "through a pipe");
    });
}

#[test]
fn s1_a_closed_peer_is_an_error_of_the_traits() {
    on_every_selector(|kind| {
        let (mut el, _) = simulated(kind, ());
        let (mut one, other) = UnixStream::pair().unwrap();
        hang_up(other);
        let gone = el.run_until_complete(AsyncWriteExt::write_all(&mut one, b"x")).unwrap();
        assert_eq!(gone.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}
