//! The loop embedded in another loop, the host, which is built on poll(2).
//!
//! `cargo run --example embed` ends without further input. The host stands for a user interface or
//! another framework: it has its own descriptor, and it is the loop that sleeps. The host needs
//! three lines for the embedded loop: `poll_fd` among its descriptors, `next_deadline` as the limit
//! of its sleep, and a `tick` that does not wait.
//!
//! Each job goes through both loops. A thread sends it to the embedded loop, which writes it
//! to a pipe that the host reads. The host answers through a pipe that the embedded loop reads.

use std::env;
use std::io::{self, PipeReader, PipeWriter, Read, Write, pipe};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use mainspring::{Error, EventLoop};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

const LAST_JOB: u8 = 3;

fn run() -> mainspring::Result<()> {
    let (jobs, job_writer) = pipe()?;
    let (answers, answer_writer) = pipe()?;
    let el = new_loop(job_writer, answers)?;
    host(el, jobs, answer_writer)
}

/// Returns a loop with a timer, a reader, and a thread that sends to it. Its state is the pipe for
/// the jobs.
fn new_loop(jobs: PipeWriter, answers: PipeReader) -> mainspring::Result<EventLoop<PipeWriter>> {
    let el = EventLoop::with_state(jobs)?;
    el.call_later(Duration::from_millis(50), |_, _| println!("loop: the timer of 50 ms"));

    let remote = el.remote();
    thread::spawn(move || {
        (1..=LAST_JOB).try_for_each(|job| {
            remote.call_soon(move |_, jobs| {
                println!("loop: job {job} from the thread");
                Ok(jobs.write_all(&[job])?)
            })
        })
    });

    el.add_reader(answers, |_, _, answers| {
        let mut answer = [0];
        answers.read_exact(&mut answer)?;
        println!("loop: answer {}", answer[0]);
        if answer == [LAST_JOB] {
            answers.cancel();
        }
        Ok(())
    })?;
    Ok(el)
}

/// The other loop.
fn host(
    mut el: EventLoop<PipeWriter>,
    mut jobs: PipeReader,
    mut answers: PipeWriter,
) -> mainspring::Result<()> {
    while el.is_alive() && !el.is_stopping() {
        let Some(loop_fd) = el.poll_fd() else {
            let problem = "this selector has no descriptor to wait for; epoll and kqueue have one";
            return Err(Error::other(problem));
        };
        let deadline = el.next_deadline();
        let limit = deadline.map(|deadline| deadline.saturating_duration_since(el.now()));
        let mut fds = [PollFd::new(&loop_fd, PollFlags::IN), PollFd::new(&jobs, PollFlags::IN)];
        sleep_until_ready(&mut fds, limit)?;

        let has_job = !fds[1].revents().is_empty();
        if has_job {
            let mut job = [0];
            jobs.read_exact(&mut job)?;
            println!("host: job {}", job[0]);
            answers.write_all(&job)?;
        }
        el.tick(Some(Duration::ZERO))?;
    }
    println!("host: the loop has nothing left to do");
    Ok(())
}

/// The only place that sleeps.
fn sleep_until_ready(fds: &mut [PollFd<'_>], limit: Option<Duration>) -> io::Result<()> {
    // A limit that the system cannot represent counts as none.
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    match poll(fds, limit.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn main() -> ExitCode {
    if let Some(argument) = env::args_os().nth(1) {
        eprintln!("embed: unexpected argument {argument:?}");
        return ExitCode::from(2);
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("embed: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}
