//! Directory for the files of tests.

use std::path::PathBuf;

/// Returns a directory for socket files. Their paths must be short; TMPDIR may be long, missing or
/// read-only.
pub fn short_dir() -> PathBuf {
    let is_usable = |dir: &PathBuf| {
        let probe = dir.join(format!("mainspring-probe-{}", std::process::id()));
        let is_writable = std::fs::write(&probe, "").is_ok();
        let _ = std::fs::remove_file(probe); // Another thread may have removed it.
        is_writable && dir.as_os_str().len() < 60
    };
    let others = ["/tmp", "/var/tmp", "/dev/shm", "."].map(PathBuf::from);
    let mut candidates = [std::env::temp_dir()].into_iter().chain(others);
    candidates.find(is_usable).expect("there is no writable directory with a short path")
}
