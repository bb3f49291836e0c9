//! The sections of a configuration file, each into the settings of the room it is for.
//!
//! The bounds of a setting stand where it is read, and in the comments of `default.toml`.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::compat::compat;
use super::forward::forward;
use super::problem::Problem;
use super::reader::{Section, nearest};
use super::secrets::{Read, read_secret};
use super::tls::{self, Identities};
use super::values::{self, ValueError, duration, filled, flag, list, socket_address, whole, word};
use super::{
    Config, LogFormat, Overrides, RegistryChoice, ZONES_DIR_DEFAULT, io_reason, layouts, limits,
    zones,
};
use crate::api::{self, Permission, Token};
use crate::dns;
use crate::registry::{EtcdSettings, Tls};
use toml::de::DeValue;

/// The version of the file's form that this code reads.
const VERSION: i64 = 1;
/// Longest of any time-out: what waits longer is not waiting but hung.
const TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// The words for how much is logged, as `tracing_subscriber` knows them.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
/// Most of anything that an operator lists by hand.
const LIST_MAX: usize = 1_000;

/// Reads all sections. Returns the line of `http.listen`, if it is there: whether that address is one to listen on
/// shows only when all is read.
pub(super) fn read(
    root: &Section<'_>,
    config: &mut Config,
    overrides: &Overrides,
    warnings: &mut Vec<Problem>,
) -> Option<usize> {
    root.need("version", "1", version);
    root.set("data", &mut config.data_dir, path);
    root.set("lameduck", &mut config.lameduck, duration(Duration::ZERO..=TIMEOUT_MAX));
    log(root.section("log"), config);
    let mut identities = Identities::read(root);
    dns(root.section("dns"), &mut config.dns, &mut identities, warnings);
    let http_listen = http(root.section("http"), &mut config.http, &mut identities);
    let (identities, unwise) = identities.into_all();
    config.identities = identities;
    warnings.extend(unwise);
    tokens(root, &mut config.http.tokens, warnings);
    registry(root, config, overrides, warnings);
    let zones_dir = zones_dir(root);
    config.zones = zones::zones(root, &zones_dir, &mut config.zone_files);
    zones::reverse_zones(root, &zones_dir, &mut config.zones, &mut config.zone_files);
    config.layouts = layouts::layouts(root, &config.zones, &config.prefix, warnings);
    config.pins = zones::pins(root, &config.zones);
    config.dns.forward = forward(root, overrides, &config.zones);
    config.compat = compat(root, &config.zones, &config.layouts, warnings);
    http_listen
}

/// The folder of zone files. Only the usual one may be absent: of one that is named, every static name would be
/// missing without a word.
fn zones_dir(root: &Section<'_>) -> PathBuf {
    let usual = PathBuf::from(ZONES_DIR_DEFAULT);
    let Some(dir) = root.get("zones", path) else { return usual };
    let why = match std::fs::metadata(&dir) {
        Ok(about) if about.is_dir() => None,
        Ok(_) => Some("it is no folder".to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound && dir == usual => None,
        Err(error) => Some(io_reason(&error)),
    };
    if let Some(why) = why {
        let dir = dir.display();
        root.report(
            "zones",
            format!("cannot read {dir}: {why}: give the folder that zone files are in"),
        );
    }
    dir
}

fn log(section: Section<'_>, config: &mut Config) {
    section.set("filter", &mut config.log.filter, |value| {
        let filter = filled(value)?;
        check_filter(&filter).map(|()| filter).map_err(ValueError::new)
    });
    section.set(
        "format",
        &mut config.log.format,
        word(&[("text", LogFormat::Text), ("json", LogFormat::Json)]),
    );
    section.finish();
}

/// Addresses to listen on.
pub(super) fn listen(value: &DeValue<'_>) -> Result<Vec<SocketAddr>, ValueError> {
    let listen = list(LIST_MAX, socket_address)(value)?;
    if listen.is_empty() { Err(ValueError::new("must hold at least one")) } else { Ok(listen) }
}

fn dns(
    section: Section<'_>,
    dns: &mut dns::Settings,
    identities: &mut Identities,
    warnings: &mut Vec<Problem>,
) {
    section.set("listen", &mut dns.listen, listen);
    // RFC 6891 section 6.2.3 for the lower bound; above the upper one fragments are certain.
    section.set("udp_octets_max", &mut dns.udp_octets_max, whole(512..=8_192));
    section.set("udp_workers", &mut dns.udp_workers, whole(0..=1_024));
    section.set("tcp_connections_max", &mut dns.tcp_connections_max, whole(1..=1_000_000));
    section.set(
        "tcp_connections_per_client_max",
        &mut dns.tcp_connections_per_client_max,
        whole(1..=1_000_000),
    );
    section.set("tcp_idle", &mut dns.tcp_idle, from_second());
    section.set("tcp_message", &mut dns.tcp_message, from_second());
    limits::cookies(&section, dns, warnings);
    limits::rate_limit(section.section("rate_limit"), &mut dns.limits);
    tls::dns(&section, dns, identities);
    section.finish();
}

fn http(
    section: Section<'_>,
    http: &mut api::Settings,
    identities: &mut Identities,
) -> Option<usize> {
    section.set("listen", &mut http.listen, socket_address);
    section.set("health_listen", &mut http.health_listen, |value| socket_address(value).map(Some));
    section.set("hosts", &mut http.hosts, list(LIST_MAX, host));
    section.set("insecure", &mut http.insecure, flag);
    section.set("allow_loopback", &mut http.allow_loopback, flag);
    section.set("connections_max", &mut http.connections_max, whole(1..=1_000_000));
    section.set("body_octets_max", &mut http.body_octets_max, whole(1_024..=1_048_576));
    section.set("request_timeout", &mut http.request_timeout, from_second());
    // A write's answer is to come before clients give up, which ours do after 10 s.
    let visible = duration(Duration::ZERO..=Duration::from_secs(5));
    section.set("visible_timeout", &mut http.visible_timeout, visible);
    section.set("history_events_max", &mut http.history_events_max, whole(1..=1_000_000));
    section.set("watchers_max", &mut http.watchers_max, whole(1..=100_000));
    http.identity = tls::http(&section, identities);
    let listen = section.has("listen").then(|| section.line_of("listen"));
    section.finish();
    listen
}

fn tokens(root: &Section<'_>, tokens: &mut Vec<Token>, warnings: &mut Vec<Problem>) {
    for section in root.sections("token") {
        let file = section.need("file", "\"deploy.token\"", path);
        let apps = section.get("apps", |value| {
            let apps = list(LIST_MAX, app_pattern)(value)?;
            // Nobody who writes an empty list means all apps.
            if apps.is_empty() { Err(ValueError::new("must hold at least one")) } else { Ok(apps) }
        });
        let apps = apps.unwrap_or_default();
        let may = section.need("may", "[\"register\"]", |value| {
            let may = list(PERMISSIONS.len(), word(PERMISSIONS))(value)?;
            if may.is_empty() { Err(ValueError::new("must hold at least one")) } else { Ok(may) }
        });
        let secret =
            file.as_ref().and_then(|file| secret(&section, "file", (file, read_secret), warnings));
        if let (Some(file), Some(may), Some(secret)) = (file, may, secret) {
            let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
            if let Some(other) = tokens.iter().find(|token| token.secret == secret) {
                let message =
                    format!("{}: holds the same secret as {}", file.display(), other.name);
                section.report("file", message);
            }
            tokens.push(Token { name, secret, apps, may });
        }
        section.finish();
    }
}

const PERMISSIONS: &[(&str, Permission)] = &[
    ("register", Permission::Register),
    ("operate", Permission::Operate),
    ("read", Permission::Read),
];

fn registry(
    root: &Section<'_>,
    config: &mut Config,
    overrides: &Overrides,
    warnings: &mut Vec<Problem>,
) {
    root.set("prefix", &mut config.prefix, prefix);
    let section = root.section("etcd");
    let mut etcd = EtcdSettings::default();
    section.set("endpoints", &mut etcd.endpoints, list(16, url));
    if let Some(endpoints) = &overrides.etcd {
        etcd.endpoints.clone_from(endpoints);
    }
    etcd.credentials = credentials(&section, warnings);
    etcd.tls = etcd_tls(&section);
    let short = || duration(Duration::from_millis(100)..=Duration::from_secs(60));
    section.set("connect_timeout", &mut etcd.connect_timeout, short());
    section.set("call_timeout", &mut etcd.call_timeout, short());
    section.set("keep_alive_timeout", &mut etcd.keep_alive_timeout, short());
    // etcd closes connections that ping more often than every 5 s.
    let interval = duration(Duration::from_secs(5)..=TIMEOUT_MAX);
    section.set("keep_alive_interval", &mut etcd.keep_alive_interval, interval);
    section.set("page_entries", &mut etcd.page_entries, whole(1..=10_000));
    section.finish();
    if !etcd.endpoints.is_empty() {
        config.registry = RegistryChoice::Etcd(Box::new(etcd));
    }
}

fn credentials(section: &Section<'_>, warnings: &mut Vec<Problem>) -> Option<(String, String)> {
    let user = section.get("user", filled);
    let file = section.get("password_file", path);
    match (section.has("user"), section.has("password_file")) {
        (true, false) => section.report("user", "stands without 'password_file'"),
        (false, true) => section.report("password_file", "stands without 'user'"),
        _ => {}
    }
    let password = secret(section, "password_file", (file.as_deref()?, read_secret), warnings)?;
    Some((user?, password))
}

fn etcd_tls(section: &Section<'_>) -> Option<Tls> {
    let tls = Tls {
        ca_file: readable(section, "ca_file"),
        cert_file: readable(section, "cert_file"),
        key_file: readable(section, "key_file"),
        server_name: section.get("server_name", filled),
    };
    match (section.has("cert_file"), section.has("key_file")) {
        (true, false) => section.report("cert_file", "stands without 'key_file'"),
        (false, true) => section.report("key_file", "stands without 'cert_file'"),
        _ => {}
    }
    (tls != Tls::default()).then_some(tls)
}

fn readable(section: &Section<'_>, key: &'static str) -> Option<PathBuf> {
    let file = section.get(key, path)?;
    if let Err(error) = std::fs::File::open(&file) {
        let message =
            format!("cannot read {}: {}: give a PEM file", file.display(), io_reason(&error));
        section.report(key, message);
    }
    Some(file)
}

/// The secret in a file, as that function reads it.
pub(super) fn secret(
    section: &Section<'_>,
    key: &'static str,
    (file, read): (&Path, Read),
    warnings: &mut Vec<Problem>,
) -> Option<String> {
    match read(file) {
        Ok(secret) => {
            warnings.extend(secret.warning.map(|warning| Problem::at(file, 0, warning)));
            Some(secret.text)
        }
        Err(why) => {
            section.report(key, format!("{}: {why}", file.display()));
            None
        }
    }
}

/// Whether a log filter is legal.
pub(super) fn check_filter(filter: &str) -> Result<(), String> {
    let not_a_filter = |why: String| {
        format!(
            "is not a log filter such as \"info\" or \"warn,rollcall=debug\": {why}, got {filter:?}"
        )
    };
    // To the filter's own parser a bare word is a target, of which everything is logged: a mistyped level would
    // silence all the rest.
    let bare = |directive: &&str| !directive.is_empty() && !directive.contains('=');
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let mut words = filter.split(',').map(str::trim).filter(bare);
    if let Some(word) = words.find(|word| !is_level(word)) {
        let nearest = nearest(&word.to_ascii_lowercase(), &LEVELS.into())
            .map_or_else(String::new, |level| format!(", did you mean '{level}'?"));
        let levels = LEVELS.join(", ");
        return Err(not_a_filter(format!("{word:?} is no level ({levels}){nearest}")));
    }
    tracing_subscriber::EnvFilter::try_new(filter)
        .map(drop)
        .map_err(|error| not_a_filter(error.to_string()))
}

/// Whether that is the URL of an etcd member.
pub(super) fn check_url(url: &str) -> Result<(), String> {
    let parsed = url.parse::<hyper::Uri>().ok();
    let scheme = parsed.as_ref().and_then(hyper::Uri::scheme_str);
    let host = parsed.as_ref().and_then(hyper::Uri::host).unwrap_or_default();
    if matches!(scheme, Some("http" | "https")) && !host.is_empty() {
        return Ok(());
    }
    Err(format!("must be a URL such as \"http://127.0.0.1:2379\", got {url:?}"))
}

fn version(value: &DeValue<'_>) -> Result<(), ValueError> {
    match whole(0..=i64::MAX)(value)? {
        VERSION => Ok(()),
        other => Err(ValueError::new(format!(
            "must be {VERSION}, the form that this rollcall reads, got {other}: use a newer rollcall, or write the file anew"
        ))),
    }
}

fn url(value: &DeValue<'_>) -> Result<String, ValueError> {
    let url = values::text(value)?;
    check_url(&url).map(|()| url).map_err(ValueError::new)
}

pub(super) fn path(value: &DeValue<'_>) -> Result<PathBuf, ValueError> {
    filled(value).map(PathBuf::from)
}

fn from_second() -> impl Fn(&DeValue<'_>) -> Result<Duration, ValueError> {
    duration(Duration::from_secs(1)..=TIMEOUT_MAX)
}

fn host(value: &DeValue<'_>) -> Result<String, ValueError> {
    let host = filled(value)?.to_ascii_lowercase();
    if host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')) {
        return Ok(host);
    }
    let message =
        format!("must be a host name without port such as \"rollcall.example.org\", got {host:?}");
    Err(ValueError::new(message))
}

fn app_pattern(value: &DeValue<'_>) -> Result<String, ValueError> {
    let pattern = filled(value)?.to_ascii_lowercase();
    let exact = pattern.strip_suffix('*').unwrap_or(&pattern);
    if exact.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')) {
        return Ok(pattern);
    }
    let message = format!("must be an app's name, or a beginning of one and '*', got {pattern:?}");
    Err(ValueError::new(message))
}

fn prefix(value: &DeValue<'_>) -> Result<String, ValueError> {
    let prefix = filled(value)?;
    let printable = prefix.bytes().all(|b| b.is_ascii_graphic());
    if printable && prefix.starts_with('/') && prefix.ends_with('/') && !prefix.contains("//") {
        return Ok(prefix);
    }
    let message = format!(
        "must begin and end with '/', as \"/rollcall/v1/\" does, without spaces and '//', got {prefix:?}"
    );
    Err(ValueError::new(message))
}
