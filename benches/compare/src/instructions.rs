//! Instructions in user space, counted by valgrind's callgrind. They hardly vary between runs. They
//! do not include the work of the kernel.

use std::io::{self, Error};

use crate::tools::Tool;

pub const CALLGRIND: Tool =
    Tool(&["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]);

/// Returns the tool.
///
/// # Errors
///
/// The reason why instructions cannot be counted, with a remedy.
pub fn counter() -> Result<Tool, String> {
    let remedy = "valgrind does not work; install it with: apt-get install valgrind";
    if CALLGRIND.works() { Ok(CALLGRIND) } else { Err(remedy.to_owned()) }
}

/// Returns the number of instructions in callgrind's report.
pub fn collected(report: &str) -> io::Result<f64> {
    let number = report.lines().find_map(|line| line.split("Collected :").nth(1));
    let number = number.and_then(|number| number.trim().parse().ok());
    number.ok_or_else(|| Error::other("callgrind's report has no count"))
}

#[cfg(test)]
mod tests {
    use super::collected;

    #[test]
    fn count_is_read_from_the_report() {
        let report = "==7== Events    : Ir\n==7== Collected : 39396448\n==7== \n";
        assert_eq!(collected(report).unwrap(), 39_396_448.0);
        assert!(collected("==7== Process terminating\n").is_err());
    }
}
