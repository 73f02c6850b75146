//! Callbacks that only count: the cost of their dispatch.
//!
//! * `readers N`: N pipes contain a byte that is never read, so each tick reports all of them. The
//!   kernel's share is large and the same on both sides; `--instructions` shows the rest. Raw has
//!   boxed closures in a table indexed by fd.
//! * `chain`: a closure queues its successor for the next tick, so each tick has one wait and one
//!   closure.
//! * `batch`: a thousand closures with a captured number are queued and run in one tick. Raw
//!   allocates each of them.
//!
//! Figures are CPU nanoseconds per callback. The cells of `--cells` are numbers of readers.

mod raw;
mod support;

use std::cell::Cell;
use std::io::{PipeReader, PipeWriter, Write};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use mainspring::{EventLoop, LoopHandle};
use support::child::run_requests;
use support::instructions;
use support::options::Options;
use support::rounds::measure;
use support::table::Table;
use support::{Side, run};

const BATCH: u64 = 1000;

fn main() {
    run("dispatch", run_bench, work);
}

fn run_bench(options: &Options) {
    let cells = options.cells(&[&[3]], &[&[10], &[1000]], &[&[1], &[10], &[100], &[1000]]);
    let readers = cells.iter().map(|cell| vec!["readers".to_owned(), cell[0].to_string()]);
    let queued = ["chain", "batch"].map(|word| vec![word.to_owned()]);
    let rows: Vec<(String, Vec<String>)> =
        readers.chain(queued).map(|words| (words.join(" "), words)).collect();
    if options.instructions {
        return instructions::table(options, "instructions", &rows);
    }
    let mut table = Table::new(&["ns a callback", "raw", "mainspring", "ratio"]);
    for (name, words) in rows {
        options.progress(&name);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        table.row([name].into_iter().chain(measure(options, &words).columns()));
    }
    table.print(options);
}

fn work(words: &[String], side: Side) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match (&words[..], side) {
        (["readers", count], Side::Raw) => raw_readers(full_pipes(count)),
        (["readers", count], Side::Mainspring) => our_readers(full_pipes(count)),
        (["chain"], Side::Raw) => raw_chain(),
        (["chain"], Side::Mainspring) => our_chain(),
        (_, Side::Raw) => raw_batch(),
        (_, Side::Mainspring) => our_batch(),
    }
}

fn full_pipes(count: &str) -> Vec<(PipeReader, PipeWriter)> {
    let full_pipe = |_| {
        let (reader, mut writer) = std::io::pipe().expect("there are descriptors");
        writer.write_all(b"x").expect("a pipe has room for a byte");
        (reader, writer)
    };
    (0..count.parse().expect("a number of pipes")).map(full_pipe).collect()
}

/// Returns the CPU time of `work` in nanoseconds.
fn timed(work: impl FnOnce()) -> u64 {
    let before = raw::cpu_of_this_thread();
    work();
    let took: Duration = raw::cpu_of_this_thread() - before;
    took.as_nanos() as u64
}

fn raw_readers(pipes: Vec<(PipeReader, PipeWriter)>) {
    let mut el = raw::Loop::new(0u64).expect("epoll works");
    for (reader, _) in &pipes {
        el.add_reader(reader.as_raw_fd(), |seen| *seen += 1).expect("a pipe can be watched");
    }
    run_requests(|count| {
        timed(|| {
            el.state = 0;
            while el.state < count {
                el.tick().expect("epoll works");
            }
        })
    });
}

fn our_readers(pipes: Vec<(PipeReader, PipeWriter)>) {
    let mut el = EventLoop::with_state(0u64).expect("the system has a selector");
    let (readers, _writers): (Vec<_>, Vec<_>) = pipes.into_iter().unzip();
    let wanted = Rc::new(Cell::new(0));
    for reader in readers {
        let wanted = wanted.clone();
        let count = move |el: &LoopHandle<u64>, seen: &mut u64, _: &mut _| {
            *seen += 1;
            if *seen == wanted.get() {
                el.stop();
            }
            Ok(())
        };
        el.add_reader(reader, count).expect("a pipe can be watched");
    }
    run_requests(|count| {
        wanted.set(count);
        timed(|| {
            *el.state_mut() = 0;
            el.run_forever().expect("the selector works");
        })
    });
}

fn raw_chain() {
    fn link(soon: &mut raw::SoonQueue<u64>, seen: &mut u64) {
        *seen += 1;
        soon.push(link);
    }
    let mut el = raw::Loop::new(0u64).expect("epoll works");
    el.soon.push(link);
    run_requests(|count| {
        timed(|| {
            el.state = 0;
            while el.state < count {
                el.tick().expect("epoll works");
            }
        })
    });
}

fn our_chain() {
    fn link(el: &LoopHandle<u64>, left: &mut u64) {
        *left -= 1;
        if *left > 0 {
            el.call_soon(link);
        } else {
            el.stop();
        }
    }
    let mut el = EventLoop::with_state(0u64).expect("a loop");
    run_requests(|count| {
        timed(|| {
            *el.state_mut() = count;
            el.call_soon(link);
            el.run_forever().expect("the loop runs");
        })
    });
}

fn raw_batch() {
    let mut el = raw::Loop::new(0u64).expect("epoll works");
    run_requests(|count| {
        timed(|| {
            for _ in 0..count.div_ceil(BATCH) {
                for number in 0..BATCH {
                    el.soon.push(move |_, sum| *sum = sum.wrapping_add(number));
                }
                el.tick().expect("epoll works");
            }
        })
    });
}

fn our_batch() {
    let mut el = EventLoop::with_state(0u64).expect("the system has a selector");
    run_requests(|count| {
        timed(|| {
            for _ in 0..count.div_ceil(BATCH) {
                for number in 0..BATCH {
                    el.call_soon(move |_, sum| *sum = sum.wrapping_add(number));
                }
                el.tick(None).expect("the selector works");
            }
        })
    });
}
