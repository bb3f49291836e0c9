//! The rules of the house, held by a test: which room may use which, how long a file may get, what every module
//! says of itself, and that the documents name files which exist.
//!
//! Reads sources as tokens, without comments and texts; `#[cfg(test)] mod` blocks at the end of a file, and files
//! that hold nothing but tests, are free of the rules on use and length.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, top to bottom: one may use those below it. `lib` and `main` stand above all of them, and
/// `clients`, `files`, `host` and `supervise` may be used by all.
const ROOMS: [&str; 17] = [
    "cli",
    "serve",
    "config",
    "api",
    "compat",
    "moving",
    "http",
    "dns",
    "tls",
    "zone",
    "layout",
    "registry",
    "model",
    "clients",
    "files",
    "host",
    "supervise",
];

/// What a room does not use although the order of rooms, or Cargo.toml, would let it.
const NOT_USED: &[(&str, &[&str])] = &[
    ("api", &["crate::compat", "crate::dns", "hickory_proto", "domain", "redb"]),
    // Of zones it asks what the API does: the directory, and who has a name.
    ("compat", &["crate::dns", "hickory_proto", "domain", "redb"]),
    (
        "moving",
        &["crate::dns", "crate::tls", "axum", "hyper", "hickory_proto", "redb", "tokio::net"],
    ),
    (
        "http",
        &[
            "crate::dns",
            "crate::zone",
            "crate::layout",
            "crate::registry",
            "hickory_proto",
            "domain",
            "redb",
        ],
    ),
    ("dns", &["crate::registry", "crate::layout", "redb"]),
    (
        "tls",
        &[
            "crate::zone",
            "crate::layout",
            "crate::registry",
            "crate::model",
            "axum",
            "hyper",
            "hickory_proto",
            "redb",
        ],
    ),
    (
        "zone",
        &[
            "tokio::net",
            "tokio::spawn",
            "tokio::task",
            "tokio::time",
            "tokio::fs",
            "std::net::TcpListener",
            "std::net::TcpStream",
            "std::net::UdpSocket",
            "std::fs",
            "crate::files",
            "crate::host",
            "Instant::now",
            "SystemTime::now",
            "axum",
            "hickory_proto",
            "redb",
        ],
    ),
    (
        "layout",
        &[
            "tokio",
            "axum",
            "redb",
            "std::fs",
            "crate::files",
            "crate::host",
            "Instant::now",
            "SystemTime::now",
        ],
    ),
    ("registry", &["axum", "hyper", "hickory_proto", "domain"]),
    (
        "model",
        &[
            "tokio",
            "axum",
            "redb",
            "hickory_proto",
            "domain",
            "std::fs",
            "crate::files",
            "crate::host",
            "tracing",
        ],
    ),
    ("clients", &["tokio::net", "axum", "redb", "hickory_proto", "domain", "std::fs"]),
    ("files", &["axum", "redb", "hickory_proto", "domain"]),
    ("host", &["tokio", "axum", "redb", "hickory_proto", "domain", "std::fs"]),
    ("supervise", &["axum", "redb", "hickory_proto", "domain", "std::fs"]),
];

/// What one place in the tree uses, and nobody else: a path, and where it may stand.
const USED_ONLY_IN: &[(&str, &str)] = &[
    // A change of client, or of registry, ends at this file.
    ("etcd_client", "src/registry/etcd"),
    ("redb", "src/registry/embedded"),
    ("hyper::client", "src/http/client"),
    ("hickory_server", "src/dns/quic"),
    ("rustls_native_certs", "src/tls"),
    ("tokio_rustls", "src/tls"),
];

/// The one file that writes to standard output and standard error.
const PRINTS: &str = "src/cli/output.rs";
/// What it writes with.
const PRINT_MACROS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

/// The one file with unsafe code: system calls that no safe crate makes, as its first lines argue. A lint
/// of clippy asks for the safety argument of each use.
const UNSAFE: &str = "src/dns/udp/batch.rs";

/// Lines of code, tests apart, that a file may have.
const LINES_MAX: usize = 700;
/// Beyond this a file asks for a split, or for an entry in [`LONG`].
const LINES_USUAL: usize = 400;
/// Files that are longer than usual, each with the reason why a split would make them harder to read.
const LONG: &[(&str, &str)] = &[];

/// Lines of the map of the house: it is read at one sitting, or not at all.
const ARCHITECTURE_LINES_MAX: usize = 200;

// ---- the rules -----------------------------------------------------------------------------------

#[test]
fn rooms_use_only_those_below_them() {
    let mut faults = String::new();
    for file in sources().iter().filter(|file| !file.all_tests) {
        let Some(height) = ROOMS.iter().position(|room| *room == file.room) else {
            if !matches!(file.room.as_str(), "lib" | "main") {
                writeln!(faults, "{}: {} is no room of ROOMS", file.name, file.room).unwrap();
            }
            continue;
        };
        for (line, path) in paths(&file.tokens) {
            let Some(used) = room_of(&path, &file.module) else { continue };
            match ROOMS.iter().position(|room| *room == used) {
                Some(depth) if depth >= height => {}
                Some(_) => writeln!(
                    faults,
                    "{}:{line}: {} names {path}, and {used} stands above it",
                    file.name, file.room
                )
                .unwrap(),
                None => writeln!(
                    faults,
                    "{}:{line}: {path} is in no room: name it where it is at home",
                    file.name
                )
                .unwrap(),
            }
        }
    }
    none(&faults);
}

#[test]
fn rooms_do_not_use_what_they_must_not_know() {
    let mut faults = String::new();
    for file in sources().iter().filter(|file| !file.all_tests) {
        let found = paths(&file.tokens);
        for (_, forbidden) in NOT_USED.iter().filter(|(room, _)| *room == file.room) {
            for (line, path) in &found {
                let known = path_from_root(path, &file.module);
                if let Some(what) = forbidden.iter().find(|what| begins_with(&known, what)) {
                    writeln!(
                        faults,
                        "{}:{line}: {path}: {} knows nothing of {what}",
                        file.name, file.room
                    )
                    .unwrap();
                }
            }
        }
        for (what, home) in USED_ONLY_IN.iter().filter(|(_, home)| !file.name.starts_with(home)) {
            for (line, path) in found.iter().filter(|(_, path)| begins_with(path, what)) {
                writeln!(faults, "{}:{line}: {path}: {what} is named in {home} only", file.name)
                    .unwrap();
            }
        }
    }
    none(&faults);
}

#[test]
fn only_one_file_prints() {
    let mut faults = String::new();
    for file in sources().iter().filter(|file| file.name != PRINTS && !file.all_tests) {
        for pair in file.tokens.windows(2) {
            if PRINT_MACROS.contains(&pair[0].text.as_str()) && pair[1].text == "!" {
                let (line, text) = (pair[0].line, &pair[0].text);
                writeln!(faults, "{}:{line}: {text}!: only {PRINTS} prints", file.name).unwrap();
            }
        }
    }
    none(&faults);
}

#[test]
fn files_stay_short() {
    let mut faults = String::new();
    for file in sources().iter().filter(|file| !file.all_tests) {
        let argued = LONG.iter().any(|(name, _)| *name == file.name);
        let (name, lines) = (&file.name, file.lines_without_tests);
        if lines > LINES_MAX {
            writeln!(faults, "{name}: {lines} lines without tests, at most {LINES_MAX}").unwrap();
        } else if lines > LINES_USUAL && !argued {
            writeln!(
                faults,
                "{name}: {lines} lines without tests: split it, or say in LONG why it reads better whole"
            )
            .unwrap();
        } else if lines <= LINES_USUAL && argued {
            writeln!(faults, "{name}: {lines} lines: its entry in LONG is out of date").unwrap();
        }
    }
    for (name, reason) in LONG {
        if !Path::new(name).exists() || reason.is_empty() {
            writeln!(faults, "{name}: in LONG, but there is no such file, or no reason").unwrap();
        }
    }
    none(&faults);
}

#[test]
fn modules_say_what_they_are_for() {
    let mut faults = String::new();
    for file in sources() {
        if !file.all_tests && !file.text.starts_with("//! ") {
            writeln!(faults, "{}: begins without a module doc (//!)", file.name).unwrap();
        }
        let door =
            matches!(file.module.as_slice(), [_]) && file.room != "lib" && file.room != "main";
        let doc = file.text.lines().take_while(|line| line.starts_with("//!"));
        let knows = doc.collect::<Vec<_>>().join(" ").replace("//! ", "");
        if door && !["Knows nothing", "Knows nobody", "Knows no "].iter().any(|w| knows.contains(w))
        {
            writeln!(faults, "{}: does not say what the room knows nothing of", file.name).unwrap();
        }
    }
    none(&faults);
}

#[test]
fn one_file_is_unsafe_and_says_why_and_nothing_is_unfinished() {
    let (mut faults, mut used) = (String::new(), 0);
    for file in sources() {
        for (i, token) in file.tokens_with_tests.iter().enumerate() {
            let next = file.tokens_with_tests.get(i + 1).map_or("", |next| &next.text);
            let fault = match token.text.as_str() {
                "unsafe" if file.name == UNSAFE => {
                    used += 1;
                    continue;
                }
                "unsafe" => "no file but one may hold unsafe code",
                "todo" | "unimplemented" if next == "!" => "nothing unfinished is committed",
                _ => continue,
            };
            writeln!(faults, "{}:{}: {}: {fault}", file.name, token.line, token.text).unwrap();
        }
    }
    assert!(used > 0, "{UNSAFE} holds no unsafe code any more: strike it out here");
    none(&faults);
}

#[test]
fn nobody_sleeps_for_luck() {
    let mut faults = String::new();
    for folder in ["src", "tests", "benches"] {
        for name in files_under(folder, "rs") {
            let text = fs::read_to_string(&name).unwrap();
            for (line, path) in paths(&tokens(&text)) {
                if path.ends_with("thread::sleep") {
                    writeln!(faults, "{}:{line}: {path}: wait for the event", name.display())
                        .unwrap();
                }
            }
        }
    }
    none(&faults);
}

#[test]
fn dependencies_say_why_they_are_there() {
    let mut faults = String::new();
    for name in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let text = fs::read_to_string(name).unwrap();
        let (mut in_dependencies, mut before) = (false, "");
        for line in text.lines() {
            if let Some(section) = line.strip_prefix('[') {
                in_dependencies = section.trim_end_matches(']').ends_with("dependencies");
            } else if in_dependencies
                && line.contains(" = ")
                && !line.starts_with([' ', '#', '}', ']'])
            {
                let crate_name = line.split(' ').next().unwrap_or_default();
                if !before.starts_with("# ") {
                    writeln!(faults, "{name}: {crate_name}: no sentence above it says why")
                        .unwrap();
                }
            }
            before = line;
        }
    }
    none(&faults);
}

#[test]
fn the_map_of_the_house_is_short_and_true() {
    let name = "docs/architecture.md";
    let text = fs::read_to_string(name).unwrap();
    let mut faults = String::new();
    let lines = text.lines().count();
    if lines >= ARCHITECTURE_LINES_MAX {
        writeln!(faults, "{name}: {lines} lines, fewer than {ARCHITECTURE_LINES_MAX} are wanted")
            .unwrap();
    }
    let mut named = 0;
    for (i, line) in text.lines().enumerate() {
        for quoted in line.split('`').skip(1).step_by(2).filter(|quoted| is_path(quoted)) {
            named += 1;
            // Of a pattern, the folder must exist.
            let path = quoted.split('*').next().unwrap_or_default();
            let path =
                if path == quoted { path } else { path.rsplit_once('/').map_or(".", |p| p.0) };
            if !Path::new(path).exists() {
                writeln!(faults, "{name}:{}: there is no {quoted}", i + 1).unwrap();
            }
        }
    }
    assert!(named >= ROOMS.len(), "{name} names {named} files and folders: is it still a map?");
    none(&faults);
}

#[test]
fn links_of_documents_lead_somewhere() {
    let mut documents = files_under("docs", "md");
    documents.extend(files_under("docker", "md"));
    documents.extend(files_under("examples", "md"));
    documents.extend(
        ["README.md", "CHANGELOG.md"].map(PathBuf::from).into_iter().filter(|p| p.exists()),
    );
    assert!(!documents.is_empty());
    let mut faults = String::new();
    for name in documents {
        let text = fs::read_to_string(&name).unwrap();
        let folder = name.parent().unwrap();
        for (i, line) in text.lines().enumerate() {
            for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let target = link.split('#').next().unwrap_or_default();
                if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                if !folder.join(target).exists() {
                    writeln!(faults, "{}:{}: link to {link}: no such file", name.display(), i + 1)
                        .unwrap();
                }
            }
        }
    }
    none(&faults);
}

// ---- the tree ------------------------------------------------------------------------------------

/// A file of `src/`.
struct Source {
    /// Its name from the repository's root.
    name: String,
    /// What it holds.
    text: String,
    /// Its module: `[dns, answer]` for `src/dns/answer.rs`.
    module: Vec<String>,
    /// The first of those; `lib` and `main` for the two roots.
    room: String,
    /// Only there for tests: `tests.rs`, or below `tests/`.
    all_tests: bool,
    /// Its tokens, without the test module at its end.
    tokens: Vec<Token>,
    /// All its tokens.
    tokens_with_tests: Vec<Token>,
    /// Its lines before that module.
    lines_without_tests: usize,
}

fn sources() -> Vec<Source> {
    let sources: Vec<_> = files_under("src", "rs").iter().map(|path| Source::read(path)).collect();
    assert!(sources.len() > 10, "the rules were held against {} files only", sources.len());
    sources
}

impl Source {
    fn read(path: &Path) -> Self {
        let name = path.to_str().unwrap().to_owned();
        let text = fs::read_to_string(path).unwrap();
        let inner = name.strip_prefix("src/").unwrap().strip_suffix(".rs").unwrap();
        let module: Vec<_> =
            inner.split('/').filter(|part| *part != "mod").map(str::to_owned).collect();
        let lines_without_tests = tests_begin(&text).unwrap_or_else(|| text.lines().count());
        let tokens_with_tests = tokens(&text);
        let tokens = tokens_with_tests.iter().filter(|token| token.line <= lines_without_tests);
        Self {
            room: module[0].clone(),
            all_tests: module.iter().any(|part| part == "tests"),
            tokens: tokens.cloned().collect(),
            tokens_with_tests,
            lines_without_tests,
            name,
            text,
            module,
        }
    }
}

/// How many lines stand before the inline test module that ends a file.
fn tests_begin(text: &str) -> Option<usize> {
    let lines: Vec<_> = text.lines().collect();
    lines.windows(2).position(|pair| {
        pair[0].starts_with("#[cfg(test)]") && pair[1].starts_with("mod ") && pair[1].ends_with('{')
    })
}

fn files_under(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Whether a quoted word of a document is the name of a file or folder of this repository.
fn is_path(quoted: &str) -> bool {
    let top = quoted.split('/').next().unwrap_or_default();
    let folders =
        ["src", "tests", "docs", "docker", "fuzz", "benches", "zones", "examples", ".ci", ".cargo"];
    let file = [".rs", ".toml", ".md"].iter().any(|ending| quoted.ends_with(ending));
    !quoted.contains(' ') && (quoted.contains('/') && folders.contains(&top) || file)
}

fn none(faults: &str) {
    assert!(faults.is_empty(), "\n{faults}");
}

// ---- Rust as tokens ------------------------------------------------------------------------------

/// A name, `::`, or one character of anything else.
#[derive(Clone)]
struct Token {
    text: String,
    /// From 1.
    line: usize,
}

/// A source's tokens, without comments and without texts.
fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let length = if is_name(first) {
            let word = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            // A raw text: r"…", r#"…"#, br"…". The one raw name in use, r#type, has no quote behind.
            let hashes = rest[word..].bytes().take_while(|b| *b == b'#').count();
            let raw = matches!(&rest[..word], "r" | "br") && rest[word + hashes..].starts_with('"');
            if raw {
                let end = format!("\"{}", "#".repeat(hashes));
                let begin = word + hashes + 1;
                begin + rest[begin..].find(&end).unwrap_or(0) + end.len()
            } else {
                found.push(Token { text: rest[..word].to_owned(), line });
                word
            }
        } else if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if first == '"' {
            text_length(rest)
        } else if first == '\'' {
            char_length(rest)
        } else {
            let length = if rest.starts_with("::") { 2 } else { first.len_utf8() };
            if !first.is_whitespace() {
                found.push(Token { text: rest[..length].to_owned(), line });
            }
            length
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

/// The length of the text that begins here, quotes included.
fn text_length(rest: &str) -> usize {
    let mut escaped = false;
    for (i, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return i + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of the character that begins here; 1 where the quote begins a lifetime.
fn char_length(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            // The character behind the backslash may itself be a quote.
            let begin = 3.min(rest.len());
            rest[begin..].find('\'').map_or(1, |end| begin + end + 1)
        }
        _ => match chars.next() {
            Some((i, '\'')) => i + 1,
            _ => 1,
        },
    }
}

/// All paths of two names or more, those of grouped imports written out: `use crate::{a::B, c}` has
/// `crate::a::B` and `crate::c`.
fn paths(tokens: &[Token]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if begins_path(tokens, at) {
            at = tree(tokens, at, "", &mut found);
        } else {
            at += 1;
        }
    }
    found.retain(|(_, path)| path.contains("::") || path == "crate");
    found
}

fn begins_path(tokens: &[Token], at: usize) -> bool {
    is_word(&tokens[at].text) && tokens.get(at + 1).is_some_and(|next| next.text == "::")
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Reads one path, or one tree of an import, that begins at `at`; gives where it ends.
fn tree(tokens: &[Token], mut at: usize, prefix: &str, found: &mut Vec<(usize, String)>) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut path = prefix.to_owned();
    let line = tokens[at].line;
    loop {
        if !path.is_empty() {
            path.push_str("::");
        }
        path.push_str(text(at));
        at += 1;
        if text(at) != "::" {
            break;
        }
        if text(at + 1) == "{" {
            at += 2;
            while !matches!(text(at), "}" | "") {
                at = if is_word(text(at)) { tree(tokens, at, &path, found) } else { at + 1 };
            }
            return at + 1;
        }
        if !is_word(text(at + 1)) {
            // A turbofish, or `*`.
            break;
        }
        at += 1;
    }
    found.push((line, path));
    // `as NAME` in an import.
    if !prefix.is_empty() && text(at) == "as" { at + 2 } else { at }
}

/// The path with `super` and `self` resolved to `crate::…`.
fn path_from_root(path: &str, module: &[String]) -> String {
    let mut parts: Vec<&str> = path.split("::").collect();
    if !matches!(parts[0], "super" | "self") {
        return path.to_owned();
    }
    let mut here: Vec<&str> = module.iter().map(String::as_str).collect();
    while matches!(parts.first(), Some(&"super" | &"self")) {
        if parts.remove(0) == "super" {
            here.pop();
        }
    }
    ["crate"].into_iter().chain(here).chain(parts).collect::<Vec<_>>().join("::")
}

/// The room that a path leads to, if it leads into this package.
fn room_of(path: &str, module: &[String]) -> Option<String> {
    let path = path_from_root(path, module);
    path.strip_prefix("crate::").map(|rest| rest.split("::").next().unwrap_or_default().to_owned())
}

/// Whether a path is the other one, or something in it. `Instant::now` also ends longer paths.
fn begins_with(path: &str, what: &str) -> bool {
    let whole = |rest: &str| rest.is_empty() || rest.starts_with("::");
    path.strip_prefix(what).is_some_and(whole)
        || what.contains("::now") && path.ends_with(&format!("::{what}"))
}

// ---- the reader itself ---------------------------------------------------------------------------

#[test]
fn paths_are_found_wherever_they_stand() {
    let text = r##"
        //! Not crate::comment.
        use crate::{dns::{answer, Out as O}, zone};
        use super::model::Label; /* crate::also_not */
        fn f<'a>(x: &'a str) -> char {
            let quote = '"'; let other = '\'';
            let text = "crate::text \" crate::still";
            let raw = r#"crate::raw "quoted" "#;
            crate::registry::list::<u8>(x, Self { a: b::c });
        }
        "##;
    let found: BTreeSet<String> = paths(&tokens(text)).into_iter().map(|(_, path)| path).collect();
    let wanted = [
        "crate::dns::answer",
        "crate::dns::Out",
        "crate::zone",
        "super::model::Label",
        "crate::registry::list",
        "b::c",
    ];
    assert_eq!(found, wanted.map(str::to_owned).into());
}

#[test]
fn relative_paths_are_followed_to_their_room() {
    let module = ["dns", "answer"].map(str::to_owned);
    assert_eq!(room_of("super::super::zone::Snapshot", &module).as_deref(), Some("zone"));
    assert_eq!(room_of("super::Out", &module).as_deref(), Some("dns"));
    assert_eq!(room_of("tokio::net", &module), None);
    assert!(begins_with("tokio::net::UdpSocket", "tokio::net"));
    assert!(!begins_with("tokio_util::sync", "tokio"));
    assert!(begins_with("tokio::time::Instant::now", "Instant::now"));
}

#[test]
fn tests_at_the_end_of_a_file_do_not_count() {
    assert_eq!(tests_begin("fn a() {}\n\n#[cfg(test)]\nmod tests {\n}\n"), Some(2));
    assert_eq!(tests_begin("#[cfg(test)]\nmod tests;\nfn a() {}\n"), None);
}
