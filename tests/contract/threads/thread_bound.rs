//! Values of one thread in libraries that require `Send` (docs/contract.md, X11).

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use mainspring::net::UnixStream;
use mainspring::{LoopHandle, ThreadBound, sleep};

use crate::support::{on_every_selector, simulated};

type SendFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A stand-in for a library that requires a `Send` and `Sync` connection, and spawns `Send`
/// futures.
trait Runtime: Send + Sync {
    fn spawn(&self, future: SendFuture<()>);
    fn sleep(&self, delay: Duration) -> SendFuture<()>;
}

trait Connection: Send + Sync + 'static {
    fn request(self, text: &'static [u8]) -> SendFuture<Vec<u8>>;
}

async fn library(runtime: impl Runtime, connection: impl Connection) -> Vec<u8> {
    runtime.sleep(Duration::from_secs(1)).await;
    let (done, answer) = async_channel::bounded(1);
    let request = async move {
        let answer = connection.request(b"ping").await;
        let _ = done.send(answer).await;
    };
    runtime.spawn(Box::pin(request));
    answer.recv().await.unwrap()
}

struct OurRuntime(ThreadBound<LoopHandle<()>>);

impl Runtime for OurRuntime {
    fn spawn(&self, future: SendFuture<()>) {
        self.0.get().spawn(future).detach();
    }

    fn sleep(&self, delay: Duration) -> SendFuture<()> {
        Box::pin(ThreadBound::new(sleep(delay)))
    }
}

struct OurConnection(ThreadBound<UnixStream>);

impl Connection for OurConnection {
    fn request(self, text: &'static [u8]) -> SendFuture<Vec<u8>> {
        let stream = self.0.into_inner();
        Box::pin(ThreadBound::new(async move {
            stream.write_all(text).await.unwrap();
            let mut answer = vec![0; text.len()];
            stream.read_exact(&mut answer).await.unwrap();
            answer
        }))
    }
}

#[test]
fn x11_a_library_that_requires_send_runs_in_the_loop() {
    on_every_selector(|kind| {
        let (mut el, clock) = simulated(kind, ());
        let runtime = OurRuntime(ThreadBound::new(el.handle().clone()));
        let answer = el.run_until_complete(async {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let echo = async move {
                let mut text = [0; 4];
                theirs.read_exact(&mut text).await.unwrap();
                text.reverse();
                theirs.write_all(&text).await.unwrap();
            };
            mainspring::spawn(echo).detach();
            library(runtime, OurConnection(ThreadBound::new(ours))).await
        });
        assert_eq!(answer.unwrap(), b"gnip");
        assert_eq!(clock.elapsed(), Duration::from_secs(1));
    });
}

fn message_elsewhere(run: impl FnOnce() + Send) -> String {
    let panicked = thread::scope(|scope| {
        let builder = thread::Builder::new().name("elsewhere".into());
        builder.spawn_scoped(scope, run).unwrap().join().unwrap_err()
    });
    *panicked.downcast::<String>().unwrap()
}

#[test]
fn x11_use_on_another_thread_panics_and_names_both_threads() {
    let bound = ThreadBound::new(RefCell::new(1));
    let here = thread::current().name().unwrap().to_owned();
    let message = message_elsewhere(|| *bound.get().borrow_mut() = 2);
    let expected = format!("of thread `{here}` used on thread `elsewhere`");
    assert!(message.starts_with("ThreadBound<core::cell::RefCell<i32>>"), "{message}");
    assert!(message.ends_with(&expected), "{message}");
    assert_eq!(*bound.get().borrow(), 1);
}

#[test]
fn x11_a_drop_on_another_thread_leaks_the_value_and_panics() {
    let alive = Rc::new(());
    let bound = ThreadBound::new(alive.clone());
    let message = message_elsewhere(|| drop(bound));
    assert!(message.ends_with("dropped on thread `elsewhere`; the value is leaked"), "{message}");
    assert_eq!(Rc::strong_count(&alive), 2);
}
