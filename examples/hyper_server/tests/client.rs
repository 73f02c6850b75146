//! A client and a server of hyper on one loop.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use mainspring::EventLoop;
use mainspring::hyper::LoopTimer;
use mainspring::net::{TcpListener, TcpStream};

async fn greet(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    Ok(Response::new(Full::from("hello")))
}

#[test]
fn client_receives_the_answer_of_the_server() -> Result<(), Box<dyn std::error::Error>> {
    let mut el = EventLoop::new()?;
    let body = el.run_until_complete(async {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        mainspring::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let server = server::conn::http1::Builder::new().timer(LoopTimer).clone();
            server.serve_connection(stream, service_fn(greet)).await
        })
        .detach();

        let stream = TcpStream::connect(address).await?;
        let (mut sender, connection) = client::conn::http1::handshake(stream).await?;
        mainspring::spawn(connection).detach();
        let request = Request::get("/").header("host", "here").body(Full::<Bytes>::default())?;
        let response = sender.send_request(request).await?;
        Ok::<_, Box<dyn std::error::Error>>(response.into_body().collect().await?.to_bytes())
    })??;
    assert_eq!(body, "hello");
    Ok(())
}
