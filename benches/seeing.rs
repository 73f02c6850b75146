//! The cost of looking inside: CPU nanoseconds of an operation without instruments, with measured
//! times, and with a tape.
//!
//! * `off`: only the counters, which are always on;
//! * `measure`: [`EventLoopBuilder::measure`](mainspring::EventLoopBuilder::measure);
//! * `ring`: a tape in memory;
//! * `black box`: a tape in a file, in /dev/shm if it exists.
//!
//! The echo servers run in separate processes on one core, the load generator on another one; the
//! cells are `size x connections`. The modes take turns in short slices, so other load of the
//! machine disturbs all of them alike. The difference of a mode and of `off` is taken slice by
//! slice. Its median in one life of the servers is a figure: in another life, their memory has
//! another layout. The table has the median of these figures, and its 95 % interval by the sign
//! test. `off again` is a second server of the mode `off`: the error of the method.
//!
//! The other operations run in this process: a `call_soon` in batches of a thousand, a `call_soon`
//! that queues the next one, timers that are due at once, tasks that yield in turn, and sockets
//! that are always writable. The modes take turns. `more` is the difference of the best rounds of
//! the mode and of `off`, and then the median of the differences round by round.

mod raw;
mod support;

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs, process};

use mainspring::{EventLoop, LoopHandle, Recorder, yield_now};
use support::figures::{Spread, figure, interval_of_median, median};
use support::load::Load;
use support::options::{Effort, Options};
use support::run;
use support::server::{Server, serve_on};
use support::table::Table;

const MODES: [&str; 4] = ["off", "measure", "ring", "black box"];

/// The modes of the echo servers.
const SERVERS: [&str; 5] = ["off", "measure", "ring", "black box", "off again"];

/// Requests of a slice.
const SLICE: usize = 1000;

fn main() {
    run("seeing", run_bench, |words, _| serve_on(new_loop(mode_of(words), ())));
}

fn mode_of(words: &[String]) -> usize {
    words.last().and_then(|word| word.parse().ok()).expect("the main process passes a mode")
}

fn new_loop<S>(mode: usize, state: S) -> EventLoop<S> {
    let builder = EventLoop::builder();
    let builder = match SERVERS[mode] {
        "measure" => builder.measure(true),
        "ring" => builder.record(Recorder::ring(1 << 16)),
        "black box" => builder.record(Recorder::black_box(tape_file(process::id()))),
        _ => builder,
    };
    builder.build_with(state).expect("the system has a selector")
}

fn tape_file(process: u32) -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { env::temp_dir() };
    folder.join(format!("mainspring-seeing-{process}"))
}

fn run_bench(options: &Options) {
    for cell in options.cells(&[&[64, 5]], &[&[64, 50]], &[&[64, 1], &[64, 50], &[64, 1000]]) {
        echo_table(options, &cell);
    }
    let mut heading = vec!["ns CPU"];
    heading.extend(MODES);
    heading.extend(["measure: more", "ring: more", "black box: more"]);
    let mut table = Table::new(&heading);
    type Work = fn(usize, u64) -> f64;
    let works: [(&str, Work); 5] = [
        ("batch", batch),
        ("chain", chain),
        ("timers", timers),
        ("tasks", tasks),
        ("events", events),
    ];
    let amount = if options.effort == Effort::Smoke { 1000 } else { 500_000 };
    for (name, work) in works {
        options.progress(name);
        let round = |_| [0, 1, 2, 3].map(|mode| work(mode, amount));
        row(&mut table, name.to_owned(), &(0..options.rounds).map(round).collect::<Vec<_>>());
    }
    table.print(options);
    let _ = fs::remove_file(tape_file(process::id()));
    let _ = fs::remove_file(tape_file(process::id()).with_extension("old"));
}

fn row(table: &mut Table, name: String, rounds: &[[f64; 4]]) {
    let all = |mode: usize| figure(Spread::of(rounds.iter().map(|round| round[mode])).median);
    let best = |mode: usize| Spread::of(rounds.iter().map(|round| round[mode])).least;
    let more = |mode: usize| {
        let Spread { median, least, greatest } =
            Spread::of(rounds.iter().map(|round| round[mode] - round[0]));
        format!("{:.1}; {median:.1} ({least:.1}..{greatest:.1})", best(mode) - best(0))
    };
    table.row([name].into_iter().chain((0..4).map(all)).chain((1..4).map(more)));
}

/// Prints what each mode costs an echo more than `off`, in nanoseconds and in per cent.
fn echo_table(options: &Options, cell: &[usize]) {
    let name = format!("echo {}x{}", cell[0], cell[1]);
    let life = |number| {
        options.progress(&format!("{name}, life {number}"));
        echo(options, cell)
    };
    let lives: Vec<Vec<[f64; 5]>> = (0..options.rounds).map(life).collect();
    let cost = |slices: &[[f64; 5]], mode: usize| median(slices.iter().map(|slice| slice[mode]));
    let mut table =
        Table::new(&[&name, "ns CPU", "more", "95 % interval", "more, %", "95 % interval"]);
    for (mode, name) in SERVERS.iter().enumerate() {
        let more = |slices: &Vec<[f64; 5]>| median(slices.iter().map(|it| it[mode] - it[0]));
        let nanos: Vec<f64> = lives.iter().map(more).collect();
        let part = lives.iter().map(|slices| 100.0 * more(slices) / cost(slices, 0));
        let all = median(lives.iter().map(|slices| cost(slices, mode)));
        let [nanos, part] = [nanos, part.collect()].map(|figures: Vec<f64>| {
            let (least, greatest) = interval_of_median(figures.iter().copied());
            [format!("{:.2}", median(figures)), format!("{least:.2}..{greatest:.2}")]
        });
        table.row([(*name).to_owned(), figure(all)].into_iter().chain(nanos).chain(part));
    }
    table.print(options);
}

/// Returns the CPU nanoseconds of the servers for a request, for each slice and mode of their life.
fn echo(options: &Options, cell: &[usize]) -> Vec<[f64; 5]> {
    let mut servers = [0, 1, 2, 3, 4].map(|mode: usize| {
        let server = Server::start_with(&["serve", &mode.to_string()]);
        let load = Load::connect(server.address(), cell[1], cell[0]).expect("the server accepts");
        (server, load)
    });
    let (slices, requests) = match options.effort {
        Effort::Smoke => (1, 50),
        Effort::Short => (200, SLICE),
        Effort::Full => (1000, SLICE),
    };
    let mut cost = |mode: usize| {
        let (server, load) = &mut servers[mode];
        let before = server.cpu();
        load.run(requests).expect("the server serves");
        (server.cpu() - before).as_nanos() as f64 / requests as f64
    };
    let mut slice = |number: usize| {
        let mut costs = [0.0; 5];
        // Forward and back, beginning with each mode equally often.
        let order = if number.is_multiple_of(2) { [0, 1, 2, 3, 4] } else { [4, 3, 2, 1, 0] };
        for place in 0..5 {
            let mode = order[(number / 2 + place) % 5];
            costs[mode] = cost(mode);
        }
        costs
    };
    let _warm_up = slice(0);
    let costs = (0..slices).map(&mut slice).collect();
    for (server, _) in &servers {
        let _ = fs::remove_file(tape_file(server.process));
    }
    costs
}

fn per_unit<S>(el: &mut EventLoop<S>, count: u64, work: impl FnOnce(&mut EventLoop<S>)) -> f64 {
    let before = raw::cpu_of_this_thread();
    work(el);
    (raw::cpu_of_this_thread() - before).as_nanos() as f64 / count as f64
}

fn batch(mode: usize, count: u64) -> f64 {
    per_unit(&mut new_loop(mode, 0u64), count, |el| {
        for _ in 0..count / 1000 {
            for number in 0..1000 {
                el.call_soon(move |_, sum| *sum = sum.wrapping_add(number));
            }
            el.tick(None).expect("the selector works");
        }
    })
}

fn chain(mode: usize, count: u64) -> f64 {
    fn link(el: &LoopHandle<u64>, left: &mut u64) {
        *left -= 1;
        match *left {
            0 => el.stop(),
            _ => _ = el.call_soon(link),
        }
    }
    let mut el = new_loop(mode, count);
    el.call_soon(link);
    per_unit(&mut el, count, |el| el.run_forever().expect("the selector works"))
}

fn timers(mode: usize, count: u64) -> f64 {
    per_unit(&mut new_loop(mode, 0u64), count, |el| {
        for _ in 0..count / 1000 {
            for _ in 0..1000 {
                el.call_later(Duration::ZERO, |_, ran| *ran += 1);
            }
            el.tick(None).expect("the selector works");
        }
    })
}

fn tasks(mode: usize, count: u64) -> f64 {
    let mut el = new_loop(mode, ());
    for _ in 0..100 {
        let turns = count / 100;
        el.spawn(async move {
            for _ in 0..turns {
                yield_now().await;
            }
        })
        .detach();
    }
    per_unit(&mut el, count, |el| el.run().expect("the selector works"))
}

fn events(mode: usize, count: u64) -> f64 {
    const SOCKETS: u64 = 100;
    let mut el = new_loop(mode, 0u64);
    for _ in 0..SOCKETS {
        let socket = UnixDatagram::unbound().expect("there are descriptors");
        let on_ready = |_: &_, ran: &mut u64, _: &mut _| {
            *ran += 1;
            Ok(())
        };
        el.add_writer(socket, on_ready).expect("the selector takes sockets");
    }
    per_unit(&mut el, count, |el| {
        for _ in 0..count / SOCKETS {
            el.tick(None).expect("the selector works");
        }
    })
}
