//! A daemon under a service manager: activation, readiness, watchdog, reload, drain.
//!
//! `cargo run --example daemon -- 127.0.0.1:8080 /etc/motd` answers HTTP requests with the text of
//! the file. HUP reads the file again. TERM closes the listener, answers for up to five seconds
//! more, and ends; a second TERM ends at once. Without a manager it does the same.
//!
//! ```text
//! # motd.socket                        # motd.service
//! [Socket]                             [Service]
//! ListenStream=8080                    Type=notify-reload
//! FileDescriptorName=http              ExecStart=/usr/local/bin/daemon 127.0.0.1:8080 /etc/motd
//! [Install]                            WatchdogSec=10
//! WantedBy=sockets.target              Restart=on-failure
//!                                      FileDescriptorStoreMax=1
//! ```

use std::time::Duration;
use std::{env, fs, net};

use mainspring::net::Transport;
use mainspring::service::Service;
use mainspring::{Error, EventLoop, LoopHandle, Result, Signal};

struct Daemon {
    text: String,
    is_draining: bool,
}

fn main() -> Result<()> {
    let service = Service::from_env()?; // First, so that no child inherits anything of it.
    let mut arguments = env::args().skip(1);
    let mut next = || arguments.next().ok_or_else(|| Error::other("usage: daemon ADDRESS FILE"));
    let (address, file) = (next()?, next()?);
    let listener = service.listener("http", || net::TcpListener::bind(address))?;
    service.store_fd("http", &listener)?; // Clients do not notice a crash.
    println!("listening on {}", listener.local_addr()?);
    let mut el = EventLoop::with_state(Daemon { text: read(&file)?, is_draining: false })?;
    let server = el.serve(listener, answer)?;

    service.on_reload(&el, Signal::HUP, move |_, daemon| {
        daemon.text = read(&file)?;
        Ok(())
    })?;
    service.on_stop(&el, &[Signal::TERM, Signal::INT], move |el, daemon| {
        if std::mem::replace(&mut daemon.is_draining, true) {
            return el.stop();
        }
        server.close();
        let server = server.clone();
        let limit = el.call_later(Duration::from_secs(5), move |_, _| server.abort_clients());
        el.set_background(limit); // The loop does not wait for it.
    })?;
    service.keep_watchdog(&el)?;
    service.ready()?;
    el.run() // Until the listener is closed and the last connection has ended.
}

/// Answers a request, which ends with an empty line. The example expects it in one piece.
fn answer(
    _: &LoopHandle<Daemon>,
    daemon: &mut Daemon,
    conn: &Transport,
    data: &[u8],
) -> Result<()> {
    if data.ends_with(b"\r\n\r\n") {
        let (text, length) = (&daemon.text, daemon.text.len());
        let end = if daemon.is_draining { "Connection: close\r\n" } else { "" };
        conn.write(
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{end}\r\n{text}").as_bytes(),
        );
        if daemon.is_draining {
            conn.close();
        }
    }
    Ok(())
}

fn read(file: &str) -> Result<String> {
    fs::read_to_string(file).map_err(|error| Error::other(format!("cannot read {file}: {error}")))
}
