//! Local servers: small HTTP servers with artificial delays, on the same loop as the fetches.

use std::time::Duration;

use mainspring::net::{Address, ListenOptions, Protocol, Server, Transport, listen};
use mainspring::{LoopHandle, Result};

/// Delays before the headers, and then before the body.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    pub headers: Duration,
    pub body: Duration,
}

/// Starts a server in the background, so that the tour can end without it.
pub fn start<S: 'static>(el: &LoopHandle<S>, latency: Latency, body: String) -> Result<Server> {
    let anywhere: Address = "127.0.0.1:0".parse()?;
    let listener = listen(&anywhere, &ListenOptions::default())?;
    let server = el.serve_with(listener, move || Origin {
        latency,
        body: body.clone(),
        request: Vec::new(),
    })?;
    el.set_background(server.handle());
    Ok(server)
}

/// One connection of a server.
struct Origin {
    latency: Latency,
    body: String,
    request: Vec<u8>,
}

impl<S: 'static> Protocol<S> for Origin {
    fn data_received(
        &mut self,
        el: &LoopHandle<S>,
        _: &mut S,
        conn: &Transport,
        data: &[u8],
    ) -> Result<()> {
        self.request.extend_from_slice(data);
        if self.request.ends_with(b"\r\n\r\n") {
            self.answer(el, conn.clone());
        }
        Ok(())
    }

    /// A client that has sent its request may close its side; the answer is still sent.
    fn eof_received(&mut self, _: &LoopHandle<S>, _: &mut S, _: &Transport) -> Result<()> {
        Ok(())
    }
}

impl Origin {
    fn answer<S: 'static>(&mut self, el: &LoopHandle<S>, conn: Transport) {
        let Latency { headers, body } = self.latency;
        let text = std::mem::take(&mut self.body);
        el.call_later(headers, move |el, _| {
            let length = text.len();
            conn.write(format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes());
            el.call_later(body, move |_, _| {
                conn.write(text.as_bytes());
                conn.close();
            });
        });
    }
}
