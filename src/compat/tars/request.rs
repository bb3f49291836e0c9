//! Requests of Tars servers to their node, and the replies (TarsCloud/TarsCpp, servant/tup/RequestF.tars and
//! servant/libservant/Current.cpp; TarsCloud/TarsProtocol, servant/NodeF.tars).
//!
//! The packet is one structure, and its buffer has the arguments. How, depends on the version: in 1, which generated
//! clients of all languages speak, they are fields with tags from 1; in 3 (TUP), which PHP speaks, a map of their names to
//! the octets of a field with tag 0. Replies are alike, with the returned value as tag 0 or under the empty name; that
//! of version 3 is once more a request packet. Version 2, which wrote the types of arguments too, is refused.
//!
//! Knows nothing of what a keep-alive means for an instance.

use super::encoding::{Fields, Value, Writer};
use super::frame::frame;

/// One request. Its texts are what arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    version: Version,
    /// Whether the client waits for a reply.
    answered: bool,
    message_type: i64,
    id: i64,
    servant: &'a [u8],
    function: &'a [u8],
    arguments: Fields<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Tars,
    Tup,
}

/// What a server says to its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// It lives.
    KeepAlive(ServerInfo),
    /// It is starting, and does not serve yet.
    KeepActiving(ServerInfo),
    /// Which version of Tars it was built with.
    ReportVersion,
    /// When did it last say that it lives? The answer is a time in seconds since 1970.
    LatestKeepAliveTime,
    /// Is anybody there? Every servant of Tars answers that.
    Ping,
    /// Something that a node's servant for its servers does not have.
    Unknown,
}

/// Who speaks. It says nothing of where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    /// The group of servers that it belongs to.
    pub application: String,
    /// Its name within that group.
    pub server: String,
    /// Its process. A node refuses one that is not above 0.
    pub pid: i64,
    /// The adapter that this is about; none speaks for the whole server.
    pub adapter: Option<String>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, and the function returned that: 0 for success, -1 for a server that the node does not know.
    Returned(i64),
    /// Its arguments can't be read.
    Undecodable,
    /// There is no such function.
    NoFunction,
}

impl<'a> Request<'a> {
    /// Reads a packet. The error says what is wrong with it; its client can't be answered then.
    pub fn parse(packet: &'a [u8]) -> Result<Self, String> {
        let (mut version, mut packet_type, mut message_type, mut id) = (None, 0, 0, None);
        let (mut servant, mut function, mut buffer) = (&[][..], None, &[][..]);
        let mut fields = Fields::new(packet);
        while let Some((tag, value)) = fields.next()? {
            match tag {
                1 => version = Some(integer("iVersion", value)?),
                2 => packet_type = integer("cPacketType", value)?,
                3 => message_type = integer("iMessageType", value)?,
                4 => id = Some(integer("iRequestId", value)?),
                5 => servant = octets("sServantName", value)?,
                6 => function = Some(octets("sFuncName", value)?),
                7 => buffer = octets("sBuffer", value)?,
                // The client's patience, context and status, and what later versions may add.
                _ => {}
            }
        }
        Ok(Self {
            version: match version.ok_or("iVersion is missing")? {
                VERSION_TARS => Version::Tars,
                VERSION_TUP => Version::Tup,
                other => return Err(format!("iVersion must be 1 or 3, got {other}")),
            },
            answered: packet_type != ONE_WAY,
            message_type,
            id: id.ok_or("iRequestId is missing")?,
            servant,
            function: function.ok_or("sFuncName is missing")?,
            arguments: Fields::new(buffer),
        })
    }

    /// What is called. The error says what is wrong with the arguments.
    pub fn call(&self) -> Result<Call, String> {
        Ok(match self.function {
            b"keepAlive" => Call::KeepAlive(self.server_info()?),
            b"keepActiving" => Call::KeepActiving(self.server_info()?),
            b"reportVersion" => Call::ReportVersion,
            b"getLatestKeepAliveTime" => Call::LatestKeepAliveTime,
            b"tars_ping" => Call::Ping,
            _ => Call::Unknown,
        })
    }

    /// The frame that answers it; none where none is wanted.
    #[must_use]
    pub fn reply(&self, outcome: Outcome) -> Option<Vec<u8>> {
        let (code, returned) = match outcome {
            Outcome::Returned(returned) => (0, Some(returned)),
            Outcome::Undecodable => (CODE_UNDECODABLE, None),
            Outcome::NoFunction => (CODE_NO_FUNCTION, None),
        };
        self.answered.then(|| {
            frame(&match self.version {
                Version::Tars => self.tars_reply(code, returned),
                Version::Tup => self.tup_reply(code, returned),
            })
        })
    }

    fn server_info(&self) -> Result<ServerInfo, String> {
        let Some(Value::Struct(mut fields)) = self.argument("serverInfo", 1)? else {
            return Err("argument serverInfo is missing, or no structure".to_owned());
        };
        let (mut application, mut server, mut pid, mut adapter) = (None, None, None, None);
        while let Some((tag, value)) = fields.next()? {
            match tag {
                0 => application = Some(text("application", value)?),
                1 => server = Some(text("serverName", value)?),
                2 => pid = Some(integer("pid", value)?),
                3 => adapter = Some(text("adapter", value)?),
                _ => {}
            }
        }
        Ok(ServerInfo {
            application: application.ok_or("application is missing")?,
            server: server.ok_or("serverName is missing")?,
            pid: pid.ok_or("pid is missing")?,
            adapter: adapter.filter(|adapter| !adapter.is_empty()),
        })
    }

    fn argument(&self, name: &str, tag: u8) -> Result<Option<Value<'a>>, String> {
        match self.version {
            Version::Tars => self.arguments.find(tag),
            Version::Tup => match self.arguments.find(0)? {
                Some(Value::Map(named)) => match named.find_key(name)? {
                    Some(value) => Fields::new(octets(name, value)?).find(0),
                    None => Ok(None),
                },
                _ => Err("sBuffer holds no map of arguments".to_owned()),
            },
        }
    }

    /// A `ResponsePacket`.
    fn tars_reply(&self, code: i64, returned: Option<i64>) -> Vec<u8> {
        let mut packet = Writer::default();
        packet.integer(1, VERSION_TARS);
        packet.integer(2, 0);
        packet.integer(3, self.id);
        packet.integer(4, self.message_type);
        packet.integer(5, code);
        packet.octets(6, &returned.map(field).unwrap_or_default());
        packet.map(7, 0);
        packet.finish()
    }

    /// A `RequestPacket`, with the code in its status where it is not 0.
    fn tup_reply(&self, code: i64, returned: Option<i64>) -> Vec<u8> {
        let mut results = Writer::default();
        results.map(0, usize::from(returned.is_some()));
        if let Some(returned) = returned {
            results.text(0, b"");
            results.octets(1, &field(returned));
        }
        let mut packet = Writer::default();
        packet.integer(1, VERSION_TUP);
        packet.integer(2, 0);
        packet.integer(3, self.message_type);
        packet.integer(4, self.id);
        packet.text(5, self.servant);
        packet.text(6, self.function);
        packet.octets(7, &results.finish());
        packet.integer(8, 0);
        packet.map(9, 0);
        packet.map(10, usize::from(code != 0));
        if code != 0 {
            packet.text(0, b"STATUS_RESULT_CODE");
            packet.text(1, code.to_string().as_bytes());
        }
        packet.finish()
    }
}

/// A number as the only field, with tag 0.
fn field(number: i64) -> Vec<u8> {
    let mut field = Writer::default();
    field.integer(0, number);
    field.finish()
}

fn integer(name: &str, value: Value<'_>) -> Result<i64, String> {
    match value {
        Value::Integer(number) => Ok(number),
        _ => Err(format!("{name} must be an integer")),
    }
}

/// Octets, or a text, which is no more than they to C++.
fn octets<'a>(name: &str, value: Value<'a>) -> Result<&'a [u8], String> {
    match value {
        Value::Octets(octets) | Value::Text(octets) => Ok(octets),
        _ => Err(format!("{name} must be octets")),
    }
}

fn text(name: &str, value: Value<'_>) -> Result<String, String> {
    match value {
        Value::Text(text) => {
            std::str::from_utf8(text).map(str::to_owned).map_err(|_| format!("{name} is not UTF-8"))
        }
        _ => Err(format!("{name} must be a text")),
    }
}

// servant/libservant/BaseF.tars.
const VERSION_TARS: i64 = 1;
const VERSION_TUP: i64 = 3;
const ONE_WAY: i64 = 1;
const CODE_UNDECODABLE: i64 = -1;
const CODE_NO_FUNCTION: i64 = -3;

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::super::take_packet;
    use super::*;

    /// `keepAlive` as TarsPHP sends it (TarsPHP/tars-report, src/ServerFSync.php), put together by hand.
    const FROM_PHP: &[u8] = b"\x00\x00\x00\x8c\
        \x10\x03\x2c\x3c\x40\x01\
        \x56\x17tars.tarsnode.ServerObj\
        \x66\x09keepAlive\
        \x7d\x00\x00\x53\
            \x08\x00\x01\
            \x06\x0aserverInfo\
            \x1d\x00\x00\x40\x0a\
                \x06\x07TestApp\
                \x16\x0bHelloServer\
                \x21\x2f\x01\
                \x36\x23TestApp.HelloServer.HelloObjAdapter\
                \x0b\
        \x81\x07\xd0\x98\x0c\xa8\x0c";

    /// The same as generated C++ sends it, one way, of another adapter.
    const FROM_CPP: &[u8] = b"\x10\x01\x20\x01\x3c\x41\x01\x2c\
        \x56\x17tars.tarsnode.ServerObj\
        \x66\x0ckeepActiving\
        \x7d\x00\x00\x28\
            \x1a\
            \x06\x07TestApp\
            \x16\x0bHelloServer\
            \x20\x07\
            \x36\x0cAdminAdapter\
            \x0b\
        \x82\x00\x00\xea\x60\x98\x0c\xa8\x00\x01\x06\x01k\x16\x01v";

    fn packet(frame: &[u8]) -> Vec<u8> {
        take_packet(&mut BytesMut::from(frame)).unwrap().expect("a whole frame").to_vec()
    }

    /// A packet of that version with that function, and that as its buffer.
    fn request(version: i64, function: &str, buffer: &[u8]) -> Vec<u8> {
        let mut packet = Writer::default();
        packet.integer(1, version);
        packet.integer(4, 7);
        packet.text(6, function.as_bytes());
        packet.octets(7, buffer);
        packet.finish()
    }

    fn info(pid: i64, adapter: Option<&str>) -> ServerInfo {
        let (application, server) = ("TestApp".to_owned(), "HelloServer".to_owned());
        ServerInfo { application, server, pid, adapter: adapter.map(str::to_owned) }
    }

    #[test]
    fn a_keep_alive_is_read_as_php_sends_it() {
        let packet = packet(FROM_PHP);
        let request = Request::parse(&packet).unwrap();
        let adapter = Some("TestApp.HelloServer.HelloObjAdapter");
        assert_eq!(request.call(), Ok(Call::KeepAlive(info(12033, adapter))));
        assert_eq!(request.id, 1);
    }

    #[test]
    fn a_keep_alive_is_read_as_generated_clients_send_it() {
        let request = Request::parse(FROM_CPP).unwrap();
        assert_eq!(request.call(), Ok(Call::KeepActiving(info(7, Some("AdminAdapter")))));
        assert_eq!((request.id, request.answered), (300, false));
        assert_eq!(request.reply(Outcome::Returned(0)), None);
    }

    #[test]
    fn functions_are_told_apart_by_name() {
        for (function, call) in [
            ("reportVersion", Call::ReportVersion),
            ("getLatestKeepAliveTime", Call::LatestKeepAliveTime),
            ("tars_ping", Call::Ping),
            ("keepalive", Call::Unknown),
            ("", Call::Unknown),
        ] {
            let packet = request(1, function, &[]);
            assert_eq!(Request::parse(&packet).unwrap().call(), Ok(call), "{function}");
        }
    }

    #[test]
    fn the_adapter_may_be_missing_or_empty_and_what_is_not_known_is_passed_over() {
        let required = b"\x06\x07TestApp\x16\x0bHelloServer\x20\x07";
        for rest in [&b""[..], b"\x36\x00", b"\x46\x01x\xf8\xff\x0c", b"\x4a\x0c\x0b"] {
            let buffer = [b"\x1a", &required[..], rest, b"\x0b"].concat();
            let packet = request(1, "keepAlive", &buffer);
            let call = Request::parse(&packet).unwrap().call();
            assert_eq!(call, Ok(Call::KeepAlive(info(7, None))), "{rest:02x?}");
        }
    }

    #[test]
    fn packets_that_are_no_requests_say_why() {
        for (packet, why) in [
            (&b""[..], "iVersion is missing"),
            (b"\x10\x01", "iRequestId is missing"),
            (b"\x10\x01\x40\x01", "sFuncName is missing"),
            (b"\x10\x02\x40\x01\x66\x01f", "iVersion must be 1 or 3, got 2"),
            (b"\x16\x011", "iVersion must be an integer"),
            (b"\x6c", "sFuncName must be octets"),
            (b"\x10\x01\x40\x01\x66\x01f\x7d", "it ends within a field"),
        ] {
            assert_eq!(Request::parse(packet).unwrap_err(), why, "{packet:02x?}");
        }
    }

    #[test]
    fn arguments_that_cannot_be_read_say_why() {
        let tup = |name: &str, value: &[u8]| {
            let mut map = Writer::default();
            map.map(0, 1);
            map.text(0, name.as_bytes());
            map.octets(1, value);
            map.finish()
        };
        for (version, buffer, why) in [
            (1, Vec::new(), "argument serverInfo is missing, or no structure"),
            (1, b"\x16\x01x".to_vec(), "argument serverInfo is missing, or no structure"),
            (1, b"\x1a\x0b".to_vec(), "application is missing"),
            (1, b"\x1a\x06\x01a\x0b".to_vec(), "serverName is missing"),
            (1, b"\x1a\x06\x01a\x16\x01s\x0b".to_vec(), "pid is missing"),
            (1, b"\x1a\x06\x01\xff\x0b".to_vec(), "application is not UTF-8"),
            (1, b"\x1a\x0c\x0b".to_vec(), "application must be a text"),
            (1, b"\x1a\x26\x011\x0b".to_vec(), "pid must be an integer"),
            (1, b"\x1a\x0c".to_vec(), "it ends within a field"),
            (3, Vec::new(), "sBuffer holds no map of arguments"),
            (3, tup("info", b""), "argument serverInfo is missing, or no structure"),
            (3, tup("serverInfo", b""), "argument serverInfo is missing, or no structure"),
            (3, tup("serverInfo", b"\x0a"), "it ends within a field"),
            (3, b"\x08\x00\x01\x06\x0aserverInfo\x1c".to_vec(), "serverInfo must be octets"),
        ] {
            let packet = request(version, "keepAlive", &buffer);
            let call = Request::parse(&packet).unwrap().call();
            assert_eq!(call.unwrap_err(), why, "{buffer:02x?}");
        }
    }

    #[test]
    fn a_reply_of_version_1_is_a_response_packet() {
        let asked = request(1, "keepAlive", &[]);
        let asked = Request::parse(&asked).unwrap();
        for (outcome, reply) in [
            (
                Outcome::Returned(0),
                &b"\x00\x00\x00\x12\x10\x01\x2c\x30\x07\x4c\x5c\x6d\x00\x00\x01\x0c\x78\x0c"[..],
            ),
            (
                Outcome::Returned(-1),
                b"\x00\x00\x00\x13\x10\x01\x2c\x30\x07\x4c\x5c\x6d\x00\x00\x02\x00\xff\x78\x0c",
            ),
            (
                Outcome::NoFunction,
                b"\x00\x00\x00\x11\x10\x01\x2c\x30\x07\x4c\x50\xfd\x6d\x00\x0c\x78\x0c",
            ),
        ] {
            let written = asked.reply(outcome).unwrap();
            assert_eq!(written, reply, "{outcome:?}");
        }
    }

    #[test]
    fn a_reply_of_version_3_is_a_request_packet() {
        let asked = packet(FROM_PHP);
        let asked = Request::parse(&asked).unwrap();
        let result = |outcome| {
            let reply = packet(&asked.reply(outcome).unwrap());
            let reply = Request::parse(&reply).unwrap();
            assert_eq!((reply.version, reply.id, reply.servant), (asked.version, 1, asked.servant));
            assert_eq!(reply.function, asked.function);
            match reply.argument("", 0).unwrap() {
                Some(Value::Integer(returned)) => Some(returned),
                other => other.map(|other| panic!("returned {other:?}")),
            }
        };
        let time = 1_795_209_600;
        assert_eq!(result(Outcome::Returned(0)), Some(0));
        assert_eq!(result(Outcome::Returned(time)), Some(time));
        assert_eq!(result(Outcome::Undecodable), None);

        let reply = packet(&asked.reply(Outcome::Undecodable).unwrap());
        let Ok(Some(Value::Map(status))) = Fields::new(&reply).find(10) else {
            panic!("no status in {reply:02x?}")
        };
        assert_eq!(status.find_key("STATUS_RESULT_CODE"), Ok(Some(Value::Text(b"-1"))));
    }
}
