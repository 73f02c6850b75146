//! libpq on the loop.
//!
//! ```text
//! cargo run -p c_libraries --bin libpq -- SETTINGS [QUERY]
//! ```
//!
//! SETTINGS are those of libpq, for example `host=/run/postgresql user=me dbname=postgres`. Without
//! a query, the program runs one that sleeps and one that returns many rows, each on a connection,
//! while a timer of the loop ticks.

#[cfg(libpq)]
mod program {
    use std::cell::Cell;
    use std::ffi::{CStr, CString};
    use std::rc::Rc;
    use std::time::Duration;

    use c_libraries::libpq::Postgres;
    use mainspring::{Error, EventLoop, LoopHandle, Result, gather, spawn};

    const TICK: Duration = Duration::from_millis(10);

    async fn rows(settings: CString, query: &CStr) -> Result<Vec<String>> {
        Postgres::connect(&settings).await?.query(query).await
    }

    async fn demonstrate(settings: CString, ticks: Rc<Cell<u32>>) -> Result<()> {
        let sleeping = spawn(rows(settings.clone(), c"SELECT pg_sleep(0.1)"));
        let many = spawn(rows(settings, c"SELECT repeat('x', 100) FROM generate_series(1, 50000)"));
        let bytes: usize = gather([sleeping, many]).await?[1].iter().map(String::len).sum();
        println!("{bytes} bytes of rows");
        println!("the timer ticked meanwhile: {}", ticks.get() > 0);
        Ok(())
    }

    pub fn run(arguments: &[String]) -> Result<()> {
        let text = |text: &String| CString::new(&**text).map_err(Error::other);
        let mut el = EventLoop::new()?;
        match arguments {
            [settings] => {
                let ticks = Rc::new(Cell::new(0));
                let counted = ticks.clone();
                el.call_every(TICK, move |_: &LoopHandle, ()| counted.set(counted.get() + 1))?;
                el.run_until_complete(demonstrate(text(settings)?, ticks))?
            }
            [settings, query] => {
                let (settings, query) = (text(settings)?, text(query)?);
                let rows = el.run_until_complete(rows(settings, &query))??;
                rows.iter().for_each(|row| println!("{row}"));
                Ok(())
            }
            _ => Err(Error::other("usage: libpq SETTINGS [QUERY]")),
        }
    }
}

#[cfg(libpq)]
fn main() -> std::process::ExitCode {
    c_libraries::run("libpq", program::run)
}

#[cfg(not(libpq))]
fn main() {
    println!("skipped: compiled without libpq (package libpq-dev)");
}
