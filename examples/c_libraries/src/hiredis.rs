//! Redis by hiredis: its hooks drive a watcher, and its replies set promises.
//!
//! hiredis owns the socket and keeps it for the whole life of a connection. It calls the hook
//! `cleanup` before it closes the socket, so the watcher ends in time. The watcher has a duplicate
//! of the socket, because a watcher owns its source.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_longlong, c_void};
use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr::null_mut;
use std::rc::Rc;
use std::slice;

use mainspring::{
    Error, Interest, LoopHandle, Promise, Promised, Readiness, Result, Watcher, promise,
};

/// `redisAsyncContext`.
#[repr(C)]
struct Context([u8; 0]);

/// `redisReply`.
#[repr(C)]
struct RawReply([u8; 0]);

type Hook = unsafe extern "C" fn(data: *mut c_void);

/// `struct hooks` of hiredis.c.
#[repr(C)]
struct Hooks {
    add_read: Hook,
    del_read: Hook,
    add_write: Hook,
    del_write: Hook,
    cleanup: Hook,
}

const OK: c_int = 0;
const TEXT: c_int = 1;
const INTEGER: c_int = 3;
const NIL: c_int = 4;
const STATUS: c_int = 5;
const ERROR: c_int = 6;

unsafe extern "C" {
    fn redisAsyncConnectUnix(path: *const c_char) -> *mut Context;
    fn redisAsyncCommandArgv(
        context: *mut Context,
        on_reply: unsafe extern "C" fn(*mut Context, *mut c_void, *mut c_void),
        data: *mut c_void,
        count: c_int,
        words: *const *const c_char,
        lengths: *const usize,
    ) -> c_int;
    fn redisAsyncHandleRead(context: *mut Context);
    fn redisAsyncHandleWrite(context: *mut Context);
    fn redisAsyncFree(context: *mut Context);

    fn access_attach(context: *mut Context, hooks: *const Hooks, data: *mut c_void);
    fn access_fd(context: *const Context) -> c_int;
    fn access_error(context: *const Context) -> *const c_char;
    fn access_type(reply: *const RawReply) -> c_int;
    fn access_integer(reply: *const RawReply) -> c_longlong;
    fn access_text(reply: *const RawReply, length: *mut usize) -> *const c_char;
}

/// A reply of the server. An error is the error of the promise instead.
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub enum Reply {
    /// No value.
    Nil,
    /// A number.
    Integer(i64),
    /// A string or a status.
    Text(String),
    /// A reply of another type, for example an array.
    Other,
}

/// A connection to Redis. Dropping it closes the connection, and its open promises get an error.
pub struct Redis(Rc<Connection>);

/// The value behind the user pointer of the connection. hiredis holds one reference to it, and the
/// callback of the watcher another one.
struct Connection {
    el: LoopHandle,
    /// Null when hiredis has freed it, because of an error or in `drop`.
    context: Cell<*mut Context>,
    watcher: Cell<Option<Watcher<OwnedFd>>>,
    /// Interest of hiredis in its socket.
    interest: Cell<Interest>,
    /// Error of a hook, which cannot return it.
    error: Cell<Option<Error>>,
}

impl Redis {
    /// Begins to connect to the socket at `path`. Commands wait until the connection is made.
    ///
    /// # Errors
    ///
    /// The message of hiredis, or the error of watching the socket.
    pub fn connect(el: &LoopHandle, path: &CStr) -> Result<Redis> {
        // SAFETY: the path is a string that ends with 0.
        let context = unsafe { redisAsyncConnectUnix(path.as_ptr()) };
        if context.is_null() {
            return Err(Error::other("out of memory"));
        }
        let redis = Redis(Rc::new(Connection {
            el: el.clone(),
            context: Cell::new(context),
            watcher: Cell::new(None),
            interest: Cell::new(Interest::empty()),
            error: Cell::new(None),
        }));
        // SAFETY: the context lives. From here on an error drops `redis`, which frees it.
        if let Some(error) = unsafe { error_of(context) } {
            return Err(error);
        }
        redis.0.attach()?;
        Ok(redis)
    }

    /// Sends a command, for example `["SET", "name", "value"]`, which must not be one of those with
    /// several replies (SUBSCRIBE, MONITOR).
    ///
    /// # Errors
    ///
    /// The promise gets an error of the server or of the connection.
    pub fn command(&self, words: &[&str]) -> Promised<Reply> {
        let (replied, reply) = promise();
        let context = self.0.context.get();
        if context.is_null() {
            replied.set_error(Error::other("the connection is closed"));
            return reply;
        }
        let starts: Vec<_> = words.iter().map(|word| word.as_ptr().cast()).collect();
        let lengths: Vec<_> = words.iter().map(|word| word.len()).collect();
        let (count, starts, lengths) = (words.len() as c_int, starts.as_ptr(), lengths.as_ptr());
        let data: *mut Promise<Reply> = Box::into_raw(Box::new(replied));
        // SAFETY: the context lives, and both arrays have `count` elements.
        let sent = unsafe {
            redisAsyncCommandArgv(context, on_reply, data.cast(), count, starts, lengths)
        };
        if sent != OK {
            // SAFETY: hiredis has not taken the promise.
            let replied = unsafe { Box::from_raw(data) };
            replied.set_error(Error::other("hiredis does not take the command"));
        }
        reply
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let context = self.0.context.get();
        if !context.is_null() {
            // SAFETY: the context lives, and `cleanup` removes it from the connection.
            unsafe { redisAsyncFree(context) };
            self.0.context.set(null_mut()); // Without the hooks, `cleanup` was not called.
        }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Redis").finish_non_exhaustive()
    }
}

impl Connection {
    /// Watches a duplicate of the socket, and passes the hooks to hiredis.
    fn attach(self: &Rc<Connection>) -> Result<()> {
        let context = self.context.get();
        // SAFETY: the context lives.
        let number = unsafe { access_fd(context) };
        // SAFETY: hiredis does not close its socket before this function returns.
        let socket = unsafe { BorrowedFd::borrow_raw(number) };
        let socket = socket.try_clone_to_owned()?;
        let connection = self.clone();
        let watcher = self.el.watch(socket, Interest::empty(), move |_, (), socket| {
            connection.handle(socket.readiness());
            connection.error.take().map_or(Ok(()), Err)
        })?;
        self.watcher.set(Some(watcher));
        let hooks = Hooks { add_read, del_read, add_write, del_write, cleanup };
        let data = Rc::into_raw(self.clone()).cast_mut().cast();
        // SAFETY: the context lives, and `data` does until `cleanup`, the last hook.
        unsafe { access_attach(context, &hooks, data) };
        Ok(())
    }

    /// Passes readiness to hiredis. Each of its calls may free the context.
    fn handle(&self, readiness: Readiness) {
        let context = self.context.get();
        if !context.is_null() && readiness != Readiness::WRITABLE {
            // SAFETY: the context lives.
            unsafe { redisAsyncHandleRead(context) };
        }
        let context = self.context.get();
        if !context.is_null() && readiness.contains(Readiness::WRITABLE) {
            // SAFETY: the context lives.
            unsafe { redisAsyncHandleWrite(context) };
        }
    }

    /// Adds a direction to the interest, or removes it. hiredis often requests what it has.
    fn change(&self, direction: Interest, is_wanted: bool) {
        let mut interest = self.interest.get();
        interest.set(direction, is_wanted);
        let Some(watcher) = self.watcher.get().filter(|_| interest != self.interest.get()) else {
            return;
        };
        match self.el.set_interest(watcher, interest) {
            Ok(()) => self.interest.set(interest),
            Err(error) => self.error.set(Some(error)),
        }
    }
}

unsafe extern "C" fn add_read(data: *mut c_void) {
    // SAFETY: hiredis passes the user pointer.
    unsafe { connection(data) }.change(Interest::READABLE, true);
}

unsafe extern "C" fn del_read(data: *mut c_void) {
    // SAFETY: as above.
    unsafe { connection(data) }.change(Interest::READABLE, false);
}

unsafe extern "C" fn add_write(data: *mut c_void) {
    // SAFETY: as above.
    unsafe { connection(data) }.change(Interest::WRITABLE, true);
}

unsafe extern "C" fn del_write(data: *mut c_void) {
    // SAFETY: as above.
    unsafe { connection(data) }.change(Interest::WRITABLE, false);
}

/// Ends the watcher. hiredis closes its socket and frees the context next.
unsafe extern "C" fn cleanup(data: *mut c_void) {
    // SAFETY: this takes back the reference from `attach`; no hook runs after this one.
    let connection = unsafe { Rc::from_raw(data.cast::<Connection>()) };
    connection.context.set(null_mut());
    if let Some(watcher) = connection.watcher.take() {
        connection.el.cancel(watcher);
    }
}

/// Returns the connection behind the user pointer.
///
/// # Safety
///
/// `data` must be that pointer, before `cleanup`.
unsafe fn connection<'a>(data: *mut c_void) -> &'a Connection {
    // SAFETY: as the caller guarantees.
    unsafe { &*data.cast::<Connection>() }
}

/// Sets the promise of a command. Without a reply the connection has ended.
unsafe extern "C" fn on_reply(context: *mut Context, reply: *mut c_void, data: *mut c_void) {
    // SAFETY: `command` passed this pointer, and hiredis calls this once for each command.
    let replied = unsafe { Box::from_raw(data.cast::<Promise<Reply>>()) };
    let outcome = if reply.is_null() {
        // SAFETY: the context lives until this function has returned.
        Err(unsafe { error_of(context) }.unwrap_or(Error::other("the connection is closed")))
    } else {
        // SAFETY: the reply lives until this function has returned.
        unsafe { copy(reply.cast()) }
    };
    match outcome {
        Ok(reply) => replied.set_result(reply),
        Err(_) if replied.is_closed() => {} // Nothing waits for it: a time limit, for example.
        Err(error) => replied.set_error(error),
    }
}

/// Returns a copy of a reply, or the error that it is.
///
/// # Safety
///
/// The reply must live.
unsafe fn copy(reply: *const RawReply) -> Result<Reply> {
    // SAFETY: as the caller guarantees.
    let kind = unsafe { access_type(reply) };
    Ok(match kind {
        NIL => Reply::Nil,
        // SAFETY: as above.
        INTEGER => Reply::Integer(unsafe { access_integer(reply) }),
        // SAFETY: as above.
        TEXT | STATUS => Reply::Text(unsafe { text_of(reply) }),
        // SAFETY: as above.
        ERROR => return Err(Error::other(unsafe { text_of(reply) })),
        _ => Reply::Other,
    })
}

/// Returns the text of a reply.
///
/// # Safety
///
/// The reply must live, and have a text.
unsafe fn text_of(reply: *const RawReply) -> String {
    let mut length = 0;
    // SAFETY: as the caller guarantees.
    let text = unsafe { access_text(reply, &mut length) };
    // SAFETY: the text has this length.
    let bytes = unsafe { slice::from_raw_parts(text.cast(), length) };
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns the error of a context, if it has one.
///
/// # Safety
///
/// The context must live.
unsafe fn error_of(context: *const Context) -> Option<Error> {
    // SAFETY: as the caller guarantees.
    let message = unsafe { access_error(context) };
    if message.is_null() {
        return None;
    }
    // SAFETY: it is a string that ends with 0.
    Some(Error::other(unsafe { CStr::from_ptr(message) }.to_string_lossy()))
}
