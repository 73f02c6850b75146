//! Sending files over the sockets of tasks.

use std::fs::File;
use std::future::Future;
use std::io;
use std::ops::Range;

use mainspring_sys::Interest;
use mainspring_sys::socket;

use super::connected::ConnectedSocket;
use super::socket::Socket;
use crate::awaits::located;
use crate::task::budget;

impl ConnectedSocket {
    /// Writes the bytes of `file` in `range`. Returns their number, which is smaller if the file
    /// ends earlier. If the future is dropped, a part may have been written.
    ///
    /// The file position is neither used nor changed, so several tasks may send one file. On Linux,
    /// sendfile(2) sends the file's pages without copying them through this process. On other
    /// systems the file is read in pieces. A part of the file that is not in the page cache is read
    /// from disk, which blocks the loop.
    ///
    /// ```
    /// use mainspring::{EventLoop, net::UnixStream};
    /// use std::fs::{self, File};
    ///
    /// let path = std::env::temp_dir().join(format!("example-{}.page", std::process::id()));
    /// fs::write(&path, "<html></html>")?;
    /// let (ours, theirs) = UnixStream::pair()?;
    /// EventLoop::new()?.run_until_complete(async {
    ///     let page = File::open(&path)?;
    ///     ours.write_all(b"HTTP/1.0 200 OK\r\n\r\n").await?;
    ///     assert_eq!(ours.send_file(&page, 0..u64::MAX).await?, 13);
    ///     drop(ours);
    ///     let mut answer = Vec::new();
    ///     theirs.read_to_end(&mut answer).await?;
    ///     assert!(answer.ends_with(b"\r\n\r\n<html></html>"));
    ///     Ok::<(), mainspring::Error>(())
    /// })??;
    /// # fs::remove_file(&path)?;
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of reading the file; the errors of [`write`](ConnectedSocket::write).
    pub fn send_file(
        &self,
        file: &File,
        range: Range<u64>,
    ) -> impl Future<Output = io::Result<u64>> {
        located(|| "send_file", async move {
            budget::step().await; // An empty range is sent at once.
            let mut offset = range.start;
            while offset < range.end {
                let count = usize::try_from(range.end - offset).unwrap_or(usize::MAX);
                let send = |socket: &Socket| socket::send_file(socket, file, offset, count);
                match self.io().transfer_part(|| "send_file", Interest::WRITABLE, send).await? {
                    0 => break,
                    sent => offset += sent as u64,
                }
            }
            Ok(offset - range.start)
        })
    }
}
