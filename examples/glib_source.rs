//! The loop as a source of GLib's main loop, or of a similar one.
//!
//! `cargo run --example glib_source` ends without further input. GLib's main context does four
//! things in turn: it calls `prepare` of each source (how long may it sleep?), then poll(2) for the
//! descriptors of all sources, then `check` (is the source ready?), and `dispatch`. [`LoopSource`]
//! has these three methods, each of one line. With GLib itself they become the functions of a
//! `GSourceFuncs`, the descriptor goes to `g_source_add_unix_fd`, and [`Context`] is not needed.

use std::env;
use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use mainspring::{Error, EventLoop};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// The loop as a source.
struct LoopSource {
    el: EventLoop<u32>,
    fd: mainspring::PollFd,
}

impl LoopSource {
    fn new(el: EventLoop<u32>) -> mainspring::Result<LoopSource> {
        let problem = "this selector has no descriptor to wait for; epoll and kqueue have one";
        let fd = el.poll_fd().ok_or_else(|| Error::other(problem))?;
        Ok(LoopSource { el, fd })
    }

    /// Returns the maximum time that the context may sleep because of this source; `None` for no
    /// limit.
    fn prepare(&self) -> Option<Duration> {
        let deadline = self.el.next_deadline()?;
        Some(deadline.saturating_duration_since(self.el.now()))
    }

    /// Returns true if the source has something to do after the sleep.
    fn check(&self, is_readable: bool) -> bool {
        is_readable || self.prepare() == Some(Duration::ZERO)
    }

    /// Runs a tick. Returns false if the source must be removed, like `G_SOURCE_REMOVE`.
    fn dispatch(&mut self) -> mainspring::Result<bool> {
        self.el.tick(Some(Duration::ZERO))?;
        Ok(self.el.is_alive() && !self.el.is_stopping())
    }
}

/// A main context with one source and its own timeout.
struct Context {
    source: LoopSource,
    tick: Instant,
}

impl Context {
    const TICK: Duration = Duration::from_millis(20);

    /// Runs one iteration, which may sleep. Returns false when the source is gone.
    fn iterate(&mut self) -> mainspring::Result<bool> {
        let own = self.tick.saturating_duration_since(Instant::now());
        let limit = self.source.prepare().map_or(own, |limit| limit.min(own));
        let is_readable = sleep(&self.source.fd, limit)?;
        let stays = if self.source.check(is_readable) { self.source.dispatch()? } else { true };
        while self.tick <= Instant::now() {
            println!("context: tick");
            self.tick += Context::TICK;
        }
        Ok(stays)
    }
}

/// The only place that sleeps.
fn sleep(fd: &mainspring::PollFd, limit: Duration) -> io::Result<bool> {
    let limit = Timespec::try_from(limit).ok();
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    match poll(&mut fds, limit.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn run() -> mainspring::Result<()> {
    let tick = Instant::now() + Context::TICK;
    let el = EventLoop::with_state(0)?;
    el.call_later(Duration::from_millis(50), |_, _| println!("source: the timer of 50 ms"));
    let remote = el.remote();
    thread::spawn(move || {
        (1..=3).try_for_each(|number| {
            remote.call_soon(move |_, sum| {
                *sum += number;
                println!("source: message {number}, sum {sum}");
            })
        })
    });
    let mut context = Context { source: LoopSource::new(el)?, tick };
    while context.iterate()? {}
    println!("context: the source is gone");
    Ok(())
}

fn main() -> ExitCode {
    if let Some(argument) = env::args_os().nth(1) {
        eprintln!("glib_source: unexpected argument {argument:?}");
        return ExitCode::from(2);
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("glib_source: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}
