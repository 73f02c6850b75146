//! A QUIC echo on mainspring, and on tokio for comparison: `quinn_echo [mainspring|tokio]
//! [requests] [megabytes]`.

use std::sync::Arc;
use std::time::Instant;

use mainspring::EventLoop;
use quinn::{Runtime, TokioRuntime};
use quinn_echo::LoopRuntime;
use quinn_echo::echo::{self, Error};

const MEGABYTE: usize = 1024 * 1024;

async fn measure(
    runtime: Arc<dyn Runtime>,
    requests: u32,
    megabytes: usize,
) -> Result<String, Error> {
    let (server, client) = echo::endpoints(&runtime)?;
    let address = server.local_addr()?;
    runtime.spawn(Box::pin(echo::serve(server.clone(), runtime.clone())));
    let connection = echo::connect(&client, address).await?;
    let small: Arc<[u8]> = vec![7; 64].into();
    let began = Instant::now();
    for _ in 0..requests {
        echo::request(&connection, &runtime, small.clone()).await?;
    }
    let per_second = f64::from(requests) / began.elapsed().as_secs_f64();
    let large: Arc<[u8]> = (0..megabytes * MEGABYTE).map(|at| at as u8).collect();
    let began = Instant::now();
    let count = echo::request(&connection, &runtime, large).await?;
    let rate = count as f64 / MEGABYTE as f64 / began.elapsed().as_secs_f64();
    connection.close(0_u32.into(), b"done");
    client.wait_idle().await;
    server.close(0_u32.into(), b"done");
    Ok(format!("{per_second:.0} requests/s, {rate:.1} MiB/s each way"))
}

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let runtime = arguments.next().unwrap_or_else(|| "mainspring".into());
    let requests = arguments.next().map_or(Ok(1000), |text| text.parse())?;
    let megabytes = arguments.next().map_or(Ok(16), |text| text.parse())?;
    let result = match &*runtime {
        "mainspring" => {
            let measured = measure(Arc::new(LoopRuntime), requests, megabytes);
            EventLoop::new()?.run_until_complete(measured)??
        }
        "tokio" => {
            let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            tokio.block_on(measure(Arc::new(TokioRuntime), requests, megabytes))?
        }
        other => return Err(format!("{other} is neither mainspring nor tokio").into()),
    };
    println!("{runtime}: {result}");
    Ok(())
}
