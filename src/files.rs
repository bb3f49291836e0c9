//! Files that may change while the server runs: how a change is seen without reading them, when to look, a reading that
//! nothing in a file's place can keep waiting or fill memory with, and how a file of ours is replaced as a whole.
//!
//! Looks work on every file system and for every way of replacing a file, links of a mounted secret included, where
//! a watch of the system would follow the old one. A change counts at the look after the one that saw it, if nothing
//! has changed since: a file that is being written is not taken for a finished one.
//!
//! Knows nothing of what files hold.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{Error, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc::O_NONBLOCK;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Between two looks at files: a change is acted on within twice that.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// What changes with a file. Times alone are too coarse on some file systems, or are set back by whoever copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    node: (u64, u64),
    octets: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// How files were just before they were read, by path; none where there was no file, or none that may be looked at.
pub type Stamps = BTreeMap<PathBuf, Option<Stamp>>;

impl Stamp {
    /// That of a file as it is now.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let of = |of: Metadata| Self {
            node: (of.dev(), of.ino()),
            octets: of.len(),
            modified: (of.mtime(), of.mtime_nsec()),
            changed: (of.ctime(), of.ctime_nsec()),
        };
        std::fs::metadata(path).ok().map(of)
    }
}

/// Files that were read, and are looked at from time to time.
#[derive(Debug, Default)]
pub struct Watched {
    /// As they were just before they were read.
    read: Stamps,
    /// As the last look saw them, where that differs.
    changed: Option<Vec<Option<Stamp>>>,
}

impl Watched {
    /// Files that were so just before they were read.
    #[must_use]
    pub fn new(read: Stamps) -> Self {
        Self { read, changed: None }
    }

    /// Files that are about to be read.
    #[must_use]
    pub fn now<'p>(files: impl IntoIterator<Item = &'p Path>) -> Self {
        Self::new(files.into_iter().map(|path| (path.to_owned(), Stamp::of(path))).collect())
    }

    /// Looks at them: whether they have changed since they were read, and no more since the last look. Waits for the
    /// file system.
    pub fn have_changed(&mut self) -> bool {
        let now: Vec<Option<Stamp>> = self.read.keys().map(|path| Stamp::of(path)).collect();
        if now.iter().eq(self.read.values()) {
            self.changed = None;
            return false;
        }
        let settled = self.changed.as_ref() == Some(&now);
        self.changed = Some(now);
        settled
    }

    /// Whether any of them is there.
    #[must_use]
    pub fn are_there(&self) -> bool {
        self.read.keys().any(|path| Stamp::of(path).is_some())
    }
}

/// When to look: every so often, and at once whenever somebody asks for it.
#[derive(Debug)]
pub struct Looks {
    interval: Interval,
    asked: watch::Receiver<()>,
}

impl Looks {
    /// Looks that are asked for by a change there.
    #[must_use]
    pub fn new(asked: watch::Receiver<()>) -> Self {
        let mut interval = interval(LOOK_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { interval, asked }
    }

    /// Waits for the time of the next look: whether it was asked for, so that files are read though they look as
    /// before. May be dropped while it waits.
    pub async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.interval.tick() => false,
            // Whoever asks is gone only when the server ends.
            Ok(()) = self.asked.changed() => true,
        }
    }
}

/// What a regular file holds, if that is no more than so many octets.
///
/// # Errors
/// The system's, or that it is something else, or longer.
pub fn read(path: &Path, octets_max: usize) -> Result<Vec<u8>, Error> {
    // Opening a pipe would wait for its other end.
    let file = File::options().read(true).custom_flags(O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut octets = Vec::new();
    file.take(octets_max as u64 + 1).read_to_end(&mut octets)?;
    if octets.len() > octets_max {
        let message = format!("it is longer than {octets_max} octets");
        return Err(Error::new(ErrorKind::InvalidData, message));
    }
    Ok(octets)
}

/// Makes a file hold this and nothing else: after a crash, of the whole machine too, it is the old one or the new one.
///
/// # Errors
/// The system's. The file is the old one, unless only its folder could not be synced.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = File::create(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(new, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_once_it_has_settled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut watched = Watched::now([path.as_path()]);
        assert!(!watched.have_changed() && !watched.are_there());
        std::fs::write(&path, "half").unwrap();
        assert!(!watched.have_changed(), "it may change again");
        std::fs::write(&path, "and more").unwrap();
        assert!(!watched.have_changed(), "it has changed again");
        assert!(watched.have_changed() && watched.are_there());
        watched = Watched::now([path.as_path()]);
        assert!(!watched.have_changed());
        std::fs::remove_file(&path).unwrap();
        assert!(!watched.have_changed());
        std::fs::write(&path, "and more").unwrap();
        assert!(!watched.have_changed(), "another file, though of the same octets");
        assert!(watched.have_changed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_is_due_every_so_often_or_when_it_is_asked_for() {
        let (ask, asked) = watch::channel(());
        let mut looks = Looks::new(asked);
        assert!(!looks.next().await, "the first one at once");
        assert!(!looks.next().await);
        ask.send_replace(());
        assert!(looks.next().await);
        drop(ask);
        assert!(!looks.next().await, "nobody can ask any more");
    }

    #[test]
    fn what_is_no_file_or_too_long_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "12345").unwrap();
        assert_eq!(read(&path("file"), 5).unwrap(), b"12345");
        let why = |name: &str, octets_max| read(&path(name), octets_max).unwrap_err().to_string();
        assert_eq!(why("file", 4), "it is longer than 4 octets");
        // Nobody writes into it: whoever opened it would wait for ever.
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap();
        assert!(made.success());
        for name in ["pipe", "."] {
            assert_eq!(why(name, 5), "it is no regular file", "{name}");
        }
        assert!(why("none", 5).starts_with("No such file"));
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_or_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for content in ["a long one", "short"] {
            replace(&path, content.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        }
        let there = || std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(there(), 1, "nothing else is left there");
        // What is written first can't be.
        std::fs::create_dir(folder.path().join("file.new")).unwrap();
        assert!(replace(&path, b"other").is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "short");
    }
}
