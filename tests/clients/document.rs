//! `docs/resolver-setup.md` shows the files of `docs/examples` as they are, and says which ones no test runs.

use std::collections::BTreeSet;
use std::path::Path;

use crate::program::example;

/// Where it says so.
const NOT_RUN: &str = "Not run by the tests";

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{name}: {why}"))
}

/// The files it shows, each as a link alone on its line, and the indented text that follows.
fn shown(document: &str) -> Vec<(String, String)> {
    let lines: Vec<_> = document.lines().collect();
    let mut shown = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let link = line.strip_prefix('[').and_then(|rest| rest.strip_suffix("):"));
        let Some((_, path)) = link.and_then(|link| link.split_once("](examples/")) else {
            continue;
        };
        let block = lines[number + 1..].iter().skip_while(|line| line.is_empty());
        let block = block.take_while(|line| line.is_empty() || line.starts_with("    "));
        let text: String =
            block.map(|line| line.strip_prefix("    ").unwrap_or("").to_owned() + "\n").collect();
        shown.push((path.to_owned(), text.trim_end().to_owned() + "\n"));
    }
    shown
}

#[test]
fn the_document_shows_the_files_as_they_are() {
    let document = read("docs/resolver-setup.md");
    let shown = shown(&document);
    assert!(shown.len() >= 10, "{} files: is it still a document of examples?", shown.len());
    for (name, text) in &shown {
        assert_eq!(text, &example(name), "docs/resolver-setup.md shows another {name}");
    }
}

#[test]
fn what_the_document_shows_is_run_by_a_test_or_said_not_to_be() {
    let document = read("docs/resolver-setup.md");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let sources = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let sources = sources.filter(|path| !path.ends_with("document.rs"));
    let sources: String = sources.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let mut not_run = BTreeSet::new();
    for section in document.split("\n## ").skip(1) {
        for (name, _) in shown(section) {
            if section.contains(NOT_RUN) {
                not_run.insert(name);
            } else {
                let used = [format!("\"{name}\""), format!("/{name}\"")];
                assert!(used.iter().any(|used| sources.contains(used)), "no test runs {name}");
            }
        }
    }
    assert_eq!(
        not_run,
        ["compose.yaml", "envoy.yaml", "macos-resolver-svc"].map(str::to_owned).into()
    );
}
