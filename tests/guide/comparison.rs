//! The figures of the page that compares models of concurrency, and of the one about several cores
//! (docs/contract.md, G9): each is rounded from a page of `benches/results`.

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
