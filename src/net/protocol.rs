//! What happens to a connection, moment by moment.

use std::cell::RefCell;
use std::rc::Rc;

use super::Transport;
use crate::error::{Error, Result};
use crate::event_loop::LoopHandle;

/// The user's side of a connection: the loop calls these moments, in an order that is always
///
/// ```text
/// connection_made  (data_received)*  eof_received?  connection_lost
/// ```
///
/// with pairs of `pause_writing` and `resume_writing` in between. `connection_lost` comes exactly
/// once and last; only a protocol that has panicked, and those of a loop that is dropped, are
/// dropped without it.
///
/// An error returned from any of them ends the connection at once: what is queued is dropped,
/// `connection_lost` gets the error, and the exception handler too. `WouldBlock` and `Interrupted`
/// are no errors.
///
/// The exception handler does not get an error by which a peer goes
/// ([`Error::is_disconnect`]), whether the loop met it or a callback returned it, unless
/// [`EventLoopBuilder::report_disconnects`](crate::EventLoopBuilder::report_disconnects) is set. The rule for detached
/// tasks is the same.
///
/// For the common case [`serve`](LoopHandle::serve) and [`attach`](LoopHandle::attach) take a
/// closure in the place of `data_received`; the other moments are the defaults.
pub trait Protocol<S> {
    /// The connection is there. `conn` can be cloned and kept, to write from elsewhere.
    ///
    /// # Errors
    ///
    /// End the connection, as everywhere here.
    fn connection_made(
        &mut self,
        el: &LoopHandle<S>,
        state: &mut S,
        conn: &Transport,
    ) -> Result<()> {
        let _ = (el, state, conn);
        Ok(())
    }

    /// Bytes have come: any number of them, at least one, in the order in which they were sent.
    /// `data` is the loop's buffer and only lent.
    ///
    /// # Errors
    ///
    /// End the connection, as everywhere here.
    fn data_received(
        &mut self,
        el: &LoopHandle<S>,
        state: &mut S,
        conn: &Transport,
        data: &[u8],
    ) -> Result<()>;

    /// The peer sends nothing more. The default closes the connection; without that it stays open
    /// for writing until [`close`](Transport::close) or
    /// [`shutdown_write`](Transport::shutdown_write).
    ///
    /// # Errors
    ///
    /// End the connection, as everywhere here.
    fn eof_received(&mut self, el: &LoopHandle<S>, state: &mut S, conn: &Transport) -> Result<()> {
        let _ = (el, state);
        conn.close();
        Ok(())
    }

    /// More is queued than the high-water mark: the peer is slower than we. The default stops
    /// reading, so a peer that does not read its answers cannot make us queue more of them. What
    /// others write to it, as in a chat, is queued all the same: look at
    /// [`queued`](Transport::queued), and [`abort`](Transport::abort) who is too slow.
    ///
    /// # Errors
    ///
    /// End the connection, as everywhere here.
    fn pause_writing(&mut self, el: &LoopHandle<S>, state: &mut S, conn: &Transport) -> Result<()> {
        let _ = (el, state);
        conn.hold_reading();
        Ok(())
    }

    /// The queue is below the low-water mark again. The default reads again, unless you have
    /// [paused](Transport::pause_reading) that for reasons of your own. Who overrides one of the two
    /// overrides both.
    ///
    /// # Errors
    ///
    /// End the connection, as everywhere here.
    fn resume_writing(
        &mut self,
        el: &LoopHandle<S>,
        state: &mut S,
        conn: &Transport,
    ) -> Result<()> {
        let _ = (el, state);
        conn.release_reading();
        Ok(())
    }

    /// The connection is over: closed by us, or both directions have ended (`None`), or because of an
    /// error. The peer's regular end is no error: [`eof_received`](Self::eof_received) has told of
    /// it, and its default closes. An error that is no
    /// [disconnect](crate::Error::is_disconnect), such as a full disk, goes to the exception handler as
    /// well.
    ///
    /// # Errors
    ///
    /// Go to the exception handler.
    fn connection_lost(
        &mut self,
        el: &LoopHandle<S>,
        state: &mut S,
        reason: Option<&Error>,
    ) -> Result<()> {
        let _ = (el, state, reason);
        Ok(())
    }
}

/// A closure as the protocol of one connection.
pub(crate) struct Closure<F>(pub(crate) F);

impl<S, F> Protocol<S> for Closure<F>
where
    F: FnMut(&LoopHandle<S>, &mut S, &Transport, &[u8]) -> Result<()>,
{
    #[inline]
    fn data_received(
        &mut self,
        el: &LoopHandle<S>,
        state: &mut S,
        conn: &Transport,
        data: &[u8],
    ) -> Result<()> {
        self.0(el, state, conn, data)
    }
}

/// One closure for all connections of a server.
///
/// Only the loop calls it, and never inside of itself, so the borrow is always free; a panic in it
/// gives it back.
pub(crate) struct SharedClosure<F>(pub(crate) Rc<RefCell<F>>);

impl<S, F> Protocol<S> for SharedClosure<F>
where
    F: FnMut(&LoopHandle<S>, &mut S, &Transport, &[u8]) -> Result<()>,
{
    #[inline]
    fn data_received(
        &mut self,
        el: &LoopHandle<S>,
        state: &mut S,
        conn: &Transport,
        data: &[u8],
    ) -> Result<()> {
        self.0.borrow_mut()(el, state, conn, data)
    }
}
