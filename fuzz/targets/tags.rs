//! Any tags of a registration with Consul are read within bounds, and none is lost: each is told by go-micro, or stays as
//! it is.
//!
//! An input is the tags, each on a line of its own.

#![cfg_attr(not(test), no_main)]

use rollcall::compat::consul::Tags;

/// What all tags together may be when they are decompressed.
const TEXT_OCTETS_MAX: usize = 64 * 1024;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let tags = Tags::read(text.lines());
    let told = tags.metadata.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>()
        + tags.version.as_ref().map_or(0, String::len);
    assert!(told <= TEXT_OCTETS_MAX + text.len(), "{told} octets out of {}", text.len());
    assert!(tags.version.as_deref() != Some(""));

    let mut left = text.lines();
    for other in &tags.others {
        assert!(left.any(|tag| tag == other), "{other:?} is no tag, or out of its place");
    }
    for tag in text.lines().filter(|tag| !tag.starts_with(['e', 't', 'v'])) {
        assert!(tags.others.iter().any(|other| other == tag), "{tag:?} is lost");
    }
});
