//! The source tree, as text.

use std::fmt::Display;
use std::fs;
use std::iter;
use std::path::Path;

/// Folders that hold no sources: build output, and files of failed tests.
const SKIPPED: &[&str] = &["target", "proptest-regressions"];

/// Hidden folders of the project. Others belong to tools, for example to git.
const HIDDEN: &[&str] = &[".ci", ".github"];

/// The root of the workspace, seen from the package that these tests belong to.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A file of the project.
#[derive(Debug)]
pub struct Source {
    /// From the root of the project, with slashes.
    pub path: String,
    pub text: String,
}

/// A comment, without its marks.
#[derive(Debug)]
pub struct Comment {
    /// False for the text of a Markdown file.
    pub is_in_code: bool,
    /// Each line with its number in the file.
    pub lines: Vec<(usize, String)>,
}

impl Source {
    /// The text with comments and literals blanked: every line and column is where it was.
    pub fn code(&self) -> String {
        let mut code = String::with_capacity(self.text.len());
        let mut rest = self.text.as_str();
        while !rest.is_empty() {
            let (kept, blanked) = next_token(rest);
            code.push_str(&rest[..kept]);
            let blank = |character: char| if character == '\n' { '\n' } else { ' ' };
            code.extend(rest[kept..kept + blanked].chars().map(blank));
            rest = &rest[kept + blanked..];
        }
        code
    }

    /// The comments. Lines that follow each other and begin with the same mark are one.
    pub fn comments(&self) -> Vec<Comment> {
        let mut found: Vec<(&str, Comment)> = Vec::new();
        let (mut rest, mut line) = (self.text.as_str(), 1);
        while !rest.is_empty() {
            let (kept, blanked) = next_token(rest);
            line += rest[..kept].matches('\n').count();
            let token = &rest[kept..kept + blanked];
            let mark = ["//!", "///", "//"].into_iter().find(|mark| token.starts_with(mark));
            if let Some(mark) = mark {
                let text = token[mark.len()..].trim().to_owned();
                let last = found.last_mut().filter(|(of_last, last)| {
                    *of_last == mark && last.lines.last().is_some_and(|(at, _)| at + 1 == line)
                });
                match last {
                    Some((_, last)) => last.lines.push((line, text)),
                    None => {
                        let lines = vec![(line, text)];
                        found.push((mark, Comment { is_in_code: true, lines }));
                    }
                }
            }
            line += token.matches('\n').count();
            rest = &rest[kept + blanked..];
        }
        found.into_iter().map(|(_, comment)| comment).collect()
    }

    /// The text of a Markdown file, as one comment.
    pub fn as_comment(&self) -> Comment {
        Comment {
            is_in_code: false,
            lines: (1..).zip(self.text.lines().map(str::to_owned)).collect(),
        }
    }

    /// The lines that contain one of `marks`.
    pub fn lines_with(&self, marks: &[&str]) -> Vec<String> {
        let lines = (1..).zip(self.text.lines());
        let marked = lines.filter(|(_, line)| marks.iter().any(|mark| line.contains(mark)));
        marked.map(|(number, line)| format!("{}:{number}: {}", self.path, line.trim())).collect()
    }
}

/// The number of bytes of code at the beginning of `rest`, and of the comment or literal after it.
fn next_token(rest: &str) -> (usize, usize) {
    let first = rest.chars().next().map_or(0, char::len_utf8);
    if rest.starts_with("//") {
        return (0, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (0, rest.find("*/").map_or(rest.len(), |end| end + 2));
    }
    if let Some(body) = rest.strip_prefix('"') {
        return (0, 1 + end_of_literal(body, '"'));
    }
    if rest.starts_with('\'') && is_character(rest) {
        return (0, 1 + end_of_literal(&rest[1..], '\''));
    }
    let word = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
    if rest[..word].ends_with('r') && word <= 2 {
        let hashes = rest[word..].bytes().take_while(|byte| *byte == b'#').count();
        if rest[word + hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = &rest[word + hashes + 1..];
            return (
                0,
                word + hashes + 1 + body.find(&end).map_or(body.len(), |at| at + end.len()),
            );
        }
    }
    (word.max(first), 0)
}

/// True if the quotation mark begins a character, not the name of a lifetime.
fn is_character(rest: &str) -> bool {
    let mut characters = rest.chars().skip(1);
    characters.next() == Some('\\') || characters.next() == Some('\'')
}

/// The length of a literal up to its closing mark.
fn end_of_literal(body: &str, mark: char) -> usize {
    let mut is_escaped = false;
    for (at, character) in body.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if character == mark => return at + mark.len_utf8(),
            _ => {}
        }
    }
    body.len()
}

pub fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The words of a text, with their positions.
pub fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    iter::from_fn(move || {
        at += text[at..].find(is_word)?;
        let length = text[at..].find(|c| !is_word(c)).unwrap_or(text.len() - at);
        at += length;
        Some((at - length, &text[at - length..at]))
    })
}

/// All files of the project with this ending, in order of their paths.
pub fn sources(ending: &str) -> Vec<Source> {
    let mut found = Vec::new();
    collect(Path::new(ROOT), "", ending, &mut found);
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(!found.is_empty(), "no sources, so nothing was checked");
    found
}

fn collect(folder: &Path, prefix: &str, ending: &str, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let entry = entry.expect("a readable folder");
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().expect("a file or a folder");
        if kind.is_dir() && !is_skipped(&entry.path(), &name) {
            collect(&entry.path(), &format!("{path}/"), ending, found);
        } else if kind.is_file() && is_ours(&name) && name.ends_with(ending) {
            // A file that is no text, or has been removed meanwhile, is no source.
            if let Ok(text) = fs::read_to_string(entry.path()) {
                found.push(Source { path, text });
            }
        }
    }
}

/// True for folders that hold no sources. Those of cargo have a tag, whatever their name: a build
/// may put its output and its registry into the checkout.
fn is_skipped(folder: &Path, name: &str) -> bool {
    let is_of_a_tool = name.starts_with('.') && !HIDDEN.contains(&name);
    is_of_a_tool || SKIPPED.contains(&name) || folder.join("CACHEDIR.TAG").exists()
}

/// True for files that are written by hand. The licences are not ours.
fn is_ours(name: &str) -> bool {
    let endings = [".rs", ".toml", ".md", ".yml", ".c"];
    endings.iter().any(|ending| name.ends_with(ending)) || !name.contains(['.', '-'])
}

/// The text of a file that must exist.
pub fn read(path: &str) -> String {
    let path = Path::new(ROOT).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[track_caller]
pub fn assert_none(found: &[impl Display]) {
    let lines: String = found.iter().map(|line| format!("\n  {line}")).collect();
    assert!(found.is_empty(), "{}:{lines}", found.len());
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = "a /* b */ 'c' \"d\\\"\" r#\"e\"\"# br\"f\" &'g h // i\nj '\\'' k".to_owned();
    let code = Source { path: String::new(), text }.code();
    assert_eq!(words(&code).map(|(_, word)| word).collect::<Vec<_>>(), ["a", "g", "h", "j", "k"]);
}
