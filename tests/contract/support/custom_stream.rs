//! Custom streams: one with some methods replaced, and one that calls back into its transport.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use mainspring::net::{Transport, TransportStream};

type ShutdownWrite<S> = Box<dyn Fn(&mut S) -> io::Result<()>>;
type Count = Rc<Cell<u32>>;

/// Stream that replaces some methods of `stream`.
pub struct AlteredStream<S> {
    pub stream: S,
    pub before_read: Box<dyn Fn()>,
    pub flush: Box<dyn Fn() -> io::Result<()>>,
    pub shutdown_write: ShutdownWrite<S>,
    pub has_buffered: fn(&S) -> bool,
}

impl<S: TransportStream + 'static> AlteredStream<S> {
    /// Returns a stream that does the same as `stream`.
    pub fn new(stream: S) -> AlteredStream<S> {
        AlteredStream {
            stream,
            before_read: Box::new(|| ()),
            flush: Box::new(|| Ok(())),
            shutdown_write: Box::new(S::shutdown_write),
            has_buffered: S::has_buffered,
        }
    }
}

/// Returns a stream, its peer, and the counts of reads and of `shutdown_write` calls.
pub fn counting_pair() -> (AlteredStream<UnixStream>, UnixStream, Count, Count) {
    let (stream, theirs) = UnixStream::pair().expect("a pair of sockets");
    let (reads, ends) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (read_count, end_count) = (reads.clone(), ends.clone());
    let counting = AlteredStream {
        before_read: Box::new(move || read_count.set(read_count.get() + 1)),
        shutdown_write: Box::new(move |stream| {
            end_count.set(end_count.get() + 1);
            TransportStream::shutdown_write(stream)
        }),
        has_buffered: |_| false,
        ..AlteredStream::new(stream)
    };
    (counting, theirs, reads, ends)
}

impl<S: TransportStream> TransportStream for AlteredStream<S> {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (self.before_read)();
        TransportStream::read(&self.stream, buffer)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        TransportStream::write(&self.stream, bytes)
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        TransportStream::write_vectored(&self.stream, slices)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        (self.shutdown_write)(&mut self.stream)
    }

    fn reader(&self) -> BorrowedFd<'_> {
        self.stream.reader()
    }

    fn has_buffered(&self) -> bool {
        (self.has_buffered)(&self.stream)
    }

    fn flush(&self) -> io::Result<()> {
        (self.flush)().and_then(|()| self.stream.flush())
    }
}

/// Function that a stream calls with its own transport.
pub type Action = Rc<dyn Fn(&Transport)>;

/// Stream that uses its own transport while a call on it is in progress.
pub struct ReentrantStream {
    stream: UnixStream,
    transport: Rc<RefCell<Option<Transport>>>,
    on_read: Option<Action>,
    /// Applies only to the next write, which takes three bytes.
    on_write: RefCell<Option<Action>>,
}

impl ReentrantStream {
    /// Returns the stream, and the cell for its transport.
    pub fn new(
        stream: UnixStream,
        on_read: Option<Action>,
        on_write: Option<Action>,
    ) -> (ReentrantStream, Rc<RefCell<Option<Transport>>>) {
        let place = Rc::<RefCell<Option<Transport>>>::default();
        let on_write = RefCell::new(on_write);
        (ReentrantStream { stream, transport: place.clone(), on_read, on_write }, place)
    }

    fn call_back(&self, action: Option<&Action>) {
        let transport = self.transport.borrow().clone();
        if let (Some(action), Some(transport)) = (action, transport) {
            action(&transport);
        }
    }
}

impl TransportStream for ReentrantStream {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.call_back(self.on_read.as_ref());
        Read::read(&mut &self.stream, buffer)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.transport.borrow().is_none() {
            return Write::write(&mut &self.stream, bytes);
        }
        match self.on_write.take() {
            None => Write::write(&mut &self.stream, bytes),
            action => {
                self.call_back(action.as_ref());
                Write::write(&mut &self.stream, &bytes[..bytes.len().min(3)])
            }
        }
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write(slices.iter().find(|it| !it.is_empty()).map_or(&[], |it| it))
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.stream.shutdown(std::net::Shutdown::Write)
    }

    fn reader(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    fn has_buffered(&self) -> bool {
        false
    }
}
