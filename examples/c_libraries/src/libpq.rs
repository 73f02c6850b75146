//! PostgreSQL through libpq: a connection for tasks.
//!
//! libpq owns the socket. While connecting, it may close the socket and open another one, so the fd
//! number may change, or the same number may refer to another socket. The loop therefore borrows
//! the socket for each wait.

use std::ffi::CStr;

use mainspring::{Interest, Io, Readiness, Result};

use c_libraries_sys::libpq::{Connection, QueryResult};

/// A connection to PostgreSQL. Dropping it closes the connection.
#[derive(Debug)]
pub struct Postgres(Connection);

impl Postgres {
    /// Connects. libpq resolves the names of hosts in this call and blocks, so use addresses.
    ///
    /// # Errors
    ///
    /// The message of libpq, or the error of a wait.
    pub async fn connect(settings: &CStr) -> Result<Postgres> {
        let mut postgres = Postgres(Connection::start(settings)?);
        let mut next = Some(Interest::WRITABLE);
        while let Some(interest) = next {
            postgres.ready(interest).await?;
            next = postgres.0.poll()?;
        }
        postgres.0.set_nonblocking()?;
        Ok(postgres)
    }

    /// Waits for the socket that the connection has now.
    async fn ready(&self, interest: Interest) -> Result<Readiness> {
        let socket = self.0.socket()?;
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
        self.0.send_query(query)?;
        while self.0.flush()? {
            let ready = self.ready(Interest::READABLE | Interest::WRITABLE).await?;
            if ready.contains(Readiness::READABLE) {
                self.0.consume_input()?; // Otherwise both sides might wait for each other.
            }
        }
        let mut rows = Ok(Vec::new());
        while let Some(result) = self.next_result().await? {
            rows = rows.and(first_column(&result)); // The results after an error must be taken, too.
        }
        rows
    }

    /// Returns the next result of the query, or `None` after the last one.
    async fn next_result(&mut self) -> Result<Option<QueryResult>> {
        while self.0.is_busy() {
            self.ready(Interest::READABLE).await?;
            self.0.consume_input()?;
        }
        Ok(self.0.next_result())
    }
}

fn first_column(result: &QueryResult) -> Result<Vec<String>> {
    Ok((0..result.rows()?).map(|row| result.value(row, 0).unwrap_or_default()).collect())
}
