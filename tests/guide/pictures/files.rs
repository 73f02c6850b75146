//! The files of the figures, compared with what a run draws (docs/contract.md, G7).

use std::fs;
use std::path::{Path, PathBuf};

use crate::figures::assert_file;

/// The figures. Each is drawn by one test.
const FIGURES: &[&str] = &[
    "cooperative_multitasking",
    "execution_flow",
    "five_at_once",
    "life_of_a_callback",
    "life_of_a_task",
    "life_of_a_watcher",
    "one_fetch",
    "the_loop",
];

/// Compares a figure with its file, or writes the file.
#[track_caller]
pub fn compare(name: &str, svg: &str) {
    assert!(FIGURES.contains(&name), "{name} is not in the list of figures");
    assert_file(&format!("src/guide/figures/{name}.svg"), svg);
}

/// A figure is an HTML block of its page, between empty lines. rustdoc removes the empty lines at
/// the ends of a file, so they stand in the guide.
#[test]
fn g7_a_figure_stands_between_empty_lines() {
    let guide = fs::read_to_string(folder().join("../mod.rs")).unwrap();
    let lines: Vec<&str> = guide.lines().collect();
    let figures = (0..lines.len()).filter(|line| lines[*line].ends_with(".svg\")]"));
    let figures: Vec<usize> = figures.collect();
    assert!(figures.len() > FIGURES.len(), "also the figure of the comparison");
    for line in figures {
        let around = [lines[line - 1], lines[line + 1]];
        assert_eq!(around, ["#[doc = \"\"]"; 2], "around {}", lines[line]);
    }
}

fn folder_of_pages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/guide")
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
    found.retain(|name| name.ends_with(".svg"));
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

/// Readers that do not see a figure get its title and its content in words.
#[test]
fn g7_each_figure_of_the_guide_has_its_content_in_words() {
    let mut count = 0;
    for folder in ["", "figures", "async_anti_patterns"] {
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
    assert_eq!(count, 19);
}
