//! The output of a child, collected with a limit.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, PipeReader};
use std::panic::Location;
use std::pin::pin;
use std::process::Output;

use mainspring_sys::Interest;

use super::child::Child;
use crate::awaits::located;
use crate::error::{Error, Result};
use crate::io::both::both;
use crate::io::source::Io;

/// The reason why output was not collected to its end.
enum Stopped {
    Limit,
    Failed(Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Stopped {
        Stopped::Failed(error.into())
    }
}

impl Child {
    /// Closes standard input, reads standard output and standard error to their end, and waits
    /// until the program exits. Only pipes are read, see [`Stdio::piped`].
    ///
    /// `limit` is the maximum number of bytes of both together, which bounds the memory that the
    /// program can make this process use. A program that writes more is killed and reaped.
    ///
    /// The pipes end when every process that inherited them has exited. For a program that leaves
    /// processes behind, set a [`timeout`](crate::timeout).
    ///
    /// If the future is dropped, the program keeps running, unless
    /// [`kill_on_drop`](Child::kill_on_drop) is set.
    ///
    /// # Errors
    ///
    /// [`Error::OutputLimit`] with the limit; errors of reading, after which the program is killed;
    /// the errors of [`wait`](Child::wait).
    ///
    /// ```
    /// use mainspring::{Error, EventLoop, process::Child};
    /// use std::process::{Command, Stdio};
    ///
    /// let mut el = EventLoop::new()?;
    /// let start = || Child::spawn(Command::new("echo").arg("hello").stdout(Stdio::piped()));
    /// let output = el.run_until_complete(async { start()?.output_with_limit(6).await })??;
    /// assert_eq!(output.stdout, b"hello\n");
    /// let more = el.run_until_complete(async { start()?.output_with_limit(5).await })?;
    /// assert!(matches!(more, Err(Error::OutputLimit { limit: 5, .. })));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// [`Stdio::piped`]: std::process::Stdio::piped
    #[track_caller]
    pub fn output_with_limit(mut self, limit: usize) -> impl Future<Output = Result<Output>> {
        let location = Location::caller();
        located(|| "output_with_limit", async move {
            drop(self.stdin.take());
            let room = Cell::new(limit);
            let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
            let stdout = pin!(collect(stdout, &room, location));
            let stderr = pin!(collect(stderr, &room, location));
            let collected = both(stdout, stderr).await;
            if collected.is_err() {
                let _ = self.kill(); // The only error is that it has ended.
            }
            let ended = self.wait().await;
            match collected {
                Ok((stdout, stderr)) => Ok(Output { status: ended?, stdout, stderr }),
                Err(Stopped::Limit) => Err(Error::OutputLimit { pid: self.id(), limit }),
                Err(Stopped::Failed(error)) => Err(error),
            }
        })
    }
}

/// Reads a pipe to its end, for the caller at `location`. Each byte takes one of `room`.
async fn collect(
    pipe: Option<PipeReader>,
    room: &Cell<usize>,
    location: &'static Location<'static>,
) -> Result<Vec<u8>, Stopped> {
    let mut collected = Vec::new();
    let Some(pipe) = pipe else { return Ok(collected) };
    let pipe = Io::with_interest_at(pipe, Interest::READABLE, location).map_err(Stopped::Failed)?;
    loop {
        let chunk = pipe.read_chunk().await?;
        if chunk.is_empty() {
            return Ok(collected);
        }
        let left = room.get().checked_sub(chunk.len()).ok_or(Stopped::Limit)?;
        room.set(left);
        collected.extend_from_slice(&chunk);
    }
}
