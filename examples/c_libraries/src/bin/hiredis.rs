//! hiredis on the loop.
//!
//! ```text
//! cargo run -p c_libraries --bin hiredis -- SOCKET [COMMAND ARGUMENT ...]
//! ```
//!
//! SOCKET is the path of Redis's Unix socket. Without a command, a hundred commands are sent at
//! once, and then one that gets no reply, which ends with a timeout.

#[cfg(hiredis)]
mod program {
    use std::ffi::CString;
    use std::time::Duration;

    use c_libraries::hiredis::{Redis, Reply};
    use mainspring::{Error, EventLoop, LoopHandle, Result, timeout};

    const LIMIT: Duration = Duration::from_millis(100);

    async fn demonstrate(el: LoopHandle, path: CString) -> Result<()> {
        let redis = Redis::connect(&el, &path)?;
        redis.command(&["SET", "visits", "0"])?.await?;
        let replies: Vec<_> = (0..100).map(|_| redis.command(&["INCR", "visits"])).collect();
        let mut last = Reply::Nil;
        for reply in replies {
            last = reply?.await?;
        }
        println!("last of 100 replies: {last:?}");

        let waiting = timeout(LIMIT, redis.command(&["BLPOP", "empty", "0"])?).await;
        println!(
            "a list without elements: {}",
            waiting.map_or_else(|error| error.chain(), |_| "?".into())
        );
        Ok(())
    }

    async fn command(el: LoopHandle, path: CString, words: Vec<String>) -> Result<()> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        println!("{:?}", Redis::connect(&el, &path)?.command(&words)?.await?);
        Ok(())
    }

    pub fn run(arguments: &[String]) -> Result<()> {
        let [path, words @ ..] = arguments else {
            return Err(Error::other("usage: hiredis SOCKET [COMMAND ARGUMENT ...]"));
        };
        let path = CString::new(&**path).map_err(Error::other)?;
        let mut el = EventLoop::new()?;
        let handle = el.handle().clone();
        if words.is_empty() {
            el.run_until_complete(demonstrate(handle, path))?
        } else {
            el.run_until_complete(command(handle, path, words.to_vec()))?
        }
    }
}

#[cfg(hiredis)]
fn main() -> std::process::ExitCode {
    c_libraries::run("hiredis", program::run)
}

#[cfg(not(hiredis))]
fn main() {
    println!("skipped: compiled without hiredis (package libhiredis-dev)");
}
