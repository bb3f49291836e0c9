//! Tags in which go-micro tells Consul what Consul has no field for (micro/go-micro @v1.13.0, registry/consul/encoding.go).
//!
//! ```text
//! v-789c...  v=1.4.2              the version                      -  hex of zlib of the text
//! t-789c...  t={"region":"a"}     one or more pairs of metadata    =  the text as it is, which came first
//! e-789c...  e={"name":...}       an endpoint
//! ```
//!
//! A client that writes both forms says all twice; of each kind the form that comes first is taken. What looks like such a
//! tag and can't be read as one, as `e-commerce` or `t-shirts`, is a tag that somebody chose. Endpoints are methods of one
//! and the same port, of which DNS can tell nothing: they are known and left out.
//!
//! Knows nothing of what tags become.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER_PERMISSIVE;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use serde::de::IgnoredAny;

/// Octets that all tags of a registration together may have when they are decompressed. What they tell ends in a TXT
/// record, and some 50 octets in a body can be 50,000 here.
const TEXT_OCTETS_MAX: usize = 64 * 1024;

/// What the tags of a registration tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// The version that go-micro told.
    pub version: Option<String>,
    /// The metadata that it told.
    pub metadata: BTreeMap<String, String>,
    /// Tags that are not go-micro's, in their order.
    pub others: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Compressed,
}

impl Tags {
    /// Reads the tags of a registration, in their order.
    pub fn read<'a>(tags: impl IntoIterator<Item = &'a str>) -> Self {
        let mut told = Self::default();
        let mut left = TEXT_OCTETS_MAX;
        let (mut version, mut metadata_form) = (None, None);
        for tag in tags {
            let (kind, form, payload) = match tag.split_at_checked(2) {
                Some((kind, payload)) if kind.ends_with('=') => (kind, Form::Plain, payload),
                Some((kind, payload)) if kind.ends_with('-') => (kind, Form::Compressed, payload),
                _ => ("", Form::Plain, tag),
            };
            let read = match kind.as_bytes().first() {
                Some(b'v') => text(form, payload, &mut left).map(|text| {
                    version.get_or_insert(text);
                }),
                Some(b't') => metadata(form, payload, &mut left).map(|pairs| {
                    if *metadata_form.get_or_insert(form) == form {
                        told.metadata.extend(pairs);
                    }
                }),
                Some(b'e') => is_endpoint(form, payload).then_some(()),
                _ => None,
            };
            if read.is_none() {
                told.others.push(tag.to_owned());
            }
        }
        told.version = version.filter(|version| !version.is_empty());
        told
    }
}

fn metadata(form: Form, payload: &str, left: &mut usize) -> Option<BTreeMap<String, String>> {
    serde_json::from_str(&text(form, payload, left)?).ok()
}

/// The text of a payload, as long as all that is decompressed stays within what is left.
fn text(form: Form, payload: &str, left: &mut usize) -> Option<String> {
    match form {
        Form::Plain => Some(payload.to_owned()),
        Form::Compressed => {
            let compressed = HEXLOWER_PERMISSIVE.decode(payload.as_bytes()).ok()?;
            let text = decompress_to_vec_zlib_with_limit(&compressed, *left);
            // What was in vain was work, too.
            let octets = text.as_ref().map_or_else(|failed| failed.output.len(), Vec::len);
            *left = left.saturating_sub(octets);
            String::from_utf8(text.ok()?).ok()
        }
    }
}

/// Whether it is an endpoint. Nothing of one is used: that a payload begins as zlib does is proof enough, where all of
/// them decompressed could be most of the work.
fn is_endpoint(form: Form, payload: &str) -> bool {
    match form {
        Form::Plain => serde_json::from_str::<BTreeMap<String, IgnoredAny>>(payload).is_ok(),
        Form::Compressed => {
            HEXLOWER_PERMISSIVE.decode(payload.as_bytes()).is_ok_and(|octets| begins_zlib(&octets))
        }
    }
}

/// Deflate in its first octet, and a check in the second (RFC 1950 section 2.2).
fn begins_zlib(octets: &[u8]) -> bool {
    const DEFLATE: u8 = 8;
    match octets {
        [method, flags, ..] => {
            method & 0x0f == DEFLATE && u16::from_be_bytes([*method, *flags]) % 31 == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use miniz_oxide::deflate::compress_to_vec_zlib;

    use super::*;

    const VERSION: &str = "v-789c32d433d13302040000ffff02dc00f4";
    const METADATA: &str = "t-789caa562a28ca2fc94fcecf51b2524a2f2a4856aa05040000ffff468306d9";
    const ENDPOINT: &str = "e-789c34c7b10d84300c05d05d7e7dba01bc00ac61894fe538603b5594dd1105e5\
        9b706d84600bb218ff9d661d3f04efc12c880fb39779754f7e6e2c3db414329115d406c1a996c45a4f000000ff\
        fff4b91dca";

    /// What tags tell: version, metadata, and the others behind a bar.
    fn told(tags: &[&str]) -> String {
        let Tags { version, metadata, others } = Tags::read(tags.iter().copied());
        let pairs = metadata.iter().map(|(key, value)| format!("{key}={value}"));
        let told: Vec<String> = version.into_iter().chain(pairs).collect();
        format!("{}|{}", told.join(" "), others.join(" "))
    }

    fn compressed(kind: &str, text: &str) -> String {
        format!("{kind}-{}", HEXLOWER_PERMISSIVE.encode(&compress_to_vec_zlib(text.as_bytes(), 9)))
    }

    #[test]
    fn tags_that_go_micro_wrote_are_read() {
        for (tags, is) in [
            (&[][..], "|"),
            (&[METADATA, VERSION, ENDPOINT][..], "1.4.2 protocol=grpc|"),
            (&["v-789c32d433d03300040000ffff02ce00ee"], "1.0.0|"),
            (&["v-789cca492c492d2e01040000ffff08cc028e"], "latest|"),
            (&["v-789C32D433D13302040000FFFF02DC00F4"], "1.4.2|"),
            (
                &["v=1.0", "t={\"a\":\"b\",\"c\":\"d\"}", "e={\"name\":\"Say.Hello\"}"],
                "1.0 a=b c=d|",
            ),
            (&["t={\"a\":\"1\"}", "t={\"a\":\"2\"}"], "a=2|"),
            (&["v=", "v=2"], "|"),
        ] {
            assert_eq!(told(tags), is, "{tags:?}");
        }
        let own = compressed("t", "{\"region\":\"eu\"}");
        assert_eq!(told(&[&own, METADATA]), "protocol=grpc region=eu|");
    }

    #[test]
    fn of_each_kind_the_form_that_comes_first_is_taken() {
        let plain = "t={\"protocol\":\"mucp\",\"old\":\"yes\"}";
        assert_eq!(told(&[plain, METADATA]), "old=yes protocol=mucp|");
        assert_eq!(told(&[METADATA, plain]), "protocol=grpc|");
        assert_eq!(told(&["v=1.0", VERSION, METADATA]), "1.0 protocol=grpc|");
        assert_eq!(told(&[VERSION, "v=1.0", plain]), "1.4.2 old=yes protocol=mucp|");
        assert_eq!(told(&[VERSION, "v-789c32d433d03300040000ffff02ce00ee"]), "1.4.2|");
    }

    #[test]
    fn tags_that_somebody_chose_are_left_alone() {
        for tag in [
            "",
            "v",
            "v1",
            "v-1",
            "v-next",
            "tcp",
            "t-shirts",
            "t-dead",
            "t=shirts",
            "t={\"a\":1}",
            "t=[]",
            "e-commerce",
            "e-dead",
            "e-78",
            "e=mc2",
            "é-x",
            "primary",
            "x=y",
            // Cut off, of a wrong checksum, and no UTF-8.
            "v-789c32d433d13302040000ff",
            "v-789c32d433d13302040000ffff02dc00f5",
            "v-78dafbff0f0002fe01fe",
        ] {
            assert_eq!(told(&[tag, METADATA]), format!("protocol=grpc|{tag}"), "{tag}");
        }
    }

    #[test]
    fn what_is_decompressed_is_bounded_over_all_tags() {
        let big = |octets| compressed("v", &"x".repeat(octets));
        let (most, more, bomb) =
            (big(TEXT_OCTETS_MAX), big(TEXT_OCTETS_MAX + 1), big(100 * TEXT_OCTETS_MAX));
        let read = |tags: &[&str]| {
            let told = Tags::read(tags.iter().copied());
            (told.version.map(|version| version.len()), told.others.len())
        };
        assert_eq!(read(&[&most]), (Some(TEXT_OCTETS_MAX), 0));
        assert_eq!(read(&[&more]), (None, 1));
        assert_eq!(read(&[&bomb]), (None, 1));
        // Nothing is left for the second, nor behind a bomb.
        assert_eq!(read(&[&most, METADATA]), (Some(TEXT_OCTETS_MAX), 1));
        assert_eq!(read(&[&bomb, VERSION]), (None, 2));
    }
}
