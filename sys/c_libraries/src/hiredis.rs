//! A hiredis connection, which may end inside any of its calls.
//!
//! hiredis calls its hooks before a call returns. The hooks only take notes, so no code of the
//! caller runs inside a call, and none can re-enter hiredis or free its context.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::{CStr, c_char, c_int, c_longlong};
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::{ptr, slice};

use mainspring::{Error, Interest, Result};

use crate::error;

/// `redisAsyncContext`.
#[repr(C)]
struct RawContext([u8; 0]);

/// `redisReply`.
#[repr(C)]
struct RawReply([u8; 0]);

/// A function that hiredis calls with its user pointer.
type Hook = extern "C" fn(notes: &Notes);

const OK: c_int = 0;
const TEXT: c_int = 1;
const INTEGER: c_int = 3;
const NIL: c_int = 4;
const STATUS: c_int = 5;
const ERROR: c_int = 6;

const CLOSED: &str = "the connection is closed";

#[expect(improper_ctypes, reason = "hiredis only passes the address of the notes")]
unsafe extern "C" {
    fn redisAsyncConnectUnix(path: *const c_char) -> *mut RawContext;
    fn redisAsyncCommandArgv(
        context: *mut RawContext,
        on_reply: extern "C" fn(&RawContext, Option<&RawReply>, &Notes),
        notes: *const Notes,
        count: c_int,
        words: *const *const c_char,
        lengths: *const usize,
    ) -> c_int;
    fn redisAsyncHandleRead(context: *mut RawContext);
    fn redisAsyncHandleWrite(context: *mut RawContext);
    fn redisAsyncFree(context: *mut RawContext);

    fn access_attach(context: *mut RawContext, notes: *const Notes, hooks: &[Hook; 5]);
    fn access_fd(context: *const RawContext) -> c_int;
    // Safe, because a reference is always to an object that lives.
    safe fn access_error(context: &RawContext) -> *const c_char;
    safe fn access_type(reply: &RawReply) -> c_int;
    safe fn access_integer(reply: &RawReply) -> c_longlong;
    safe fn access_text(reply: &RawReply, length: &mut usize) -> *const c_char;
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

/// A connection, and the notes of what hiredis requests and receives.
#[derive(Debug)]
pub struct Context(Rc<Notes>);

/// The value behind the user pointers. It lives until hiredis has freed the context.
#[derive(Debug)]
struct Notes {
    /// Null when hiredis has freed it, or does so before its call returns.
    context: Cell<*mut RawContext>,
    /// Interest of hiredis in its socket.
    interest: Cell<Interest>,
    /// Replies in the order of the commands.
    replies: RefCell<VecDeque<Result<Reply>>>,
}

impl Context {
    /// Begins to connect to the socket at `path`.
    pub fn connect(path: &CStr) -> Result<Context> {
        // SAFETY: the path is a string that ends with 0.
        let raw = unsafe { redisAsyncConnectUnix(path.as_ptr()) };
        if raw.is_null() {
            return Err(Error::other("out of memory"));
        }
        let (interest, replies) = (Cell::new(Interest::empty()), RefCell::default());
        let context = Context(Rc::new(Notes { context: Cell::new(raw), interest, replies }));
        let hooks = [add_read, del_read, add_write, del_write, cleanup];
        // SAFETY: the raw context lives, and the notes do until it is freed.
        unsafe { access_attach(raw, Rc::as_ptr(&context.0), &hooks) };
        // SAFETY: the raw context lives. An error drops `context`, which frees it.
        error_of(unsafe { &*raw }).map_or(Ok(context), Err)
    }

    /// Returns the socket, which is the same one until the end of the connection.
    pub fn socket(&self) -> Result<BorrowedFd<'_>> {
        // SAFETY: the raw context lives.
        let number = unsafe { access_fd(self.raw()?) };
        // SAFETY: it is open, because hiredis closes it only in calls on the context. All of them
        // need `&mut self`, so none happens before the borrow of `self` ends.
        Ok(unsafe { BorrowedFd::borrow_raw(number) })
    }

    /// Returns the interest of hiredis, or `None` if the connection has ended.
    pub fn interest(&self) -> Option<Interest> {
        self.raw().ok().map(|_| self.0.interest.get())
    }

    /// Sends a command. Its reply is noted: an error as well, also that of the connection.
    pub fn command(&mut self, words: &[&str]) -> Result<()> {
        let raw = self.raw()?;
        let starts: Vec<_> = words.iter().map(|word| word.as_ptr().cast()).collect();
        let lengths: Vec<_> = words.iter().map(|word| word.len()).collect();
        let size: usize = lengths.iter().sum();
        // hiredis reads beyond the end of a command without words, and counts with `int`.
        let (Ok(count @ 1..), Ok(_)) = (c_int::try_from(words.len()), c_int::try_from(size)) else {
            return Err(Error::other("a command without words, or too long"));
        };
        let (notes, starts, lengths) = (Rc::as_ptr(&self.0), starts.as_ptr(), lengths.as_ptr());
        // SAFETY: the raw context lives, both arrays have `count` elements, and the notes live
        // until the context is freed.
        let sent = unsafe { redisAsyncCommandArgv(raw, on_reply, notes, count, starts, lengths) };
        if sent == OK { Ok(()) } else { Err(Error::other("hiredis does not take the command")) }
    }

    /// Reads as much as the socket has.
    pub fn handle_read(&mut self) {
        if let Ok(raw) = self.raw() {
            // SAFETY: the raw context lives.
            unsafe { redisAsyncHandleRead(raw) };
        }
    }

    /// Writes as much as the socket takes.
    pub fn handle_write(&mut self) {
        if let Ok(raw) = self.raw() {
            // SAFETY: the raw context lives.
            unsafe { redisAsyncHandleWrite(raw) };
        }
    }

    /// Closes the connection. Commands without a reply get an error.
    pub fn close(&mut self) {
        if let Ok(raw) = self.raw() {
            // SAFETY: the raw context lives, and `cleanup` removes it from the notes.
            unsafe { redisAsyncFree(raw) };
        }
    }

    /// Takes the oldest reply from the notes.
    pub fn next_reply(&mut self) -> Option<Result<Reply>> {
        self.0.replies.borrow_mut().pop_front()
    }

    fn raw(&self) -> Result<*mut RawContext> {
        let raw = self.0.context.get();
        if raw.is_null() { Err(Error::other(CLOSED)) } else { Ok(raw) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.close();
    }
}

extern "C" fn add_read(notes: &Notes) {
    notes.interest.update(|interest| interest | Interest::READABLE);
}

extern "C" fn del_read(notes: &Notes) {
    notes.interest.update(|interest| interest - Interest::READABLE);
}

extern "C" fn add_write(notes: &Notes) {
    notes.interest.update(|interest| interest | Interest::WRITABLE);
}

extern "C" fn del_write(notes: &Notes) {
    notes.interest.update(|interest| interest - Interest::WRITABLE);
}

/// Notes the end. hiredis closes its socket and frees the context before its call returns.
extern "C" fn cleanup(notes: &Notes) {
    notes.context.set(ptr::null_mut());
}

/// Notes the reply to a command. Without a reply the connection has ended.
extern "C" fn on_reply(context: &RawContext, reply: Option<&RawReply>, notes: &Notes) {
    let ended = || error_of(context).unwrap_or(Error::other(CLOSED));
    notes.replies.borrow_mut().push_back(reply.ok_or_else(ended).and_then(copy));
}

/// Returns a copy of a reply, or the error that it is.
fn copy(reply: &RawReply) -> Result<Reply> {
    Ok(match access_type(reply) {
        NIL => Reply::Nil,
        INTEGER => Reply::Integer(access_integer(reply)),
        TEXT | STATUS => Reply::Text(text_of(reply)),
        ERROR => return Err(Error::other(text_of(reply))),
        _ => Reply::Other,
    })
}

/// Returns the text of a reply.
fn text_of(reply: &RawReply) -> String {
    let mut length = 0;
    let text = access_text(reply, &mut length);
    // SAFETY: the text has this length.
    let bytes = unsafe { slice::from_raw_parts(text.cast(), length) };
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns the error of a context, if it has one.
fn error_of(context: &RawContext) -> Option<Error> {
    let message = access_error(context);
    // SAFETY: it is a string that ends with 0.
    (!message.is_null()).then(|| unsafe { error(message) })
}
