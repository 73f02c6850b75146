//! A C library in the loop: libcurl's multi-socket interface, driven by watchers and one timer.
//!
//! `cargo run -p curl_multi [URL ..]` fetches all URLs at once; without any, it fetches from three
//! slow local servers. libcurl requests sockets to watch and a timeout, and the loop does exactly
//! that:
//!
//! | libcurl requests             | the loop does                          |
//! |------------------------------|----------------------------------------|
//! | to watch this socket         | `watch`                                |
//! | another interest in it       | `set_interest`                         |
//! | to stop watching it          | `cancel`                               |
//! | a call in 50 ms, or no call  | `reset_after` or `disarm` of the timer |
//!
//! libcurl makes these requests inside a call, while its handle, which is part of the loop's state,
//! is in use. So its callbacks only queue the requests, and the loop serves them when the call has
//! returned.

#![forbid(unsafe_code)]

use std::collections::{HashMap, HashSet};
use std::env;
use std::error::Error as StdError;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use c_libraries_sys::libcurl;
use curl::MultiError;
use curl::easy::{Easy2, Handler, WriteError};
use curl::multi::{Easy2Handle, Events, Multi, Socket, SocketEvents};
use mainspring::{Error, EventLoop, Interest, LoopHandle, Readiness, TimerHandle, Watcher};

/// Request of libcurl to the loop.
enum Request {
    Watch(Socket, io::Result<OwnedFd>, Interest),
    SetInterest(Socket, Interest),
    Remove(Socket),
    Call(Option<Duration>),
}

/// State of the loop.
struct Downloads {
    /// Declared before `multi`, because a transfer must be dropped before its multi handle.
    transfers: Vec<(String, Easy2Handle<Body>)>,
    multi: Multi,
    requests: Receiver<Request>,
    watchers: HashMap<Socket, Watcher<OwnedFd>>,
    timer: Option<TimerHandle>,
    completed: usize,
    /// Sum of the times of all transfers.
    sum: Duration,
}

/// Fetches everything. Returns the number of transfers that failed.
fn run(urls: Vec<String>) -> Result<usize, Box<dyn StdError>> {
    let urls = if urls.is_empty() { slow_servers()? } else { urls };
    let began = Instant::now();
    let mut el = EventLoop::with_state(downloads_of(urls)?)?;
    let timer = el.add_timer(|el, downloads| call_curl(el, downloads, Multi::timeout))?;
    el.state_mut().timer = Some(timer);
    el.call_soon(serve_requests); // The first request is a call without delay.
    el.run()?; // Returns when libcurl has neither a socket nor a deadline left.
    let Downloads { transfers, completed, sum, .. } = el.state();
    let (total, sum) = (began.elapsed().as_millis(), sum.as_millis());
    println!("{completed} transfers in {total} ms; one after the other they would take {sum} ms");
    Ok(transfers.len() - completed)
}

fn downloads_of(urls: Vec<String>) -> Result<Downloads, Box<dyn StdError>> {
    let mut multi = Multi::new();
    let (sender, requests) = channel();
    libcurl::socket_function(&mut multi, socket_requests(sender.clone()))?;
    multi.timer_function(move |delay| sender.send(Request::Call(delay)).is_ok())?;
    let mut transfers = Vec::new();
    for url in urls {
        let mut easy = Easy2::new(Body(Vec::new()));
        easy.url(&url)?;
        // Without this a proxy from the environment would be used for our own servers.
        easy.noproxy("127.0.0.1")?;
        let mut transfer = multi.add2(easy)?;
        transfer.set_token(transfers.len())?;
        transfers.push((url, transfer));
    }
    let (watchers, timer, completed, sum) = (HashMap::new(), None, 0, Duration::ZERO);
    Ok(Downloads { transfers, multi, requests, watchers, timer, completed, sum })
}

/// Body of an answer.
struct Body(Vec<u8>);

impl Handler for Body {
    fn write(&mut self, data: &[u8]) -> Result<usize, WriteError> {
        self.0.extend_from_slice(data);
        Ok(data.len())
    }
}

/// Returns the function that libcurl calls when its interest in a socket changes.
///
/// libcurl may close a socket in the call in which it requests to remove it, before the loop serves
/// that request. The loop therefore gets a duplicate. A library that leaves the closing of sockets
/// to its user needs none.
fn socket_requests(
    requests: Sender<Request>,
) -> impl FnMut(Socket, Option<BorrowedFd<'_>>, SocketEvents) {
    let mut known = HashSet::new();
    move |socket, lent, events| {
        let mut interest = Interest::empty();
        interest.set(Interest::READABLE, events.input() || events.input_and_output());
        interest.set(Interest::WRITABLE, events.output() || events.input_and_output());
        let request = match lent {
            None => {
                known.remove(&socket);
                Request::Remove(socket)
            }
            Some(lent) if known.insert(socket) => {
                Request::Watch(socket, lent.try_clone_to_owned(), interest)
            }
            Some(_) => Request::SetInterest(socket, interest),
        };
        let _ = requests.send(request); // Fails only at the end, when the receiver is gone.
    }
}

/// Calls libcurl; the only place that does so while the loop runs.
fn call_curl(
    el: &LoopHandle<Downloads>,
    downloads: &mut Downloads,
    call: impl FnOnce(&Multi) -> Result<u32, MultiError>,
) -> mainspring::Result<()> {
    call(&downloads.multi).map_err(Error::other)?;
    print_finished(downloads);
    serve_requests(el, downloads)
}

fn serve_requests(el: &LoopHandle<Downloads>, downloads: &mut Downloads) -> mainspring::Result<()> {
    let Downloads { requests, watchers, timer, .. } = downloads;
    let timer = timer.expect("the timer is made before the loop runs");
    while let Ok(request) = requests.try_recv() {
        match request {
            Request::Watch(socket, fd, interest) => {
                let watcher = el.watch(fd?, interest, move |el, downloads, fd| {
                    let events = events_of(fd.readiness());
                    call_curl(el, downloads, |multi| multi.action(socket, &events))
                })?;
                watchers.insert(socket, watcher);
            }
            Request::SetInterest(socket, interest) => {
                if let Some(watcher) = watchers.get(&socket) {
                    el.set_interest(*watcher, interest)?;
                }
            }
            Request::Remove(socket) => {
                if let Some(watcher) = watchers.remove(&socket) {
                    el.cancel(watcher);
                }
            }
            Request::Call(Some(delay)) => _ = el.reset_after(timer, delay),
            Request::Call(None) => _ = el.disarm(timer),
        }
    }
    Ok(())
}

fn events_of(readiness: Readiness) -> Events {
    let mut events = Events::new();
    events.input(readiness.contains(Readiness::READABLE));
    events.output(readiness.contains(Readiness::WRITABLE));
    events.error(readiness.contains(Readiness::ERROR));
    events
}

fn print_finished(downloads: &mut Downloads) {
    let Downloads { multi, transfers, completed, sum, .. } = downloads;
    multi.messages(|message| {
        let Ok(number) = message.token() else { return };
        let (url, transfer) = &transfers[number];
        *sum += transfer.total_time().unwrap_or_default();
        match message.result_for2(transfer) {
            Some(Ok(())) => {
                *completed += 1;
                let status = transfer.response_code().unwrap_or_default();
                println!("{url}: status {status}, {} bytes", transfer.get_ref().0.len());
            }
            Some(Err(error)) => eprintln!("curl_multi: {url}: {error}"),
            None => {} // The message does not end this transfer.
        }
    });
}

fn slow_servers() -> io::Result<Vec<String>> {
    [(100, 10_000), (200, 200_000), (300, 3_000_000)]
        .into_iter()
        .map(|(latency_ms, bytes)| slow_server(Duration::from_millis(latency_ms), bytes))
        .collect()
}

/// Starts a server that answers one request after `latency`.
fn slow_server(latency: Duration, bytes: usize) -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/", listener.local_addr()?);
    thread::spawn(move || -> io::Result<()> {
        let mut peer = BufReader::new(listener.accept()?.0);
        let mut line = String::new();
        while peer.read_line(&mut line)? > 2 {
            line.clear(); // The head ends with an empty line.
        }
        thread::sleep(latency);
        write!(peer.get_mut(), "HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n")?;
        peer.get_mut().write_all(&vec![b'x'; bytes])
    });
    Ok(url)
}

fn main() -> ExitCode {
    let urls: Vec<String> =
        env::args_os().skip(1).map(|url| url.to_string_lossy().into_owned()).collect();
    if let Some(wrong) = urls.iter().find(|url| url.is_empty() || url.starts_with('-')) {
        eprintln!("curl_multi: {wrong:?} is not a URL");
        return ExitCode::from(2);
    }
    match run(urls) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let cause = error.source().map_or(String::new(), |cause| format!(": {cause}"));
            eprintln!("curl_multi: {error}{cause}");
            ExitCode::FAILURE
        }
    }
}
