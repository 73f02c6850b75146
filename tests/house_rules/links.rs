//! Paths in the texts lead somewhere, and the README needs no repository around it.

use super::source::{Source, assert_none, read, sources};
use std::path::Path;

/// Folders in which a path in a text may begin.
const FOLDERS: &[&str] =
    &["src/", "sys/", "tests/", "benches/", "examples/", "docs/", ".ci/", ".github/"];

#[test]
fn paths_in_texts_exist() {
    let texts = sources(".md");
    let texts = texts.iter().filter(|source| {
        let is_top = !source.path.contains('/');
        is_top
            || ["docs/", "sys/", "tests/", "benches/"].iter().any(|it| source.path.starts_with(it))
    });
    assert_none(&texts.flat_map(|source| lost(source, exists)).collect::<Vec<_>>());
}

/// Registries show the README, and resolve links within a repository only.
#[test]
fn the_readme_links_to_no_file() {
    let readme = Source { path: "README.md".into(), text: read("README.md") };
    let is_outside = |target: &String| target.starts_with("https://") || target.starts_with('#');
    let found: Vec<_> = targets(&readme.text).into_iter().filter(|it| !is_outside(it)).collect();
    assert_none(&found);
}

#[test]
fn a_planted_path_is_found() {
    let text = "[a](b.md#c), [d](https://e/f), `src/g.rs`, `src/g.rs:9`, `tests/h`, `src/*/i`\n\
                | path | what |\n|---|---|\n| src/j/, k.rs | one |\n| sys/l.rs | two |\n| x, m.rs | |";
    let source = Source { path: "docs/n.md".into(), text: text.into() };
    let missing = ["docs/b.md", "src/g.rs", "src/j", "src/k.rs", "sys/l.rs", "tests/h"];
    let found = lost(&source, |_| false);
    assert_eq!(found, missing.map(|path| format!("docs/n.md: {path}")));
    assert_eq!(lost(&source, |_| true), [""; 0]);
    assert_eq!(targets("![a](b.svg) and [c](d)"), ["b.svg", "d"]);
}

fn exists(path: &str) -> bool {
    Path::new(super::source::ROOT).join(path).exists()
}

/// Paths of a text that do not exist, from the root of the project.
fn lost(source: &Source, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let links =
        targets(&source.text).into_iter().filter(|it| !it.contains(':') && !it.starts_with('#'));
    let links = links.map(|it| {
        let file = it.split('#').next().unwrap_or_default();
        if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") }
    });
    let code = source
        .text
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|it| it.split(':').next().unwrap_or_default());
    let code = code.filter(|it| FOLDERS.iter().any(|folder| it.starts_with(folder)));
    let code = code.filter(|it| !it.contains([' ', '*', '<', '{', '\n'])).map(str::to_owned);
    let mut paths: Vec<String> = links.chain(code).chain(mapped(&source.text)).collect();
    paths.iter_mut().for_each(|path| path.truncate(path.trim_end_matches('/').len()));
    paths.sort();
    paths.dedup();
    paths.retain(|path| !exists(path) && !exists(&format!("{folder}/{path}")));
    paths.into_iter().map(|path| format!("{}: {path}", source.path)).collect()
}

/// The targets of the links and pictures of a Markdown text.
fn targets(text: &str) -> Vec<String> {
    let after = text.split("](").skip(1);
    let targets = after.filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    targets.filter(|it| !it.contains(['`', ' '])).map(str::to_owned).collect()
}

/// The paths in the first column of a map: each after the first is in the folder of the first.
fn mapped(text: &str) -> Vec<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let rows = rows.filter(|row| FOLDERS.iter().any(|folder| row.starts_with(folder)));
    rows.flat_map(|row| {
        let first = row.split(',').next().unwrap_or_default();
        let folder = first.trim_end_matches('/').rsplit_once('/').map_or("", |(folder, _)| folder);
        let other = move |name: &str| match FOLDERS.iter().any(|it| name.starts_with(it)) {
            true => name.to_owned(),
            false => format!("{folder}/{name}"),
        };
        row.split(',').map(|name| other(name.trim())).collect::<Vec<_>>()
    })
    .collect()
}
