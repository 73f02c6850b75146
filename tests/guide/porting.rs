//! The tables for porting: each symbol of a library has a row, and each name in a row is a symbol
//! (docs/contract.md, G11).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The libraries: the names of their pages and of their lists of symbols.
const LIBRARIES: &[&str] = &["asyncio", "calloop", "libev", "libevent", "libuv", "mio", "tokio"];

#[test]
fn g11_every_symbol_has_a_row() {
    let found: Vec<String> = LIBRARIES.iter().flat_map(|library| differences(library)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn planted_symbols_are_found() {
    let page = "| a | here |\n|---|---|\n| `uv_a`, `uv_b*` | x | y |\n| `uv_c` | x | |\n";
    let missing = |symbols: &[&str]| compare("page", &set(symbols), &names(page));
    assert_eq!(missing(&["uv_a", "uv_b_1", "uv_b_2", "uv_c"]), [""; 0]);
    assert_eq!(missing(&["uv_a", "uv_b", "uv_c", "uv_d"]), ["page: `uv_d` has no row"]);
    assert_eq!(missing(&["uv_a", "uv_b"]), ["page: no symbol is named `uv_c`"]);
}

#[test]
fn g11_every_row_has_a_counterpart() {
    for library in LIBRARIES {
        for line in page(library).lines().filter(|line| line.starts_with("| `")) {
            let columns: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            assert!(matches!(columns.len(), 2 | 3), "{library}: columns of {line}");
            assert!(!columns[1].is_empty(), "{library}: no counterpart in {line}");
            let reason = columns.get(2).unwrap_or(&"");
            let needs_reason = columns[1].starts_with("none") && !columns[1].contains("yet");
            assert!(!(needs_reason && reason.is_empty()), "{library}: no reason in {line}");
        }
    }
}

fn differences(library: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("guide/symbols/{library}.txt"));
    let list = fs::read_to_string(&path).unwrap();
    let symbols = list.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    compare(library, &symbols, &names(&page(library)))
}

fn page(library: &str) -> String {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/guide/porting");
    fs::read_to_string(pages.join(format!("{library}.md"))).unwrap()
}

/// The names in the first column of tables; a name may contain `*`.
fn names(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let first = rows.map(|row| row.split(" | ").next().unwrap_or_default());
    let names = first.flat_map(|cell| cell.split("`, `").map(|name| name.trim_matches('`')));
    names.map(str::to_owned).collect()
}

fn compare(page: &str, symbols: &BTreeSet<String>, names: &BTreeSet<String>) -> Vec<String> {
    let has_row = |symbol: &str| names.iter().any(|name| matches(name, symbol));
    let has_symbol = |name: &str| symbols.iter().any(|symbol| matches(name, symbol));
    let unlisted = symbols.iter().filter(|symbol| !has_row(symbol));
    let unknown = names.iter().filter(|name| !has_symbol(name));
    unlisted
        .map(|symbol| format!("{page}: `{symbol}` has no row"))
        .chain(unknown.map(|name| format!("{page}: no symbol is named `{name}`")))
        .collect()
}

/// Returns true if `name` is the symbol, or a pattern of it.
fn matches(name: &str, symbol: &str) -> bool {
    let Some((start, rest)) = name.split_once('*') else { return name == symbol };
    let Some(tail) = symbol.strip_prefix(start) else { return false };
    (0..=tail.len()).any(|at| tail.is_char_boundary(at) && matches(rest, &tail[at..]))
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
