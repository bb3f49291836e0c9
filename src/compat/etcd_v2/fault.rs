//! What goes wrong, in the words of etcd 2: a number that clients go by, a message, a cause, and where the registry stood.
//!
//! Knows nothing of requests and of HTTP but its status codes.

use serde::Serialize;

/// What is wrong (etcd 3.4, etcdserver/api/v2error/error.go).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// No such key or folder.
    KeyNotFound,
    /// A precondition does not hold.
    CompareFailed,
    /// A folder is there where a key should be.
    NotAFile,
    /// A key is there where a folder should be.
    NotADirectory,
    /// A key is there where none should be.
    KeyExists,
    /// The root can be neither written nor deleted.
    RootReadOnly,
    /// A folder that still has keys is only deleted with `recursive`.
    DirectoryNotEmpty,
    /// Not a place where this server writes.
    Unauthorized,
    /// `prevValue` is empty.
    PrevValueRequired,
    /// `ttl` is not a number.
    TtlNotANumber,
    /// An index is not a number.
    IndexNotANumber,
    /// A field has a value that it can't have.
    InvalidField,
    /// Not to be read at all.
    InvalidForm,
    /// A refresh brings a value.
    RefreshValue,
    /// A refresh brings no ttl.
    RefreshTtlRequired,
    /// The registry did not do what it was asked; asking again may help.
    Registry,
    /// The events that were asked for are no longer known: read, then wait from there.
    EventIndexCleared,
}

impl Code {
    /// The number, the HTTP status and the message.
    fn facts(self) -> (u16, u16, &'static str) {
        match self {
            Self::KeyNotFound => (100, 404, "Key not found"),
            Self::CompareFailed => (101, 412, "Compare failed"),
            Self::NotAFile => (102, 403, "Not a file"),
            Self::NotADirectory => (104, 400, "Not a directory"),
            Self::KeyExists => (105, 412, "Key already exists"),
            Self::RootReadOnly => (107, 400, "Root is read only"),
            Self::DirectoryNotEmpty => (108, 403, "Directory not empty"),
            // etcd says 401, for which clients ask their user for a password that would not help.
            Self::Unauthorized => (110, 403, "The request requires user authentication"),
            Self::PrevValueRequired => (201, 400, "PrevValue is Required in POST form"),
            Self::TtlNotANumber => (202, 400, "The given TTL in POST form is not a number"),
            Self::IndexNotANumber => (203, 400, "The given index in POST form is not a number"),
            Self::InvalidField => (209, 400, "Invalid field"),
            Self::InvalidForm => (210, 400, "Invalid POST form"),
            Self::RefreshValue => (211, 400, "Value provided on refresh"),
            Self::RefreshTtlRequired => (212, 400, "A TTL must be provided on refresh"),
            Self::Registry => (300, 500, "Raft Internal Error"),
            Self::EventIndexCleared => {
                (401, 400, "The event in requested index is outdated and cleared")
            }
        }
    }
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    code: Code,
    cause: String,
    /// Where the registry stood; 0 where it was not asked, as etcd has it.
    index: u64,
}

/// A fault as etcd 2 writes it.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "errorCode")]
    number: u16,
    message: &'static str,
    cause: &'a str,
    index: u64,
}

impl Fault {
    /// A fault found without asking the registry.
    pub fn new(code: Code, cause: impl Into<String>) -> Self {
        Self { code, cause: cause.into(), index: 0 }
    }

    /// The same, found where the registry stood at that index.
    #[must_use]
    pub fn at(self, index: u64) -> Self {
        Self { index, ..self }
    }

    /// The same; where the registry failed, of that index, which is the last that was heard of. etcd 2 says 0 then, for
    /// which clients wait for what comes next, and so miss what they have not been told.
    #[must_use]
    pub fn unheard(self, index: u64) -> Self {
        if self.code == Code::Registry { self.at(index) } else { self }
    }

    /// What is wrong.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// Where the registry stood.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.code.facts().1
    }

    /// The body.
    #[must_use]
    pub fn json(&self) -> String {
        let (number, _, message) = self.code.facts();
        let written = Written { number, message, cause: &self.cause, index: self.index };
        // Texts and numbers are always to be written.
        serde_json::to_string(&written).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_written_as_etcd_2_does() {
        let fault = Fault::new(Code::KeyNotFound, "/nope").at(7);
        let json = r#"{"errorCode":100,"message":"Key not found","cause":"/nope","index":7}"#;
        assert_eq!((fault.status(), fault.json()), (404, json.to_owned()));
    }
}
