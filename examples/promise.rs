//! A callback API as a future, in ten lines: see `connect`.
//!
//! ```text
//! cargo run --example promise [-- ADDR ...]
//! ```
//!
//! It connects to all addresses at once and prints which are open, and after how long. Without
//! arguments it uses one local port that is open, and one that is closed.

use std::env;
use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

use mainspring::net::{Address, Socket};
use mainspring::{Error, EventLoop, LoopHandle, Result, promise};

const TIME_LIMIT: Duration = Duration::from_secs(2);

/// Connects. `LoopHandle::connect` calls back; the callback sets the promise, and the caller awaits
/// the result.
async fn connect(el: &LoopHandle, address: Address) -> Result<Socket> {
    let (promise, promised) = promise();
    el.connect(address, TIME_LIMIT, move |_el, _state, outcome| match outcome {
        Ok(socket) => promise.set_result(socket),
        Err(error) => promise.set_error(error),
    });
    promised.await
}

async fn try_address(el: LoopHandle, address: Address) -> bool {
    let began = el.now();
    let outcome = connect(&el, address.clone()).await;
    let took = el.now() - began;
    match &outcome {
        Ok(_) => println!("{address}: open, after {took:.1?}"),
        Err(error) => println!("{address}: {}, after {took:.1?}", error.chain()),
    }
    outcome.is_ok()
}

/// Returns the number of open addresses.
fn run(addresses: Vec<Address>) -> Result<usize> {
    let mut el = EventLoop::new()?;
    let handle = el.handle().clone();
    el.run_until_complete(async {
        let attempts: Vec<_> = addresses
            .into_iter()
            .map(|address| mainspring::spawn(try_address(handle.clone(), address)))
            .collect();
        let mut open = 0;
        for attempt in attempts {
            open += usize::from(attempt.await?);
        }
        Ok(open)
    })?
}

/// Returns the address of a listener, and one at which nothing listens.
fn example_addresses() -> Result<(TcpListener, Vec<Address>)> {
    let open = TcpListener::bind("127.0.0.1:0")?;
    let closed = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let addresses = vec![open.local_addr()?.into(), closed.into()];
    Ok((open, addresses))
}

fn run_with(args: &[String]) -> Result<usize> {
    if args.is_empty() {
        let (_listener, addresses) = example_addresses()?;
        return run(addresses);
    }
    let parsed = args.iter().map(|arg| arg.parse().map_err(Error::other));
    run(parsed.collect::<Result<_>>()?)
}

fn main() -> ExitCode {
    match run_with(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(0) => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("promise: {}", error.chain());
            ExitCode::from(2)
        }
    }
}
