//! `query` against a scripted DNS server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::thread;

use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::rdata::{A, NULL, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use serde_json::{Value, json};

use crate::fake::Reserved;
use crate::process::run;

type Script = fn(&Message, &mut Message, bool);

/// A DNS server over UDP and TCP on one port; the script fills the reply, given whether it goes over TCP.
fn dns(script: Script) -> SocketAddr {
    let (udp, tcp) = pair();
    let address = udp.local_addr().unwrap();
    let reply = move |octets: &[u8], tcp: bool| {
        let question = Message::from_vec(octets).unwrap();
        let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
        reply.metadata.recursion_desired = question.metadata.recursion_desired;
        reply.metadata.authoritative = true;
        reply.queries.clone_from(&question.queries);
        script(&question, &mut reply, tcp);
        reply.to_vec().unwrap()
    };
    thread::spawn(move || {
        let mut octets = [0; 4_096];
        while let Ok((len, from)) = udp.recv_from(&mut octets) {
            udp.send_to(&reply(&octets[..len], false), from).unwrap();
        }
    });
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = stream.unwrap();
            let mut len = [0; 2];
            stream.read_exact(&mut len).unwrap();
            let mut octets = vec![0; usize::from(u16::from_be_bytes(len))];
            stream.read_exact(&mut octets).unwrap();
            let reply = reply(&octets, true);
            stream.write_all(&u16::try_from(reply.len()).unwrap().to_be_bytes()).unwrap();
            stream.write_all(&reply).unwrap();
        }
    });
    address
}

/// A free port of both kinds; the kernel may give one whose twin is taken, so a few are tried.
fn pair() -> (UdpSocket, TcpListener) {
    (0..20)
        .find_map(|_| {
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            Some((UdpSocket::bind(tcp.local_addr().unwrap()).ok()?, tcp))
        })
        .unwrap()
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn greeter(question: &Message, reply: &mut Message, _: bool) {
    assert!(question.metadata.recursion_desired);
    assert_eq!(question.edns.as_ref().unwrap().max_payload(), 1232);
    let asked = &question.queries[0];
    let target = name("i-1.greeter.svc.");
    let row = |data| Record::from_rdata(asked.name.clone(), 5, data);
    match asked.query_type {
        RecordType::SRV => {
            reply.add_answer(row(RData::SRV(SRV::new(10, 100, 9000, target.clone()))));
            reply.add_additional(Record::from_rdata(target, 5, RData::A(A::new(10, 0, 0, 7))));
        }
        RecordType::A => {
            reply.add_answer(row(RData::A(A::new(10, 0, 0, 7))));
        }
        RecordType::TXT => {
            reply.add_answer(row(RData::TXT(TXT::from_bytes(vec![b"a=\"b\"", b"\x01\xff c\\"]))));
        }
        _ => {
            let rdata = NULL::with(vec![0xde, 0xad]);
            reply.add_answer(row(RData::Unknown { code: asked.query_type, rdata }));
        }
    }
    reply.set_edns(Edns::new());
}

/// The output without what differs from run to run: the query's id, the port, the time.
fn steady(out: &str) -> String {
    let lines = out.lines().map(|line| match line {
        line if line.starts_with(";; ->>HEADER") => line.split(", id: ").next().unwrap().to_owned(),
        line if line.starts_with(";; SERVER: 127.0.0.1:") => {
            let transport = line.split(['(', ')']).nth(1).unwrap();
            format!(";; SERVER ({transport})")
        }
        line => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn sections_are_printed_in_zone_file_form() {
    let server = dns(greeter).to_string();
    let ended = run(&["query", "_nova._tcp.Greeter.svc", "--dns", &server]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let expected = "\
;; ->>HEADER<<- opcode: QUERY, status: NOERROR
;; flags: qr aa rd; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 2
; EDNS: version: 0, udp: 512

;; QUESTION SECTION:
;_nova._tcp.Greeter.svc. IN SRV

;; ANSWER SECTION:
_nova._tcp.Greeter.svc. 5 IN SRV 10 100 9000 i-1.greeter.svc.

;; ADDITIONAL SECTION:
i-1.greeter.svc.        5 IN A 10.0.0.7

;; SERVER (UDP)";
    assert_eq!(steady(&ended.out), expected);
}

#[test]
fn short_prints_the_data_alone() {
    let server = dns(greeter).to_string();
    let short = |args: &[&str]| run(&[&["query", "--short", "--dns", &server], args].concat()).out;
    assert_eq!(short(&["greeter.svc"]), "10.0.0.7\n");
    assert_eq!(short(&["_nova._tcp.greeter.svc."]), "10 100 9000 i-1.greeter.svc.\n");
    assert_eq!(short(&["greeter.svc", "txt"]), "\"a=\\\"b\\\"\" \"\\001\\255 c\\\\\"\n");
    assert_eq!(short(&["greeter.svc", "TYPE65280"]), "\\# 2 dead\n");
}

#[test]
fn json_holds_every_section() {
    let server = dns(greeter).to_string();
    let ended = run(&["query", "_nova._tcp.greeter.svc", "srv", "--json", "--dns", &server]);
    let expected = json!({
        "server": server, "transport": "udp", "status": "NOERROR", "flags": ["qr", "aa", "rd"],
        "question": [{ "name": "_nova._tcp.greeter.svc.", "type": "SRV" }],
        "answer": [{ "name": "_nova._tcp.greeter.svc.", "ttl": 5, "type": "SRV",
                     "data": "10 100 9000 i-1.greeter.svc." }],
        "authority": [],
        "additional": [{ "name": "i-1.greeter.svc.", "ttl": 5, "type": "A", "data": "10.0.0.7" }],
        "errors": [],
    });
    assert_eq!(serde_json::from_str::<Value>(&ended.out).unwrap(), expected);
}

#[test]
fn what_does_not_fit_is_asked_for_over_tcp() {
    let server = dns(|question, reply, tcp| {
        reply.metadata.truncation = !tcp;
        if tcp {
            greeter(question, reply, tcp);
        }
    });
    let server = server.to_string();
    let ended = run(&["query", "greeter.svc", "--dns", &server]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(steady(&ended.out).ends_with(";; SERVER (TCP)"), "{}", ended.out);
}

#[test]
fn tcp_can_be_asked_for() {
    let server = dns(|question, reply, tcp| {
        assert!(tcp);
        greeter(question, reply, tcp);
    });
    let ended = run(&["query", "greeter.svc", "--tcp", "--short", "--dns", &server.to_string()]);
    assert_eq!((ended.out.as_str(), ended.code), ("10.0.0.7\n", 0), "{}", ended.err);
}

#[test]
fn exit_codes_tell_none_from_not_now() {
    let code = |script: Script| {
        let ended = run(&["query", "greeter.svc", "--dns", &dns(script).to_string()]);
        (ended.code, ended.out)
    };
    let (none, out) = code(|_, reply, _| reply.metadata.response_code = ResponseCode::NXDomain);
    assert!(none == 1 && out.contains("status: NXDOMAIN"), "{none} {out}");
    assert_eq!(code(|_, _, _| {}).0, 1);
    let (refused, out) = code(|_, reply, _| reply.metadata.response_code = ResponseCode::Refused);
    assert!(refused == 1 && out.contains("status: REFUSED"), "{refused} {out}");
    let (not_now, out) = code(|_, reply, _| {
        reply.metadata.response_code = ResponseCode::ServFail;
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::Unknown(15, b"\0\x0ethe registry is away".to_vec()));
        reply.set_edns(edns);
    });
    assert!(not_now == 3 && out.contains("status: SERVFAIL"), "{not_now} {out}");
    assert!(out.contains("; EDE: 14 (Not Ready): the registry is away\n"), "{out}");
}

#[test]
fn a_server_that_is_not_there_is_exit_code_3() {
    let place = Reserved::new();
    let server = place.address().to_string();
    for tcp in [&[][..], &["--tcp"]] {
        let ended = run(&[&["query", "greeter.svc", "--dns", &server], tcp].concat());
        let line = format!(
            "rollcall: cannot reach the DNS server at {server}: connection refused: is the server running? \
             (rollcall serve, or set --dns / ROLLCALL_DNS)\n"
        );
        assert_eq!((ended.err, ended.code), (line, 3));
    }
    // A label of 64 octets can't be asked for: it has no address, and nothing is sent to learn that.
    let server = format!("{}:53", "n".repeat(64));
    let ended = run(&["query", "greeter.svc", "--dns", &server]);
    let begin = format!("rollcall: cannot reach the DNS server at {server}: ");
    assert!(ended.err.starts_with(&begin) && ended.code == 3, "{ended:?}");
}
