//! What the figures depend on.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The processor, the kernel, and how busy they are.
pub fn facts(cores: u32) -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.unwrap_or("unknown CPU").trim_start_matches(['\t', ' ', ':']);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("unknown");
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    format!("{model}, {cores} cores, kernel {kernel}, load average {load} at the start")
}

/// As many descriptors as the system allows: scenarios use thousands.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Those who need more than they get fail, and say so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
