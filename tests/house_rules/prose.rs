//! The words of comments and of the Markdown files: plain subjects, plain verbs, no idioms.
//!
//! A callback, a task, a waiter or the kernel is named by its noun; only people and threads are
//! "who". Code reports, returns, sets and checks. A comment begins with a noun phrase or with a
//! verb in the third person.
//!
//! `cargo test --test house_rules prose_report -- --nocapture` lists each hit of the whole tree.

use std::mem;

use super::source::{Comment, Source, sources};

/// The areas: the beginning of their paths, the number of comments that may begin with a forbidden
/// word, and of other hits. A number may only become smaller.
const LIMITS: &[(&str, usize, usize)] = &[
    ("src/", 0, 0),
    ("sys/src/", 0, 10),
    ("sys/tests/", 0, 0),
    ("sys/c_libraries/", 0, 0),
    ("tests/", 0, 0),
    ("benches/", 0, 0),
    ("examples/", 0, 0),
    // Markdown.
    ("", 0, 0),
];

/// Lines that a failure shows of an area. `prose_report` shows all.
const SHOWN: usize = 60;

/// Words that no comment, and no paragraph of one, begins with.
const FIRST_WORDS: &[&str] = &[
    "as", "how", "of", "so", "that", "to", "what", "whatever", "where", "whether", "which", "who",
    "whoever", "whose", "why",
];

/// Words for people.
const PEOPLE: &[&str] = &[
    "who",
    "whoever",
    "whom",
    "whose",
    "nobody",
    "somebody",
    "anybody",
    "everybody",
    "someone",
    "anyone",
    "everyone",
];

/// Verbs of speech and of thought, in all forms that comments use of code.
const SPEECH: &[&str] = &[
    "ask", "asked", "asking", "asks", "hear", "heard", "hears", "knew", "know", "knows", "learn",
    "learned", "learns", "learnt", "said", "say", "saying", "says", "tell", "telling", "tells",
    "told", "want", "wants", "wanted",
];

/// Old or translated idioms, as sequences of words.
const IDIOMS: &[&[&str]] = &[
    &["all", "the", "same"],
    &["also", "if"],
    &["anew"],
    &["are", "to"],
    &["at", "the", "begin"],
    &["but", "for"],
    &["by", "edges"],
    &["by", "itself"],
    &["by", "themselves"],
    &["for", "ever"],
    &["go", "on"],
    &["goes", "on"],
    &["in", "vain"],
    &["is", "to"],
    &["lest"],
    &["limit", "of", "descriptors"],
    &["moment"],
    &["moments"],
    &["no", "more"],
    &["of", "its", "own"],
    &["of", "no", "use"],
    &["of", "one's", "own"],
    &["of", "their", "own"],
    &["raised", "privileges"],
    &["to", "be", "done"],
    &["to", "be", "had"],
    &["user's", "own"],
    &["users", "own"],
    &["was", "to"],
    &["were", "to"],
    &["where", "no", "loop", "runs"],
    &["yardstick"],
];

/// The good uses of such a sequence.
const GOOD: &[&[&str]] = &[&["no", "more", "than"]];

/// A place that a rule objects to.
#[derive(Debug)]
struct Hit {
    line: usize,
    is_first_word: bool,
    words: String,
}

#[test]
fn comments_use_plain_words() {
    let mut areas: Vec<_> = LIMITS.iter().map(|limit| (limit, Vec::new(), 0)).collect();
    for source in sources("").iter().filter(|source| is_prose(&source.path)) {
        let area = areas.iter_mut().find(|((start, ..), ..)| source.path.starts_with(start));
        let (_, lines, first_words) = area.expect("the last area has every path");
        for hit in hits(source) {
            *first_words += usize::from(hit.is_first_word);
            lines.push(show(source, &hit));
        }
    }
    let mut found = String::new();
    for ((start, most_first, most_others), lines, first_words) in areas {
        let others = lines.len() - first_words;
        if first_words > *most_first || others > *most_others {
            found += &format!(
                "\n{start}*: {first_words} first words ({most_first} allowed), {others} others \
                 ({most_others} allowed):\n{}",
                lines[..lines.len().min(SHOWN)].join("\n")
            );
        }
    }
    assert!(found.is_empty(), "{found}");
}

/// Prints the hits of the whole tree.
#[test]
fn prose_report() {
    for source in sources("").iter().filter(|source| is_prose(&source.path)) {
        hits(source).iter().for_each(|hit| println!("{}", show(source, hit)));
    }
}

#[test]
fn planted_words_are_found() {
    let found = |path: &str, text: &str| {
        let source = Source { path: path.into(), text: text.into() };
        hits(&source).into_iter().map(|hit| (hit.line, hit.words)).collect::<Vec<_>>()
    };
    let one = |line: usize, words: &str| vec![(line, words.to_owned())];

    for word in FIRST_WORDS.iter().filter(|word| !PEOPLE.contains(word)) {
        let text = format!("struct A;\n\n/// {word} the source was.\nstruct B;");
        assert_eq!(found("src/a.rs", &text), one(3, word), "{text}");
        assert_eq!(found("src/a.rs", &format!("//! {word} it was")), one(1, word));
        assert_eq!(found("src/a.rs", &format!("/// Number,\n/// {word} it was")), []);
        assert_eq!(
            found("src/a.rs", &format!("/// Number.\n///\n/// {word} it was")),
            one(3, word)
        );
        assert_eq!(found("src/a.rs", &format!("// {word} it was")), one(1, word));
    }
    for word in PEOPLE.iter().chain(SPEECH) {
        assert_eq!(found("src/a.rs", &format!("let a; // It {word}, then.")), one(1, word));
        assert_eq!(found("README.md", &format!("It {word}, then.")), one(1, word));
        assert_eq!(found("src/a.rs", &format!("let {word} = \"{word}\"; // `{word}`")), []);
    }
    for idiom in IDIOMS {
        let idiom = idiom.join(" ");
        assert_eq!(found("src/a.rs", &format!("/// One, {idiom}.")), one(1, &idiom));
        let broken = format!("/// One\n/// {}.", idiom.replace(' ', "\n/// "));
        assert_eq!(found("src/a.rs", &broken), one(2, &idiom));
    }
    assert_eq!(found("src/a.rs", "/// Takes no more than 4."), []);
    assert_eq!(
        found("src/a.rs", "/// Sets a moment.\n///\n/// ```\n/// // who says\n/// ```").len(),
        1
    );
    assert_eq!(found("DESIGN.md", "```text\nwho says\n```\nThe [kernel](who/says.md)."), []);
    assert_eq!(found("src/a.rs", "/// Ends [`A`].\n///\n/// [`A`]: super::ask"), []);
}

fn is_prose(path: &str) -> bool {
    let is_text = [".rs", ".md"].iter().any(|ending| path.ends_with(ending));
    // The lists above are full of these words.
    is_text && path != "tests/house_rules/prose.rs"
}

fn show(source: &Source, hit: &Hit) -> String {
    let text = source.text.lines().nth(hit.line - 1).unwrap_or_default().trim();
    let kind = if hit.is_first_word { "first word " } else { "" };
    format!("{}:{}: {kind}`{}`: {text}", source.path, hit.line, hit.words)
}

fn hits(source: &Source) -> Vec<Hit> {
    let is_markdown = source.path.ends_with(".md");
    let comments = if is_markdown { vec![source.as_comment()] } else { source.comments() };
    comments.iter().flat_map(hits_of).collect()
}

fn hits_of(comment: &Comment) -> Vec<Hit> {
    let words = prose_of(comment);
    let mut found = Vec::new();
    let begins = |at: usize, idiom: &[&str]| {
        let next = words[at..].iter().map(|(_, word)| word.as_str());
        words.len() - at >= idiom.len() && next.take(idiom.len()).eq(idiom.iter().copied())
    };
    let mut last_line = 0;
    for (at, (line, word)) in words.iter().enumerate() {
        let mut hit = |is_first_word, words: String| {
            found.push(Hit { line: *line, is_first_word, words });
        };
        let is_first = *line != last_line && comment.is_in_code && begins_paragraph(comment, *line);
        last_line = *line;
        let idiom = IDIOMS.iter().copied().find(|idiom| idiom[0] == word && begins(at, idiom));
        let is_good = GOOD.iter().any(|good| begins(at, good));
        if is_first && FIRST_WORDS.contains(&word.as_str()) {
            hit(true, word.clone());
        } else if PEOPLE.contains(&word.as_str()) || SPEECH.contains(&word.as_str()) {
            hit(false, word.clone());
        } else if let Some(idiom) = idiom.filter(|_| !is_good) {
            hit(false, idiom.join(" "));
        }
    }
    found
}

/// Returns true if the line is the first one of a paragraph. Headings, tables and lists are none.
fn begins_paragraph(comment: &Comment, line: usize) -> bool {
    let at = comment.lines.iter().position(|(number, _)| *number == line);
    let Some(at) =
        at.filter(|at| comment.lines[*at].1.trim_start().starts_with(char::is_alphabetic))
    else {
        return false;
    };
    at == 0 || comment.lines[at - 1].1.trim().is_empty()
}

/// The words of a comment in small letters, with their lines. Code, be it a block or between
/// backticks, stands as one word without letters, and so does the address of a link.
fn prose_of(comment: &Comment) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let (mut is_block, mut is_code, mut is_address) = (false, false, false);
    for (line, text) in &comment.lines {
        let fence = text.trim_start().starts_with("```");
        is_block ^= fence;
        let is_definition = text.trim_start().starts_with('[') && text.contains("]: ");
        if is_block || fence || is_definition {
            continue;
        }
        let mut word = String::new();
        let mut before = ' ';
        for character in text.chars().chain([' ']) {
            is_address = (is_address && character != ')') || (before == ']' && character == '(');
            let is_letter = character.is_alphanumeric() || matches!(character, '\'' | '_');
            if is_letter && !is_code && !is_address {
                word.extend(character.to_lowercase());
            } else if !word.is_empty() {
                found.push((*line, mem::take(&mut word).trim_matches('\'').to_owned()));
            }
            if character == '`' && !is_address {
                is_code = !is_code;
                found.extend(is_code.then(|| (*line, "`".to_owned())));
            } else if matches!(character, '.' | ',' | ';' | ':' | '(' | ')' | '|') && !is_code {
                found.extend(found.last().is_some().then(|| (*line, ".".to_owned())));
            }
            before = character;
        }
    }
    found
}
