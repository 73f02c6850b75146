//! Streams over a socketpair with both ends on the loop: one end writes, the other echoes, and the
//! first end reads the echo. The kernel copies the bytes four times in each bench.

use std::os::unix::net::UnixStream;

use divan::Bencher;
use divan::counter::BytesCount;
use mainspring::{EventLoop, net, spawn};

const SIZES: [usize; 2] = [64, 64 * 1024];

/// Transports with closures.
#[divan::bench(args = SIZES)]
fn write_echo(bencher: Bencher<'_, '_>, size: usize) {
    let (one, other) = UnixStream::pair().expect("there are descriptors");
    let mut el = EventLoop::with_state(0).expect("the system has a selector");
    let attached = el.attach(other, |_, _, conn, data| {
        conn.write(data);
        Ok(())
    });
    attached.expect("a socket can be watched");
    let conn = el.attach(one, |_, read, _, data| {
        *read += data.len();
        Ok(())
    });
    let conn = conn.expect("a socket can be watched");
    let message = vec![b'x'; size];
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        *el.state_mut() = 0;
        conn.write(&message);
        while *el.state() < size {
            el.tick(None).expect("the selector works");
        }
    });
}

/// Tasks: the other end is a task that reads and writes.
#[divan::bench(args = SIZES)]
fn write_echo_of_tasks(bencher: Bencher<'_, '_>, size: usize) {
    let mut el = EventLoop::new().expect("the system has a selector");
    let (message, mut buffer) = (vec![b'x'; size], vec![0; size]);
    let one = el.run_until_complete(async {
        let (one, other) = net::UnixStream::pair().expect("there are descriptors");
        spawn(echo(other, size)).detach();
        one
    });
    let one = one.expect("the selector works");
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        let asked = el.run_until_complete(async {
            one.write_all(&message).await?;
            one.read_exact(&mut buffer).await
        });
        asked.expect("the selector works").expect("the other end is open");
    });
}

async fn echo(stream: net::UnixStream, size: usize) -> mainspring::Result<()> {
    let mut buffer = vec![0; size];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read]).await?;
    }
}
