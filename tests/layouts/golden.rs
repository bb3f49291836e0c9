//! Golden files: keys and values as a system's clients write them, and what DNS then says.
//!
//! ```text
//! layout kind = "…", prefix = "…"    the lines of a [[layout]]
//! put KEY                            a key that ends with a lease (put-forever: one without)
//! = VALUE
//! rejected WORDS                     that key is listed as rejected, for a reason with these words
//! ask TYPE NAME
//! > RECORD                           each record of the answer
//! ```

use std::path::Path;

/// One file.
pub(crate) struct Golden {
    pub(crate) name: String,
    /// As in `[[layout]]`.
    pub(crate) layout: String,
    pub(crate) entries: Vec<Entry>,
    pub(crate) questions: Vec<Question>,
}

pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) leased: bool,
    /// Part of the reason for which it can't be read.
    pub(crate) rejected: Option<String>,
}

pub(crate) struct Question {
    pub(crate) rtype: String,
    pub(crate) name: String,
    /// In order of text.
    pub(crate) records: Vec<String>,
}

/// All files of the folder.
pub(crate) fn all() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/layouts/golden");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut all: Vec<Golden> = files.map(|path| Golden::read(&path)).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

impl Golden {
    fn read(path: &Path) -> Self {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(path).unwrap();
        let mut golden =
            Self { name, layout: String::new(), entries: Vec::new(), questions: Vec::new() };
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            let last = golden.entries.last_mut();
            match word {
                "layout" => golden.layout = rest.replace(", ", "\n"),
                "put" | "put-forever" => golden.entries.push(Entry {
                    key: rest.to_owned(),
                    value: String::new(),
                    leased: word == "put",
                    rejected: None,
                }),
                "=" => last.expect("a key before a value").value = rest.to_owned(),
                "rejected" => last.expect("a key").rejected = Some(rest.to_owned()),
                "ask" => {
                    let (rtype, name) = rest.split_once(' ').expect("TYPE NAME");
                    let (rtype, name) = (rtype.to_owned(), name.to_owned());
                    golden.questions.push(Question { rtype, name, records: Vec::new() });
                }
                ">" => {
                    let question = golden.questions.last_mut().expect("a question");
                    question.records.push(rest.to_owned());
                    question.records.sort();
                }
                other => panic!("{path:?}: {other:?} is no word of a golden file"),
            }
        }
        assert!(!golden.questions.is_empty() && !golden.layout.is_empty(), "{path:?}");
        golden
    }
}
