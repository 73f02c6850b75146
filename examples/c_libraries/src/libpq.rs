//! PostgreSQL by libpq: a connection that tasks use.
//!
//! libpq owns the socket. It closes it and opens another one while it connects, so the number of
//! the socket may change, or the same number may become another socket. The loop therefore borrows
//! the socket for each wait: all calls of libpq take `&mut self`, so none happens meanwhile.

use std::ffi::{CStr, c_char, c_int};
use std::fmt;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use mainspring::{Error, Interest, Io, Readiness, Result};

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

/// A connection to PostgreSQL. Dropping it closes the connection.
pub struct Postgres(NonNull<RawConnection>);

impl Postgres {
    /// Connects. libpq resolves the names of hosts in this call and blocks, so use addresses.
    ///
    /// # Errors
    ///
    /// The message of libpq, or the error of a wait.
    pub async fn connect(settings: &CStr) -> Result<Postgres> {
        // SAFETY: the settings are a string that ends with 0.
        let started = unsafe { PQconnectStart(settings.as_ptr()) };
        let postgres = Postgres(NonNull::new(started).ok_or(Error::other("out of memory"))?);
        let mut interest = Interest::WRITABLE;
        loop {
            postgres.ready(interest).await?;
            // SAFETY: the connection lives, and nothing else uses it.
            interest = match unsafe { PQconnectPoll(postgres.0.as_ptr()) } {
                POLLING_READING => Interest::READABLE,
                POLLING_WRITING => Interest::WRITABLE,
                POLLING_OK => break,
                _ => return Err(postgres.error()),
            };
        }
        // SAFETY: as above. From now on sending stores what the socket does not take.
        let outcome = unsafe { PQsetnonblocking(postgres.0.as_ptr(), 1) };
        postgres.check(outcome == 0).map(|()| postgres)
    }

    /// Waits for the socket that the connection has now.
    async fn ready(&self, interest: Interest) -> Result<Readiness> {
        // SAFETY: the connection lives.
        let number = unsafe { PQsocket(self.0.as_ptr()) };
        if number < 0 {
            return Err(self.error());
        }
        // SAFETY: libpq closes the socket only in calls on the connection. All of them need
        // `&mut self`, so none happens before the borrow of `self` ends.
        let socket = unsafe { BorrowedFd::borrow_raw(number) };
        Ok(Io::with_interest(socket, interest)?.ready(interest).await?)
    }

    /// Runs a query. Returns the first column of its rows.
    ///
    /// Not cancel safe: after a query that was dropped, the connection refuses the next one.
    ///
    /// # Errors
    ///
    /// The message of the server or of libpq, or the error of a wait.
    pub async fn query(&mut self, query: &CStr) -> Result<Vec<String>> {
        // SAFETY: the connection lives, and the query ends with 0.
        let sent = unsafe { PQsendQuery(self.0.as_ptr(), query.as_ptr()) };
        self.check(sent == 1)?;
        while self.has_output()? {
            let ready = self.ready(Interest::READABLE | Interest::WRITABLE).await?;
            if ready.contains(Readiness::READABLE) {
                self.consume_input()?; // Otherwise both sides might wait for each other.
            }
        }
        let mut rows = Ok(Vec::new());
        while let Some(result) = self.next_result().await? {
            rows = rows.and(result.first_column()); // The results after an error must be taken, too.
        }
        rows
    }

    /// Sends stored output. Returns true if some is left.
    fn has_output(&mut self) -> Result<bool> {
        // SAFETY: the connection lives.
        let left = unsafe { PQflush(self.0.as_ptr()) };
        self.check(left >= 0).map(|()| left == 1)
    }

    fn consume_input(&mut self) -> Result<()> {
        // SAFETY: the connection lives.
        let consumed = unsafe { PQconsumeInput(self.0.as_ptr()) };
        self.check(consumed == 1)
    }

    /// Returns the next result of the query, or `None` after the last one.
    async fn next_result(&mut self) -> Result<Option<QueryResult>> {
        while self.is_busy() {
            self.ready(Interest::READABLE).await?;
            self.consume_input()?;
        }
        // SAFETY: the connection lives.
        let result = unsafe { PQgetResult(self.0.as_ptr()) };
        Ok(NonNull::new(result).map(QueryResult))
    }

    /// Returns true if `PQgetResult` would block.
    fn is_busy(&mut self) -> bool {
        // SAFETY: the connection lives.
        unsafe { PQisBusy(self.0.as_ptr()) == 1 }
    }

    fn check(&self, succeeded: bool) -> Result<()> {
        if succeeded { Ok(()) } else { Err(self.error()) }
    }

    fn error(&self) -> Error {
        // SAFETY: the connection lives.
        let message = unsafe { PQerrorMessage(self.0.as_ptr()) };
        // SAFETY: it is a string that ends with 0, and lives until the next call.
        Error::other(unsafe { text(message) }.trim_end())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SAFETY: the connection lives, and this is its last use.
        unsafe { PQfinish(self.0.as_ptr()) };
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Postgres").finish_non_exhaustive()
    }
}

struct QueryResult(NonNull<RawResult>);

impl QueryResult {
    fn first_column(&self) -> Result<Vec<String>> {
        // SAFETY: the result lives.
        match unsafe { PQresultStatus(self.0.as_ptr()) } {
            COMMAND_OK => Ok(Vec::new()),
            TUPLES_OK => Ok((0..self.rows()).map(|row| self.value(row)).collect()),
            _ => Err(self.error()),
        }
    }

    fn rows(&self) -> c_int {
        // SAFETY: the result lives.
        unsafe { PQntuples(self.0.as_ptr()) }
    }

    fn value(&self, row: c_int) -> String {
        // SAFETY: the result lives. For a value that does not exist libpq returns null.
        let value = unsafe { PQgetvalue(self.0.as_ptr(), row, 0) };
        if value.is_null() {
            return String::new();
        }
        // SAFETY: it is a string that ends with 0, and lives as long as the result.
        unsafe { text(value) }.to_owned()
    }

    fn error(&self) -> Error {
        // SAFETY: the result lives.
        let message = unsafe { PQresultErrorMessage(self.0.as_ptr()) };
        // SAFETY: it is a string that ends with 0, and lives as long as the result.
        Error::other(unsafe { text(message) }.trim_end())
    }
}

impl Drop for QueryResult {
    fn drop(&mut self) {
        // SAFETY: the result lives, and this is its last use.
        unsafe { PQclear(self.0.as_ptr()) };
    }
}

/// Returns a text of libpq.
///
/// # Safety
///
/// It must end with 0, and live as long as the result is used.
unsafe fn text<'a>(text: *const c_char) -> &'a str {
    // SAFETY: as the caller guarantees.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("(not UTF-8)")
}
