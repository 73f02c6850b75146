//! The layers of src: a module imports only from lower layers, and from none beside it.

use super::source::{Source, assert_none, is_word, sources, words};

/// The modules, lowest layer first.
const LAYERS: &[&[&str]] = &[
    &["awaits", "log_text"],
    &["error", "panic", "clock", "handle", "std_or_loom", "step_counter", "arena"],
    &["ready", "soon_queue", "callbacks", "key_groups", "snapshot", "tape"],
    &["metrics"],
    &["timers", "watchers", "inbox", "signals", "children", "blocking", "watchdog", "diagnosis"],
    &["event_loop"],
    &["task"],
    &["io", "structured"],
    &["process"],
    &["net", "builder", "terminal"],
    &["hyper", "selector", "service"],
    // Only tests and users may use these. `bin` has the crate's programs.
    &["testing", "compile_fail", "guide", "bin"],
];

/// Exceptions: a module, and the module that it imports from.
const EXCEPTIONS: &[(&str, &str)] = &[];

#[test]
fn modules_import_only_from_lower_layers() {
    let rust = sources(".rs");
    let ours = rust.iter().filter(|source| source.path.starts_with("src/"));
    let (upward, met): (Vec<_>, Vec<_>) = ours.flat_map(upward_imports).partition(|(_, edge)| {
        let (module, imported) = edge;
        !EXCEPTIONS.contains(&(module.as_str(), imported.as_str()))
    });
    let mut found: Vec<String> = upward.into_iter().map(|(text, _)| text).collect();
    let is_met = |exception: &&(&str, &str)| {
        met.iter()
            .any(|(_, (module, imported))| (module.as_str(), imported.as_str()) == **exception)
    };
    for (module, imported) in EXCEPTIONS.iter().filter(|exception| !is_met(exception)) {
        found.push(format!(
            "{module} -> {imported} is no longer an exception: take it off the list"
        ));
    }
    assert_none(&found);
}

#[test]
fn a_planted_import_is_found() {
    let found = |path: &str, text: &str| -> Vec<String> {
        let source = Source { path: path.into(), text: text.into() };
        upward_imports(&source).into_iter().map(|(text, _)| text).collect()
    };
    let text =
        "use crate::task::Task; // crate::net\nfn f() { crate::error::f(); crate::ready::g() }";
    assert_eq!(found("src/ready/queue.rs", text), ["src/ready/queue.rs: crate::task"]);
    assert_eq!(found("src/error.rs", "use crate::clock::Clock;"), ["src/error.rs: crate::clock"]);
    assert_eq!(found("src/net/tcp.rs", text), [""; 0]);
}

/// The imports of a file from its own layer or from a higher one, each with both modules.
fn upward_imports(source: &Source) -> Vec<(String, (String, String))> {
    let module = module_of(source);
    let imported = imported_by(source).filter(|imported| *imported != module && module != "lib");
    let upward = imported.filter(|imported| {
        layer(imported).is_none_or(|low| layer(&module).is_none_or(|own| low >= own))
    });
    upward
        .map(|imported| {
            let text = format!("{}: crate::{imported}", source.path);
            (text, (module.clone(), imported))
        })
        .collect()
}

/// Every module has a layer, and every layer has only modules that exist.
#[test]
fn the_layers_are_all_of_src() {
    let mut modules: Vec<String> = sources(".rs")
        .iter()
        .filter(|source| source.path.starts_with("src/") && source.path != "src/lib.rs")
        .map(module_of)
        .collect();
    modules.dedup();
    let layered: Vec<&str> = LAYERS.concat();
    let unknown = modules.iter().filter(|module| !layered.contains(&module.as_str()));
    assert_none(&unknown.collect::<Vec<_>>());
    let gone = layered.iter().filter(|module| !modules.iter().any(|other| other == *module));
    assert_none(&gone.collect::<Vec<_>>());
}

/// `super` ends at the module of the file's folder. Paths beyond it begin with `crate`, which the
/// first test reads.
#[test]
fn super_stays_within_the_module() {
    let mut found = Vec::new();
    for source in sources(".rs").iter().filter(|source| source.path.starts_with("src/")) {
        let code = source.code();
        let folders = source.path.matches('/').count() - 1;
        let depth = folders + usize::from(!source.path.ends_with("/mod.rs"));
        let inline =
            words(&code).filter(|(at, word)| *word == "mod" && has_body(&code[*at..])).count();
        for steps in chains_of_super(&code).filter(|steps| *steps >= depth + inline.min(1)) {
            found.push(format!("{}: `super` {steps} times leaves the module", source.path));
        }
    }
    assert_none(&found);
}

fn has_body(code: &str) -> bool {
    code.find(['{', ';']).is_some_and(|at| code[at..].starts_with('{'))
}

/// The number of `super`s of each path that begins with one.
fn chains_of_super(code: &str) -> impl Iterator<Item = usize> {
    let starts = code.match_indices("super::").filter(|(at, _)| !code[..*at].ends_with("::"));
    starts.map(|(at, _)| code[at..].split("::").take_while(|part| *part == "super").count())
}

fn module_of(source: &Source) -> String {
    let path = source.path.trim_start_matches("src/");
    path.split(['/', '.']).next().unwrap_or(path).to_owned()
}

/// The first names after `crate::`: modules, or items that lib.rs exports, which are in no layer.
fn imported_by(source: &Source) -> impl Iterator<Item = String> {
    let code = source.code();
    let after: Vec<String> = code
        .match_indices("crate::")
        .map(|(at, path)| {
            let rest = &code[at + path.len()..];
            rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())].to_owned()
        })
        .collect();
    after.into_iter()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}
