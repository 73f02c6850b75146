//! The callbacks of a connection.

use std::cell::RefCell;
use std::rc::Rc;

use super::transport::Transport;
use crate::error::{Error, Result};
use crate::event_loop::LoopHandle;

/// The user's side of a connection. The loop calls its methods in this order:
///
/// ```text
/// connection_made  (data_received)*  eof_received?  connection_lost
/// ```
///
/// Pairs of `pause_writing` and `resume_writing` come in between. `connection_lost` is called
/// exactly once and last. Two kinds of protocols are dropped without that call: one that has
/// panicked, and those of a dropped loop.
///
/// An error returned from a method ends the connection at once: the queue is dropped, and
/// `connection_lost` and the exception handler get the error. `WouldBlock` and `Interrupted` are
/// not errors here.
///
/// Errors that only mean that the peer is gone ([`Error::is_disconnect`]) do not go to the
/// exception handler, whether they come from the loop or from a method. Set
/// [`report_disconnects`](crate::EventLoopBuilder::report_disconnects) to get them. The rule for
/// detached tasks is the same.
///
/// For the common case, [`serve`](LoopHandle::serve) and [`attach`](LoopHandle::attach) take a
/// closure instead of `data_received`; the other methods are the defaults then.
pub trait Protocol<S> {
    /// Called first. Clone and keep `conn` to write from elsewhere.
    ///
    /// # Errors
    ///
    /// Any error ends the connection.
    fn connection_made(
        &mut self,
        el: &LoopHandle<S>,
        state: &mut S,
        conn: &Transport,
    ) -> Result<()> {
        let _ = (el, state, conn);
        Ok(())
    }

    /// Called with input: one or more bytes, in the order in which they were sent. Copy what you
    /// need of `data`, which is the loop's buffer.
    ///
    /// # Errors
    ///
    /// Any error ends the connection.
    fn data_received(
        &mut self,
        el: &LoopHandle<S>,
        state: &mut S,
        conn: &Transport,
        data: &[u8],
    ) -> Result<()>;

    /// Called at the end of the input. The default closes the connection. Otherwise it stays open
    /// for writing until [`close`](Transport::close) or
    /// [`shutdown_write`](Transport::shutdown_write).
    ///
    /// # Errors
    ///
    /// Any error ends the connection.
    fn eof_received(&mut self, el: &LoopHandle<S>, state: &mut S, conn: &Transport) -> Result<()> {
        let _ = (el, state);
        conn.close();
        Ok(())
    }

    /// Called when the queue is longer than the high-water mark, because the peer reads more slowly
    /// than you write. The default pauses reading: a peer that does not read responses cannot
    /// request more of them. Other writes to this connection, as in a chat, are still queued: check
    /// [`queued`](Transport::queued), and [`abort`](Transport::abort) peers that are too slow.
    ///
    /// If you override this, override [`resume_writing`](Protocol::resume_writing) as well.
    ///
    /// # Errors
    ///
    /// Any error ends the connection.
    fn pause_writing(&mut self, el: &LoopHandle<S>, state: &mut S, conn: &Transport) -> Result<()> {
        let _ = (el, state);
        conn.hold_reading();
        Ok(())
    }

    /// Called when the queue is at the low-water mark or below again. The pause by the default
    /// [`pause_writing`](Protocol::pause_writing) has ended then, whether or not you override this.
    /// Reading continues, unless you have [paused](Transport::pause_reading) it yourself.
    ///
    /// # Errors
    ///
    /// Any error ends the connection.
    fn resume_writing(
        &mut self,
        el: &LoopHandle<S>,
        state: &mut S,
        conn: &Transport,
    ) -> Result<()> {
        let _ = (el, state, conn);
        Ok(())
    }

    /// Called last. `reason` is `None` if this side has closed, or if both directions have ended;
    /// otherwise it is the error. The end of the peer's input is not an error:
    /// [`eof_received`](Self::eof_received) was called for it, and its default closes. An error
    /// that is not a [disconnect](crate::Error::is_disconnect), such as a full disk, also goes to
    /// the exception handler.
    ///
    /// # Errors
    ///
    /// An error goes to the exception handler.
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

/// One closure that all connections of a server share.
///
/// The loop calls one callback at a time and never inside another one, so the borrow cannot fail. A
/// panic in the closure releases it.
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
