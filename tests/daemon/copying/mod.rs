//! Copies between streams, and lines (docs/contract.md, section B).

mod copies;
mod files;
mod lines;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use mainspring::io::AsyncRead;

/// Reader that counts the bytes that it has read.
struct Counted<R>(R, Rc<RefCell<usize>>);

impl<R: AsyncRead> AsyncRead for Counted<R> {
    async fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read_some(buffer).await?;
        *self.1.borrow_mut() += count;
        Ok(count)
    }
}

/// Reader of given pieces, one for each read.
struct Pieces<'a>(Vec<&'a [u8]>);

impl AsyncRead for Pieces<'_> {
    async fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Ok(0);
        }
        let piece = self.0.remove(0);
        buffer[..piece.len()].copy_from_slice(piece);
        Ok(piece.len())
    }
}
