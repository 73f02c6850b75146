//! The fetches as tasks: the same steps as in `fetch`, in sequence.

use mainspring::net::TcpStream;
use mainspring::{Error, LoopHandle, Result, gather, spawn, timeout};

use crate::fetch::{TIME_LIMIT, Url};
use crate::{Tour, name};

/// Fetches all URLs at once; each task records its own result.
pub async fn fetch_all(el: LoopHandle<Tour>, urls: Vec<Url>) -> Result<()> {
    let fetches = urls.into_iter().enumerate().map(|(lane, url)| {
        let el = el.clone();
        spawn(async move {
            let outcome = timeout(TIME_LIMIT, fetch(&el, lane, url)).await;
            let outcome = outcome.unwrap_or_else(Err);
            el.with(move |el, tour| match outcome {
                Ok(bytes) => tour.completed(el, lane, bytes),
                Err(error) => tour.failed(el, lane, &error),
            })
            .await
        })
        .named(&name(lane))
    });
    gather(fetches).await.map(drop)
}

/// Fetches a URL. Returns the number of bytes in the body.
async fn fetch(el: &LoopHandle<Tour>, lane: usize, url: Url) -> Result<usize> {
    let Url { host, port, path } = url;
    step(el, lane, format!("fetch of {host}:{port} starts")).await?;
    let conn = TcpStream::connect_host(&format!("{host}:{port}"), TIME_LIMIT).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
    conn.write_all(request.as_bytes()).await?;
    step(el, lane, "connected, request sent, SUSPENDS until the headers come".to_owned()).await?;

    let mut answer = Vec::new();
    let body = headers(&conn, &mut answer).await?;
    let status = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let status = String::from_utf8_lossy(status);
    step(el, lane, format!("RESUMES, {status}, SUSPENDS until the body is here")).await?;

    conn.read_to_end(&mut answer).await?;
    Ok(answer.len() - body)
}

/// Reads until the headers are complete. Returns the index of the body.
async fn headers(conn: &TcpStream, answer: &mut Vec<u8>) -> Result<usize> {
    let mut buffer = [0; 4096];
    loop {
        match conn.read(&mut buffer).await? {
            0 => return Err(Error::other("no answer")),
            count => answer.extend_from_slice(&buffer[..count]),
        }
        if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            return Ok(end + 4);
        }
    }
}

/// Prints a step. The time of the start is part of the loop's state, so this runs as a callback.
async fn step(el: &LoopHandle<Tour>, lane: usize, what: String) -> Result<()> {
    el.with(move |el, tour| tour.step(el, lane, &what)).await
}
