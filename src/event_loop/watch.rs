//! Callbacks of descriptors.

use std::os::fd::{AsFd, AsRawFd};
use std::panic::Location;

use mainspring_sys::{Interest, TriggerMode, nonblocking};

use super::callback::Callback;
use super::source::Source;
use super::watching::{Watching, adopt};
use super::{LoopHandle, Watched};
use crate::error::{Error, Result};
use crate::handle::Watcher;
use crate::watchers::{FdOwnership, Registration, Role};

/// # Descriptors
impl<S> LoopHandle<S> {
    /// Calls `callback` in each tick in which `source` can be read without blocking: data, end of
    /// file or an error.
    ///
    /// The loop owns the source and makes it non-blocking, with the exceptions below. The callback
    /// borrows it as [`Watched`]. If the callback returns `WouldBlock` or `Interrupted`, for
    /// example by `?` on a read that finds nothing more, it is called again when the source is
    /// ready. Any other error ends the watcher, drops the source, and goes to the exception
    /// handler. So an error that the watcher should survive must be handled in the callback, for
    /// example `ConnectionRefused` of a connected UDP socket.
    ///
    /// The non-blocking flag belongs to the open file, so copies of the descriptor share it, in
    /// other processes too (fcntl(2)). One rule applies to watchers, [`Io`](crate::Io),
    /// [`serve`](LoopHandle::serve) and [`attach`](LoopHandle::attach):
    ///
    /// * Sockets and listeners get the flag and keep it. So do files that share one inode:
    ///   eventfds, timerfds, inotify instances, and pipes of NetBSD and OpenBSD.
    /// * Pipes and devices get it. They lose it when nothing in this process watches the file any
    ///   longer (identified by device and inode number), unless they had it before. A forked child
    ///   never clears it.
    /// * A terminal never gets it, and neither does a file that is standard input, output or error:
    ///   other programs and `println!` use the same open file. Such a file stays blocking. The
    ///   `Read` of [`Watched`] still returns `WouldBlock` if there is nothing to read. Other calls
    ///   on the source may be made once per call of the callback. For a separate flag, open the
    ///   terminal again: `/dev/tty`, with `O_NONBLOCK`.
    ///
    /// A shared source (`Rc<T>`, `Arc<T>`) can be watched twice, by a reader and a writer, and a
    /// clone of it can be kept to write from elsewhere. [`watch`](LoopHandle::watch) takes one
    /// callback for both directions.
    ///
    /// A source must not be buffered, like `std::io::Stdin`: the kernel does not report buffered
    /// data again. Watch its descriptor, as `File::from(stdin().as_fd().try_clone_to_owned()?)`.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyWatched`] if the fd already has a reader; [`Error::Watch`] with the fd if
    /// the kernel refuses it; [`Error::Closed`]. After an error the source is dropped.
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
    ///         0 => reader.cancel(), // end of file
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
    ///
    /// Lines: the closure keeps the part of a line that has arrived.
    ///
    /// ```
    /// use mainspring::EventLoop;
    /// use std::io::{Read, Write};
    ///
    /// let (reader, mut writer) = std::io::pipe()?;
    /// let mut el = EventLoop::with_state(Vec::new())?;
    /// let mut input = Vec::new();
    /// el.add_reader(reader, move |_, lines: &mut Vec<Vec<u8>>, reader| {
    ///     let mut buffer = [0; 1024];
    ///     let count = reader.read(&mut buffer)?;
    ///     if count == 0 {
    ///         reader.cancel();
    ///     }
    ///     input.extend_from_slice(&buffer[..count]);
    ///     while let Some(end) = input.iter().position(|byte| *byte == b'\n') {
    ///         lines.push(input.drain(..=end).collect());
    ///     }
    ///     Ok(())
    /// })?;
    /// writer.write_all(b"one\ntwo\nthr")?;
    /// writer.write_all(b"ee\n")?;
    /// drop(writer);
    /// el.run()?;
    /// assert_eq!(el.state(), &[&b"one\n"[..], b"two\n", b"three\n"]);
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

    /// Like [`add_reader`](LoopHandle::add_reader), but calls `callback` in each tick in which
    /// `source` can be written without blocking.
    ///
    /// # Errors
    ///
    /// Same as [`add_reader`](LoopHandle::add_reader).
    #[track_caller]
    pub fn add_writer<T, F>(&self, source: T, callback: F) -> Result<Watcher<T>>
    where
        T: AsFd + 'static,
        F: FnMut(&LoopHandle<S>, &mut S, &mut Watched<T>) -> Result<()> + 'static,
    {
        self.add_watcher(source, Role::Writer, Interest::WRITABLE, TriggerMode::Level, callback)
    }

    /// Calls `callback` when `source` is ready for anything in `interest`. [`Watched::readiness`]
    /// returns the readiness, and [`Watched::set_interest`] changes the interest. With an empty
    /// interest the watcher begins paused.
    ///
    /// # C libraries
    ///
    /// A library with its own descriptors (libcurl multi, c-ares, libpq, hiredis) is driven by one
    /// watcher for each descriptor and one timer. The fd is watched as `BorrowedFd<'static>`. The
    /// constructor of that type states what the library must guarantee: the fd is open until
    /// [`cancel`].
    ///
    /// | the library | the program |
    /// |---|---|
    /// | has an fd to watch (`CURL_POLL_IN`, `ev.addRead`) | `watch(fd, interest, ..)` |
    /// | has another interest, or may have another socket (`PQconnectPoll`) | [`set_interest`] |
    /// | needs no events of the fd for now | [`set_interest`] with an empty interest |
    /// | is done with the fd (`CURL_POLL_REMOVE`, `ev.cleanup`) | [`cancel`] |
    /// | has another timeout (`CURLMOPT_TIMERFUNCTION`, `ares_timeout`) | [`reset_after`], `disarm` |
    ///
    /// The callback and the timer call the library, which may close its socket and open the next
    /// one. The kernel then often uses the same number again. epoll(7) and kqueue(2) drop a
    /// registration with its file, so call `set_interest` after each call of the library, even for
    /// the same interest. From then on the file that has the number is watched, on every selector.
    /// Sources of the standard library close their own fd; for them an unchanged interest costs no
    /// system call.
    ///
    /// [`cancel`]: LoopHandle::cancel
    /// [`reset_after`]: LoopHandle::reset_after
    /// [`set_interest`]: LoopHandle::set_interest
    ///
    /// ```
    /// use mainspring::{EventLoop, Interest};
    /// use std::io::Write;
    /// use std::os::fd::AsFd;
    ///
    /// // A library owns the socket, and passes its number on.
    /// let (socket, mut server) = std::io::pipe()?;
    /// let socket: &'static std::io::PipeReader = Box::leak(Box::new(socket));
    /// let mut el = EventLoop::with_state(0)?;
    /// el.watch(socket.as_fd(), Interest::READABLE, |_, calls, fd| {
    ///     *calls += 1; // Here the library is called, and returns its interest.
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
    /// Same as [`add_reader`](LoopHandle::add_reader).
    #[track_caller]
    pub fn watch<T, F>(&self, source: T, interest: Interest, callback: F) -> Result<Watcher<T>>
    where
        T: AsFd + 'static,
        F: FnMut(&LoopHandle<S>, &mut S, &mut Watched<T>) -> Result<()> + 'static,
    {
        self.add_watcher(source, Role::Both, interest, TriggerMode::Level, callback)
    }

    /// Like [`watch`](LoopHandle::watch), but in another [`TriggerMode`]: once for each change of
    /// the interest, or when readiness begins.
    ///
    /// In `Edge` mode the callback must continue until a call returns `WouldBlock`, and must return
    /// that error.
    ///
    /// # Errors
    ///
    /// Same as [`add_reader`](LoopHandle::add_reader).
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
        // The flag of the file is set last: a file that the kernel refuses stays as it was.
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
    /// already queued, and is dropped. Returns the new watcher; `watcher` is no longer valid.
    ///
    /// A callback may replace itself. The new one then gets the source when the old one returns.
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
        let Some(replaced) = callbacks.remove(old) else { return Err(gone) };
        let key =
            callbacks.insert(Source::Watch(watch), Location::caller(), self.core().tick(), None);
        if let Some(entry) = callbacks.get(key) {
            entry.registered_at.set_background(replaced.registered_at.is_background());
        }
        drop(callbacks);
        self.core().replace_key(watch, old, key);
        self.pass_name(old, key);
        let replacement = Box::new(move |el: &LoopHandle<S>, watched| {
            adopt(el, key, watched, callback) // by the new key, from then on
        });
        self.replace_callback((old, replaced.callback), key, replacement);
        Ok(Watcher::new(self.handle(key)))
    }

    /// Changes the interest of a watcher. An empty interest pauses it: the kernel does not watch
    /// the fd until it gets another one.
    ///
    /// For a borrowed fd, and for any source that is not a type of the standard library, even an
    /// unchanged interest is set again: if another file now has the number, that file is watched.
    /// See [`watch`](LoopHandle::watch).
    ///
    /// # Errors
    ///
    /// [`Error::Gone`] if the watcher has ended; [`Error::Watch`] if the kernel refuses, in which
    /// case the interest is unchanged.
    pub fn set_interest<T>(&self, watcher: Watcher<T>, interest: Interest) -> Result<()> {
        match self.source_of(watcher.handle) {
            Some(Source::Watch(watch)) => {
                self.core().set_interest(watch, watcher.handle.key, interest)
            }
            _ => Err(Error::Gone { operation: "change the interest" }),
        }
    }
}
