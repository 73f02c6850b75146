//! Log lines: always one line, even if a peer or an error type inserts control characters.

use std::error::Error;
use std::fmt::{self, Display, Write};
use std::io;
use std::mem;

use mainspring_sys::stderr;

/// Returns true for a character that would end the line, move the cursor, or reverse the text after
/// it.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A writer that escapes control characters, for example as `\n` and `\u{1b}`.
pub(crate) struct OneLine<'a>(pub(crate) &'a mut dyn Write);

impl Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_control) {
            self.0.write_str(&rest[..at])?;
            let mut characters = rest[at..].chars();
            for c in characters.next().into_iter().flat_map(char::escape_default) {
                self.0.write_char(c)?;
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

/// Writes `error` and its causes with colons between them. A cause is left out if the text before
/// it contains it, because many types repeat the cause in their own text.
pub(crate) fn write_chain(out: &mut dyn Write, error: &(dyn Error + 'static)) -> fmt::Result {
    let mut before = shown(error);
    let mut line = OneLine(out);
    line.write_str(&before)?;
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = shown(error);
        if !mentions(&before, &text) {
            write!(line, ": {text}")?;
            before = text;
        }
        cause = error.source();
    }
    Ok(())
}

/// Returns the text of `value`. Unlike `to_string`, it does not panic if `Display` fails.
pub(crate) fn shown(value: &(impl Display + ?Sized)) -> String {
    let mut text = String::new();
    match write!(text, "{value}") {
        Ok(()) => text,
        Err(_) => text + "(the rest cannot be shown)",
    }
}

/// Returns true if `text` contains `part`, and not as a piece of a longer word.
fn mentions(text: &str, part: &str) -> bool {
    let touches = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    text.match_indices(part).any(|(at, _)| {
        let (front, back) = (&text[..at], &text[at + part.len()..]);
        part.is_empty() || !touches(front.chars().next_back()) && !touches(back.chars().next())
    })
}

/// A text of limited length. If it is cut, it ends with an ellipsis.
pub(crate) struct Limited {
    text: String,
    /// Maximum length in bytes.
    limit: usize,
    is_full: bool,
}

/// Writes a line to standard error in one call, without waiting for it.
pub(crate) fn write_line(text: &dyn Display) -> io::Result<()> {
    let mut line = Limited::new(stderr::MAX_LINE - 1);
    // Ignored: the line is full, or a `Display` has failed. The beginning is written nevertheless.
    let _ = write!(line, "mainspring: {text}");
    let mut line = line.take();
    line.push('\n');
    stderr::write(line.as_bytes())
}

const ELLIPSIS: &str = "…";

impl Limited {
    pub(crate) fn new(limit: usize) -> Limited {
        Limited { text: String::new(), limit, is_full: false }
    }

    /// Returns the text and leaves an empty one.
    pub(crate) fn take(&mut self) -> String {
        self.is_full = false;
        mem::take(&mut self.text)
    }
}

impl Write for Limited {
    /// Fails when the text is full, so that the writer stops.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.is_full {
            return Err(fmt::Error);
        }
        if self.text.len() + text.len() <= self.limit {
            self.text.push_str(text);
            return Ok(());
        }
        self.is_full = true;
        self.text.push_str(text);
        let room = self.limit.saturating_sub(ELLIPSIS.len());
        let end = (0..=room).rev().find(|at| self.text.is_char_boundary(*at));
        self.text.truncate(end.unwrap_or(0));
        self.text.push_str(ELLIPSIS);
        Err(fmt::Error)
    }
}

/// Returns the first `items`, as many as fit into [`LONGEST_LIST`] bytes, with `separator` between
/// them, and the number of the others.
pub(crate) fn listed(items: impl ExactSizeIterator<Item: Display>, separator: &str) -> String {
    let total = items.len();
    let mut list = String::new();
    for (number, item) in items.enumerate() {
        let item = shown(&item);
        if number > 0 && list.len() + separator.len() + item.len() > LONGEST_LIST {
            return format!("{list}{separator}and {} more", grouped((total - number) as u64));
        }
        if number > 0 {
            list.push_str(separator);
        }
        list.push_str(&item);
    }
    list
}

/// Maximum length of a list in a message, in bytes.
const LONGEST_LIST: usize = 500;

/// Returns a number with commas between groups of three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct FixedError(&'static str, Option<Box<FixedError>>);

    impl Display for FixedError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for FixedError {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    fn chain(texts: &[&'static str]) -> String {
        let error =
            texts.iter().rev().fold(None, |cause, text| Some(Box::new(FixedError(text, cause))));
        let mut out = String::new();
        write_chain(&mut out, &*error.unwrap()).unwrap();
        out
    }

    #[test]
    fn each_cause_is_written_once() {
        assert_eq!(chain(&["a", "b", "c"]), "a: b: c");
        assert_eq!(chain(&["IO error: X", "X"]), "IO error: X");
        assert_eq!(chain(&["X (while reading)", "X", "deeper"]), "X (while reading): deeper");
        assert_eq!(chain(&["no file", "file 12", "12"]), "no file: file 12");
        assert_eq!(chain(&["no file 123", "file 12"]), "no file 123: file 12");
        assert_eq!(chain(&["a", "", "b"]), "a: b");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(chain(&["a\nb\r\u{1b}[2J\0\u{85}"]), r"a\nb\r\u{1b}[2J\u{0}\u{85}");
        assert_eq!(chain(&["\u{2028}\u{202e}x\u{2066}"]), r"\u{2028}\u{202e}x\u{2066}");
        assert_eq!(chain(&[r#"é \n "" 語"#]), r#"é \n "" 語"#);
    }

    struct Failing;

    impl Display for Failing {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("begun ")?;
            Err(fmt::Error)
        }
    }

    #[test]
    fn a_failing_display_does_not_panic() {
        assert_eq!(shown(&Failing), "begun (the rest cannot be shown)");
    }

    #[test]
    fn a_limited_text_ends_at_a_character_boundary() {
        for limit in 3..12 {
            let mut text = Limited::new(limit);
            assert!(write!(text, "aéé語xy").is_ok() == (limit >= 10), "{limit}");
            let text = text.take();
            assert!(text.len() <= limit, "{text} {limit}");
            assert_eq!(text.ends_with('…'), limit < 10, "{text} {limit}");
        }
    }

    #[test]
    fn a_long_list_ends_with_the_number_of_omitted_items() {
        assert_eq!(listed([1, 2, 3].into_iter(), ", "), "1, 2, 3");
        assert_eq!(listed(Vec::<u8>::new().into_iter(), ", "), "");
        let long = listed((0..100_000).map(|n| format!("{n:05}")), "; ");
        assert!(long.len() < 530, "{}", long.len());
        assert!(long.starts_with("00000; 00001; "), "{long}");
        assert!(long.ends_with("; and 99,929 more"), "{long}");
    }

    #[test]
    fn digits_are_grouped_by_three() {
        let numbers = [0, 12, 999, 1_000, 54_321, 1_000_000, u64::MAX];
        let texts = numbers.map(grouped);
        let expected = ["0", "12", "999", "1,000", "54,321", "1,000,000"];
        assert_eq!(texts[..6], expected);
        assert_eq!(texts[6], "18,446,744,073,709,551,615");
    }
}
