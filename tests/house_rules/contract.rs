//! Each promise of docs/contract.md has a test, and so has each situation of docs/situations.md.

use std::collections::BTreeSet;

use super::source::{Source, assert_none, read, sources, words};

/// The letters of ids: the sections of the contract, and P for situations.
const LETTERS: &str = "QTWXSFCLDYMBONREGP";

#[test]
fn every_promise_has_a_test_and_every_test_its_promise() {
    let ids = ids_of("docs/contract.md", "- **");
    let situations = ids_of("docs/situations.md", "| ");
    assert!(ids.len() > 40 && situations.len() > 50, "too few: {ids:?} {situations:?}");
    assert_none(&differences(&ids, &situations, &tests(), &read("src/compile_fail.rs")));
}

#[test]
fn planted_ids_are_found() {
    let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
    let source = |text: &str| Source { path: "tests/planted.rs".into(), text: text.into() };
    let found = |text: &str, refused: &str| {
        differences(&set(&["Q1", "W2"]), &set(&["P3"]), &[source(text)], refused)
    };
    assert_eq!(found("fn q1_a() {} fn w2_p3_b() {}", ""), [""; 0]);
    assert_eq!(found("/// P3: it.\nfn q1_a() {} fn w2_b() {}", ""), [""; 0]);
    assert_eq!(found("fn q1_p3_a() {}", "//! W2"), [""; 0]);
    assert_eq!(found("fn q1_p3_a() {}", ""), ["W2 has no test"]);
    assert_eq!(found("fn q1_a() {} fn w2_a() {}", ""), ["P3 has no test"]);
    let unknown = ["tests/planted.rs: P4 is in no list", "tests/planted.rs: Q7 is in no list"];
    assert_eq!(found("/// P4\nfn q1_p3_a() {} fn w2_q7_b() {}", ""), unknown);
}

/// The folders of the tests of the contract.
const CONTRACT: [&str; 4] = ["tests/contract/", "tests/daemon/", "tests/seeing/", "tests/guide/"];

fn tests_of_the_contract() -> impl Iterator<Item = Source> {
    let is_contract = |source: &Source| CONTRACT.iter().any(|it| source.path.starts_with(it));
    tests().into_iter().filter(is_contract)
}

/// The first comment of a file of tests names the promises or the section that it is about.
#[test]
fn test_files_name_their_promises() {
    let found = tests_of_the_contract().filter(names_no_promise);
    assert_none(&found.map(|source| source.path).collect::<Vec<_>>());
}

#[test]
fn test_names_begin_with_a_promise() {
    assert_none(&tests_of_the_contract().flat_map(|it| unpromised(&it)).collect::<Vec<_>>());
}

#[test]
fn a_planted_test_without_a_promise_is_found() {
    let text = "#[test]\nfn q1_a() {}\n#[test]\n#[cfg(a)]\nfn p3_b() {}\n#[test]\nfn planted_c() {}\nfn d() {}";
    let source = Source { path: "tests/planted.rs".into(), text: text.into() };
    assert_eq!(unpromised(&source), ["tests/planted.rs: `p3_b` begins with no promise"]);
}

/// Tests with names that do not begin with a promise. Tests of a check itself begin with `planted`.
fn unpromised(source: &Source) -> Vec<String> {
    let code = source.code();
    let after = code.split("#[test]").skip(1).filter_map(|rest| rest.split_once("fn "));
    let names = after.filter_map(|(_, rest)| rest.split('(').next().map(str::trim));
    let is_named = |name: &str| {
        let first = name.split('_').next().unwrap_or_default().to_uppercase();
        first == "PLANTED" || is_id(&first) && !first.starts_with('P')
    };
    let found = names.filter(|name| !is_named(name));
    found.map(|name| format!("{}: `{name}` begins with no promise", source.path)).collect()
}

#[test]
fn a_planted_file_without_a_promise_is_found() {
    let source = |text: &str| Source { path: "tests/planted.rs".into(), text: text.into() };
    assert!(names_no_promise(&source("//! Queues.\n\n/// Q1\n#[test]\nfn q1_a() {}")));
    assert!(!names_no_promise(&source(
        "//! Queues (docs/contract.md,\n//! Q1).\n#[test]\nfn a() {}"
    )));
    assert!(!names_no_promise(&source("//! Fixtures.\nfn a() {}")));
}

fn names_no_promise(source: &Source) -> bool {
    let first = source.text.lines().take_while(|line| line.starts_with("//!"));
    let names = first.flat_map(words).any(|(_, word)| is_id(word));
    source.code().contains("#[test]") && !names
}

/// The ids at the beginning of lines, after `mark`.
fn ids_of(path: &str, mark: &str) -> BTreeSet<String> {
    let text = read(path);
    let rest = text.lines().filter_map(|line| line.strip_prefix(mark));
    let first = rest.filter_map(|line| words(line).next().map(|(_, word)| word.to_owned()));
    first.filter(|word| is_id(word)).collect()
}

/// Ids without a test, and tests with an id that no list has.
fn differences(
    promises: &BTreeSet<String>,
    situations: &BTreeSet<String>,
    tests: &[Source],
    refused: &str,
) -> Vec<String> {
    let mut met = BTreeSet::new();
    let mut cited = BTreeSet::new();
    let mut found = BTreeSet::new();
    for source in tests {
        let named = ids_in_names(source);
        let in_comments = source.comments().into_iter().flat_map(|comment| comment.lines);
        let in_comments: BTreeSet<String> = in_comments
            .flat_map(|(_, text)| words(&text).map(|(_, it)| it.to_owned()).collect::<Vec<_>>())
            .filter(|word| is_id(word))
            .collect();
        for id in named.union(&in_comments) {
            if !promises.contains(id) && !situations.contains(id) {
                found.insert(format!("{}: {id} is in no list", source.path));
            }
        }
        met.extend(named);
        cited.extend(in_comments);
    }
    cited.extend(met.iter().cloned());
    // A promise that something does not compile is in documentation, which names the id.
    met.extend(words(refused).map(|(_, word)| word.to_owned()));
    cited.extend(words(refused).map(|(_, word)| word.to_owned()));
    let missing = promises.difference(&met).chain(situations.difference(&cited));
    missing.map(|id| format!("{id} has no test")).chain(found).collect()
}

/// The ids at the beginning of the names of functions: `f2_p109_..` has two.
fn ids_in_names(source: &Source) -> BTreeSet<String> {
    let code = source.code();
    let functions = words(&code).filter(|(at, _)| code[..*at].ends_with("fn "));
    let mut found = BTreeSet::new();
    for (_, name) in functions {
        let parts = name.split('_').map(str::to_uppercase);
        found.extend(parts.take_while(|part| is_id(part)));
    }
    found
}

fn is_id(word: &str) -> bool {
    let number = word.strip_prefix(|letter| LETTERS.contains(letter)).unwrap_or_default();
    // A number of the compiler's errors, such as E0277, begins with a zero.
    !number.is_empty()
        && !number.starts_with('0')
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// The files of tests, those inside of the crates as well.
fn tests() -> Vec<Source> {
    let is_test = |path: &str| {
        let folders = ["tests/", "sys/tests/", "src/", "sys/src/"];
        folders.iter().any(|it| path.starts_with(it)) && path != "tests/house_rules/contract.rs"
    };
    sources(".rs").into_iter().filter(|source| is_test(&source.path)).collect()
}
