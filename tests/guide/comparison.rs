//! The figures of the page that compares models of concurrency, of the one about several cores, and
//! of the README (docs/contract.md, G9): each is rounded from a page of `benches/results`.

use std::fs;
use std::path::Path;

use crate::pictures::files::ROOT;

/// Rows of the page, and their peers in the results.
const FETCHES: [(&str, &str); 7] = [
    ("callbacks", "mainspring"),
    ("tasks", "mainspring-tasks"),
    ("threads", "threads"),
    ("processes", "processes"),
    ("libuv, callbacks", "libuv"),
    ("tokio, tasks", "tokio"),
    ("asyncio, tasks", "asyncio"),
];
const LOOPS: [(&str, &str); 7] = [
    ("mainspring, callbacks", "mainspring"),
    ("mainspring, tasks", "mainspring-tasks"),
    ("tokio", "tokio"),
    ("libuv", "libuv"),
    ("asyncio", "asyncio"),
    ("uvloop", "uvloop"),
    ("trio", "trio"),
];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

fn page() -> String {
    read("src/guide/concurrency_models_compared/costs.md")
}

/// Returns the cells of the first row of this name below `heading`, without its name.
fn row(text: &str, heading: &str, name: &str) -> Vec<String> {
    let (_, section) = text.split_once(heading).expect(heading);
    let row = section.lines().find_map(|line| line.strip_prefix(&format!("| {name} | ")));
    let row = row.unwrap_or_else(|| panic!("{name} below {heading}"));
    row.trim_end_matches(" |").split(" | ").map(str::to_owned).collect()
}

/// Returns the median in a cell of the results: its first number.
fn median(cell: &str) -> f64 {
    let number = cell.split(' ').next().unwrap_or_default().replace(',', "");
    number.parse().unwrap_or_else(|_| panic!("a number begins {cell}"))
}

#[test]
fn g9_the_times_of_fetches_are_results() {
    let (page, results) = (page(), read("benches/results/fetches.md"));
    for (name, peer) in FETCHES {
        let (wall, cpu) = (row(&results, "## Wall time", peer), row(&results, "## CPU time", peer));
        let found = row(&page, "| | wall time", name);
        let expected = [
            format!("{:.0} ms", median(&wall[0])),
            format!("{:.0} ms", median(&wall[2])),
            format!("{:.0} µs", median(&cpu[2])),
        ];
        assert_eq!(found, expected, "{name}");
    }
    let hundred = |peer| median(&row(&results, "## Wall time", peer)[1]);
    let (threads, callbacks) = (hundred("threads"), hundred("mainspring"));
    let sentence = format!("{threads:.0} ms with threads and {callbacks:.0} ms with callbacks");
    assert!(page.replace('\n', " ").contains(&sentence), "{sentence}");
}

#[test]
fn g9_the_costs_of_a_request_are_results() {
    let (page, results) = (page(), read("benches/results/echo.md"));
    for (name, peer) in LOOPS {
        let times = row(&results, "## TCP echo of 64 B: CPU time", peer);
        let found = row(&page, "# Event loops compared", name);
        let in_us = |cell: &str| format!("{:.1} µs", median(cell) / 1000.0);
        assert_eq!(found[..], [in_us(&times[1]), in_us(&times[3])], "{name}");
    }
}

#[test]
fn g9_the_costs_of_a_unit_are_results() {
    let (page, results) = (page(), read("benches/results/units.md"));
    let of = |peer: &str| row(&results, "## A task, a thread, a process", peer);
    let [task, thread, process, asyncio] =
        ["mainspring-tasks", "threads", "processes", "asyncio"].map(of);
    let us = |cell: &str| median(cell) / 1000.0;
    let kb = |cell: &str| median(cell) / 1000.0;
    let expected = [
        ("switch: task", format!("{:.4} µs; asyncio {:.1} µs", us(&task[0]), us(&asyncio[0]))),
        ("switch: thread", format!("{:.1} µs", us(&thread[0]))),
        ("switch: process", format!("{:.1} µs", us(&process[0]))),
        ("memory: task", format!("{:.0} bytes and the future; ", median(&task[2]))),
        ("memory: thread", format!("{:.1} KB, ", kb(&thread[2]))),
        ("memory: process", format!("{:.2} MB, ", kb(&process[2]) / 1000.0)),
    ];
    for (name, begin) in expected {
        let found = row(&page, "# What a unit costs", name);
        assert!(found[1].starts_with(&begin), "{name}: {} does not begin with {begin}", found[1]);
    }
}

#[test]
fn g9_the_costs_of_workers_are_results() {
    let page = read("src/guide/deploying.md");
    let results = read("benches/results/workers.md");
    let tables =
        [("| echo of 64 B", "## Workers: echo"), ("| connect, echo", "## Workers: connect")];
    for (table, heading) in tables {
        for peer in ["1 worker", "2 workers", "1, handover", "2, handover"] {
            let costs = row(&results, heading, peer);
            let expected = costs[1..].iter().map(|cell| {
                let time = median(cell) / 1000.0;
                let time = if time < 10.0 { format!("{time:.2}") } else { format!("{time:.1}") };
                let ratio = cell.rsplit(' ').next().unwrap_or_default();
                if peer == "1 worker" { time } else { format!("{time}, {ratio}") }
            });
            assert_eq!(row(&page, table, peer), expected.collect::<Vec<_>>(), "{table}, {peer}");
        }
    }
}

/// Bars of the README, and their lines in the picture of all results.
const BARS: [(&str, &str); 14] = [
    ("echo of 64 B", "echo of 64 B (mean of 4)"),
    ("echo of 100 KiB", "echo of 100 KiB (mean of 4)"),
    ("connect, echo, close", "connect, echo, close (mean of 2)"),
    ("chain of pipes", "chain of pipes (mean of 5)"),
    ("always-readable fds", "always-readable fds (mean of 4)"),
    ("call_soon, a chain", "call_soon: chain"),
    ("call_soon, batches", "call_soon: batch"),
    ("timers: insert ", "timers: insert"),
    ("timers: cancel", "timers: cancel"),
    ("timers: insert, run", "timers: insert + run"),
    ("tasks: spawn, join", "tasks: spawn + join"),
    ("tasks: switch", "tasks: switch"),
    ("memory of a task", "tasks: waiting"),
    ("hyper", "hyper (mean of 3)"),
];

#[test]
fn g9_the_bars_of_the_readme_are_results() {
    let (readme, picture) = (read("README.md"), read("benches/results/summary.svg"));
    let (_, bars) = readme.split_once("relative to a hand-written epoll loop\n").unwrap();
    let bar = |name: &str| {
        let bar = bars.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        bar.split_whitespace().next().map(str::to_owned)
    };
    let texts = picture.split("<text").skip(1);
    let texts: Vec<&str> = texts.filter_map(|it| it.split(['>', '<']).nth(1)).collect();
    for (name, line) in BARS {
        let at = texts.iter().position(|text| *text == line).expect(line);
        let ours = [texts[at + 2], texts[at + 3]].into_iter().find(|ratio| *ratio != "-");
        assert_eq!(bar(name).as_deref(), ours, "{name}");
    }
    let messages =
        row(&read("benches/results/README.md"), "## All figures", "Post: throughput, throughput");
    assert_eq!(bar("thread messages").map(|ratio| ratio + "x").as_ref(), messages.get(4));
}

/// The dates and the machines of the results are on the page.
#[test]
fn g9_the_page_has_date_and_machine() {
    let page = page();
    for result in ["fetches", "units", "echo"] {
        let text = read(&format!("benches/results/{result}.md"));
        let machine = ["AMD EPYC", "Intel Xeon"].into_iter().find(|name| {
            text.replace("(R)", "").lines().take(8).any(|line| line.starts_with(name))
        });
        assert!(page.contains(machine.expect("a machine")), "{result}");
        assert!(text.contains("kernel 6.18") && page.contains("Linux 6.18"), "{result}");
    }
    assert!(page.contains("November 2026"), "the date");
}
