//! The machine: description and limits.

use std::fs;
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Returns a line about processor, memory, kernel and load, and a line about the compilers.
pub fn description(cores: u32) -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (cpuinfo, meminfo) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let model = after(&cpuinfo, "model name").unwrap_or("unknown CPU");
    let kilobytes =
        after(&meminfo, "MemTotal").and_then(|it| it.trim_end_matches(" kB").parse().ok());
    let gigabytes: f64 = kilobytes.unwrap_or(0.0) / f64::from(1 << 20);
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("unknown");
    let compilers = [version("rustc"), version("cc")].join(", ");
    format!(
        "{model}, {cores} cores, {gigabytes:.0} GiB, kernel {kernel}, load average {load} at the \
         start\n{compilers}"
    )
}

fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_start_matches(['\t', ' ', ':']).trim_end())
}

/// Returns the first line that `tool --version` prints.
fn version(tool: &str) -> String {
    let output = Command::new(tool).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let line = text.ok().and_then(|text| Some(text.lines().next()?.to_owned()));
    line.unwrap_or_else(|| format!("no {tool}"))
}

/// Raises the descriptor limit to the maximum: scenarios need thousands.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // If the limit stays too low, the scenarios that need more report an error.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
