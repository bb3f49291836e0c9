//! What the server's replies hold, as far as people are shown it.
//!
//! Unknown fields are ignored and absent ones are empty, so that client and server need not be of one version.

use std::fmt;

use serde::Deserialize;

/// The body of an error.
#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    error: Reason,
}

#[derive(Debug, Deserialize)]
struct Reason {
    field: Option<String>,
    message: String,
    outcome: Option<String>,
}

/// What became of a write that the server could not carry through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteOutcome {
    /// Nothing was written.
    NotDone,
    /// The registry's answer was lost.
    Unknown,
}

impl Refusal {
    /// None where the server says nothing of it, or what a newer one says.
    pub(super) fn outcome(&self) -> Option<WriteOutcome> {
        match self.error.outcome.as_deref()? {
            "not done" => Some(WriteOutcome::NotDone),
            "unknown" => Some(WriteOutcome::Unknown),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error.field {
            Some(field) => write!(f, "{field}: {}", self.error.message),
            None => f.write_str(&self.error.message),
        }
    }
}

/// The reply to a registration or a heartbeat.
#[derive(Debug, Deserialize)]
pub(super) struct Registered {
    /// Names this registration on every further call.
    pub(super) incarnation: String,
    /// The lease, in seconds.
    pub(super) ttl: u32,
}

/// The reply to a mark.
#[derive(Debug, Deserialize)]
pub(super) struct Written {
    /// The revision that it made.
    pub(super) revision: u64,
    /// Whether the server's answers show it.
    #[serde(default)]
    pub(super) visible: bool,
    /// Of `online`: whether there was a mark.
    pub(super) changed: Option<bool>,
}

/// One row of the list of apps.
#[derive(Debug, Deserialize)]
pub(super) struct AppRow {
    pub(super) app: String,
    pub(super) instances: u64,
    pub(super) online: u64,
    #[serde(default)]
    pub(super) offline: bool,
    #[serde(default)]
    pub(super) pinned: bool,
}

/// One app.
#[derive(Debug, Deserialize)]
pub(super) struct App {
    #[serde(default)]
    pub(super) pinned: bool,
    pub(super) offline: Option<Note>,
    pub(super) instances: Vec<Instance>,
    #[serde(default)]
    pub(super) absent_marks: Vec<AbsentMark>,
}

/// One instance.
#[derive(Debug, Deserialize)]
pub(super) struct Instance {
    pub(super) id: String,
    /// What it is called in DNS; none where it is not served.
    pub(super) label: Option<String>,
    /// Whose layout it is registered in, if not in ours.
    pub(super) layout: Option<String>,
    #[serde(default)]
    pub(super) state: String,
    #[serde(default)]
    pub(super) reason: String,
    #[serde(default)]
    pub(super) addresses: Vec<String>,
    /// A name in place of addresses.
    pub(super) host: Option<String>,
    #[serde(default)]
    pub(super) endpoints: Vec<Endpoint>,
    #[serde(default)]
    pub(super) weight: u64,
    #[serde(default)]
    pub(super) tags: Vec<String>,
    pub(super) ttl: Option<u64>,
    pub(super) incarnation: Option<String>,
}

/// One endpoint.
#[derive(Debug, Deserialize)]
pub(super) struct Endpoint {
    pub(super) protocol: String,
    pub(super) transport: String,
    pub(super) port: u16,
    #[serde(default)]
    pub(super) addresses: Vec<String>,
}

/// A mark on what is not registered.
#[derive(Debug, Deserialize)]
pub(super) struct AbsentMark {
    pub(super) id: String,
    pub(super) offline: Note,
}

/// Who, when and why.
#[derive(Debug, Deserialize)]
pub(super) struct Note {
    #[serde(default)]
    by: String,
    #[serde(default)]
    at: String,
    #[serde(default)]
    reason: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [("", &self.reason), ("by ", &self.by), ("at ", &self.at)];
        let mut gap = "";
        for (word, text) in parts.into_iter().filter(|(_, text)| !text.is_empty()) {
            write!(f, "{gap}{word}{text}")?;
            gap = ", ";
        }
        Ok(())
    }
}

/// One key that is not served.
#[derive(Debug, Deserialize)]
pub(super) struct RejectedRow {
    pub(super) key: String,
    pub(super) reason: String,
}

/// One change.
#[derive(Debug, Deserialize)]
pub(super) struct Change {
    pub(super) revision: u64,
    pub(super) cause: String,
    pub(super) app: String,
    pub(super) id: Option<String>,
    pub(super) instance: Option<Instance>,
    pub(super) note: Option<Note>,
}

impl Instance {
    /// What commands call it: its id, which in other layouts need be no label.
    pub(super) fn name(&self) -> &str {
        match (&self.layout, &self.label) {
            (Some(_), Some(label)) => label,
            _ => &self.id,
        }
    }

    /// Its id, and behind it the label that commands and DNS know it by, where that is another.
    pub(super) fn id_text(&self) -> String {
        match &self.label {
            Some(label) if *label != self.id => format!("{} ({label})", self.id),
            _ => self.id.clone(),
        }
    }

    /// How long it stays without a sign of life. A value that others wrote may hang on a lease of whose length
    /// only the registry knows: then there is an incarnation, which names the lease, and no length.
    pub(super) fn lease_text(&self) -> String {
        match (self.ttl, &self.incarnation) {
            (Some(secs), _) => format!("{secs} s"),
            (None, Some(_)) => "leased".into(),
            (None, None) => "permanent".into(),
        }
    }

    /// Its endpoints as people write them: `nova/tcp 10.0.0.7:9000`.
    pub(super) fn endpoints_text(&self) -> String {
        let mut texts = Vec::new();
        for endpoint in &self.endpoints {
            let own = Some(&endpoint.addresses).filter(|own| !own.is_empty());
            let Endpoint { protocol, transport, port, .. } = endpoint;
            for address in own.unwrap_or(&self.addresses) {
                let colon = address.contains(':');
                let (open, close) = if colon { ("[", "]") } else { ("", "") };
                texts.push(format!("{protocol}/{transport} {open}{address}{close}:{port}"));
            }
            if own.unwrap_or(&self.addresses).is_empty() {
                let host = self.host.as_deref().unwrap_or_default();
                texts.push(format!("{protocol}/{transport} {host}:{port}"));
            }
        }
        texts.join(", ")
    }
}
