//! Files must not need each other in a circle, and modules have one style.
//!
//! A file needs the files of the modules that its paths name. The module of a folder is the face of
//! the files in it, which may use it; a file that only re-exports an item does not need it. Tests
//! may use what they like.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, assert_none, is_word, sources, words};

/// The crates, by the folder of their root, and the number of their files that may be in circles.
/// It may only become smaller.
const LIMITS: &[(&str, usize)] = &[("src/", 0), ("sys/src/", 0), ("benches/compare/src/", 0)];

/// The path of a module, from the root of its crate.
type Module = Vec<String>;

#[test]
fn files_need_each_other_in_no_circle() {
    let sources = sources(".rs");
    let mut found = Vec::new();
    for (folder, most) in LIMITS {
        let sources = sources.iter().filter(|source| source.path.starts_with(folder));
        let circles = Graph::of(folder, sources).circles();
        let files: usize = circles.iter().map(Vec::len).sum();
        if files > *most {
            found.push(format!("{folder}: {files} files in circles, {most} allowed:"));
            found.extend(circles.iter().map(|circle| format!("  {}", circle.join(" "))));
        }
    }
    assert_none(&found);
}

#[test]
fn planted_circles_are_found() {
    let circles = |files: &[(&str, &str)]| {
        let sources: Vec<Source> = files
            .iter()
            .map(|(path, text)| Source { path: format!("src/{path}"), text: (*text).into() })
            .collect();
        Graph::of("src/", sources.iter()).circles()
    };
    let two = vec![vec!["src/a.rs".to_owned(), "src/b.rs".to_owned()]];
    let lib = ("lib.rs", "mod a;\nmod b;\npub use a::A;\npub use b::B;");
    let a = ("a.rs", "use crate::b::{self, B};\npub struct A(B);");
    assert_eq!(circles(&[lib, a, ("b.rs", "pub struct B; fn f() { crate::a::f() }")]), two);
    assert_eq!(circles(&[lib, a, ("b.rs", "use super::a; pub struct B; fn f(_: a::A) {}")]), two);
    let inside = ("c/d.rs", "use crate::{b::{B}, a}; pub struct D(a::A);");
    let b = ("b.rs", "use crate::c::d::D;");
    assert_eq!(circles(&[lib, a, b, inside, ("c/mod.rs", "pub mod d;")])[0].len(), 3);
    let fine = [
        "pub struct B;",
        "pub struct B; // crate::a::A",
        "pub struct B;\n#[cfg(test)]\nmod tests { use crate::a::A; }",
        "pub struct B(crate::Face);",
    ];
    for text in fine {
        assert!(circles(&[lib, a, ("b.rs", text)]).is_empty(), "{text}");
    }
}

/// A folder has its module in `mod.rs`, and no file of its name beside it.
#[test]
fn modules_have_one_style() {
    let sources = sources(".rs");
    let folders = LIMITS.iter().map(|(folder, _)| *folder);
    let found = folders.flat_map(|folder| beside_their_folders(folder, &sources));
    assert_none(&found.collect::<Vec<_>>());
}

#[test]
fn a_planted_file_beside_its_folder_is_found() {
    let paths = ["src/a.rs", "src/a/b.rs", "src/c/mod.rs", "src/c/d.rs", "src/e.rs"];
    let sources: Vec<Source> =
        paths.iter().map(|path| Source { path: (*path).into(), text: String::new() }).collect();
    assert_eq!(beside_their_folders("src/", &sources), ["src/a.rs"]);
}

fn beside_their_folders(folder: &str, sources: &[Source]) -> Vec<String> {
    let paths = sources.iter().map(|source| source.path.as_str());
    let paths: Vec<&str> = paths.filter(|path| path.starts_with(folder)).collect();
    let has_folder = |path: &&&str| {
        let inside = format!("{}/", path.trim_end_matches(".rs"));
        paths.iter().any(|other| other.starts_with(&inside))
    };
    paths.iter().filter(has_folder).map(|path| (*path).to_owned()).collect()
}

/// A `use`: the path, and the name that it has in the file.
#[derive(Debug)]
pub struct Import {
    path: Vec<String>,
    pub name: String,
    /// True if the file passes the item on, at least within its crate.
    is_passed_on: bool,
    /// True if the item is passed on to every crate.
    pub is_public: bool,
}

#[derive(Debug)]
struct File {
    path: String,
    code: String,
    imports: Vec<Import>,
}

#[derive(Debug)]
struct Graph {
    files: BTreeMap<Module, File>,
    edges: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn of<'a>(folder: &str, sources: impl Iterator<Item = &'a Source>) -> Self {
        let is_test = |path: &str| {
            path.ends_with("tests.rs")
                || path.contains("/tests/")
                || path.ends_with("compile_fail.rs")
        };
        let sources = sources.filter(|source| !is_test(&source.path));
        let files: BTreeMap<Module, File> = sources
            .map(|source| {
                let code = without_tests(source.code());
                let imports = imports(&code);
                (module_of(folder, &source.path), File { path: source.path.clone(), code, imports })
            })
            .collect();
        let mut graph = Self { files, edges: BTreeMap::new() };
        for (module, file) in &graph.files {
            let needed = graph.needed_by(module, file);
            graph.edges.insert(file.path.clone(), needed);
        }
        graph
    }

    /// The files that define the items in the paths of `file`.
    fn needed_by(&self, module: &Module, file: &File) -> BTreeSet<String> {
        let uses = |name: &str| words(&file.code).filter(|(_, word)| *word == name).count();
        let imports = file.imports.iter().filter(|import| {
            let only_passes_on = import.is_passed_on && uses(&import.name) < 2;
            !only_passes_on && !self.is_module(module, &import.path)
        });
        let named = imports.map(|import| import.path.clone()).chain(paths(&file.code));
        let needed = named.filter_map(|path| self.file_of(module, &path));
        needed.filter(|path| *path != file.path).collect()
    }

    /// The file of the module that `path` names in `module`. None if it is another crate's, or if
    /// it is a folder that `module` is in.
    fn file_of(&self, module: &Module, path: &[String]) -> Option<String> {
        let (at, _) = self.walk(module, path)?;
        let file = self.files.get(&at).filter(|_| !module.starts_with(&at));
        file.map(|file| file.path.clone())
    }

    /// The module in which a path begins, and the rest of the path.
    fn begin<'a>(&self, module: &Module, path: &'a [String]) -> Option<(Module, &'a [String])> {
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => Module::new(),
            "self" => module.clone(),
            "super" => module[..module.len().checked_sub(1)?].to_vec(),
            child => {
                let child = [module.as_slice(), &[child.to_owned()]].concat();
                if self.files.contains_key(&child) {
                    return Some((child, rest));
                }
                let alias = self.files.get(module)?.imports.iter().find(|it| it.name == *first)?;
                let is_alias = alias.path != path && self.is_module(module, &alias.path);
                let (at, _) = is_alias.then(|| self.walk(module, &alias.path))??;
                return Some((at, rest));
            }
        };
        while rest.first().is_some_and(|name| name == "super") {
            at.pop()?;
            rest = &rest[1..];
        }
        Some((at, rest))
    }

    fn walk<'a>(&self, module: &Module, path: &'a [String]) -> Option<(Module, &'a [String])> {
        let (mut at, mut rest) = self.begin(module, path)?;
        while let Some((name, after)) = rest.split_first() {
            let child = [at.as_slice(), std::slice::from_ref(name)].concat();
            if !self.files.contains_key(&child) {
                break;
            }
            (at, rest) = (child, after);
        }
        Some((at, rest))
    }

    fn is_module(&self, module: &Module, path: &[String]) -> bool {
        let is_rooted =
            path.first().is_some_and(|it| ["crate", "super", "self"].contains(&it.as_str()));
        is_rooted && self.walk(module, path).is_some_and(|(_, rest)| rest.is_empty())
    }

    /// The files that need themselves, in groups that need each other.
    fn circles(&self) -> Vec<Vec<String>> {
        let reach: BTreeMap<&String, BTreeSet<&String>> =
            self.edges.keys().map(|file| (file, self.reached_from(file))).collect();
        let mut circles: Vec<Vec<String>> = Vec::new();
        for file in self.edges.keys().filter(|file| reach[file].contains(file)) {
            let is_of = |circle: &&mut Vec<String>| {
                reach[file].contains(&circle[0]) && reach[&circle[0]].contains(file)
            };
            match circles.iter_mut().find(is_of) {
                Some(circle) => circle.push(file.clone()),
                None => circles.push(vec![file.clone()]),
            }
        }
        circles
    }

    fn reached_from(&self, file: &String) -> BTreeSet<&String> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&String> = self.edges[file].iter().collect();
        while let Some(next) = open.pop() {
            if reached.insert(next) {
                open.extend(&self.edges[next]);
            }
        }
        reached
    }
}

fn module_of(folder: &str, path: &str) -> Module {
    let path = path.trim_start_matches(folder).trim_end_matches(".rs");
    let parts = path.split('/').filter(|part| !["mod", "lib", "main"].contains(part));
    parts.map(str::to_owned).collect()
}

/// The code without the modules that only tests have.
fn without_tests(mut code: String) -> String {
    while let Some(at) = code.find("#[cfg(test)]\nmod ") {
        let end = code[at..].find(['{', ';']).map_or(code.len(), |end| at + end + 1);
        let is_inline = code[..end].ends_with('{');
        // rustfmt puts the closing brace of a module at the beginning of a line.
        let end = if is_inline {
            code[at..].find("\n}").map_or(code.len(), |it| at + it + 2)
        } else {
            end
        };
        code.replace_range(at..end, "");
    }
    code
}

/// All `use`s of a file, with their braces expanded.
pub fn imports(code: &str) -> Vec<Import> {
    let mut found = Vec::new();
    for (at, _) in words(code).filter(|(_, word)| *word == "use") {
        let before = code[..at].trim_end();
        let is_public = before.ends_with("pub");
        let last_line = before.lines().last().unwrap_or_default();
        let is_passed_on = is_public || (before.ends_with(')') && last_line.contains("pub("));
        let tree = &code[at + 3..];
        let tree = &tree[..tree.find(';').unwrap_or(tree.len())];
        let tree: String = tree.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut paths = Vec::new();
        expand(&tree, &[], &mut paths);
        let of = |(path, name)| Import { path, name, is_passed_on, is_public };
        found.extend(paths.into_iter().map(of));
    }
    found
}

/// The paths of a tree of `use`, after those `before` it, and the names that they get.
fn expand(tree: &str, before: &[String], found: &mut Vec<(Vec<String>, String)>) {
    let split = |path: &str| -> Vec<String> {
        let parts = path.split("::").map(str::trim).filter(|part| !part.is_empty());
        before.iter().cloned().chain(parts.map(str::to_owned)).collect()
    };
    let Some(brace) = tree.find('{') else {
        let (path, name) = tree.split_once(" as ").unwrap_or((tree, ""));
        let mut path = split(path);
        if path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let last = path.last().cloned().unwrap_or_default();
        let name = if name.is_empty() { last } else { name.trim().to_owned() };
        return found.push((path, name));
    };
    let before = split(&tree[..brace]);
    let inside = tree[brace + 1..].trim_end().strip_suffix('}').unwrap_or_default();
    let (mut depth, mut start) = (0, 0);
    for (at, character) in inside.char_indices().chain([(inside.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = inside[start..at].trim();
                start = (at + 1).min(inside.len());
                if !part.is_empty() {
                    expand(part, &before, found);
                }
            }
            _ => {}
        }
    }
}

/// The paths in the code that are no `use`: words joined by `::`.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    let mut end = 0;
    for (at, _) in words(code) {
        if at < end || code[..at].ends_with("::") || code[..at].trim_end().ends_with("use") {
            continue;
        }
        let length = code[at..].find(|c| !is_word(c) && c != ':').unwrap_or(code.len() - at);
        end = at + length;
        let parts: Vec<String> = code[at..end].split("::").map(str::to_owned).collect();
        if parts.len() > 1 {
            found.push(parts.into_iter().filter(|part| !part.is_empty()).collect());
        }
    }
    found
}
