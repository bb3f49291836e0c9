//! From entries to records: everything that a reader must remember (origin, owner, times to live) is written
//! out, so that each record stands on a line of its own for `wire` to read; and `$INCLUDE` is followed.
//!
//! Knows nothing of what makes a set of records a zone: `rules` does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::base::iana::{Class, Rtype};

use super::entries::{Entries, Entry, Token};
use super::fields::{self, NAME_CHARS_MAX, name};
use super::wire::Line;
use super::{
    FAULTS_MAX, FILE_OCTETS_MAX, Fault, INCLUDE_DEPTH_MAX, INCLUDES_MAX, Place, RECORDS_MAX,
    ReadText, StaticRecord, rules, types,
};
use crate::zone::settings::ZoneName;

/// What a text and those that it includes hold.
pub(super) struct Content {
    /// The files, each once.
    pub(super) files: Vec<Arc<Path>>,
    /// All records that could be read, in order.
    pub(super) records: Vec<StaticRecord>,
    /// What could not.
    pub(super) faults: Vec<Fault>,
}

/// Reads a text and those that it includes.
pub(super) fn content(
    path: &Path,
    text: &str,
    zone: &ZoneName,
    read: &mut ReadText<'_>,
) -> Content {
    let mut reader = Reader {
        zone,
        read,
        files: vec![path.into()],
        open: vec![0],
        includes: 0,
        octets: 0,
        full: false,
        line: Line::default(),
        records: Vec::new(),
        faults: Vec::new(),
    };
    let mut scope = Scope {
        origin: zone.as_str().to_owned(),
        owner: Owner::None,
        default_ttl: None,
        last_ttl: None,
    };
    reader.text(0, text, &mut scope);
    let Reader { files, records, faults, .. } = reader;
    Content { files, records, faults }
}

/// What has been read so far.
struct Reader<'a, 'r> {
    zone: &'a ZoneName,
    read: &'a mut ReadText<'r>,
    files: Vec<Arc<Path>>,
    /// Those being read, each included by the one before.
    open: Vec<u16>,
    includes: usize,
    octets: usize,
    /// More is not read.
    full: bool,
    line: Line,
    records: Vec<StaticRecord>,
    faults: Vec<Fault>,
}

/// What is remembered from line to line. An included file begins with its includer's, and changes its own
/// (RFC 1035 section 5.1).
#[derive(Clone)]
struct Scope {
    /// What relative names end in, with its final dot.
    origin: String,
    owner: Owner,
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
}

/// The last owner, for indented entries.
#[derive(Clone)]
enum Owner {
    /// Before the first.
    None,
    /// It could not be read: nor is what belongs to it.
    Faulty,
    Name(String),
}

impl Reader<'_, '_> {
    /// Reads one file's text.
    fn text(&mut self, file: u16, text: &str, scope: &mut Scope) {
        self.octets = self.octets.saturating_add(text.len());
        if self.octets > FILE_OCTETS_MAX {
            let message = format!(
                "is too long: with all that is included {} octets up to here, at most {FILE_OCTETS_MAX} are allowed",
                self.octets
            );
            self.faults.push(Fault::new(Place { file, line: 0, column: 0 }, message));
            self.full = true;
            return;
        }
        let mut entries = Entries::new(file, text);
        while self.faults.len() < FAULTS_MAX && !self.full {
            match entries.next() {
                Ok(None) => return,
                Ok(Some(entry)) => {
                    if let Err(fault) = self.entry(&entry, scope) {
                        self.faults.push(fault);
                    }
                }
                Err(fault) => self.faults.push(fault),
            }
            if self.records.len() > RECORDS_MAX {
                let place = self.records.pop().map(|record| record.place).unwrap_or_default();
                self.faults.push(Fault::new(place, format!("more than {RECORDS_MAX} records")));
                self.full = true;
            }
        }
    }

    fn entry(&mut self, entry: &Entry, scope: &mut Scope) -> Result<(), Fault> {
        let first = &entry.tokens[0];
        if !entry.indented && !first.quoted && first.text.starts_with('$') {
            return self.directive(entry, scope);
        }
        let rest = if entry.indented {
            &entry.tokens[..]
        } else {
            scope.owner = Owner::Faulty;
            scope.owner = Owner::Name(absolute(name(first)?, &scope.origin));
            &entry.tokens[1..]
        };
        let place = first.place;
        let (ttl, rtype, data) = head(rest, place, scope)?;
        let Scope { origin, owner, .. } = scope;
        let owner = match owner {
            Owner::Name(owner) => owner,
            Owner::Faulty => return Ok(()),
            Owner::None => {
                let message = "no owner: begin the first record's line with its name";
                return Err(Fault::new(place, message));
            }
        };
        self.line.begin(owner, place, ttl, rtype);
        write_data(&mut self.line, rtype.to_int(), data, origin)?;
        let record = self.line.record(self.zone)?;
        self.records.push(record);
        Ok(())
    }

    fn directive(&mut self, entry: &Entry, scope: &mut Scope) -> Result<(), Fault> {
        let Token { text, place, .. } = &entry.tokens[0];
        let one = |what: &str| match &entry.tokens[1..] {
            [one] => Ok(one),
            _ => Err(Fault::new(*place, format!("{text} takes one {what}"))),
        };
        match text.to_ascii_uppercase().as_str() {
            "$ORIGIN" => {
                scope.origin = origin(one("name")?, &scope.origin)?;
                Ok(())
            }
            "$TTL" => {
                // One that can't be read is told once, not for each record below it.
                scope.default_ttl = Some(0);
                scope.default_ttl = Some(fields::time(one("time")?)?);
                Ok(())
            }
            "$INCLUDE" => match &entry.tokens[1..] {
                [path] => self.include(path, scope.clone()),
                [path, named] => {
                    let origin = origin(named, &scope.origin)?;
                    self.include(path, Scope { origin, ..scope.clone() })
                }
                _ => Err(Fault::new(*place, "$INCLUDE takes a file, and an origin if need be")),
            },
            _ => {
                let message = format!("{text} is not known: $ORIGIN, $TTL and $INCLUDE are");
                Err(Fault::new(*place, message))
            }
        }
    }

    /// Reads a file in the place of a line. A relative path begins where the including file is.
    fn include(&mut self, named: &Token, mut scope: Scope) -> Result<(), Fault> {
        let fault = |message: String| Err(Fault::new(named.place, message));
        if named.text.contains('\\') {
            return fault("a path with backslashes is not read: rename the file".into());
        }
        self.includes += 1;
        if self.includes > INCLUDES_MAX {
            return fault(format!("more than {INCLUDES_MAX} files are included"));
        }
        let path = self.beside(named.place.file, &named.text);
        let known = self.files.iter().position(|file| **file == *path);
        let at = known.unwrap_or(self.files.len());
        // There are no more files than are included.
        let file = at as u16;
        if self.open.contains(&file) {
            return fault(format!("{} is included within itself", path.display()));
        }
        if self.open.len() == INCLUDE_DEPTH_MAX {
            return fault(format!(
                "{} would be the {}th file included one in the other: at most {INCLUDE_DEPTH_MAX} are read",
                path.display(),
                INCLUDE_DEPTH_MAX + 1
            ));
        }
        let text = match (self.read)(&path) {
            Ok(text) => text,
            Err(why) => return fault(format!("cannot include {}: {why}", path.display())),
        };
        if known.is_none() {
            self.files.push(path.into());
        }
        self.open.push(file);
        self.text(file, &text, &mut scope);
        self.open.pop();
        Ok(())
    }

    /// A path as a file names it.
    fn beside(&self, file: u16, named: &str) -> PathBuf {
        let including = self.files.get(usize::from(file)).and_then(|path| path.parent());
        including.map_or_else(|| named.into(), |folder| folder.join(named))
    }
}

/// Time to live and class in either order, both optional, then the type (RFC 1035 section 5.1).
fn head<'t>(
    mut rest: &'t [Token],
    place: Place,
    scope: &mut Scope,
) -> Result<(u32, Rtype, &'t [Token]), Fault> {
    let (mut ttl, mut class) = (None, None);
    loop {
        let Some((token, after)) = rest.split_first() else {
            return Err(Fault::new(place, "record ends before its type"));
        };
        rest = after;
        let word = if token.quoted { "" } else { &token.text };
        let digit = word.starts_with(|c: char| c.is_ascii_digit());
        if ttl.is_none() && digit {
            ttl = Some(fields::time(token)?);
        } else if let (None, Some(written)) = (class, fields::class_of(word)) {
            if written != Class::IN {
                let message = format!("class {written} is not served: only IN is");
                return Err(Fault::new(token.place, message));
            }
            class = Some(written);
        } else {
            let rtype = fields::rtype(token)?;
            if let Some(why) = rules::refused_type(rtype.to_int()) {
                return Err(Fault::new(token.place, why));
            }
            scope.last_ttl = ttl.or(scope.last_ttl);
            let ttl = ttl.or(scope.default_ttl).or(scope.last_ttl).ok_or_else(|| {
                Fault::new(place, "no time to live: give one, or $TTL above the first record")
            })?;
            return Ok((ttl, rtype, rest));
        }
    }
}

/// The data: names that are `@` become the origin, times of an SOA seconds.
fn write_data(line: &mut Line, rtype: u16, data: &[Token], origin: &str) -> Result<(), Fault> {
    let octets = data.first().is_some_and(|token| !token.quoted && token.text == "\\#");
    if let Some(first) = data.first()
        && !octets
        && !fields::has_text_form(rtype)
    {
        let message = format!(
            "data of {} are octets here: write \\#, their number and their hex digits (RFC 3597 section 5)",
            Rtype::from_int(rtype)
        );
        return Err(Fault::new(first.place, message));
    }
    for (i, token) in data.iter().enumerate() {
        let Token { text, place, quoted } = token;
        if !octets && fields::is_name(rtype, i, data) {
            let name = absolute(name(token)?, origin);
            line.push(*place, format_args!("{name}"));
        } else if *quoted {
            line.push(*place, format_args!("\"{text}\""));
        } else if !octets && rtype == types::SOA && (3..=6).contains(&i) {
            line.push(*place, format_args!("{}", fields::time(token)?));
        } else {
            line.push(*place, format_args!("{text}"));
        }
    }
    Ok(())
}

/// A token that is to be the origin from now on.
fn origin(token: &Token, origin: &str) -> Result<String, Fault> {
    let origin = absolute(name(token)?, origin);
    if origin.len() > NAME_CHARS_MAX {
        return Err(Fault::new(token.place, "origin is longer than a name may be"));
    }
    Ok(origin)
}

/// A name with all its labels.
fn absolute(written: &str, origin: &str) -> String {
    match written {
        "@" => origin.to_owned(),
        _ if fields::is_absolute(written) => written.to_owned(),
        _ => format!("{written}.{}", origin.strip_prefix('.').unwrap_or(origin)),
    }
}
