//! The crate redis on the loop, over a connection that the program opens.
//!
//! ```text
//! cargo run -p ecosystem --bin redis -- ADDR
//! ```
//!
//! ADDR is `127.0.0.1:6379` or the path of a Unix socket. A hundred tasks share one connection. The
//! last call gets no reply and ends with a timeout.

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use ecosystem::{Connection, Result};
use mainspring::{Error, gather, spawn, timeout};
use redis::aio::MultiplexedConnection;
use redis::{RedisConnectionInfo, cmd};

const LIMIT: Duration = Duration::from_millis(100);

/// Connects. A task drives the connection until all clones of the result are dropped.
async fn connect(address: &str) -> Result<MultiplexedConnection> {
    let stream = Connection::open(address).await?;
    // Without a time limit of the crate, which would use tokio's timers and panic.
    let info = RedisConnectionInfo::default();
    let (connection, driver) = MultiplexedConnection::new(&info, stream).await?;
    spawn(driver).detach();
    Ok(connection)
}

async fn increment(mut redis: MultiplexedConnection) -> mainspring::Result<u32> {
    cmd("INCR").arg("visits").query_async(&mut redis).await.map_err(Error::other)
}

async fn run() -> Result<()> {
    let address = env::args().nth(1).ok_or("usage: redis ADDR")?;
    let mut redis = connect(&address).await?;
    () = cmd("SET").arg("visits").arg(0).query_async(&mut redis).await?;

    let increments = (0..100).map(|_| spawn(increment(redis.clone())));
    println!("highest of 100 answers: {:?}", gather(increments).await?.iter().max());

    let mut waiting = connect(&address).await?; // A blocking command stops the commands behind it.
    let mut pop = cmd("BLPOP");
    let answer = timeout(LIMIT, pop.arg("empty").arg(0).query_async::<()>(&mut waiting)).await;
    println!(
        "a list without elements: {}",
        answer.map_or_else(|error| error.chain(), |_| "?".into())
    );
    Ok(())
}

fn main() -> ExitCode {
    ecosystem::main("redis", run())
}
