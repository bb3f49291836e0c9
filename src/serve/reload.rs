//! Reads zone files again when they change, or when SIGHUP says so. One that can't be served leaves its zone as it
//! was, with one warning.
//!
//! Included files count as well, and so do files that are missing.
//!
//! Knows nothing of what zone files hold.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::config::read_zone_file;
use crate::files::{Looks, Stamps, Watched};
use crate::zone::zonefile::ZoneFileErrors;
use crate::zone::{Contents, Guard, ZoneSettings};

/// What is measured of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Measures {
    /// Times that a zone file was read again, by outcome.
    pub(super) reloads: Family<[(&'static str, &'static str); 1], Counter>,
    /// Whether each zone's file could be served when it was read last.
    pub(super) good: Family<[(&'static str, String); 1], Gauge>,
    /// When what each zone serves of its file was read, in seconds since 1970.
    pub(super) loaded: Family<[(&'static str, String); 1], Gauge<f64, AtomicU64>>,
}

impl Measures {
    fn note(&self, zone: &ZoneSettings, good: bool, now: SystemTime) {
        let label = [("zone", zone.name.to_string())];
        self.good.get_or_create(&label).set(good.into());
        if good {
            let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            self.loaded.get_or_create(&label).set(since.as_secs_f64());
        }
    }
}

/// Keeps zones as their files say.
pub(super) struct Reload {
    pub(super) guard: Guard,
    /// To the compiler.
    pub(super) contents: mpsc::Sender<Contents>,
    pub(super) measures: Measures,
    pub(super) wall_clock: fn() -> SystemTime,
}

impl Reload {
    /// Looks at the files of these zones, which were as `stamps` say when they were read, until it is told to stop.
    pub(super) async fn run(
        self,
        zones: Vec<ZoneSettings>,
        stamps: Stamps,
        hangups: watch::Receiver<()>,
        stop: CancellationToken,
    ) -> Result<(), String> {
        let now = (self.wall_clock)();
        zones.iter().filter(|zone| zone.file.is_some()).for_each(|zone| {
            self.measures.note(zone, true, now);
        });
        let mut all = blocking(move || All::new(zones, &stamps)).await?;
        let mut looks = Looks::new(hangups);
        loop {
            let asked = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                asked = looks.next() => asked,
            };
            // A file system that hangs must not keep the server from ending.
            let look = blocking(move || {
                let found = all.look(asked);
                (all, found)
            });
            let (back, found) = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                looked = look => looked?,
            };
            all = back;
            for found in found {
                let contents = self.take(found);
                let Some(contents) = contents else { continue };
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    // The compiler has gone only when the server ends.
                    _ = self.contents.send(contents) => {}
                }
            }
        }
    }

    /// Says what became of a file, and gives what is to be served of it.
    fn take(&self, found: Found) -> Option<Contents> {
        let Found { zone, outcome } = found;
        let good = outcome.is_ok();
        self.measures.note(&zone, good, (self.wall_clock)());
        let outcome_label = if good { "loaded" } else { "failed" };
        self.measures.reloads.get_or_create(&[("outcome", outcome_label)]).inc();
        match outcome {
            Ok((contents, records)) => {
                tracing::info!(zone = %zone.name, records, "zone file was read again");
                self.guard.replace(&contents);
                Some(contents)
            }
            Err(ZoneFileErrors(errors)) => {
                let error = errors.first().map(ToString::to_string).unwrap_or_default();
                let more = errors.len().saturating_sub(1);
                tracing::warn!(
                    zone = %zone.name, error, more,
                    "zone file can't be served; the zone stays as it was: mend the file ('rollcall check' names all faults)"
                );
                None
            }
        }
    }
}

/// Runs what may wait for a file system.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    spawn_blocking(work).await.map_err(|error| error.to_string())
}

/// The zones, and how their files were when they were read last.
struct All {
    zones: Vec<ZoneSettings>,
    files: Vec<Files>,
}

/// The files of one zone: its own, then those that were included.
struct Files {
    watched: Watched,
    /// Whether the zone is served from its file.
    served: bool,
}

/// What a look found of one zone.
struct Found {
    zone: ZoneSettings,
    /// What is to be served, and of how many records; or why it can't.
    outcome: Result<(Contents, usize), ZoneFileErrors>,
}

impl All {
    fn new(mut zones: Vec<ZoneSettings>, stamps: &Stamps) -> Self {
        let files = zones.iter_mut().map(|zone| {
            // What was read of it is the catalogue's, and may be large.
            let file = zone.file.take();
            let included = file.iter().flat_map(|file| file.files.iter());
            let all = zone.path.iter().chain(included).map(|path| path.to_path_buf());
            let read = all.map(|path| {
                let stamp = stamps.get(&path).copied().flatten();
                (path, stamp)
            });
            Files { watched: Watched::new(read.collect()), served: file.is_some() }
        });
        Self { files: files.collect(), zones }
    }

    /// Looks at all files and reads those again that changed; or all, if asked to.
    fn look(&mut self, asked: bool) -> Vec<Found> {
        let mut found = Vec::new();
        for (zone, files) in self.zones.iter().zip(&mut self.files) {
            let Some(path) = &zone.path else { continue };
            if files.are_due(asked) {
                found.push(files.read_again(zone, path, &self.zones));
            }
        }
        found
    }
}

impl Files {
    fn are_due(&mut self, asked: bool) -> bool {
        if asked {
            // A zone whose apex is built in has no file to miss.
            return self.served || self.watched.are_there();
        }
        self.watched.have_changed()
    }

    fn read_again(&mut self, zone: &ZoneSettings, path: &Arc<Path>, all: &[ZoneSettings]) -> Found {
        let mut read = Stamps::new();
        let outcome = read_zone_file(path, &zone.name, &mut read);
        *self = Self { watched: Watched::new(read), served: self.served || outcome.is_ok() };
        let outcome = outcome.map(|file| {
            let records = file.records.len();
            let settings = ZoneSettings { file: Some(Arc::new(file)), ..zone.clone() };
            (Contents::new(&settings, all), records)
        });
        Found { zone: zone.clone(), outcome }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Stamp;

    /// The default zone with its file in a folder.
    fn watched(folder: &Path) -> (All, std::path::PathBuf) {
        let path = folder.join("svc.zone");
        let zone = ZoneSettings { path: Some(path.as_path().into()), ..ZoneSettings::default() };
        (All::new(vec![zone], &Stamps::new()), path)
    }

    /// The outcomes of a look: how many records, or none.
    fn looked(watched: &mut All, asked: bool) -> Vec<Option<usize>> {
        let found = watched.look(asked).into_iter();
        found.map(|found| found.outcome.ok().map(|(_, records)| records)).collect()
    }

    #[test]
    fn a_file_is_read_when_it_has_stopped_changing_or_at_once_when_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let (mut watched, path) = watched(folder.path());
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        let apex = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n";
        assert_eq!(looked(&mut watched, false), []);
        assert_eq!(looked(&mut watched, true), [], "there is nothing to be read");
        write("half of");
        assert_eq!(looked(&mut watched, false), []);
        write(apex);
        assert_eq!(looked(&mut watched, false), [], "it has changed again");
        assert_eq!(looked(&mut watched, false), [Some(2)]);
        assert_eq!(looked(&mut watched, false), [], "it is as it was read");
        assert_eq!(looked(&mut watched, true), [Some(2)]);
        write("broken");
        assert_eq!(looked(&mut watched, true), [None]);
        assert_eq!(looked(&mut watched, false), [], "it has been told");
        // What is not there yet is looked for, too.
        write(&format!("{apex}$INCLUDE more\n"));
        assert_eq!(looked(&mut watched, true), [None]);
        std::fs::write(folder.path().join("more"), "a A 192.0.2.1\n").unwrap();
        assert_eq!(looked(&mut watched, false), []);
        assert_eq!(looked(&mut watched, false), [Some(3)]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(looked(&mut watched, true), [None], "it is missed");
    }

    #[test]
    fn a_change_since_the_configuration_was_read_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (watched, path) = watched(folder.path());
        std::fs::write(&path, "old").unwrap();
        let stamps = [(path.clone(), Stamp::of(&path))].into();
        let mut watched = All::new(watched.zones, &stamps);
        assert_eq!(looked(&mut watched, false), []);
        assert_eq!(looked(&mut watched, false), []);
        std::fs::write(&path, "newer").unwrap();
        let mut watched = All::new(watched.zones, &stamps);
        assert_eq!(looked(&mut watched, false), []);
        assert_eq!(looked(&mut watched, false), [None]);
    }
}
