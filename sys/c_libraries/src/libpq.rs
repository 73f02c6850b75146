//! Connections and results of libpq.
//!
//! All calls that may close the socket take `&mut self`, so a borrowed socket stays open.

use std::ffi::{CStr, c_char, c_int};
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use mainspring::{Error, Interest, Result};

use crate::{error, text};

/// `PGconn`.
#[repr(C)]
struct RawConnection([u8; 0]);

/// `PGresult`.
#[repr(C)]
struct RawResult([u8; 0]);

const POLLING_READING: c_int = 1;
const POLLING_WRITING: c_int = 2;
const POLLING_OK: c_int = 3;
const COMMAND_OK: c_int = 1;
const TUPLES_OK: c_int = 2;

unsafe extern "C" {
    fn PQconnectStart(settings: *const c_char) -> *mut RawConnection;
    fn PQconnectPoll(connection: *mut RawConnection) -> c_int;
    fn PQsocket(connection: *const RawConnection) -> c_int;
    fn PQerrorMessage(connection: *const RawConnection) -> *const c_char;
    fn PQsetnonblocking(connection: *mut RawConnection, on: c_int) -> c_int;
    fn PQsendQuery(connection: *mut RawConnection, query: *const c_char) -> c_int;
    fn PQflush(connection: *mut RawConnection) -> c_int;
    fn PQconsumeInput(connection: *mut RawConnection) -> c_int;
    fn PQisBusy(connection: *mut RawConnection) -> c_int;
    fn PQgetResult(connection: *mut RawConnection) -> *mut RawResult;
    fn PQresultStatus(result: *const RawResult) -> c_int;
    fn PQresultErrorMessage(result: *const RawResult) -> *const c_char;
    fn PQntuples(result: *const RawResult) -> c_int;
    fn PQgetvalue(result: *const RawResult, row: c_int, column: c_int) -> *const c_char;
    fn PQclear(result: *mut RawResult);
    fn PQfinish(connection: *mut RawConnection);
}

/// A connection to a server.
#[derive(Debug)]
pub struct Connection(NonNull<RawConnection>);

impl Connection {
    /// Begins to connect.
    pub fn start(settings: &CStr) -> Result<Connection> {
        // SAFETY: the settings are a string that ends with 0.
        let started = unsafe { PQconnectStart(settings.as_ptr()) };
        NonNull::new(started).map(Connection).ok_or(Error::other("out of memory"))
    }

    /// Continues to connect. Returns the readiness to wait for, or `None` if it is connected.
    pub fn poll(&mut self) -> Result<Option<Interest>> {
        // SAFETY: the connection lives.
        match unsafe { PQconnectPoll(self.0.as_ptr()) } {
            POLLING_READING => Ok(Some(Interest::READABLE)),
            POLLING_WRITING => Ok(Some(Interest::WRITABLE)),
            POLLING_OK => Ok(None),
            _ => Err(self.error()),
        }
    }

    /// Returns the socket that the connection has now.
    pub fn socket(&self) -> Result<BorrowedFd<'_>> {
        // SAFETY: the connection lives.
        let number = unsafe { PQsocket(self.0.as_ptr()) };
        if number < 0 {
            return Err(self.error());
        }
        // SAFETY: libpq closes the socket only in calls on the connection. All of them need
        // `&mut self`, so none happens before the borrow of `self` ends.
        Ok(unsafe { BorrowedFd::borrow_raw(number) })
    }

    /// Makes sending store what the socket does not take.
    pub fn set_nonblocking(&mut self) -> Result<()> {
        // SAFETY: the connection lives.
        let outcome = unsafe { PQsetnonblocking(self.0.as_ptr(), 1) };
        self.check(outcome == 0)
    }

    /// Queues a query. [`flush`](Connection::flush) sends it.
    pub fn send_query(&mut self, query: &CStr) -> Result<()> {
        // SAFETY: the connection lives, and the query ends with 0.
        let sent = unsafe { PQsendQuery(self.0.as_ptr(), query.as_ptr()) };
        self.check(sent == 1)
    }

    /// Sends stored output. Returns true if some is left.
    pub fn flush(&mut self) -> Result<bool> {
        // SAFETY: the connection lives.
        let left = unsafe { PQflush(self.0.as_ptr()) };
        self.check(left >= 0).map(|()| left == 1)
    }

    /// Reads as much as the socket has.
    pub fn consume_input(&mut self) -> Result<()> {
        // SAFETY: the connection lives.
        let consumed = unsafe { PQconsumeInput(self.0.as_ptr()) };
        self.check(consumed == 1)
    }

    /// Returns true if `next_result` would block.
    pub fn is_busy(&mut self) -> bool {
        // SAFETY: the connection lives.
        unsafe { PQisBusy(self.0.as_ptr()) == 1 }
    }

    /// Returns the next result of the query, or `None` after the last one.
    pub fn next_result(&mut self) -> Option<QueryResult> {
        // SAFETY: the connection lives.
        NonNull::new(unsafe { PQgetResult(self.0.as_ptr()) }).map(QueryResult)
    }

    fn check(&self, succeeded: bool) -> Result<()> {
        if succeeded { Ok(()) } else { Err(self.error()) }
    }

    fn error(&self) -> Error {
        // SAFETY: the connection lives.
        let message = unsafe { PQerrorMessage(self.0.as_ptr()) };
        // SAFETY: it is a string that ends with 0, and lives until the next call.
        unsafe { error(message) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the connection lives, and this is its last use.
        unsafe { PQfinish(self.0.as_ptr()) };
    }
}

/// A result, which lives independently of its connection.
#[derive(Debug)]
pub struct QueryResult(NonNull<RawResult>);

impl QueryResult {
    /// Returns the number of rows, or the error that the result is.
    pub fn rows(&self) -> Result<c_int> {
        // SAFETY: the result lives.
        let status = unsafe { PQresultStatus(self.0.as_ptr()) };
        if ![COMMAND_OK, TUPLES_OK].contains(&status) {
            return Err(self.error());
        }
        // SAFETY: the result lives.
        Ok(unsafe { PQntuples(self.0.as_ptr()) })
    }

    /// Returns a value, or `None` if the result has no such row or column.
    pub fn value(&self, row: c_int, column: c_int) -> Option<String> {
        // SAFETY: the result lives. For a value that does not exist libpq returns null.
        let value = unsafe { PQgetvalue(self.0.as_ptr(), row, column) };
        // SAFETY: it is a string that ends with 0, and lives as long as the result.
        (!value.is_null()).then(|| unsafe { text(value) })
    }

    fn error(&self) -> Error {
        // SAFETY: the result lives.
        let message = unsafe { PQresultErrorMessage(self.0.as_ptr()) };
        // SAFETY: it is a string that ends with 0, and lives as long as the result.
        unsafe { error(message) }
    }
}

impl Drop for QueryResult {
    fn drop(&mut self) {
        // SAFETY: the result lives, and this is its last use.
        unsafe { PQclear(self.0.as_ptr()) };
    }
}
