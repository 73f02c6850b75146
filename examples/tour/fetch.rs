//! A fetch with callbacks: connect, send the request, wait for the headers, wait for the body.

use std::collections::VecDeque;
use std::net::{SocketAddr, ToSocketAddrs};
use std::thread;
use std::time::Duration;

use mainspring::net::{Protocol, Socket, Transport};
use mainspring::{Error, LoopHandle, Result};

use crate::{Tour, name};

pub const TIME_LIMIT: Duration = Duration::from_secs(10);

/// An `http://` URL, split into its parts.
#[derive(Debug, Clone)]
pub struct Url {
    pub host: String,
    pub port: u16,
    pub path: String,
}

impl Url {
    pub fn parse(text: &str) -> Result<Url> {
        let Some(rest) = text.strip_prefix("http://") else {
            return Err(Error::other(format!("{text:?} does not begin with http://")));
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
            _ => (authority, Some(80)),
        };
        match port {
            Some(port) if !host.is_empty() => {
                let path = if path.is_empty() { "/" } else { path };
                Ok(Url { host: host.to_owned(), port, path: path.to_owned() })
            }
            _ => Err(Error::other(format!("{text:?} has no host and port"))),
        }
    }

    /// Returns the addresses of the host, best first.
    fn resolve(&self) -> Result<VecDeque<SocketAddr>> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        Ok((host, self.port).to_socket_addrs()?.collect())
    }
}

/// Starts a fetch. Resolving a name may take long, so a thread does it and sends the addresses to
/// the loop.
pub fn start(el: &LoopHandle<Tour>, tour: &mut Tour, lane: usize, url: Url) {
    tour.step(el, lane, &format!("fetch of {}:{} starts", url.host, url.port));
    let remote = el.remote();
    thread::spawn(move || {
        let addresses = url.resolve();
        remote.call_soon(move |el, tour| match addresses {
            Ok(addresses) => connect(el, tour, lane, addresses, url),
            Err(error) => tour.failed(el, lane, &error),
        })
    });
}

/// Tries the addresses one after the other.
fn connect(
    el: &LoopHandle<Tour>,
    tour: &mut Tour,
    lane: usize,
    mut addresses: VecDeque<SocketAddr>,
    url: Url,
) {
    let Some(address) = addresses.pop_front() else {
        return tour.failed(el, lane, &Error::other(format!("{} has no address", url.host)));
    };
    el.connect(address, TIME_LIMIT, move |el, tour, socket| match socket {
        Ok(socket) => send_request(el, tour, lane, socket, url),
        Err(error) if addresses.is_empty() => tour.failed(el, lane, &error),
        Err(_) => connect(el, tour, lane, addresses, url),
    });
}

fn send_request(el: &LoopHandle<Tour>, tour: &mut Tour, lane: usize, socket: Socket, url: Url) {
    match el.attach_with(socket, Fetch::new(lane, url)) {
        Ok(conn) => {
            el.set_name(conn.handle(), &name(lane));
            let limit = el.call_later(TIME_LIMIT, move |_, _| conn.abort());
            el.set_background(limit);
        }
        Err(error) => tour.failed(el, lane, &error),
    }
}

/// Client side of one connection.
struct Fetch {
    lane: usize,
    url: Url,
    answer: Vec<u8>,
    /// Index of the body in `answer`, or `None` until the headers are complete.
    body: Option<usize>,
}

impl Fetch {
    fn new(lane: usize, url: Url) -> Fetch {
        Fetch { lane, url, answer: Vec::new(), body: None }
    }

    fn status(&self) -> String {
        let line = self.answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
        String::from_utf8_lossy(line).into_owned()
    }
}

impl Protocol<Tour> for Fetch {
    fn connection_made(
        &mut self,
        el: &LoopHandle<Tour>,
        tour: &mut Tour,
        conn: &Transport,
    ) -> Result<()> {
        let Url { host, path, .. } = &self.url;
        conn.write(format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes());
        tour.step(el, self.lane, "connected, request sent, SUSPENDS until the headers come");
        Ok(())
    }

    fn data_received(
        &mut self,
        el: &LoopHandle<Tour>,
        tour: &mut Tour,
        _: &Transport,
        data: &[u8],
    ) -> Result<()> {
        self.answer.extend_from_slice(data);
        if self.body.is_none() {
            let end = self.answer.windows(4).position(|window| window == b"\r\n\r\n");
            self.body = end.map(|end| end + 4);
            if self.body.is_some() {
                let what = format!("RESUMES, {}, SUSPENDS until the body is here", self.status());
                tour.step(el, self.lane, &what);
            }
        }
        Ok(())
    }

    fn connection_lost(
        &mut self,
        el: &LoopHandle<Tour>,
        tour: &mut Tour,
        reason: Option<&Error>,
    ) -> Result<()> {
        match (self.body, reason) {
            (Some(body), None) => tour.completed(el, self.lane, self.answer.len() - body),
            (_, Some(error)) => tour.failed(el, self.lane, error),
            (None, None) => tour.failed(el, self.lane, &Error::other("no answer")),
        }
        Ok(())
    }
}
