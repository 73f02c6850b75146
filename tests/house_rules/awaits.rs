//! Every public future has the line of its `.await`.

use super::source::{Source, assert_none, sources};

/// Files with futures that no user awaits.
const INTERNAL: &[&str] = &["src/testing/growth.rs"];

#[test]
fn every_public_future_has_the_line_of_its_await() {
    let rust = sources(".rs");
    let ours =
        rust.iter().filter(|it| it.path.starts_with("src/") || it.path.starts_with("sys/src/"));
    let checked = ours.filter(|source| !INTERNAL.contains(&source.path.as_str()));
    assert_none(&checked.flat_map(without_line).collect::<Vec<_>>());
}

#[test]
fn planted_futures_are_found() {
    let text = "pub async fn a() {}\n\
                pub(super) async fn b() {}\n\
                impl Future for C {\n    #[track_caller]\n    fn poll(self) {}\n}\n\
                impl<T> Future for D<T> {\n    #[inline]\n    fn poll(self) {}\n}\n";
    let source = Source { path: "src/planted.rs".into(), text: text.into() };
    let found = without_line(&source);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("src/planted.rs:1: ") && found[1].starts_with("src/planted.rs:7: ")
    );
}

/// An `async fn` cannot see its caller: it must return `located(.., async move { .. })`.
fn without_line(source: &Source) -> Vec<String> {
    let code = source.code();
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let place = format!("{}:{}", source.path, at + 1);
        if line.trim_start().starts_with("pub async fn ") {
            found.push(format!("{place}: use `located` instead of a public `async fn`"));
        }
        let is_future = line.starts_with("impl") && line.contains(" Future for ");
        let mut body = lines[at..].iter().take_while(|it| !it.contains("fn poll("));
        if is_future && !body.any(|it| it.trim() == "#[track_caller]") {
            found.push(format!("{place}: `poll` needs `#[track_caller]`"));
        }
    }
    found
}
