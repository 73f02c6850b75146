//! The callbacks of a datagram endpoint.

use std::io;

use mainspring_sys::socket::Datagram;

use super::datagram_transport::DatagramTransport;
use crate::error::{Error, Result};
use crate::event_loop::LoopHandle;

/// The user's side of a datagram endpoint. The loop calls its methods in this order:
///
/// ```text
/// connection_made  (datagram_received | error_received)*  connection_lost
/// ```
///
/// Pairs of `pause_writing` and `resume_writing` come in between. `connection_lost` is called
/// exactly once and last. Only a protocol that was [cancelled](DatagramTransport::handle), and
/// those of a dropped loop, are dropped without that call.
///
/// An error returned from a method, or a panic, is reported, and the endpoint continues: a datagram
/// from one peer cannot end the service for the others. Call [`close`](DatagramTransport::close) to
/// end it. `WouldBlock` and `Interrupted` are not errors here.
///
/// For the common case, [`bind_datagram`](LoopHandle::bind_datagram) takes a closure instead of
/// `datagram_received`; the other methods are the defaults then.
///
/// ```
/// use mainspring::net::{Datagram, DatagramProtocol, DatagramTransport};
/// use mainspring::{Error, EventLoop, LoopHandle, Result};
///
/// struct Once;
///
/// impl DatagramProtocol<Vec<String>> for Once {
///     fn connection_made(
///         &mut self,
///         _el: &LoopHandle<Vec<String>>,
///         _log: &mut Vec<String>,
///         endpoint: &DatagramTransport,
///     ) -> Result<()> {
///         endpoint.send_to(b"to myself", &endpoint.local_addr()?);
///         Ok(())
///     }
///
///     fn datagram_received(
///         &mut self,
///         _el: &LoopHandle<Vec<String>>,
///         log: &mut Vec<String>,
///         endpoint: &DatagramTransport,
///         datagram: &Datagram<'_>,
///     ) -> Result<()> {
///         log.push(String::from_utf8_lossy(datagram.bytes).into_owned());
///         endpoint.close();
///         Ok(())
///     }
///
///     fn connection_lost(
///         &mut self,
///         _el: &LoopHandle<Vec<String>>,
///         log: &mut Vec<String>,
///         _reason: Option<&Error>,
///     ) -> Result<()> {
///         log.push("closed".into());
///         Ok(())
///     }
/// }
///
/// let mut el = EventLoop::with_state(Vec::new())?;
/// el.bind_datagram_with("127.0.0.1:0", Once)?;
/// el.run()?;
/// assert_eq!(*el.state(), ["to myself", "closed"]);
/// # Ok::<(), Error>(())
/// ```
pub trait DatagramProtocol<S> {
    /// Called first. Clone and keep `endpoint` to send from elsewhere.
    ///
    /// # Errors
    ///
    /// An error goes to the exception handler.
    fn connection_made(
        &mut self,
        el: &LoopHandle<S>,
        state: &mut S,
        endpoint: &DatagramTransport,
    ) -> Result<()> {
        let _ = (el, state, endpoint);
        Ok(())
    }

    /// Called with each datagram, in order of arrival. Copy the bytes that you need, because they
    /// are in the loop's buffer. A datagram longer than 64 KiB, which only Unix datagrams can be,
    /// is [truncated](Datagram::truncated).
    ///
    /// # Errors
    ///
    /// An error goes to the exception handler.
    fn datagram_received(
        &mut self,
        el: &LoopHandle<S>,
        state: &mut S,
        endpoint: &DatagramTransport,
        datagram: &Datagram<'_>,
    ) -> Result<()>;

    /// Called with the error of a sent datagram: it was too long, forbidden, or refused. A
    /// connected socket reports the refusals of its peer. The endpoint continues. At most 16 errors
    /// are passed on per tick. The default ignores them.
    ///
    /// # Errors
    ///
    /// An error goes to the exception handler.
    fn error_received(
        &mut self,
        el: &LoopHandle<S>,
        state: &mut S,
        endpoint: &DatagramTransport,
        error: &io::Error,
    ) -> Result<()> {
        let _ = (el, state, endpoint, error);
        Ok(())
    }

    /// Called when the queue is longer than the high-water mark, because datagrams are sent faster
    /// than the network or the receiver accepts them. The default pauses receiving, so that no
    /// further responses are requested.
    ///
    /// If you override this, override [`resume_writing`](DatagramProtocol::resume_writing) as well.
    ///
    /// # Errors
    ///
    /// An error goes to the exception handler.
    fn pause_writing(
        &mut self,
        el: &LoopHandle<S>,
        state: &mut S,
        endpoint: &DatagramTransport,
    ) -> Result<()> {
        let _ = (el, state);
        endpoint.hold_reading();
        Ok(())
    }

    /// Called when the queue is at the low-water mark or below again. The pause by the default
    /// [`pause_writing`](DatagramProtocol::pause_writing) has ended then, whether or not you
    /// override this. Receiving continues, unless you have
    /// [paused](DatagramTransport::pause_reading) it yourself.
    ///
    /// # Errors
    ///
    /// An error goes to the exception handler.
    fn resume_writing(
        &mut self,
        el: &LoopHandle<S>,
        state: &mut S,
        endpoint: &DatagramTransport,
    ) -> Result<()> {
        let _ = (el, state, endpoint);
        Ok(())
    }

    /// Called last. `reason` is `None` if this side has closed the endpoint; otherwise it is the
    /// error, which also goes to the exception handler.
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

/// A closure as the protocol of an endpoint.
pub(super) struct Closure<F>(pub(super) F);

impl<S, F> DatagramProtocol<S> for Closure<F>
where
    F: FnMut(&LoopHandle<S>, &mut S, &DatagramTransport, &Datagram<'_>) -> Result<()>,
{
    #[inline]
    fn datagram_received(
        &mut self,
        el: &LoopHandle<S>,
        state: &mut S,
        endpoint: &DatagramTransport,
        datagram: &Datagram<'_>,
    ) -> Result<()> {
        self.0(el, state, endpoint, datagram)
    }
}
