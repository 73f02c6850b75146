//! A UDP echo daemon: one socket, one reader, and state without `Rc` or `RefCell`.
//!
//! `cargo run --example udp_echo [ADDR]` prints its address (by default 127.0.0.1 and a port chosen
//! by the system) and sends every datagram back to its sender. On Ctrl-C or SIGTERM it prints its
//! counts and exits. Try it with `nc -u 127.0.0.1 PORT`.

use std::env;
use std::ffi::OsString;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;

use mainspring::{Error, EventLoop, Signal};

/// Size of the buffer; no datagram is longer.
const BUFFER_BYTES: usize = 64 * 1024;
/// Number of datagrams that are answered before the loop serves other callbacks, such as signals.
const BATCH: usize = 64;

#[derive(Default)]
struct Stats {
    datagrams: u64,
    bytes: u64,
}

fn run(address: SocketAddr) -> mainspring::Result<()> {
    let mut el = EventLoop::with_state(Stats::default())?;
    let socket = UdpSocket::bind(address)
        .map_err(|source| Error::Listen { address: address.to_string(), source })?;
    let local = socket.local_addr()?;

    // The loop owns the socket, makes it non-blocking, and lends it to the callback.
    el.add_reader(socket, |_el, stats, socket| {
        let mut buffer = [0; BUFFER_BYTES];
        for _ in 0..BATCH {
            // WouldBlock: back to the loop, until the socket is readable again.
            let (n, peer) = socket.recv_from(&mut buffer)?;
            stats.datagrams += 1;
            stats.bytes += n as u64;
            // No `?` here: an error would end the reader, and a peer can cause one, for example
            // with a forged address. An answer may be lost, like any datagram.
            let _ = socket.send_to(&buffer[..n], peer);
        }
        Ok(()) // If datagrams are left, the loop calls again.
    })?;
    el.add_signal_handler(Signal::INT, |el, _| el.stop())?;
    el.add_signal_handler(Signal::TERM, |el, _| el.stop())?;

    println!("listening on {local}");
    el.run_forever()?;
    println!("{} datagrams, {} bytes", el.state().datagrams, el.state().bytes);
    Ok(())
}

fn address_from(mut arguments: impl Iterator<Item = OsString>) -> Result<SocketAddr, String> {
    let address = arguments.next().unwrap_or("127.0.0.1:0".into());
    if let Some(surplus) = arguments.next() {
        return Err(format!("unexpected argument {surplus:?}"));
    }
    let parsed = address.to_str().and_then(|address| address.parse().ok());
    parsed.ok_or_else(|| format!("{address:?} is not an address like 127.0.0.1:7000"))
}

fn main() -> ExitCode {
    let address = match address_from(env::args_os().skip(1)) {
        Ok(address) => address,
        Err(problem) => {
            eprintln!("udp_echo: {problem}");
            return ExitCode::from(2);
        }
    };
    match run(address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("udp_echo: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}
