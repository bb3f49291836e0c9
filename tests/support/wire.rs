//! Queries in octets, also such as no client library would write.

/// What a query says beside its question.
pub(crate) struct Query {
    flags: u16,
    pub(crate) edns: bool,
    pub(crate) bufsize: u16,
    version: u8,
    edns_flags: u16,
    twice: bool,
    options: Vec<u8>,
}

impl Default for Query {
    /// As dig asks.
    fn default() -> Self {
        Self {
            flags: 0x0100,
            edns: true,
            bufsize: 1232,
            version: 0,
            edns_flags: 0,
            twice: false,
            options: Vec::new(),
        }
    }
}

impl Query {
    /// Takes one flag, without its plus.
    pub(crate) fn flag(&mut self, flag: &str) -> Result<(), String> {
        let (key, value) = flag.split_once('=').unwrap_or((flag, ""));
        let number = || value.parse::<u16>().map_err(|_| format!("{flag}: no number"));
        match key {
            "noedns" => self.edns = false,
            "bufsize" => self.bufsize = number()?,
            "edns" => self.version = number()?.try_into().map_err(|_| "no version")?,
            "ednsopt" => {
                let (code, hex) = value.split_once(':').ok_or("no option")?;
                let data = unhex(hex)?;
                let code: u16 = code.parse().map_err(|_| "no option code")?;
                self.options.extend_from_slice(&code.to_be_bytes());
                self.options.extend_from_slice(&(data.len() as u16).to_be_bytes());
                self.options.extend_from_slice(&data);
            }
            "twoopts" => self.twice = true,
            "do" => self.edns_flags |= 0x8000,
            "ednsflags" => {
                let hex = u16::from_str_radix(value, 16);
                self.edns_flags |= hex.map_err(|_| format!("{flag}: no flags"))?;
            }
            "opcode" => self.flags |= (number()? & 15) << 11,
            "norec" => self.flags &= !0x0100,
            "qr" => self.flags |= 0x8000,
            "aa" => self.flags |= 0x0400,
            "tc" => self.flags |= 0x0200,
            "ra" => self.flags |= 0x0080,
            "z" => self.flags |= 0x0040,
            "ad" => self.flags |= 0x0020,
            "cd" => self.flags |= 0x0010,
            _ => return Err(format!("no flag +{flag}")),
        }
        Ok(())
    }

    /// Whether DO is set.
    pub(crate) fn dnssec_ok(&self) -> bool {
        self.edns_flags & 0x8000 != 0
    }

    /// The message.
    pub(crate) fn octets(&self, name: &str, rtype: &str, class: &str) -> Result<Vec<u8>, String> {
        let opts = if self.edns { 1 + u8::from(self.twice) } else { 0 };
        let mut octets = vec![0x12, 0x34];
        octets.extend_from_slice(&self.flags.to_be_bytes());
        octets.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, opts]);
        octets.extend_from_slice(&name_octets(name)?);
        octets.extend_from_slice(&type_number(rtype)?.to_be_bytes());
        octets.extend_from_slice(&class_number(class)?.to_be_bytes());
        for _ in 0..opts {
            octets.extend_from_slice(&[0, 0, 41]);
            octets.extend_from_slice(&self.bufsize.to_be_bytes());
            octets.extend_from_slice(&[0, self.version]);
            octets.extend_from_slice(&self.edns_flags.to_be_bytes());
            octets.extend_from_slice(&(self.options.len() as u16).to_be_bytes());
            octets.extend_from_slice(&self.options);
        }
        Ok(octets)
    }
}

/// A name in wire form; `\.` and `\DDD` as in zone files.
fn name_octets(name: &str) -> Result<Vec<u8>, String> {
    let (mut octets, mut label) = (Vec::new(), Vec::new());
    let mut rest = name.bytes();
    while let Some(octet) = rest.next() {
        match octet {
            b'.' => end_label(&mut octets, &mut label),
            b'\\' => match rest.next().ok_or("nothing escaped")? {
                digit @ b'0'..=b'9' => {
                    let digits = [digit, rest.next().unwrap_or(0), rest.next().unwrap_or(0)];
                    let text = String::from_utf8_lossy(&digits).into_owned();
                    label.push(text.parse().map_err(|_| format!("\\{text}: no escape"))?);
                }
                other => label.push(other),
            },
            other => label.push(other),
        }
    }
    end_label(&mut octets, &mut label);
    octets.push(0);
    Ok(octets)
}

fn end_label(octets: &mut Vec<u8>, label: &mut Vec<u8>) {
    if !label.is_empty() {
        octets.push(label.len() as u8);
        octets.append(label);
    }
}

fn type_number(text: &str) -> Result<u16, String> {
    let known = [
        ("A", 1),
        ("NS", 2),
        ("CNAME", 5),
        ("SOA", 6),
        ("PTR", 12),
        ("MX", 15),
        ("TXT", 16),
        ("AAAA", 28),
        ("SRV", 33),
        ("OPT", 41),
        ("HTTPS", 65),
        ("IXFR", 251),
        ("AXFR", 252),
        ("ANY", 255),
    ];
    numbered(text, "TYPE", &known)
}

fn class_number(text: &str) -> Result<u16, String> {
    numbered(text, "CLASS", &[("IN", 1), ("CH", 3), ("HS", 4), ("NONE", 254), ("ANY", 255)])
}

fn numbered(text: &str, prefix: &str, known: &[(&str, u16)]) -> Result<u16, String> {
    let named = known.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    let generic = || text.strip_prefix(prefix).and_then(|number| number.parse().ok());
    named.or_else(generic).ok_or_else(|| format!("{text}: unknown"))
}

/// Octets from hex digits.
pub(crate) fn unhex(text: &str) -> Result<Vec<u8>, String> {
    data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|error| error.to_string())
}
