//! Every public item is announced, and every public enum can grow.
//!
//! A new one needs three more lines: `#[non_exhaustive]`, an entry in CHANGELOG.md, and a row in
//! the tables of lib.rs.

use super::circles::imports;
use super::source::{Source, assert_none, is_word, read, sources, words};

/// Public enums that users may match without a wildcard, and the reason.
const EXHAUSTIVE: &[(&str, &str)] = &[
    ("AcceptError", "mainspring handles each class"),
    ("Address", "users match both families"),
    ("AnySelector", "mainspring dispatches to each"),
    ("Connecting", "a connection is established, or is not"),
    ("Ecn", "two bits have four values"),
    ("FileKind", "in a private module"),
    ("TriggerMode", "a custom selector implements each"),
];

/// Public items that the tables of lib.rs leave out, each after an item of the tables that leads to
/// it.
const LED_TO: &[(&str, &[&str])] = &[
    ("Error", &["Result", "Stalled", "StalledTask"]),
    ("EventLoop", &["EventLoopBuilder"]),
    ("call_soon", &["CallbackResult", "Handle"]),
    ("add_timer", &["TimerHandle"]),
    ("call_every", &["MissedTickBehavior"]),
    ("add_reader", &["Watched", "Watcher"]),
    ("watch", &["Interest", "Readiness", "TriggerMode"]),
    ("set_exception_handler", &["Panic", "Report", "ReportKind"]),
    ("add_signal_handler", &["Signal", "SignalInfo", "SignalOrigin", "SignalReceiver"]),
    ("MAINSPRING_SELECTOR", &["SelectorKind"]),
    ("MAINSPRING_WAKEUP", &["WakeupKind"]),
    ("MAINSPRING_CHILDREN", &["ExitWatchKind"]),
    ("testing", &["Clock", "JumpDetection", "JumpNotice", "MonotonicClock"]),
    ("Task", &["Cancelled", "CancelReason", "DetachedOutput", "TaskEnding", "TaskState"]),
    ("spawn", &["CurrentLoop", "YieldNow", "current_loop", "yield_now"]),
    ("Remote", &["RemoteTask"]),
    ("sleep", &["Sleep", "sleep_until"]),
    ("sleep_in_boot_time", &["sleep_until_boot_time"]),
    ("interval", &["Interval"]),
    ("timeout", &["timeout_at"]),
    (
        "TaskGroup",
        &[
            "AsCompleted",
            "GroupError",
            "GroupTask",
            "WaitUntil",
            "as_completed",
            "gather",
            "gather_all",
            "race",
            "race_all",
            "wait",
        ],
    ),
    ("CancelScope", &["shield"]),
    ("Shutdown", &["ShutdownEnding", "ShutdownGuard"]),
    ("promise", &["Promise", "Promised"]),
    ("Io", &["ReadChunk"]),
    (
        "spawn_blocking",
        &[
            "BlockingPool",
            "BlockingPoolBuilder",
            "Job",
            "JobBuilder",
            "JobError",
            "StuckJob",
            "StuckJobs",
        ],
    ),
];

#[test]
fn public_enums_can_grow() {
    let rust = sources(".rs").into_iter().filter(|source| is_library(&source.path));
    let closed: Vec<(String, String)> = rust
        .flat_map(|source| {
            let path = source.path.clone();
            exhaustive_enums(&source).into_iter().map(move |name| (path.clone(), name))
        })
        .collect();
    let mut found = Vec::new();
    for (path, name) in &closed {
        if !EXHAUSTIVE.iter().any(|(allowed, _)| allowed == name) {
            found.push(format!("{path}: `{name}` has no #[non_exhaustive]"));
        }
    }
    let is_closed = |allowed: &str| closed.iter().any(|(_, name)| name == allowed);
    let stale = EXHAUSTIVE.iter().filter(|(allowed, _)| !is_closed(allowed));
    found.extend(stale.map(|(allowed, _)| format!("`{allowed}` is no longer an exception")));
    assert_none(&found);
}

#[test]
fn a_planted_enum_is_found() {
    let text = "#[derive(Debug)]\npub enum A { B }\n/// One.\n#[non_exhaustive]\npub enum C { D }\n\
                pub(crate) enum E { F }\n// pub enum G {}\nenum H {}";
    let source = Source { path: "src/planted.rs".into(), text: text.into() };
    assert_eq!(exhaustive_enums(&source), ["A"]);
}

#[test]
fn public_items_are_announced() {
    assert_none(&unannounced(&read("src/lib.rs"), &read("CHANGELOG.md"), LED_TO));
}

/// The items of all modules, from the snapshot of the public API.
#[test]
fn the_changelog_names_every_public_item() {
    assert_none(&unnamed(&read("docs/api/mainspring.txt"), &read("CHANGELOG.md")));
}

#[test]
fn an_item_that_the_changelog_lacks_is_found() {
    let api = "a::B (enum)\npub enum B {\n    C,\n}\n    impl Clone for B\n\na::d (function)\n";
    assert_eq!(unnamed(api, "`B`, and `d`"), [""; 0]);
    assert_eq!(unnamed(api, "`Bc`, and `d`"), ["CHANGELOG.md does not name `a::B`"]);
}

/// The items of the snapshot that the changelog does not name.
fn unnamed(api: &str, changelog: &str) -> Vec<String> {
    let titles = api.lines().filter_map(|line| line.strip_suffix(')')?.split_once(" ("));
    let items = titles.map(|(path, _)| path).filter(|path| !path.contains([' ', '#']));
    let is_named = |path: &&str| {
        let name = path.rsplit("::").next();
        words(changelog).any(|(_, word)| Some(word) == name)
    };
    items
        .filter(|path| !is_named(path))
        .map(|it| format!("CHANGELOG.md does not name `{it}`"))
        .collect()
}

#[test]
fn a_planted_item_is_found() {
    let root = "//! [`A`] and `B`\npub use a::{A, B as D};\nuse b::F;\npub(crate) use b::G;";
    let led_to: &[(&str, &[&str])] = &[("A", &["D"])];
    assert_eq!(unannounced(root, "A, D", led_to), [""; 0]);
    assert_eq!(unannounced(root, "Ab, D", led_to), ["CHANGELOG.md does not name `A`"]);
    assert_eq!(unannounced(root, "A D", &[]), ["src/lib.rs: no table names `D`, and no exception"]);
    let stale: &[(&str, &[&str])] = &[("H", &["D"]), ("A", &["D", "I"])];
    let found = ["`I` is not exported, or is in a table", "src/lib.rs: no table names `H`"];
    assert_eq!(unannounced(root, "A D", stale), found);
}

/// The public enums of a file that do not reserve the right to grow.
fn exhaustive_enums(source: &Source) -> Vec<String> {
    let code = source.code();
    let public = words(&code).filter(|(at, word)| {
        let before = code[..*at].trim_end();
        *word == "enum" && before.ends_with("pub")
    });
    let closed = public.filter(|(at, _)| {
        let start = code[..*at].rfind([';', '}', '{']).map_or(0, |end| end + 1);
        !code[start..*at].contains("non_exhaustive")
    });
    let name = |at: usize| code[at + 4..].split(|c| !is_word(c)).find(|it| !it.is_empty());
    closed.filter_map(|(at, _)| name(at)).map(str::to_owned).collect()
}

/// The exports of a crate's root that the changelog or the root's documentation does not name, and
/// exceptions that are none.
fn unannounced(root: &str, changelog: &str, led_to: &[(&str, &[&str])]) -> Vec<String> {
    let source = Source { path: "src/lib.rs".into(), text: root.to_owned() };
    let docs = root.lines().filter_map(|line| line.strip_prefix("//!"));
    let docs: String = docs.flat_map(|line| [line, "\n"]).collect();
    let names = |text: &str, name: &str| words(text).any(|(_, word)| word == name);
    let mut exceptions: Vec<&str> = led_to.iter().flat_map(|(_, items)| *items).copied().collect();
    let mut found = Vec::new();
    for item in imports(&source.code()).iter().filter(|item| item.is_public) {
        let name = item.name.as_str();
        if !names(changelog, name) {
            found.push(format!("CHANGELOG.md does not name `{name}`"));
        }
        let is_exception = exceptions.contains(&name);
        if !names(&docs, name) && !is_exception {
            found.push(format!("src/lib.rs: no table names `{name}`, and no exception"));
        } else if !names(&docs, name) {
            exceptions.retain(|exception| *exception != name);
        }
    }
    let stale = |name: &str| format!("`{name}` is not exported, or is in a table");
    found.extend(exceptions.into_iter().filter(|it| !names(&docs, it)).map(stale));
    let leaders = led_to.iter().filter(|(leader, _)| !names(&docs, leader));
    found.extend(leaders.map(|(leader, _)| format!("src/lib.rs: no table names `{leader}`")));
    found
}

/// Modules of tests, and files that are private to one system, are not public.
fn is_library(path: &str) -> bool {
    let is_ours = path.starts_with("src/") || path.starts_with("sys/src/");
    is_ours && !path.contains("/tests")
}
