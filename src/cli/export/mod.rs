//! `rollcall export`: what a running server knows, as a zone file or as JSON.
//!
//! The API tells which apps and instances there are, and so which names; what those answer is asked of the server's DNS. So
//! a zone file holds what clients are told, by whatever rules the server has.
//!
//! Knows nothing of those rules.

mod asker;
mod names;

use std::collections::{BTreeMap, BTreeSet};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use hyper::Method;
use serde_json::{Value, json};

use self::asker::{AT_ONCE, Asker};
use self::names::Question;
use super::client::{Client, ServerArgs, Target};
use super::error::{DONE, Error, Outcome, REFUSED};
use super::ls::{field, pages, read};
use super::replies::{App, AppRow, Instance, RejectedRow};
use super::{output, query, zoneform};

/// How often all is read, if it changes meanwhile.
const TRIES: usize = 3;
/// An answer with more octets than this may be a sample of a set that no message holds.
const WHOLE_OCTETS_MAX: usize = 60_000;

/// Print what a server knows, as a zone file or as JSON
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Print the names of a zone that come from registrations, with all their records, as a zone file (RFC 1035 section 5), \
which other DNS servers read, too; or, with --json, what is registered.\n\n\
The zone file has the zone's SOA and NS records, and what the server's DNS answers for each app, instance, service and \
tag that its HTTP API lists. Other records of the zone's own file, and of a skydns layout, are not in it. What is registered and not in answers \
(offline, rejected) is told on standard error, with the reason; in JSON it is there, with its state.\n\n\
Exit code 1: there is no such zone, or what was printed is not whole.",
    after_help = "\
Examples:
  rollcall export > svc.zone
  rollcall export --zone staging.svc --namespace staging --dns 10.0.0.5:53
  rollcall export --json | jq -r '.apps[].app'"
)]
pub(super) struct Args {
    /// The zone
    #[arg(long, value_name = "ZONE", default_value = "svc.", conflicts_with = "json")]
    zone: String,
    /// The server's DNS address
    #[arg(long, env = "ROLLCALL_DNS", value_name = "HOST:PORT", default_value = "127.0.0.1:1053")]
    dns: String,
    #[command(flatten)]
    server: ServerArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// All that is registered.
struct Registered {
    revision: Value,
    apps: Vec<(String, Value)>,
    rejected: Value,
}

/// The records of a zone.
#[derive(Default)]
struct Zone {
    /// By name, in the order of names (RFC 4034 section 6.1), and type.
    sets: BTreeMap<(Name, u16), BTreeSet<String>>,
    /// The SOA record's serial before anything else was asked, and after.
    serials: (u32, u32),
    /// Names whose records may be more than one message holds.
    sampled: Vec<String>,
}

pub(super) async fn export(args: Args) -> Outcome {
    let client = args.server.client()?;
    if args.json {
        let registered = Registered::read(&client).await?;
        let apps: Vec<_> = registered.apps.into_iter().map(|(_, app)| app).collect();
        output::json(&json!({
            "revision": registered.revision, "apps": apps, "rejected": registered.rejected,
        }))?;
        return Ok(DONE);
    }
    let origin = query::name(&args.zone)?.to_lowercase();
    let server = query::lookup(&args.dns).await?;
    let mut asker = Asker::new(server);
    let mut tries = 1;
    let (registered, zone) = loop {
        let registered = Registered::read(&client).await?;
        let zone = Zone::read(&mut asker, &origin, &registered).await?;
        if zone.serials.0 == zone.serials.1 || tries == TRIES {
            break (registered, zone);
        }
        tries += 1;
    };
    output::text(zone.text(&origin, &registered.revision).as_bytes())?;
    registered.tell_left_out()?;
    let faults = zone.faults(&origin, registered.are_any_online());
    for fault in &faults {
        output::note(&format!("not whole: {fault}"));
    }
    Ok(if faults.is_empty() { DONE } else { REFUSED })
}

impl Registered {
    async fn read(client: &Client) -> Result<Self, Error> {
        let list = pages(client, "apps").await?;
        let rows: Vec<AppRow> = field(&list, "apps")?;
        let mut apps = Vec::with_capacity(rows.len());
        for AppRow { app, .. } in rows {
            let shown = client.send(Method::GET, Target::new(&["apps", &app]), None).await?;
            apps.push((app, shown));
        }
        let revision = list.get("revision").cloned().unwrap_or_default();
        let rejected = pages(client, "rejected").await?;
        let rejected = rejected.get("rejected").cloned().unwrap_or_default();
        Ok(Self { revision, apps, rejected })
    }

    /// Whether anything is to be in answers.
    fn are_any_online(&self) -> bool {
        let instances = self.apps.iter().flat_map(|(_, app)| app["instances"].as_array());
        instances.flatten().any(|instance| instance["state"] == "online")
    }

    fn tell_left_out(&self) -> Result<(), Error> {
        for (name, shown) in &self.apps {
            let app: App = read(shown.clone())?;
            let whole = app.offline.map(|note| note.to_string()).unwrap_or_default();
            for Instance { id, state, reason, .. } in &app.instances {
                if state == "online" {
                    continue;
                }
                let why = if reason.is_empty() { &whole } else { reason };
                let gap = if why.is_empty() { "" } else { ": " };
                output::note(&format!("left out: {name} {id}: {state}{gap}{why}"));
            }
        }
        let rejected: Vec<RejectedRow> = read(self.rejected.clone())?;
        for RejectedRow { key, reason } in rejected {
            output::note(&format!("left out: {key}: {reason}"));
        }
        Ok(())
    }
}

impl Zone {
    async fn read(
        asker: &mut Asker,
        origin: &Name,
        registered: &Registered,
    ) -> Result<Self, Error> {
        let mut zone = Self::default();
        let text = origin.to_string();
        zone.serials.0 = zone.serial(asker, origin).await?;
        let mut asked: BTreeSet<Question> = BTreeSet::new();
        let mut next: BTreeSet<Question> = names::of_zone(&text).into_iter().collect();
        for (name, shown) in &registered.apps {
            next.extend(names::of_app(&text, name, &read(shown.clone())?));
        }
        // Answers name hosts that no list has: those of endpoints with addresses of their own, and of the zone itself.
        while !next.is_empty() {
            let questions: Vec<_> = next.difference(&asked).cloned().collect();
            next = BTreeSet::new();
            for some in questions.chunks(AT_ONCE) {
                for (question, (message, octets)) in some.iter().zip(asker.ask(some).await?) {
                    next.extend(zone.take(origin, question, &message, octets)?);
                }
            }
            asked.extend(questions);
            next = next.difference(&asked).cloned().collect();
        }
        zone.serials.1 = zone.serial(asker, origin).await?;
        Ok(zone)
    }

    async fn serial(&self, asker: &mut Asker, origin: &Name) -> Result<u32, Error> {
        let answers = asker.ask(&[(origin.to_string(), RecordType::SOA)]).await?;
        let records = answers.iter().flat_map(|(answer, _)| &answer.answers);
        let serial =
            records.filter(|record| record.name == *origin).find_map(|record| match &record.data {
                RData::SOA(soa) => Some(soa.serial),
                _ => None,
            });
        let status = answers.first().map(|(answer, _)| answer.metadata.response_code);
        serial.ok_or_else(|| match status {
            Some(ResponseCode::ServFail) => not_now(&origin.to_string()),
            _ => Error::Refused(format!(
                "there is no zone {origin} at that DNS server: look at --zone, and at --dns / ROLLCALL_DNS"
            )),
        })
    }

    /// Takes an answer in, and gives what is to be asked because of it.
    fn take(
        &mut self,
        origin: &Name,
        (name, rtype): &Question,
        answer: &Message,
        octets: usize,
    ) -> Result<Vec<Question>, Error> {
        if answer.metadata.response_code == ResponseCode::ServFail {
            return Err(not_now(name));
        }
        if octets > WHOLE_OCTETS_MAX {
            self.sampled.push(format!("{name} {rtype}"));
        }
        let mut more = Vec::new();
        for record in answer.answers.iter().filter(|record| origin.zone_of(&record.name)) {
            let target = match &record.data {
                RData::SRV(srv) => Some(&srv.target),
                RData::NS(ns) => Some(&ns.0),
                RData::SOA(soa) => Some(&soa.mname),
                _ => None,
            };
            let target = target.filter(|target| origin.zone_of(target));
            more.extend(target.into_iter().flat_map(|host| names::of_host(&host.to_string())));
            let key = (record.name.clone(), record.record_type().into());
            self.sets.entry(key).or_default().insert(zoneform::line(record));
        }
        Ok(more)
    }

    /// Why it may not be all that there is.
    fn faults(&self, origin: &Name, are_any_online: bool) -> Vec<String> {
        let sampled = self.sampled.iter();
        let mut faults: Vec<_> = sampled
            .map(|name| format!("{name}: its records may be more than a DNS message holds"))
            .collect();
        if are_any_online && self.sets.keys().all(|(name, _)| name == origin) {
            faults.push(format!(
                "no app has a name in {origin}: it may serve another --namespace, or have Consul's names, which are not exported"
            ));
        }
        let (before, after) = self.serials;
        if before != after {
            faults.push(format!(
                "{origin} went from serial {before} to {after} while it was read: export again"
            ));
        }
        faults
    }

    /// As a zone file. The SOA record comes first, as some readers want it.
    fn text(&self, origin: &Name, revision: &Value) -> String {
        let is_soa =
            |(name, rtype): &(Name, u16)| name == origin && *rtype == u16::from(RecordType::SOA);
        let soa = self.sets.iter().filter(|(key, _)| is_soa(key));
        let others = self.sets.iter().filter(|(key, _)| !is_soa(key));
        let mut text =
            format!("; {origin} as it was answered at revision {revision} of the registry\n");
        for line in soa.chain(others).flat_map(|(_, lines)| lines) {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

fn not_now(name: &str) -> Error {
    Error::Unreachable(format!(
        "the DNS server can't answer {name} now (SERVFAIL): it has not read its registry yet; try again"
    ))
}
