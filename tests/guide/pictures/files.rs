//! The files of the figures, compared with what a run draws (docs/contract.md, G7).

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Variable that replaces files which differ, instead of failing.
const WRITE: &str = "MAINSPRING_WRITE_FIGURES";

/// Width of the lines of output on a page, so that they need no scroll bar.
const COLUMNS: usize = 70;
/// Picture of a measurement: a copy of one of `benches/results`.
const MEASURED: &str = "five_fetches.svg";

/// The other figures of the folder `figures`. Each is drawn by one test.
const FIGURES: &[&str] = &[
    "cooperative_multitasking",
    "execution_flow",
    "five_at_once",
    "life_of_a_callback",
    "life_of_a_task",
    "life_of_a_watcher",
    "memory",
    "one_fetch",
    "the_loop",
];

/// Compares a figure with its file, or writes the file.
#[track_caller]
pub fn compare(name: &str, svg: &str) {
    assert!(FIGURES.contains(&name), "{name} is not in the list of figures");
    assert_file(&format!("src/guide/figures/{name}.svg"), svg);
}

/// Returns a line in parts that fit on a page. Its further parts are indented.
pub fn wrapped(line: &str) -> String {
    let mut text = String::new();
    let mut column = 0;
    for word in line.split(' ') {
        if column > 0 && column + 1 + word.len() > COLUMNS {
            text += "\n   ";
            column = 3;
        }
        if column > 0 {
            text.push(' ');
            column += 1;
        }
        text += word;
        column += word.len();
    }
    text + "\n"
}

/// Asserts that a file has this text, or writes it if the variable is set.
#[track_caller]
pub fn assert_file(path: &str, text: &str) {
    let file = Path::new(ROOT).join(path);
    if fs::read_to_string(&file).is_ok_and(|found| found == text) {
        return;
    }
    assert!(env::var_os(WRITE).is_some(), "{path} is not what the run draws; {WRITE}=1 writes it");
    fs::write(file, text).unwrap();
}

/// A figure is an HTML block of its page, between empty lines. rustdoc removes the empty lines at
/// the ends of a file, so they stand in the guide.
#[test]
fn g7_a_figure_stands_between_empty_lines() {
    let guide = fs::read_to_string(folder().join("../mod.rs")).unwrap();
    let lines: Vec<&str> = guide.lines().collect();
    let figures = (0..lines.len()).filter(|line| lines[*line].ends_with(".svg\")]"));
    let figures: Vec<usize> = figures.collect();
    assert!(figures.len() > FIGURES.len(), "also those of the anti-patterns");
    for line in figures {
        let around = [lines[line - 1], lines[line + 1]];
        assert_eq!(around, ["#[doc = \"\"]"; 2], "around {}", lines[line]);
    }
}

fn folder_of_pages() -> PathBuf {
    Path::new(ROOT).join("src/guide")
}

fn folder() -> PathBuf {
    folder_of_pages().join("figures")
}

/// Each figure is in the guide once, with colours for light and for dark pages.
#[test]
fn g7_each_figure_is_drawn_by_a_test_and_shown_by_a_page() {
    let mut found: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    found.retain(|name| name.ends_with(".svg") && name != MEASURED);
    found.sort();
    let listed: Vec<String> = FIGURES.iter().map(|name| format!("{name}.svg")).collect();
    assert_eq!(found, listed);
    let guide = fs::read_to_string(folder().join("../mod.rs")).unwrap();
    for file in &found {
        assert_eq!(guide.matches(&format!("figures/{file}")).count(), 1, "{file} in the guide");
        let svg = fs::read_to_string(folder().join(file)).unwrap();
        assert!(
            svg.contains("(prefers-color-scheme: dark)") && svg.contains("[data-theme=\"dark\"]")
        );
    }
}

#[test]
fn g9_the_measured_figure_is_a_result() {
    let read = |path: &str| fs::read_to_string(Path::new(ROOT).join(path)).unwrap();
    let result = read("benches/results/fetches-5-fetches-in-time.svg");
    assert!(read(&format!("src/guide/figures/{MEASURED}")) == result, "{MEASURED} is outdated");
}

/// Readers that do not see a figure get its title and its content in words.
#[test]
fn g7_each_figure_of_the_guide_has_its_content_in_words() {
    let mut count = 0;
    for folder in ["figures", "async_anti_patterns", "debugging_a_stuck_daemon"] {
        for file in fs::read_dir(folder_of_pages().join(folder)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|it| it != "svg") {
                continue;
            }
            count += 1;
            let (name, svg) = (path.display(), fs::read_to_string(&path).unwrap());
            assert!(svg.contains("\n<title>") && svg.contains("\n<desc>\n"), "{name}");
            // An empty line would end the HTML block of the page.
            assert!(svg.ends_with("</svg>\n") && !svg.contains("\n\n"), "{name}");
        }
    }
    assert_eq!(count, 21);
}
