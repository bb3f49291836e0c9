//! DNS messages in the form of zone files (RFC 1035 section 5, RFC 3597 for what has no form of its own).
//!
//! Knows nothing of sockets.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{RData, Record, RecordType};
use hickory_proto::serialize::binary::BinEncodable as _;
use serde_json::{Value, json};

/// What was answered, by whom.
pub(super) struct Answer {
    pub(super) message: Message,
    pub(super) server: SocketAddr,
    pub(super) transport: &'static str,
    pub(super) took: Duration,
}

/// Extended errors that rollcall sends or passes on (RFC 8914 section 4).
const EXTENDED_ERRORS: &[(u16, &str)] = &[
    (0, "Other Error"),
    (3, "Stale Answer"),
    (13, "Cached Error"),
    (14, "Not Ready"),
    (18, "Prohibited"),
    (20, "Not Authoritative"),
    (21, "Not Supported"),
    (22, "No Reachable Authority"),
    (23, "Network Error"),
];

/// The whole message for people, as dig prints it.
pub(super) fn text(answer: &Answer) -> String {
    let message = &answer.message;
    let meta = &message.metadata;
    let mut out = format!(
        ";; ->>HEADER<<- opcode: {}, status: {}, id: {}\n",
        opcode(message),
        status(meta.response_code),
        meta.id
    );
    let _ = writeln!(
        out,
        ";; flags: {}; QUERY: {}, ANSWER: {}, AUTHORITY: {}, ADDITIONAL: {}",
        flags(message).join(" "),
        message.queries.len(),
        message.answers.len(),
        message.authorities.len(),
        message.additionals.len() + usize::from(message.edns.is_some())
    );
    if let Some(edns) = &message.edns {
        let _ = writeln!(out, "; EDNS: version: {}, udp: {}", edns.version(), edns.max_payload());
        for (code, name, text) in extended_errors(message) {
            let _ = writeln!(
                out,
                "; EDE: {code} ({name}){}{text}",
                if text.is_empty() { "" } else { ": " }
            );
        }
    }
    out.push_str("\n;; QUESTION SECTION:\n");
    for query in &message.queries {
        let _ = writeln!(out, ";{} IN {}", query.name, type_text(query.query_type));
    }
    let sections = [
        ("ANSWER", &message.answers),
        ("AUTHORITY", &message.authorities),
        ("ADDITIONAL", &message.additionals),
    ];
    let all = || sections.iter().flat_map(|(_, records)| records.iter());
    let width = all().map(|record| record.name.to_string().len()).max().unwrap_or(0);
    for (name, records) in sections.iter().filter(|(_, records)| !records.is_empty()) {
        let _ = writeln!(out, "\n;; {name} SECTION:");
        for record in records.iter() {
            let (owner, ttl) = (record.name.to_string(), record.ttl);
            let (rtype, data) = (type_text(record.record_type()), data(record));
            let _ = writeln!(out, "{owner:<width$} {ttl} {} {rtype} {data}", record.dns_class);
        }
    }
    let _ = writeln!(
        out,
        "\n;; SERVER: {} ({}), {} ms",
        answer.server,
        answer.transport,
        answer.took.as_millis()
    );
    out
}

/// The whole message for programs.
pub(super) fn json(answer: &Answer) -> Value {
    let message = &answer.message;
    let section = |records: &[Record]| {
        let rows = records.iter().map(|record| {
            json!({
                "name": record.name.to_string(),
                "ttl": record.ttl,
                "type": type_text(record.record_type()),
                "data": data(record),
            })
        });
        Value::Array(rows.collect())
    };
    let questions = message.queries.iter();
    let errors = extended_errors(message).into_iter();
    json!({
        "server": answer.server.to_string(),
        "transport": answer.transport.to_ascii_lowercase(),
        "status": status(message.metadata.response_code),
        "flags": flags(message),
        "question": questions
            .map(|query| json!({ "name": query.name.to_string(), "type": type_text(query.query_type) }))
            .collect::<Vec<_>>(),
        "answer": section(&message.answers),
        "authority": section(&message.authorities),
        "additional": section(&message.additionals),
        "errors": errors
            .map(|(code, name, text)| json!({ "code": code, "name": name, "text": text }))
            .collect::<Vec<_>>(),
    })
}

/// A record on one line, as zone files have it.
pub(super) fn line(record: &Record) -> String {
    let (name, ttl, class) = (&record.name, record.ttl, record.dns_class);
    format!("{name} {ttl} {class} {} {}", type_text(record.record_type()), data(record))
}

/// A record's data.
pub(super) fn data(record: &Record) -> String {
    match &record.data {
        RData::TXT(txt) => {
            let strings: Vec<_> = txt.txt_data.iter().map(|string| quoted(string)).collect();
            strings.join(" ")
        }
        RData::Unknown { rdata, .. } => generic(&rdata.anything),
        RData::NULL(null) => generic(&null.anything),
        // The codec has no text for these.
        other @ (RData::OPT(_) | RData::Update0(_)) => {
            generic(&other.to_bytes().unwrap_or_default())
        }
        other => other.to_string(),
    }
}

/// RFC 3597 section 5.
fn generic(octets: &[u8]) -> String {
    let hex = data_encoding::HEXLOWER.encode(octets);
    format!("\\# {}{}{hex}", octets.len(), if hex.is_empty() { "" } else { " " })
}

/// RFC 1035 section 5.1.
fn quoted(string: &[u8]) -> String {
    let mut out = String::from("\"");
    for octet in string {
        match octet {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(*octet));
            }
            0x20..=0x7e => out.push(char::from(*octet)),
            other => {
                let _ = write!(out, "\\{other:03}");
            }
        }
    }
    out.push('"');
    out
}

fn flags(message: &Message) -> Vec<&'static str> {
    let meta = &message.metadata;
    let response = meta.message_type == hickory_proto::op::MessageType::Response;
    let all = [
        (response, "qr"),
        (meta.authoritative, "aa"),
        (meta.truncation, "tc"),
        (meta.recursion_desired, "rd"),
        (meta.recursion_available, "ra"),
        (meta.authentic_data, "ad"),
        (meta.checking_disabled, "cd"),
    ];
    all.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect()
}

fn opcode(message: &Message) -> String {
    format!("{:?}", message.metadata.op_code).to_ascii_uppercase()
}

/// Names as dig has them (RFC 6895 section 2.3).
fn status(code: ResponseCode) -> String {
    match code {
        ResponseCode::Unknown(number) => format!("RCODE{number}"),
        known => format!("{known:?}").to_ascii_uppercase(),
    }
}

fn type_text(rtype: RecordType) -> String {
    match rtype {
        RecordType::Unknown(number) => format!("TYPE{number}"),
        known => known.to_string(),
    }
}

fn extended_errors(message: &Message) -> Vec<(u16, &'static str, String)> {
    let Some(edns) = &message.edns else { return Vec::new() };
    let options = edns.options().as_ref().iter();
    options
        .filter_map(|(code, option)| match (code, option) {
            (EdnsCode::Unknown(15), EdnsOption::Unknown(_, octets)) => {
                octets.split_first_chunk::<2>()
            }
            _ => None,
        })
        .map(|(code, text)| {
            let code = u16::from_be_bytes(*code);
            let name = EXTENDED_ERRORS.iter().find(|(known, _)| *known == code);
            // Text from the network: what a terminal would obey is left out.
            let text: String =
                String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).collect();
            (code, name.map_or("?", |(_, name)| name), text)
        })
        .collect()
}
