//! Redis through hiredis: a watcher drives it, and its replies set promises.
//!
//! hiredis owns the socket and keeps it for the lifetime of a connection. The watcher has a
//! duplicate of it, because a watcher owns its source.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use mainspring::{
    Interest, LoopHandle, Promise, Promised, Readiness, Result, Watched, Watcher, promise,
};

use c_libraries_sys::hiredis::Context;
pub use c_libraries_sys::hiredis::Reply;

/// A connection to Redis. Dropping it closes the connection, and its open promises get an error.
#[derive(Debug)]
pub struct Redis {
    el: LoopHandle,
    watcher: Watcher<OwnedFd>,
    connection: Rc<RefCell<Connection>>,
}

/// The part that the callback of the watcher shares.
#[derive(Debug)]
struct Connection {
    context: Context,
    /// Promises of the commands without a reply. Replies come in the order of the commands.
    promises: VecDeque<Promise<Reply>>,
}

impl Redis {
    /// Begins to connect to the socket at `path`. Commands wait until the connection is made.
    ///
    /// # Errors
    ///
    /// The message of hiredis, or the error of watching the socket.
    pub fn connect(el: &LoopHandle, path: &CStr) -> Result<Redis> {
        let context = Context::connect(path)?;
        let socket = context.socket()?.try_clone_to_owned()?;
        let connection = Rc::new(RefCell::new(Connection { context, promises: VecDeque::new() }));
        let (shared, paused) = (connection.clone(), Interest::empty());
        let watcher = el.watch(socket, paused, move |_, (), socket| handle(&shared, socket))?;
        Ok(Redis { el: el.clone(), watcher, connection })
    }

    /// Sends a command, for example `["SET", "name", "value"]`, which must not be one of those with
    /// several replies (SUBSCRIBE, MONITOR).
    ///
    /// # Errors
    ///
    /// If the connection is closed, or the error of watching the socket. The promise gets an error
    /// of the server, and of a connection that ends before the reply.
    pub fn command(&self, words: &[&str]) -> Result<Promised<Reply>> {
        let (promise, reply) = promise();
        let mut connection = self.connection.borrow_mut();
        connection.context.command(words)?;
        connection.promises.push_back(promise);
        if let Some(interest) = connection.context.interest() {
            self.el.set_interest(self.watcher, interest)?;
        }
        Ok(reply)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.connection.borrow_mut().context.close();
        set_promises(&self.connection);
        self.el.cancel(self.watcher);
    }
}

/// Passes readiness to hiredis, and does what it noted.
fn handle(connection: &RefCell<Connection>, socket: &mut Watched<OwnedFd>) -> Result<()> {
    let readiness = socket.readiness();
    if readiness != Readiness::WRITABLE {
        connection.borrow_mut().context.handle_read();
    }
    if readiness.contains(Readiness::WRITABLE) {
        connection.borrow_mut().context.handle_write();
    }
    set_promises(connection);
    match connection.borrow().context.interest() {
        Some(interest) => socket.set_interest(interest)?,
        None => socket.cancel(),
    }
    Ok(())
}

/// Sets the promises of the replies. Nothing is borrowed meanwhile, because that may run wakers.
fn set_promises(connection: &RefCell<Connection>) {
    let next = || {
        let Connection { context, promises } = &mut *connection.borrow_mut();
        context.next_reply().and_then(|reply| Some((promises.pop_front()?, reply)))
    };
    while let Some((promise, reply)) = next() {
        match reply {
            Ok(reply) => promise.set_result(reply),
            Err(_) if promise.is_closed() => {} // Nothing waits for it: a time limit, for example.
            Err(error) => promise.set_error(error),
        }
    }
}
