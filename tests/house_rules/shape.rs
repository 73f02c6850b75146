//! The length of files, functions and lines, and the first line of a file.

use super::source::{Source, assert_none, is_word, read, sources, words};

const COLUMNS: usize = 120;
const COLUMNS_OF_A_TEXT: usize = 100;
const LINES_OF_A_POINT: usize = 6;
const LINES_OF_A_FILE: usize = 400;
const LINES_OF_A_FUNCTION: usize = 60;

const NO_EXCEPTION: &str = "no longer an exception, take it off the list";

/// Files of src and sys/src that may be longer, with their number of lines.
const LONG_FILES: &[(&str, usize)] = &[];

/// Files with lines that may be wider, with the number of these lines.
const WIDE_LINES: &[(&str, usize)] = &[];

#[test]
fn no_line_is_too_wide() {
    let mut found = Vec::new();
    // A table in Markdown cannot be wrapped.
    for source in sources("").iter().filter(|source| !source.path.ends_with(".md")) {
        let wide = source.text.lines().filter(|line| line.chars().count() > COLUMNS).count();
        let allowed = WIDE_LINES.iter().find(|(path, _)| *path == source.path);
        match allowed {
            Some((path, _)) if wide == 0 => found.push(format!("{path}: {NO_EXCEPTION}")),
            _ if wide <= allowed.map_or(0, |(_, count)| *count) => {}
            _ => found.push(format!("{}: {wide} lines wider than {COLUMNS}", source.path)),
        }
    }
    assert_none(&found);
}

/// rustfmt does not wrap comments. Tables and code in them may be as wide as other lines.
#[test]
fn no_comment_is_too_wide() {
    assert_none(&sources(".rs").iter().flat_map(wide_comments).collect::<Vec<_>>());
}

#[test]
fn planted_comments_are_found() {
    let wide = "a".repeat(COLUMNS_OF_A_TEXT);
    let text =
        format!("// {wide}\n/// | {wide} |\n/// ```\n/// {wide}\n/// ```\n    //! {wide}\n// b");
    let source = Source { path: "src/planted.rs".into(), text };
    assert_eq!(wide_comments(&source), ["src/planted.rs:1", "src/planted.rs:6"]);
}

fn wide_comments(source: &Source) -> Vec<String> {
    let mut is_code = false;
    let mut found = Vec::new();
    for (number, line) in (1..).zip(source.text.lines()) {
        let Some(text) = line.trim_start().strip_prefix("//") else {
            is_code = false;
            continue;
        };
        let text = text.trim_start_matches(['/', '!', ' ']);
        is_code ^= text.starts_with("```");
        if !is_code && !text.starts_with('|') && line.chars().count() > COLUMNS_OF_A_TEXT {
            found.push(format!("{}:{number}", source.path));
        }
    }
    found
}

/// A point of DESIGN.md is a decision, its reason and its figures, and no essay.
#[test]
fn points_of_the_design_are_short() {
    assert_none(&long_points(&read("DESIGN.md")));
}

#[test]
fn planted_points_are_found() {
    let line = "a".repeat(COLUMNS_OF_A_TEXT);
    let point = [line.as_str(); LINES_OF_A_POINT].join("\n");
    assert_eq!(long_points(&format!("{point}\n\n{point}\n\n| {line} |\n")), [""; 0]);
    assert_eq!(long_points(&format!("{point}\nb\n\n{point}")).len(), 1);
    assert_eq!(long_points(&format!("b\n{line}c\n\n{point}")).len(), 1);
}

/// The first lines of paragraphs that are too long or too wide. Tables and lists may be longer.
fn long_points(text: &str) -> Vec<String> {
    let paragraphs = text.split("\n\n").filter(|it| !it.starts_with(['|', '*']));
    let long = paragraphs.filter(|paragraph| {
        let is_wide = |line: &str| line.chars().count() > COLUMNS_OF_A_TEXT;
        paragraph.lines().count() > LINES_OF_A_POINT || paragraph.lines().any(is_wide)
    });
    long.map(|paragraph| paragraph.lines().next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn no_file_is_too_long() {
    let mut found = Vec::new();
    for source in sources(".rs").iter().filter(|source| is_library(&source.path)) {
        let lines = source.text.lines().count();
        match LONG_FILES.iter().find(|(path, _)| *path == source.path) {
            Some((path, most)) if lines > *most => {
                found.push(format!("{path}: {lines} lines, {most} allowed"))
            }
            Some((path, _)) if lines <= LINES_OF_A_FILE => {
                found.push(format!("{path}: {NO_EXCEPTION}"));
            }
            None if lines > LINES_OF_A_FILE => {
                found.push(format!("{}: {lines} lines", source.path))
            }
            _ => {}
        }
    }
    assert_none(&found);
}

#[test]
fn no_function_is_too_long() {
    let mut found = Vec::new();
    for source in sources(".rs") {
        let code = source.code();
        for (at, _) in words(&code).filter(|(_, word)| *word == "fn") {
            let lines = code[at..at + length_of_item(&code[at..])].lines().count();
            if lines > LINES_OF_A_FUNCTION {
                let name =
                    code[at + 2..].trim_start().split(|c| !is_word(c)).next().unwrap_or_default();
                found.push(format!("{}: `{name}` has {lines} lines", source.path));
            }
        }
    }
    assert_none(&found);
}

/// From the word `fn` to the brace that closes the body, or to the semicolon that stands for it.
fn length_of_item(code: &str) -> usize {
    let (mut braces, mut brackets) = (0, 0);
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'{' => braces += 1,
            b'}' if braces <= 1 => return at,
            b'}' => braces -= 1,
            b'(' | b'[' => brackets += 1,
            b')' | b']' if brackets == 0 => return at, // The type of a function, in a list.
            b')' | b']' => brackets -= 1,
            b';' | b',' | b'=' if braces == 0 && brackets == 0 => return at,
            _ => {}
        }
    }
    code.len()
}

/// The first line of a file describes its contents. The name of a file of unit tests is enough.
#[test]
fn every_file_begins_with_its_description() {
    let is_part_of_a_whole =
        |path: &str| path.ends_with("/tests.rs") || path.starts_with("tests/examples/");
    let rust = sources(".rs").into_iter().filter(|source| !is_part_of_a_whole(&source.path));
    let silent = rust.filter(|source| !source.text.starts_with("//! "));
    assert_none(&silent.map(|source| source.path).collect::<Vec<_>>());
}

/// A file that no longer exists needs no exception.
#[test]
fn the_exceptions_exist() {
    let sources = sources("");
    let exceptions = LONG_FILES.iter().chain(WIDE_LINES);
    let gone = exceptions.filter(|(path, _)| sources.iter().all(|source| source.path != *path));
    assert_none(&gone.map(|(path, _)| format!("{path}: {NO_EXCEPTION}")).collect::<Vec<_>>());
}

fn is_library(path: &str) -> bool {
    path.starts_with("src/") || path.starts_with("sys/src/")
}
