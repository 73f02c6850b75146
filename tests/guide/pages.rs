//! Excerpts of programs on the pages of the guide: each is a part of the file that it names. The
//! order of the pages (docs/contract.md, G12, G13).
//!
//! An excerpt is a block that begins with a comment with the path of its file. Doctests do not run
//! it, but the tests of that program do. All other Rust on the pages is a doctest.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const PAGES: &str = "src/guide";

/// Part of a program, with the line of the page at which it begins.
struct Excerpt<'a> {
    line: usize,
    path: &'a str,
    lines: Vec<&'a str>,
}

#[test]
fn g12_every_excerpt_is_a_part_of_its_file() {
    let mut found = Vec::new();
    let mut count = 0;
    for path in pages(&Path::new(ROOT).join(PAGES)) {
        let page = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap_or_default().display();
        for excerpt in excerpts(&page) {
            count += 1;
            let file = fs::read_to_string(Path::new(ROOT).join(excerpt.path)).unwrap_or_default();
            if !contains(&file, &excerpt.lines) {
                found.push(format!("{name}:{}: differs from {}", excerpt.line, excerpt.path));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(count > 10, "only {count} excerpts were found");
}

#[test]
fn planted_differences_are_found() {
    let page = "Text.\n\n```text\n// src/a.rs\nfn b() {\n    c();\n}\n```\n\n```text\nplain\n```\n";
    let [excerpt] = &excerpts(page)[..] else { panic!("one excerpt") };
    assert_eq!((excerpt.line, excerpt.path), (3, "src/a.rs"));
    let is_part = |file: &str| contains(file, &excerpt.lines);
    assert!(is_part("fn b() {\n    c();\n}\n"));
    assert!(is_part("mod a {\n    fn b() {\n        c();\n    }\n}\n"), "indented as a whole");
    assert!(!is_part("fn b() {\n    d();\n}\n"));
    assert!(!is_part("fn b() {\n    c();\n"));
    assert!(!is_part(""));
}

/// The front pages of the documentation and of the guide have a link to the first page.
#[test]
fn g13_the_front_page_leads_to_the_guide() {
    let front = fs::read_to_string(Path::new(ROOT).join("src/lib.rs")).unwrap();
    let links = front.lines().filter(|line| line.starts_with("//! ") && line.contains("[`"));
    assert!(links.into_iter().next().is_some_and(|line| line.contains("[`guide`]")), "first link");
    assert!(front.contains("guide::the_loop_in_one_picture"), "the first page of the guide");
}

/// A page ends with a link to the next one, in the order of the table.
#[test]
fn g13_every_page_but_the_last_names_the_next_one() {
    let guide = fs::read_to_string(Path::new(ROOT).join(PAGES).join("mod.rs")).unwrap();
    let rows = guide.lines().filter_map(|line| line.strip_prefix("//! | [")?.split_once(") |"));
    let links = rows.filter_map(|(link, _)| Some(link.split_once("](")?.1));
    let pages: Vec<&str> = links.filter(|page| !page.contains("::")).collect();
    assert!(pages.len() > 10, "{pages:?}");
    for pair in pages.windows(2) {
        let [page, next] = pair else { panic!("a pair") };
        let (before, _) = guide.split_once(&format!("pub mod {page} {{}}")).expect(page);
        let (_, file) = before.rsplit_once("include_str!(\"").expect(page);
        let (file, _) = file.split_once('"').expect(page);
        let text = fs::read_to_string(Path::new(ROOT).join(PAGES).join(file)).unwrap();
        let end = text.trim_end().rsplit("\n\n").next().unwrap_or_default();
        let link = format!("](crate::guide::{next}).");
        assert!(end.starts_with("Next: [") && end.ends_with(&link), "the end of {file}: {end}");
    }
}

/// The pages in a folder and in the folders below it.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(pages(&path));
        } else if path.extension().is_some_and(|it| it == "md") {
            found.push(path);
        }
    }
    found
}

/// The blocks of a page that begin with the path of a file.
fn excerpts(page: &str) -> Vec<Excerpt<'_>> {
    let mut found = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if !line.starts_with("```") {
            continue;
        }
        let block = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
        let block: Vec<&str> = block.collect();
        let path = block.first().and_then(|it| it.strip_prefix("// "));
        if let Some(path) = path.filter(|it| it.ends_with(".rs") || it.ends_with(".c")) {
            found.push(Excerpt { line: at + 1, path, lines: block[1..].to_vec() });
        }
    }
    found
}

/// Returns true if the file contains these lines, all of them indented by the same number of
/// columns.
fn contains(file: &str, excerpt: &[&str]) -> bool {
    let lines: Vec<&str> = file.lines().collect();
    lines.windows(excerpt.len()).any(|part| {
        let indent = part[0].len().saturating_sub(excerpt[0].len());
        part.iter().zip(excerpt).all(|(line, wanted)| {
            let unindented = line.get(indent.min(line.len())..).unwrap_or_default();
            unindented == *wanted && line.trim() == wanted.trim()
        })
    })
}
