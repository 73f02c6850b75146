//! Arena of descriptors.

use std::os::fd::{AsFd, AsRawFd};
use std::panic::Location;

use mainspring_sys::{Interest, TriggerMode, nonblocking};

use super::callback::{Callback, Watching};
use super::registry::Successor;
use super::source::Source;
use super::{LoopHandle, Watched};
use crate::error::{Error, Result};
use crate::handle::Watcher;
use crate::watchers::{FdOwnership, Registration, Role};

impl<S> LoopHandle<S> {
    /// Calls `callback` in each tick in which `source` can be read without blocking: data, end of
    /// file or an error.
    ///
    /// The loop owns the source from now on and makes it non-blocking, as far as that is its own to
    /// do (below). The callback gets it lent, as [`Watched`]. When it returns `WouldBlock` or
    /// `Interrupted`, so by `?` on a read that finds nothing more, it is called again when there is
    /// something. Any other error ends the watcher, drops the source and goes to the exception
    /// handler: so handle by yourself what is to be survived, `ConnectionRefused` of a connected
    /// UDP socket for example.
    ///
    /// The non-blocking flag belongs to the open file, so copies of the descriptor share it, in other
    /// processes too (fcntl(2)). One rule holds for watchers, [`Io`](crate::Io),
    /// [`serve`](LoopHandle::serve) and [`attach`](LoopHandle::attach):
    ///
    /// * Sockets and listeners get the flag and keep it.
    /// * Pipes and devices get it, and lose it when nothing in this process watches the file any more
    ///   (device and inode number), unless they had it before. A forked child never takes it away.
    /// * A terminal never gets it, nor does any file that standard input, output or error has: other
    ///   programs and `println!` use the same open file. Such a file goes on blocking. [`Watched`]'s
    ///   `Read` returns `WouldBlock` all the same when nothing is there; a call on the source itself
    ///   must be made once in each call of the callback. For a flag of its own, open the terminal
    ///   again: `/dev/tty`, with `O_NONBLOCK`.
    ///
    /// To have a reader and a writer, watch a shared source (`Rc<T>`, `Arc<T>`) twice, or use
    /// [`watch`](LoopHandle::watch). To write from elsewhere, keep a clone of such a source.
    ///
    /// A source must not have a buffer of its own, as `std::io::Stdin` has: what lies in there the
    /// kernel does not report again. Watch its descriptor, as
    /// `File::from(stdin().as_fd().try_clone_to_owned()?)`.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyWatched`] if the fd has a reader; [`Error::Watch`] names the fd if the
    /// kernel refuses it; [`Error::Closed`]. The source is dropped then.
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use std::io::{Read, Write};
    ///
    /// let (reader, mut writer) = std::io::pipe()?;
    /// let mut el = EventLoop::with_state(Vec::new())?;
    /// el.add_reader(reader, |_, seen, reader| {
    ///     let mut buffer = [0; 16];
    ///     match reader.read(&mut buffer)? {
    ///         0 => reader.remove(), // end of file
    ///         n => seen.extend_from_slice(&buffer[..n]),
    ///     }
    ///     Ok(())
    /// })?;
    /// writer.write_all(b"hello")?;
    /// drop(writer);
    /// el.run()?;
    /// assert_eq!(el.state(), b"hello");
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    #[track_caller]
    pub fn add_reader<T, F>(&self, source: T, callback: F) -> Result<Watcher<T>>
    where
        T: AsFd + 'static,
        F: FnMut(&LoopHandle<S>, &mut S, &mut Watched<T>) -> Result<()> + 'static,
    {
        self.add_watcher(source, Role::Reader, Interest::READABLE, TriggerMode::Level, callback)
    }

    /// Calls `callback` in each tick in which `source` can be written without blocking. Otherwise
    /// as [`add_reader`](LoopHandle::add_reader).
    ///
    /// # Errors
    ///
    /// As [`add_reader`](LoopHandle::add_reader).
    #[track_caller]
    pub fn add_writer<T, F>(&self, source: T, callback: F) -> Result<Watcher<T>>
    where
        T: AsFd + 'static,
        F: FnMut(&LoopHandle<S>, &mut S, &mut Watched<T>) -> Result<()> + 'static,
    {
        self.add_watcher(source, Role::Writer, Interest::WRITABLE, TriggerMode::Level, callback)
    }

    /// Calls one `callback` for everything in `interest`; it reads what happened from
    /// [`Watched::readiness`] and changes what it wants by [`Watched::set_interest`]. An empty
    /// interest begins paused.
    ///
    /// # Libraries in C
    ///
    /// A library that brings its own descriptors (libcurl multi, c-ares, libpq, hiredis) is driven by
    /// one watcher for each of them and one timer. The fd is watched as `BorrowedFd<'static>`, whose
    /// constructor states what the library must promise: the fd is open until `remove`.
    ///
    /// | the library | the program |
    /// |---|---|
    /// | wants an fd watched (`CURL_POLL_IN`, `ev.addRead`) | `watch(fd, interest, ..)` |
    /// | has another interest, or may have another socket (`PQconnectPoll`) | [`set_interest`] |
    /// | wants no events of the fd for now | [`set_interest`] with an empty interest |
    /// | is done with the fd (`CURL_POLL_REMOVE`, `ev.cleanup`) | [`remove`] |
    /// | has another timeout (`CURLMOPT_TIMERFUNCTION`, `ares_timeout`) | [`reset_after`], `disarm` |
    ///
    /// The callback and the timer call the library, which may close its socket and open the next one:
    /// the kernel then often gives the same number again. epoll(7) and kqueue(2) drop a registration
    /// with its file, so call `set_interest` after each call of the library, also for the same
    /// interest. It watches the file that has the number now, on every selector. For the sources of
    /// the standard library, which close their own fd, an unchanged interest costs no system call.
    ///
    /// [`remove`]: LoopHandle::cancel
    /// [`reset_after`]: LoopHandle::reset_after
    /// [`set_interest`]: LoopHandle::set_interest
    ///
    /// ```
    /// use mainspring::{EventLoop, Interest};
    /// use std::io::Write;
    /// use std::os::fd::AsFd;
    ///
    /// // A library would own the socket, and give its number away.
    /// let (socket, mut server) = std::io::pipe()?;
    /// let socket: &'static std::io::PipeReader = Box::leak(Box::new(socket));
    /// let mut el = EventLoop::with_state(0)?;
    /// el.watch(socket.as_fd(), Interest::READABLE, |_, calls, fd| {
    ///     *calls += 1; // Here the library is called, and says what it waits for now.
    ///     fd.set_interest(if *calls < 3 { Interest::READABLE } else { Interest::empty() })
    /// })?;
    /// server.write_all(b"answer")?;
    /// el.run()?;
    /// assert_eq!(*el.state(), 3);
    /// # Ok::<(), mainspring::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`add_reader`](LoopHandle::add_reader).
    #[track_caller]
    pub fn watch<T, F>(&self, source: T, interest: Interest, callback: F) -> Result<Watcher<T>>
    where
        T: AsFd + 'static,
        F: FnMut(&LoopHandle<S>, &mut S, &mut Watched<T>) -> Result<()> + 'static,
    {
        self.add_watcher(source, Role::Both, interest, TriggerMode::Level, callback)
    }

    /// As [`watch`](LoopHandle::watch), in another [`TriggerMode`]: once for each change of the interest,
    /// or when a readiness begins.
    ///
    /// In the mode `Edge` the callback must go on until its call returns `WouldBlock`, and return
    /// that.
    ///
    /// # Errors
    ///
    /// As [`add_reader`](LoopHandle::add_reader).
    #[track_caller]
    pub fn watch_with_mode<T, F>(
        &self,
        source: T,
        interest: Interest,
        mode: TriggerMode,
        callback: F,
    ) -> Result<Watcher<T>>
    where
        T: AsFd + 'static,
        F: FnMut(&LoopHandle<S>, &mut S, &mut Watched<T>) -> Result<()> + 'static,
    {
        self.add_watcher(source, Role::Both, interest, mode, callback)
    }

    #[track_caller]
    fn add_watcher<T, F>(
        &self,
        source: T,
        role: Role,
        interest: Interest,
        mode: TriggerMode,
        callback: F,
    ) -> Result<Watcher<T>>
    where
        T: AsFd + 'static,
        F: FnMut(&LoopHandle<S>, &mut S, &mut Watched<T>) -> Result<()> + 'static,
    {
        self.core().check_open()?;
        let fd = source.as_fd().as_raw_fd();
        let location = Location::caller();
        let key = self.reserve_slot(location);
        let ownership = FdOwnership::of_source::<T>();
        let registration = Registration { key, role, interest, mode, ownership };
        // The file changes last: what the kernel refuses is as it was.
        let watched = self.core().register(fd, registration).and_then(|watch| {
            let begun = nonblocking::begin(source.as_fd()).inspect_err(|_| {
                self.core().unwatch(watch, key);
            });
            let refused = |source| Error::Watch { operation: "watch", fd, source };
            begun.map(|blocking| (watch, blocking)).map_err(refused)
        });
        let (watch, blocking) = watched.inspect_err(|_| {
            self.shared.callbacks.borrow_mut().remove(key);
        })?;
        let watched = Watched::new(source, self.core().clone(), fd, watch, key, blocking);
        let watching = Watching { watched: Some(watched), callback };
        self.fill_slot(key, Source::Watch(watch), Callback::repeat(watching));
        Ok(Watcher::new(self.handle(key)))
    }

    /// Gives the watched source to another callback. The old one never runs again, even if it was
    /// already queued, and is dropped. The old `watcher` names nothing any more; the new one is
    /// returned.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`] if the watcher has ended; [`Error::Closed`].
    #[track_caller]
    pub fn replace<T, F>(&self, watcher: Watcher<T>, callback: F) -> Result<Watcher<T>>
    where
        T: AsFd + 'static,
        F: FnMut(&LoopHandle<S>, &mut S, &mut Watched<T>) -> Result<()> + 'static,
    {
        self.core().check_open()?;
        let gone = Error::Gone { operation: "replace a callback" };
        let Some(Source::Watch(watch)) = self.source_of(watcher.handle) else { return Err(gone) };
        let old = watcher.handle.key;
        let mut callbacks = self.shared.callbacks.borrow_mut();
        let Some(entry) = callbacks.remove(old) else { return Err(gone) };
        let key = callbacks.insert(Source::Watch(watch), Location::caller(), None);
        if let Some(heir) = callbacks.get(key) {
            heir.background = entry.background;
        }
        drop(callbacks);
        self.core().replace_key(watch, old, key);
        self.pass_name(old, key);
        let successor: Successor<S> = Box::new(move |el, watched| {
            let mut watched = watched.downcast::<Watched<T>>().ok()?;
            if watched.is_removed() {
                el.remove_with_replacement(key); // Before the source and the callback are dropped, here.
                return None;
            }
            watched.rename(key);
            Some(Callback::repeat(Watching { watched: Some(*watched), callback }))
        });
        match entry.callback {
            Some(predecessor) if !predecessor.is_running() => {
                self.install_replacement(key, &predecessor, successor);
            }
            _ => {
                self.core().set_replacement(old, key);
                // A replacement that has not begun never runs: it is dropped, with nothing borrowed.
                drop(self.shared.successor.replace(Some((key, successor))));
            }
        }
        Ok(Watcher::new(self.handle(key)))
    }

    /// Changes what a watcher is told of. An empty interest pauses it: the kernel does not watch
    /// the fd at all until it gets another one.
    ///
    /// For a borrowed fd, and any source that is not of the standard library, the same interest is
    /// set again: if the number has become another file's, that file is watched. See
    /// [`watch`](LoopHandle::watch).
    ///
    /// # Errors
    ///
    /// [`Error::Gone`]; the kernel refuses, and then the interest is as before.
    pub fn set_interest<T>(&self, watcher: Watcher<T>, interest: Interest) -> Result<()> {
        match self.source_of(watcher.handle) {
            Some(Source::Watch(watch)) => {
                self.core().set_interest(watch, watcher.handle.key, interest)
            }
            _ => Err(Error::Gone { operation: "change the interest" }),
        }
    }
}
