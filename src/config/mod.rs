//! From a configuration file and flags as written to values that can only be valid.
//!
//! ```text
//! file --Document, Section--> sections, zones, tokens --+
//! flags, ROLLCALL_* (one Overrides, by the CLI) --------+--> Config, made of the rooms' own settings
//! ```
//!
//! Precedence: flag, environment, file, default. There is no implicit file. Every problem is reported, not the
//! first alone, each on one line with file and line number.
//!
//! Knows nothing of sockets, tasks, and of how the settings are used.

mod compat;
mod conflicts;
mod forward;
mod layouts;
mod limits;
mod problem;
mod reader;
mod secrets;
mod sections;
#[cfg(test)]
mod tests;
mod tls;
mod values;
mod zonefiles;
mod zones;

pub use forward::Choice as ForwardChoice;
pub use problem::{Problem, Problems, io_reason};
pub use secrets::{Secret, read_secret};
pub use zonefiles::read_zone_file;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeTable;

use crate::files::Stamps;
use crate::layout::foreign::Foreign;
use crate::registry::EtcdSettings;
use crate::tls::Identity;
use crate::zone::{Pin, ZoneSettings};
use crate::{api, compat as compatible, dns};
use reader::Document;

/// The default configuration with a comment on every setting; a test holds it equal to the defaults.
pub const DEFAULT_TOML: &str = include_str!("default.toml");

/// Where zone files are unless the configuration says otherwise.
const ZONES_DIR_DEFAULT: &str = "./zones";
/// Where keys are unless the configuration says otherwise.
const PREFIX_DEFAULT: &str = "/rollcall/v1/";
/// Negative answers that live longer than this delay a service's first instance noticeably.
const NEGATIVE_TTL_SECS_WISE_MAX: u32 = 5;

/// All that `serve` needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The DNS side.
    pub dns: dns::Settings,
    /// The HTTP side, tokens included.
    pub http: api::Settings,
    /// The certificates of both, each pair of files once.
    pub identities: Vec<Arc<Identity>>,
    /// Whose clients are listened to besides ours.
    pub compat: compatible::Settings,
    /// Where registrations live.
    pub registry: RegistryChoice,
    /// Where in the registry: ends in `/`.
    pub prefix: String,
    /// What other systems write into the registry, numbered from 1.
    pub layouts: Vec<Foreign>,
    /// The zones, at least one, each name once.
    pub zones: Vec<ZoneSettings>,
    /// How their files were when they were read.
    pub zone_files: Stamps,
    /// Apps replaced on this server, each once, in namespaces that a zone serves.
    pub pins: Vec<Pin>,
    /// Where this server keeps what must survive it.
    pub data_dir: PathBuf,
    /// How long to answer on after SIGTERM.
    pub lameduck: Duration,
    /// What is logged, and how.
    pub log: Log,
}

/// Where registrations live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryChoice {
    /// On this server's disk, in the data directory.
    Embedded,
    /// In etcd, shared with other servers.
    Etcd(Box<EtcdSettings>),
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Levels in the form of `tracing_subscriber::EnvFilter`; known to be legal.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What flags and the environment say; each beats the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// URLs of etcd's members; there being any chooses etcd.
    pub etcd: Option<Vec<String>>,
    /// DNS addresses.
    pub dns: Option<Vec<SocketAddr>>,
    /// Whom to ask for names of others.
    pub forward: Option<ForwardChoice>,
    /// The API's address.
    pub http: Option<SocketAddr>,
    /// The data directory.
    pub data_dir: Option<PathBuf>,
    /// The log filter.
    pub log: Option<String>,
}

/// A configuration, and what is legal but unwise in it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What to think about.
    pub warnings: Vec<Problem>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dns: dns::Settings::default(),
            http: api::Settings::default(),
            identities: Vec::new(),
            compat: compatible::Settings::default(),
            registry: RegistryChoice::Embedded,
            prefix: PREFIX_DEFAULT.into(),
            layouts: Vec::new(),
            zones: vec![ZoneSettings::default()],
            zone_files: Stamps::new(),
            pins: Vec::new(),
            data_dir: "./rollcall-data".into(),
            lameduck: Duration::ZERO,
            log: Log { filter: "info".into(), format: LogFormat::Text },
        }
    }
}

impl Config {
    /// Reads the file, if one is given, and what it refers to; overrides beat it.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Loaded, Problems> {
        let Some(path) = file else {
            return Self::parse(Path::new("default.toml"), "version = 1", overrides);
        };
        let text = std::fs::read_to_string(path).map_err(|error| {
            let message = format!(
                "cannot read this config: {}: give an existing file, or begin one with 'rollcall config'",
                io_reason(&error)
            );
            Problems(vec![Problem::at(path, 0, message)])
        })?;
        Self::parse(path, &text, overrides)
    }

    /// Reads a file's text; `path` is for messages.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn parse(path: &Path, text: &str, overrides: &Overrides) -> Result<Loaded, Problems> {
        let document = Document::new(path, text);
        let table = DeTable::parse(text).map_err(|error| {
            let line = document.line_of(error.span().unwrap_or(0..0));
            let reason = error.message().trim().replace('\n', ", ");
            Problems(vec![Problem::at(path, line, format!("is not TOML: {reason}"))])
        })?;
        let mut config = Self::default();
        let mut warnings = Vec::new();
        let root = document.root(table.get_ref());
        let http_listen = sections::read(&root, &mut config, overrides, &mut warnings);
        let mut in_overrides = Vec::new();
        config.apply(overrides, &mut in_overrides);
        // What is wrong by itself is not compared with anything.
        if document.is_good() && in_overrides.is_empty() {
            in_overrides = conflicts::find(&root, &config, overrides, &mut warnings);
        }
        root.finish();
        // Registration is power over where traffic goes: it is not left open to a network by oversight.
        if config.http.is_open() {
            let message = open_to_all(config.http.listen);
            match http_listen.filter(|_| overrides.http.is_none()) {
                Some(line) => document.report(line, message),
                None => in_overrides.push(Problem::nowhere(message)),
            }
        }
        let (mut problems, _) = document.finish();
        problems.extend(in_overrides);
        warnings.extend(config.zones.iter().filter_map(slow_negatives));
        warnings.extend(config.zones.iter().flat_map(zones::slips));
        if problems.is_empty() { Ok(Loaded { config, warnings }) } else { Err(Problems(problems)) }
    }

    fn apply(&mut self, overrides: &Overrides, problems: &mut Vec<Problem>) {
        if let Some(listen) = &overrides.dns {
            self.dns.listen.clone_from(listen);
        }
        if let Some(listen) = overrides.http {
            self.http.listen = listen;
        }
        if let Some(data_dir) = &overrides.data_dir {
            self.data_dir.clone_from(data_dir);
        }
        if let Some(filter) = &overrides.log {
            match sections::check_filter(filter) {
                Ok(()) => self.log.filter.clone_from(filter),
                Err(why) => problems.push(Problem::nowhere(format!("--log / ROLLCALL_LOG: {why}"))),
            }
        }
        for url in overrides.etcd.iter().flatten() {
            if let Err(why) = sections::check_url(url) {
                problems.push(Problem::nowhere(format!("--etcd / ROLLCALL_ETCD: {why}")));
            }
        }
    }
}

fn open_to_all(listen: SocketAddr) -> String {
    format!(
        "http.listen: {listen} is beyond loopback and there is no token: add a [[token]], ask for \
         client certificates in [http.tls], or set http.insecure = true, in a configuration file ('rollcall config' prints one)"
    )
}

/// A zone's negative answers that outlive what is wise.
fn slow_negatives(zone: &ZoneSettings) -> Option<Problem> {
    let (secs, file) = match &zone.file {
        None => (zone.negative_ttl_secs, None),
        Some(file) => {
            let soa = file.records.iter().find(|record| record.rtype == zones::TYPE_SOA)?;
            (zones::negative_ttl_secs(soa)?, Some((file.path_of(soa), soa.place.line as usize)))
        }
    };
    let message = format!(
        "zone {} has a negative TTL of {secs} s: a service's first instance may stay unseen that long, \
         {NEGATIVE_TTL_SECS_WISE_MAX} s or less is wise",
        zone.name
    );
    (secs > NEGATIVE_TTL_SECS_WISE_MAX).then(|| match file {
        Some((path, line)) => Problem::at(path, line, message),
        None => Problem::nowhere(message),
    })
}
