//! `rollcall import`: registrations from elsewhere into our own layout in etcd, and records that have no app into a zone
//! file (`zone`).
//!
//! Knows nothing of how that is done; says what became of it.

mod zone;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cli::error::{DONE, Error, Outcome, REFUSED};
use crate::cli::output;
use crate::config::{Config, Overrides, RegistryChoice};
use crate::layout::foreign::{Foreign, System};
use crate::layout::native::Keys;
use crate::model::Namespace;
use crate::moving::{Permanent, Plan, Report, Skipped, Target};
use crate::registry::embedded::EmbeddedRegistry;
use crate::registry::etcd::EtcdRegistry;
use crate::registry::{self, LeaseId, Origin, Registry as _};
use crate::zone::ZoneName;

/// From one word of progress to the next.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Copy another system's registrations, or an embedded registry, into etcd
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Copy another system's registrations, or those of an embedded registry, into rollcall's own keys in etcd.\n\n\
KIND is the system whose keys are below PREFIX in that etcd: dubbo, go-micro, go-zero, grpc, kratos, nova, \
registrator, skydns or url; dubbo, go-micro, kratos and skydns have a PREFIX of their own. A copy is bound to the lease \
of its original: the heartbeats of its app keep both, and both end together. What has no lease is copied with \
--permanent only, to stay until it is deregistered. Originals are left as they are.\n\n\
skydns has records of names instead of apps. Those of one zone go into a zone file, as its names would answer with \
everything below them; what has a lease only with --permanent.\n\n\
embedded:DIR is the data directory of a server without etcd; stop that server first. Leases keep their ids, so that \
programs which hold a registration go on with it on a server that uses the etcd: start one before the leases end.\n\n\
What is registered in etcd already stays as it is, unless it is an earlier copy of the same thing. To import again is \
safe; nothing is ever deleted. Every key that can't be copied is listed with the reason, and makes the exit code 1.",
    after_help = "\
Examples:
  rollcall import --from go-micro:/micro/registry/ \\
      --etcd http://127.0.0.1:2379 --dry-run
  rollcall import --from registrator:/services/ --permanent \\
      --etcd http://127.0.0.1:2379 --namespace staging
  rollcall import --from skydns --etcd http://127.0.0.1:2379 \\
      --zone skydns.local --zone-file zones/skydns.local.zone
  rollcall import --from embedded:./rollcall-data --config rollcall.toml"
)]
pub(super) struct Args {
    /// What to copy: KIND:PREFIX, or embedded:DIR
    #[arg(long, value_name = "KIND:PREFIX")]
    from: Source,
    /// URLs of etcd's members, with commas between them; or in the configuration
    #[arg(long, env = "ROLLCALL_ETCD", value_name = "URL", value_delimiter = ',')]
    etcd: Option<Vec<String>>,
    /// A server's configuration file, for how to reach etcd and for the prefix of our keys
    #[arg(long, env = "ROLLCALL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The namespace of the copies; an embedded registry has its own [default: default]
    #[arg(long, env = "ROLLCALL_NAMESPACE", value_name = "NAME")]
    namespace: Option<Namespace>,
    /// The zone whose records to copy (skydns)
    #[arg(long, value_name = "ZONE")]
    zone: Option<ZoneName>,
    /// The zone file to write them into (skydns)
    #[arg(long, value_name = "FILE")]
    zone_file: Option<PathBuf>,
    /// Copy what would end in one place and stay for ever in the other, too
    #[arg(long)]
    permanent: bool,
    /// Overwrite what is registered there already, or the zone file
    #[arg(long)]
    replace: bool,
    /// Write nothing, only say what would be written
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Where registrations come from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// Another system's keys in the same etcd, and what they begin with.
    Foreign(System, String),
    /// The data directory of a server.
    Embedded(PathBuf),
}

pub(super) async fn import(args: Args) -> Outcome {
    let overrides = Overrides { etcd: args.etcd.clone(), ..Overrides::default() };
    let config = Config::load(args.config.as_deref(), &overrides)
        .map_err(|problems| Error::Refused(problems.to_string()))?
        .config;
    let RegistryChoice::Etcd(settings) = &config.registry else {
        return Err(Error::Usage(
            "no etcd to copy into: give its URL with --etcd, or a --config that has it".into(),
        ));
    };
    let etcd = EtcdRegistry::connect(settings.as_ref().clone()).await.map_err(failed)?;
    let keys = Keys::new(&config.prefix);
    let (plan, leases) = match &args.from {
        Source::Foreign(system, prefix) => {
            // Which of several prefixes it is matters to servers that read them.
            let (origin, system) = (Origin(1), *system);
            let namespace = args.namespace.clone().unwrap_or_default();
            let layout = Foreign { origin, system, prefix: prefix.as_str().into(), namespace };
            let permanent = if args.permanent { Permanent::Copy } else { Permanent::Skip };
            if system == System::Skydns {
                return zone::import(&args, &etcd, &layout, permanent).await;
            }
            let entries = etcd.list(prefix.as_bytes(), false, None).await.map_err(failed)?.entries;
            if entries.is_empty() {
                return Err(nothing_below(prefix));
            }
            let own = keys.prefix().as_bytes();
            let there = etcd.list(own, false, None).await.map_err(failed)?.entries;
            (Plan::of_foreign(&layout, &entries, &there, &keys, permanent), HashMap::new())
        }
        Source::Embedded(dir) => embedded(dir, &keys).await?,
    };
    let target = Target {
        registry: &etcd,
        prefix: keys.prefix().as_bytes(),
        leases,
        replace: args.replace,
        dry_run: args.dry_run,
    };
    let mut last = Instant::now();
    let report = target.run(plan, |done, total| {
        if last.elapsed() >= PROGRESS_INTERVAL {
            output::note(&format!("{done} of {total} keys done"));
            last = Instant::now();
        }
    });
    let report = report.await.map_err(|error| {
        let advice = "what was copied stays, and to import again is safe";
        match failed(error) {
            Error::Unreachable(why) => Error::Unreachable(format!("{why}: {advice}")),
            other => other,
        }
    })?;
    if args.json {
        output::json(&as_json(&report, args.dry_run))?;
    } else {
        print(&report, args.dry_run)?;
    }
    Ok(if report.skipped.is_empty() { DONE } else { REFUSED })
}

/// What an embedded registry holds, and the lengths of its leases.
async fn embedded(dir: &Path, keys: &Keys) -> Result<(Plan, HashMap<LeaseId, u32>), Error> {
    if !EmbeddedRegistry::is_in(dir) {
        let dir = dir.display();
        return Err(Error::Refused(format!(
            "there is no registry in {dir}: give the data directory of a server (--data)"
        )));
    }
    let registry =
        EmbeddedRegistry::open(dir).map_err(|error| Error::Refused(error.to_string()))?;
    let entries =
        registry.list(keys.prefix().as_bytes(), false, None).await.map_err(failed)?.entries;
    let mut leases = HashMap::new();
    for lease in entries.iter().filter_map(|entry| entry.lease) {
        // One that ends this very moment is not made anew, and its keys are told to be late.
        if let Ok(secs) = registry.renew(lease).await {
            leases.insert(lease, secs);
        }
    }
    Ok((Plan::of_own(&entries, keys), leases))
}

fn failed(error: registry::Error) -> Error {
    let message = format!("etcd: {error}");
    match error {
        registry::Error::Unavailable(_) | registry::Error::Unknown(_) => {
            Error::Unreachable(message)
        }
        _ => Error::Refused(message),
    }
}

fn print(report: &Report, dry_run: bool) -> Result<(), Error> {
    if dry_run {
        for (from, to) in report.copied.iter().chain(&report.changed) {
            output::line(&format!("{from} -> {to}"))?;
        }
    }
    print_skipped(&report.skipped)?;
    let would = if dry_run { "would be " } else { "" };
    output::line(&format!(
        "{} {would}copied, {} {would}changed, {} unchanged, {} skipped",
        report.copied.len(),
        report.changed.len(),
        report.unchanged,
        report.skipped.len()
    ))
}

fn as_json(report: &Report, dry_run: bool) -> Value {
    let pairs = |pairs: &[(String, String)]| {
        pairs.iter().map(|(from, to)| json!({ "from": from, "to": to })).collect::<Vec<_>>()
    };
    json!({
        "dry_run": dry_run,
        "copied": pairs(&report.copied),
        "changed": pairs(&report.changed),
        "unchanged": report.unchanged,
        "skipped": skipped_json(&report.skipped),
    })
}

fn print_skipped(skipped: &[Skipped]) -> Result<(), Error> {
    if skipped.is_empty() {
        return Ok(());
    }
    let row = |Skipped { key, reason }: &Skipped| vec![key.clone(), reason.clone()];
    let rows: Vec<_> = skipped.iter().map(row).collect();
    output::table(&["SKIPPED", "REASON"], &rows)
}

fn skipped_json(skipped: &[Skipped]) -> Value {
    skipped.iter().map(|one| json!({ "key": one.key, "reason": one.reason })).collect()
}

fn nothing_below(prefix: &str) -> Error {
    Error::Refused(format!(
        "there is no key below {prefix} in etcd: look with etcdctl get --prefix --keys-only '{prefix}'"
    ))
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "must be KIND:PREFIX such as go-micro:/micro/registry/, or embedded:DIR";
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        if kind == "embedded" {
            return if rest.is_empty() {
                Err(form.into())
            } else {
                Ok(Self::Embedded(rest.into()))
            };
        }
        let system: System = kind.parse().map_err(|why| format!("KIND {why}, or embedded"))?;
        let prefix = Some(rest).filter(|rest| !rest.is_empty()).or_else(|| system.prefix_default());
        Ok(Self::Foreign(system, system.whole_prefix(prefix.ok_or(form)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_kind_and_where_it_is() {
        let source = |text: &str| text.parse::<Source>();
        assert_eq!(source("embedded:./data"), Ok(Source::Embedded("./data".into())));
        let nova = "nova:nova:com.youzan.service/";
        assert_eq!(
            source(nova),
            Ok(Source::Foreign(System::Nova, "nova:com.youzan.service/".into()))
        );
        let kratos = Source::Foreign(System::Kratos, "/microservices/".into());
        assert_eq!(source("kratos"), Ok(kratos.clone()));
        assert_eq!(source("kratos:/microservices"), Ok(kratos));
        for text in ["url", "url:", "embedded", "embedded:"] {
            assert!(source(text).unwrap_err().starts_with("must be KIND:PREFIX"), "{text}");
        }
        assert!(source("consul:/x").unwrap_err().starts_with("KIND must be one of dubbo, "));
    }
}
