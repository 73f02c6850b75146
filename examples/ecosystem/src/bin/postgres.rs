//! tokio-postgres on the loop, over a connection that the program opens.
//!
//! ```text
//! cargo run -p ecosystem --bin postgres -- ADDR USER
//! ```
//!
//! ADDR is `127.0.0.1:5432` or a path such as `/run/postgresql/.s.PGSQL.5432`. The program sends
//! ten queries at once, waits for a notification, and cancels a slow query after a time limit.

use std::env;
use std::future::poll_fn;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use ecosystem::{Connection, Result};
use mainspring::{Error, Promise, gather, promise, spawn, timeout};
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

const LIMIT: Duration = Duration::from_millis(100);

/// Connects. A task drives the connection until the client is dropped, and sets `notified` when the
/// first notification arrives.
async fn connect(address: &str, user: &str, notified: Promise<String>) -> Result<Client> {
    let stream = Connection::open(address).await?;
    let mut config = Config::new();
    config.user(user).dbname("postgres");
    let (client, connection) = config.connect_raw(stream, NoTls).await?;
    spawn(drive(connection, notified)).detach();
    Ok(client)
}

async fn drive(
    mut connection: tokio_postgres::Connection<Connection, NoTlsStream>,
    notified: Promise<String>,
) -> mainspring::Result<()> {
    let mut notified = Some(notified);
    while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
        if let AsyncMessage::Notification(notification) = message.map_err(Error::other)?
            && let Some(notified) = notified.take()
        {
            notified.set_result(notification.payload().to_owned());
        }
    }
    Ok(())
}

async fn double(client: Rc<Client>, number: i32) -> mainspring::Result<i32> {
    let row = client.query_one("SELECT 2 * $1::INT4", &[&number]).await.map_err(Error::other)?;
    Ok(row.get(0))
}

/// Runs a query that takes a minute. When the time limit drops its future, the server still works
/// on it, so the client cancels it over a second connection.
async fn slow_query(client: &Client, address: &str) -> Result<()> {
    let slow = client.simple_query("SELECT pg_sleep(60)");
    if timeout(LIMIT, slow).await.is_ok() {
        return Err("a minute has passed".into());
    }
    let canceller = Connection::open(address).await?;
    client.cancel_token().cancel_query_raw(canceller, NoTls).await?;
    Ok(())
}

async fn run() -> Result<()> {
    let [address, user] = env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| USAGE)?;
    let (notified, notification) = promise();
    let client = Rc::new(connect(&address, &user, notified).await?);

    let queries = (1..=10).map(|number| spawn(double(client.clone(), number)));
    println!("sum of ten queries: {}", gather(queries).await?.iter().sum::<i32>());

    client.batch_execute("LISTEN news; NOTIFY news, 'hello'").await?;
    println!("notification: {}", notification.await?);

    slow_query(&client, &address).await?;
    println!("after a cancelled query: {}", double(client, 21).await?);
    Ok(())
}

const USAGE: &str = "usage: postgres ADDR USER";

fn main() -> ExitCode {
    ecosystem::main("postgres", run())
}
