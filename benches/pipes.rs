//! A chain of pipes, libevent's benchmark: CPU time per event.
//!
//! N pipes are watched, and A of them receive a byte. A callback that reads a byte writes one to
//! the next pipe, up to a number of writes. So few of many fds are ready at a time. An event
//! includes a read(2), a write(2) and a share of a wait. Raw has boxed closures in a table indexed
//! by fd. A cell is `N x A`.

mod raw;
mod support;

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;

use mainspring::EventLoop;
use support::child::run_requests;
use support::instructions;
use support::options::Options;
use support::rounds::measure;
use support::table::Table;
use support::{Side, run};

fn main() {
    run("pipes", run_bench, work);
}

fn run_bench(options: &Options) {
    let cells = options.cells(
        &[&[10, 2]],
        &[&[100, 1], &[100, 10], &[1000, 100], &[9000, 100]],
        &[
            &[100, 1],
            &[100, 10],
            &[100, 100],
            &[1000, 1],
            &[1000, 10],
            &[1000, 100],
            &[9000, 1],
            &[9000, 10],
            &[9000, 100],
        ],
    );
    let row = |cell: &Vec<usize>| {
        let words: Vec<String> = cell.iter().map(usize::to_string).collect();
        (words.join("x"), words)
    };
    let rows: Vec<(String, Vec<String>)> = cells.iter().map(row).collect();
    if options.instructions {
        return instructions::table(options, "instructions", &rows);
    }
    let mut table = Table::new(&["ns an event", "raw", "mainspring", "ratio"]);
    for (name, words) in rows {
        options.progress(&name);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        table.row([name].into_iter().chain(measure(options, &words).columns()));
    }
    table.print(options);
}

/// State of the loops of both sides.
struct Chain {
    writers: Vec<PipeWriter>,
    /// Number of bytes that readers still have to write.
    to_write: u64,
    /// Number of bytes that are not read yet.
    to_read: u64,
}

impl Chain {
    /// Reads from pipe `index`, and writes to the next one.
    fn pass_on(&mut self, index: usize, mut reader: &PipeReader) {
        let mut byte = [0];
        let count = reader.read(&mut byte).expect("the pipe contains a byte");
        self.to_read -= count as u64;
        if self.to_write > 0 {
            self.to_write -= 1;
            let next = if index + 1 == self.writers.len() { 0 } else { index + 1 };
            self.write(next);
        }
    }

    fn write(&mut self, index: usize) {
        (&self.writers[index]).write_all(b"x").expect("a pipe has room for some bytes");
    }

    /// Writes a byte to each of `active` pipes, evenly spaced.
    fn begin(&mut self, active: usize, events: u64) {
        let apart = self.writers.len() / active;
        (0..active).for_each(|number| self.write(number * apart));
        let active = active as u64;
        self.to_write = events.saturating_sub(active);
        self.to_read = self.to_write + active;
    }
}

fn work(words: &[String], side: Side) {
    let [count, active] = [0, 1].map(|at| words[at].parse().expect("a number"));
    let pipe = |_| std::io::pipe().expect("there are descriptors");
    let (readers, writers): (Vec<_>, Vec<_>) = (0..count).map(pipe).unzip();
    let chain = Chain { writers, to_write: 0, to_read: 0 };
    match side {
        Side::Raw => raw(readers, chain, active),
        Side::Mainspring => ours(readers, chain, active),
    }
}

fn raw(readers: Vec<PipeReader>, chain: Chain, active: usize) {
    let mut el = raw::Loop::new(chain).expect("epoll works");
    for (index, reader) in readers.into_iter().enumerate() {
        let fd = reader.as_raw_fd();
        let pass_on = move |chain: &mut Chain| chain.pass_on(index, &reader);
        el.add_reader(fd, pass_on).expect("a pipe can be watched");
    }
    run_requests(|events| {
        let before = raw::cpu_of_this_thread();
        el.state.begin(active, events);
        while el.state.to_read > 0 {
            el.tick().expect("epoll works");
        }
        (raw::cpu_of_this_thread() - before).as_nanos() as u64
    });
}

fn ours(readers: Vec<PipeReader>, chain: Chain, active: usize) {
    let mut el = EventLoop::with_state(chain).expect("the system has a selector");
    for (index, reader) in readers.into_iter().enumerate() {
        let added = el.add_reader(reader, move |el, chain, reader| {
            chain.pass_on(index, reader);
            if chain.to_read == 0 {
                el.stop();
            }
            Ok(())
        });
        added.expect("a pipe can be watched");
    }
    run_requests(|events| {
        let before = raw::cpu_of_this_thread();
        el.state_mut().begin(active, events);
        el.run_forever().expect("the selector works");
        (raw::cpu_of_this_thread() - before).as_nanos() as u64
    });
}
