//! Instructions in user space, counted by valgrind's callgrind: they do not jitter. What the kernel
//! does is not in them.

use std::io::{self, Error};

use crate::tools::Tool;

pub const CALLGRIND: Tool =
    Tool(&["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]);

/// Whether they can be counted here, or why not and what would help.
pub fn counter() -> Result<Tool, String> {
    let remedy = "valgrind does not work here; get it with: apt-get install valgrind";
    if CALLGRIND.works() { Ok(CALLGRIND) } else { Err(remedy.to_owned()) }
}

/// The number of instructions in callgrind's report.
pub fn collected(report: &str) -> io::Result<f64> {
    let number = report.lines().find_map(|line| line.split("Collected :").nth(1));
    let number = number.and_then(|number| number.trim().parse().ok());
    number.ok_or_else(|| Error::other("callgrind has not counted"))
}

#[cfg(test)]
mod tests {
    use super::collected;

    #[test]
    fn callgrind_says_how_many_it_has_collected() {
        let report = "==7== Events    : Ir\n==7== Collected : 39396448\n==7== \n";
        assert_eq!(collected(report).unwrap(), 39_396_448.0);
        assert!(collected("==7== Process terminating\n").is_err());
    }
}
