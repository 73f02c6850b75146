//! The house rules that a program can check: forbidden and required contents of the sources.
//!
//! An exception is a line in a table, with its reason. An exception that is no longer needed is a
//! failure, so the tables only become shorter.

mod house_rules {
    pub mod source;

    mod awaits;
    mod circles;
    mod contract;
    mod dependencies;
    mod layers;
    mod links;
    mod prose;
    mod public;
    mod shape;
}

use house_rules::source::{Source, assert_none, read, sources, words};

/// Files outside of sys/ that may contain `unsafe`, and the number of times.
const UNSAFE: &[(&str, usize)] = &[
    // polling requires its caller to delete a source before it is closed.
    ("benches/compare/src/peers/polling.rs", 1),
    // The raw epoll loop that the benches compare with.
    ("benches/raw/echo.rs", 6),
    ("benches/raw/epoll.rs", 4),
    ("benches/raw/system.rs", 8),
    // Allocators that count.
    ("tests/allocations.rs", 5),
    ("tests/idle_memory.rs", 5),
    // ptsname(3): not every system has a safe function for it.
    ("tests/daemon/terminals/pty.rs", 1),
];

/// Files that may name systems: the table of capabilities, and the hand-written loop of the
/// benches, which exists for Linux only.
const NAMES_SYSTEMS: &[&str] = &["sys/build.rs", "benches/raw/mod.rs"];

#[test]
fn unsafe_code_is_in_sys() {
    let mut found = Vec::new();
    for source in rust_outside_of_sys() {
        let count = words(&source.code()).filter(|(_, word)| *word == "unsafe").count();
        let allowed = UNSAFE.iter().find(|(path, _)| *path == source.path);
        let allowed = allowed.map_or(0, |(_, count)| *count);
        if count != allowed {
            found.push(format!("{}: `unsafe` {count} times, allowed: {allowed}", source.path));
        }
    }
    assert_none(&found);
}

#[test]
fn only_the_table_of_capabilities_names_systems() {
    let names = ["target_os", "target_vendor", "target_family"];
    let rust = sources(".rs").into_iter();
    let found = rust.filter(|source| words(&source.code()).any(|(_, word)| names.contains(&word)));
    let found: Vec<String> = found.map(|source| source.path).collect();
    let surprising = found.iter().filter(|path| !NAMES_SYSTEMS.contains(&path.as_str()));
    assert_none(&surprising.collect::<Vec<_>>());
    assert!(!read("Cargo.toml").contains(names[0]), "Cargo.toml names a system");
    assert!(!read("sys/Cargo.toml").contains(names[0]), "sys/Cargo.toml names a system");
}

/// The files of the timers that follow the wall clock (T7), and of the date of a tape, which only
/// people read. Nothing else reads it.
const WALL_CLOCK: &[&str] = &[
    "src/bin/mainspring/text.rs",
    "src/clock/mod.rs",
    "src/event_loop/wall.rs",
    "src/tape/reading.rs",
    "src/tape/recording.rs",
    "src/task/clock_sleep.rs",
    "src/testing/clock.rs",
    "sys/src/clock.rs",
];

/// T1, P35: the wall clock may jump in either direction, because only its own timers read it.
#[test]
fn t1_p35_the_wall_clock_is_never_read() {
    let names = ["SystemTime", "UNIX_EPOCH", "CLOCK_REALTIME", "gettimeofday"];
    let ours = |source: &Source| source.path.split('/').any(|folder| folder == "src");
    let rust = sources(".rs").into_iter().filter(ours);
    let reads = rust.filter(|source| words(&source.code()).any(|(_, word)| names.contains(&word)));
    let surprising = reads.filter(|source| !WALL_CLOCK.contains(&&*source.path));
    assert_none(&surprising.map(|source| source.path).collect::<Vec<_>>());
}

/// These macros panic or wait at a full pipe, a full disk or a closed terminal. The library writes
/// its reports through `mainspring_sys::stderr` only. The crate's program has its own tests (R9).
#[test]
fn the_library_prints_nothing_that_can_panic() {
    let rust = sources(".rs").into_iter();
    let is_library = |path: &str| {
        let is_ours = ["src/", "sys/src/"].iter().any(|it| path.starts_with(it));
        is_ours && !path.starts_with("src/bin/")
    };
    let ours = rust.filter(|source| is_library(&source.path));
    assert_none(&ours.flat_map(|source| prints(&source)).collect::<Vec<_>>());
}

#[test]
fn a_planted_print_is_found() {
    let text = "fn f() { eprintln!(\"x\"); ::std::println! (\"y\"); io::stderr().lock(); dbg!(z) }\n\
                // eprintln!(\"a comment\")\nfn print(stdout: u8) { stderr::write(b\"x\") }";
    let source = Source { path: "src/planted.rs".into(), text: text.into() };
    let planted = ["eprintln", "println", "stderr", "dbg"];
    assert_eq!(prints(&source), planted.map(|word| format!("src/planted.rs: `{word}`")));
}

/// Calls of the standard library's streams and macros for output.
fn prints(source: &Source) -> Vec<String> {
    let code = source.code();
    let calls = words(&code).filter(|(at, word)| {
        let after = code[at + word.len()..].trim_start();
        match *word {
            "print" | "println" | "eprint" | "eprintln" | "dbg" => after.starts_with('!'),
            "stdout" | "stderr" => after.starts_with('('),
            _ => false,
        }
    });
    calls.map(|(_, word)| format!("{}: `{word}`", source.path)).collect()
}

#[test]
fn no_work_is_marked_as_unfinished() {
    // Put together, so that they are not found here.
    let marks = [
        concat!("to", "do!"),
        concat!("unimpl", "emented!"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("#[ig", "nore"),
    ];
    assert_none(
        &sources("").iter().flat_map(|source| source.lines_with(&marks)).collect::<Vec<_>>(),
    );
}

/// Paths of one machine. Tests use the temporary folder of the system.
#[test]
fn no_machine_is_named() {
    let paths = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/tmp/", "target"),
        concat!("/Us", "ers/"),
    ];
    assert_none(
        &sources("").iter().flat_map(|source| source.lines_with(&paths)).collect::<Vec<_>>(),
    );
}

/// Each thing has one name. These are the names that other projects have for ours.
#[test]
fn the_vocabulary_is_kept() {
    let avoided = ["reactor", "reactors", "driver", "drivers", "fire", "fires", "fired", "firing"];
    let mut found = Vec::new();
    for source in sources("").iter().filter(|source| is_for_users(&source.path)) {
        for (number, line) in (1..).zip(source.text.lines()) {
            let line = line.to_lowercase();
            let wrong = words(&line).any(|(_, word)| avoided.contains(&word));
            if wrong || line.contains("event handler") {
                found.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    assert_none(&found);
}

#[test]
fn every_crate_obeys_the_lints() {
    let root = read("Cargo.toml");
    assert!(root.contains("[workspace.lints.rust]"));
    assert!(read("src/lib.rs").lines().any(|line| line == "#![forbid(unsafe_code)]"));
    let members = [
        "sys",
        "tests",
        "benches",
        "examples/curl_multi",
        "benches/compare",
        "sys/c_libraries",
        "examples/c_libraries",
    ];
    let members = members.map(|member| format!("{member}/Cargo.toml"));
    for manifest in ["Cargo.toml".to_owned()].iter().chain(&members) {
        assert!(read(manifest).contains("[lints]\nworkspace = true"), "{manifest}");
    }
}

#[test]
fn the_changelog_is_open() {
    let changelog = read("CHANGELOG.md");
    let mut headings = changelog.lines().filter(|line| line.starts_with('#'));
    assert!(headings.any(|line| line.to_lowercase().contains("unreleased")));
}

/// Each file or folder at the top of src and sys/src is in a row of the map. `compile_fail` is a
/// test, and not on the map.
#[test]
fn the_map_in_the_readme_is_complete() {
    let readme = read("README.md");
    let rows: Vec<&str> = readme.lines().filter(|line| line.starts_with('|')).collect();
    let mut missing = Vec::new();
    for (folder, is_sys) in [("src", false), ("sys/src", true)] {
        let rows = rows.iter().filter(|row| row.contains("sys/") == is_sys);
        let rows: String = rows.flat_map(|row| [row, "\n"]).collect();
        let rust = sources(".rs");
        let paths =
            rust.iter().filter_map(|source| source.path.strip_prefix(folder)?.strip_prefix('/'));
        for path in paths.filter(|path| !["lib.rs", "compile_fail.rs"].contains(path)) {
            let name = path.split(['/', '.']).next().unwrap_or(path);
            let is_named = |at: usize| rows[at + name.len()..].starts_with([',', '/', ' ', '.']);
            let mut places = rows.match_indices(name).map(|(at, _)| at).filter(|at| *at > 0);
            if !places.any(|at| is_named(at) && rows[..at].ends_with(['/', ' '])) {
                missing.push(format!("{folder}/{name}"));
            }
        }
    }
    missing.dedup();
    assert_none(&missing);
}

fn rust_outside_of_sys() -> impl Iterator<Item = Source> {
    sources(".rs").into_iter().filter(|source| !source.path.starts_with("sys/"))
}

fn is_for_users(path: &str) -> bool {
    path.starts_with("src/") || path.starts_with("sys/src/") || path.ends_with(".md")
}
