//! A check as a body has it, and what can't be run of those that Consul knows.
//!
//! Of gRPC and H2PING the port is connected to, and no more: that is most of what they tell, and a service whose check was
//! refused would not be there at all. Scripts are refused, as an agent of Consul refuses them unless it is told otherwise;
//! UDP, aliases and services of an operating system are, too, in words that say what to take instead.
//!
//! Knows nothing of how checks are run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{CheckDefinition, HttpCheck, Kind, NAME_OCTETS_MAX, Pace, ServiceDefinition, Status};
use crate::compat::consul::GoDuration;

/// No check is run more often (agent/checks/check.go).
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Checks that say nothing of it are given that long (agent/checks/check.go).
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// And no longer than that: checks wait for each other's end.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// Nobody is deregistered sooner (agent/agent.go).
const DEREGISTER_AFTER_MIN: Duration = Duration::from_secs(60);
/// What is longer than that never comes, and clocks can be added to it.
const EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct WrittenCheck {
    id: String,
    #[serde(rename = "checkid")]
    check_id: String,
    pub(super) name: String,
    notes: String,
    #[serde(rename = "serviceid")]
    service_id: String,
    status: String,
    #[serde(deserialize_with = "duration")]
    ttl: Duration,
    #[serde(deserialize_with = "duration")]
    interval: Duration,
    #[serde(deserialize_with = "duration")]
    timeout: Duration,
    http: String,
    method: String,
    header: BTreeMap<String, Vec<String>>,
    body: String,
    #[serde(rename = "tlsskipverify")]
    tls_skip_verify: bool,
    #[serde(rename = "tlsservername")]
    tls_server_name: String,
    tcp: String,
    grpc: String,
    h2ping: String,
    udp: String,
    args: Vec<String>,
    #[serde(rename = "scriptargs")]
    script_args: Vec<String>,
    /// Of agents before 1.0.
    script: String,
    #[serde(rename = "dockercontainerid")]
    docker: String,
    #[serde(rename = "osservice")]
    os_service: String,
    #[serde(rename = "aliasservice")]
    alias_service: String,
    #[serde(rename = "aliasnode")]
    alias_node: String,
    #[serde(rename = "deregistercriticalserviceafter", deserialize_with = "duration")]
    deregister_after: Duration,
    #[serde(rename = "failuresbeforecritical")]
    failures_before_critical: u32,
    #[serde(rename = "successbeforepassing")]
    successes_before_passing: u32,
}

/// A duration; an empty text is none.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        None(Nothing),
        Some(Value),
    }
    #[derive(Deserialize)]
    enum Nothing {
        #[serde(rename = "")]
        Empty,
    }

    match Written::deserialize(deserializer)? {
        Written::None(Nothing::Empty) => Ok(Duration::ZERO),
        Written::Some(value) => {
            let GoDuration(duration) =
                GoDuration::deserialize(value).map_err(serde::de::Error::custom)?;
            Ok(duration.min(EVER))
        }
    }
}

impl WrittenCheck {
    /// The check; of a service that is being registered, if there is one.
    pub(super) fn resolve(
        self,
        service: Option<&ServiceDefinition>,
    ) -> Result<CheckDefinition, String> {
        let status = match &*self.status {
            "" => Status::Critical,
            text => Status::read(text).ok_or_else(|| {
                match service {
                    Some(_) => "Status for checks must 'passing', 'warning', 'critical'",
                    None => "Bad check status",
                }
                .to_owned()
            })?,
        };
        for text in [&self.id, &self.check_id, &self.name, &self.service_id] {
            if text.len() > 2 * NAME_OCTETS_MAX || text.contains(char::is_control) {
                return Err("Invalid check: its ids and its name must be short texts".to_owned());
            }
        }
        let kind = self.kind().map_err(|why| format!("Invalid check: {why}"))?;
        let id = [self.check_id, self.id].into_iter().find(|id| !id.is_empty());
        let name = match (service, self.name.is_empty()) {
            (Some(service), true) => format!("Service '{}' check", service.name),
            _ => self.name,
        };
        let service_id = match service {
            Some(service) => Some(service.id.clone()),
            None => Some(self.service_id).filter(|id| !id.is_empty()),
        };
        let deregister_after = Some(self.deregister_after)
            .filter(|after| !after.is_zero())
            .map(|after| after.max(DEREGISTER_AFTER_MIN));
        Ok(CheckDefinition {
            id,
            name,
            notes: self.notes,
            service_id,
            status,
            kind,
            deregister_after,
            failures_before_critical: self.failures_before_critical,
            successes_before_passing: self.successes_before_passing,
            afar: false,
        })
    }

    fn kind(&self) -> Result<Kind, String> {
        let scripts = !self.args.is_empty() || !self.script_args.is_empty();
        if scripts || !self.script.is_empty() || !self.docker.is_empty() {
            return Err("Scripts are disabled on this agent, and rollcall runs none: use a TTL, HTTP or TCP \
                        check instead"
                .to_owned());
        }
        for (what, given) in [
            ("UDP", &self.udp),
            ("OSService", &self.os_service),
            ("AliasService", &self.alias_service),
            ("AliasNode", &self.alias_node),
        ] {
            if !given.is_empty() {
                return Err(format!(
                    "{what} checks are not run here: use a TTL, HTTP or TCP check"
                ));
            }
        }
        let run = [&self.http, &self.tcp, &self.grpc, &self.h2ping];
        let run = run.into_iter().any(|target| !target.is_empty());
        // In the words of agent/structs/check_type.go.
        if !self.interval.is_zero() && !self.ttl.is_zero() {
            return Err("Interval and TTL cannot both be specified".to_owned());
        }
        if run && self.interval.is_zero() {
            return Err("Interval must be > 0 for Script, HTTP, or TCP checks".to_owned());
        }
        if !run && self.ttl.is_zero() {
            return Err("TTL must be > 0 for TTL checks".to_owned());
        }
        let timeout = if self.timeout.is_zero() { TIMEOUT_DEFAULT } else { self.timeout };
        let timeout = timeout.min(TIMEOUT_MAX);
        let pace = Pace { interval: self.interval.max(INTERVAL_MIN), timeout };
        if !self.http.is_empty() {
            return self.http_check().map(|check| Kind::Http(check, pace));
        }
        let tcp = |target: &str, instead_of: Option<&str>| {
            let target = target.split('/').next().unwrap_or_default();
            match target.rsplit_once(':') {
                Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                    let instead_of = instead_of.map(str::to_owned);
                    Ok(Kind::Tcp { target: target.to_owned(), instead_of, pace })
                }
                _ => Err(format!("{target:?} is not host:port")),
            }
        };
        match (&*self.tcp, &*self.grpc, &*self.h2ping) {
            ("", "", "") => Ok(Kind::Ttl(self.ttl)),
            ("", "", target) => tcp(target, Some("H2PING")),
            ("", target, _) => tcp(target, Some("gRPC")),
            (target, ..) => tcp(target, None),
        }
    }

    fn http_check(&self) -> Result<HttpCheck, String> {
        let uri: hyper::Uri =
            self.http.parse().map_err(|error| format!("HTTP {:?}: {error}", self.http))?;
        let http = matches!(uri.scheme_str(), Some("http" | "https"));
        if !http || uri.host().is_none_or(str::is_empty) {
            return Err(format!("HTTP {:?} is no URL with http:// or https://", self.http));
        }
        let method = match &*self.method {
            "" => "GET".to_owned(),
            text => text.to_ascii_uppercase(),
        };
        let illegal = hyper::Method::from_bytes(method.as_bytes()).is_err()
            || self.header.iter().any(|(name, values)| {
                let name = hyper::header::HeaderName::from_bytes(name.as_bytes());
                let value = |value: &String| hyper::header::HeaderValue::from_str(value);
                name.is_err() || values.iter().any(|text| value(text).is_err())
            });
        if illegal {
            return Err("Method or Header is not legal in HTTP".to_owned());
        }
        let (url, header, body) = (self.http.clone(), self.header.clone(), self.body.clone());
        let (skip_verify, server_name) = (self.tls_skip_verify, self.tls_server_name.clone());
        Ok(HttpCheck { url, method, header, body, skip_verify, server_name })
    }
}
