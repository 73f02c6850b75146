//! Instructions in user space, counted by valgrind's callgrind. They hardly vary between runs. They
//! do not include the work of the kernel.

use super::Side;
use super::child::{Child, is_installed};
use super::options::Options;
use super::table::Table;

const TOOL: &[&str] = &["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];

/// Prints instructions per unit of work, for workers started with the words of each row. Start and
/// end of a process cancel out, because the count is the difference of a short and a long run.
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

/// Returns the instructions in user space per unit of the work of a worker.
pub fn per_unit(words: &[&str], side: Side) -> f64 {
    const FEW: u64 = 20_000;
    const MANY: u64 = 120_000;
    let count = |work: u64| {
        let mut child = Child::start_under(TOOL, words, side);
        child.request(FEW); // Lets buffers grow.
        child.request(work);
        collected(&child.end())
    };
    (count(MANY) - count(FEW)) / (MANY - FEW) as f64
}

/// Returns the number of instructions in callgrind's report.
pub fn collected(report: &str) -> f64 {
    let number = report.lines().find_map(|line| line.split("Collected :").nth(1));
    let number = number.and_then(|number| number.trim().parse().ok());
    number.unwrap_or_else(|| panic!("callgrind's report has no count: {report}"))
}
