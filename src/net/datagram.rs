//! Sending datagrams: waiting for room where the kernel reports it, and otherwise by pauses.

use std::io;
use std::time::Duration;

use mainspring_sys::everyday::{Meaning, Operation, meaning};

use crate::task::{Io, budget, sleep};

/// The first pause, and the longest one.
const PAUSE: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(64);

/// Sends once, as soon as there is room. BSDs answer ENOBUFS if the queue of a Unix receiver or of
/// an interface is full, and no readiness reports its end.
pub(super) async fn send<T>(
    io: &Io<T>,
    send: impl Fn(&T) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut pause = PAUSE;
    loop {
        match io.write_with(&send).await {
            Err(error) if meaning(Operation::SendDatagram, &error) == Meaning::Pause => {
                sleep(pause).await;
            }
            result => return result,
        }
        pause = LONGEST.min(2 * pause);
    }
}

/// Sends once, as soon as the receiver has room, which no kernel reports to a sender that is not
/// connected to it.
pub(super) async fn send_by_pauses(send: impl Fn() -> io::Result<usize>) -> io::Result<usize> {
    budget::step().await;
    let mut pause = PAUSE;
    loop {
        match send() {
            Err(error)
                if matches!(
                    meaning(Operation::SendDatagram, &error),
                    Meaning::Wait | Meaning::Pause
                ) =>
            {
                sleep(pause).await;
            }
            result => return result,
        }
        pause = LONGEST.min(2 * pause);
    }
}
