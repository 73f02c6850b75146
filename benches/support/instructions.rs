//! Instructions in user space, counted by valgrind's callgrind: they do not jitter. What the kernel
//! does is not in them.

use super::Side;
use super::child::{Child, is_installed};
use super::options::Options;
use super::table::Table;

const TOOL: &[&str] = &["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];

/// Prints instructions for each unit of work, for workers started with the words of each row. The
/// start and the end of a process cancel out: two runs of different length are compared.
pub fn table(options: &Options, unit: &str, rows: &[(String, Vec<String>)]) {
    if !is_installed(TOOL[0]) {
        return println!("skipped: valgrind is not installed");
    }
    let mut table = Table::new(&[unit, "raw", "mainspring", "more", "ratio"]);
    for (name, words) in rows {
        options.progress(name);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let [raw, ours] = Side::BOTH.map(|side| per_unit(&words, side));
        let figures = [raw, ours, ours - raw].map(|it| format!("{it:.1}"));
        let ratio = format!("{:.2}", ours / raw);
        table.row([name.clone()].into_iter().chain(figures).chain([ratio]));
    }
    table.print(options);
}

fn per_unit(words: &[&str], side: Side) -> f64 {
    const FEW: u64 = 20_000;
    const MANY: u64 = 120_000;
    let count = |work: u64| {
        let mut child = Child::start_under(TOOL, words, side);
        child.ask(FEW); // The buffers get their size here.
        child.ask(work);
        collected(&child.end())
    };
    (count(MANY) - count(FEW)) / (MANY - FEW) as f64
}

/// The number of instructions in callgrind's report.
pub fn collected(report: &str) -> f64 {
    let number = report.lines().find_map(|line| line.split("Collected :").nth(1));
    let number = number.and_then(|number| number.trim().parse().ok());
    number.unwrap_or_else(|| panic!("callgrind has not counted: {report}"))
}
