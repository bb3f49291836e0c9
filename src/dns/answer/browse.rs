//! Writes the records by which instances are browsed and described (RFC 6763).
//!
//! Knows nothing of how they are found.

use super::records::Written;
use super::reply::{Full, Reply, Section};
use crate::zone::{Details, Node, Zone};

const TYPE_PTR: u16 = 12;
const TYPE_TXT: u16 = 16;

/// Writes PTR records: the instances of a service, or the services of an app. Their data end with the name asked, or
/// with the app's part of it, and so with a pointer (RFC 1035 section 3.3.12 lets them).
#[cold]
pub(super) fn pointers(
    reply: &mut Reply<'_>,
    zone: &Zone,
    node: Node<'_>,
    seed: u64,
) -> Option<Written> {
    let owner = reply.owner();
    let mut complete = true;
    let mut write = |reply: &mut Reply<'_>, data: &[&[u8]]| {
        match reply.record(Section::Answer, owner, TYPE_PTR, zone.ttl_secs, data) {
            Ok(_) => {}
            Err(Full) => complete = false,
        }
        // As with SRV records: while there is none yet, a shorter one may fit.
        complete || reply.is_empty()
    };
    if let Some(instances) = node.instances() {
        let asked = pointer(owner)?;
        let block = node.block();
        instances.visit(seed, |member| match block.label(member) {
            Some(label) => write(reply, &[label, &asked]),
            None => true,
        });
    } else {
        let app = pointer(owner + Node::types_octets())?;
        let types = node.types()?;
        types
            .take_while(|(transport, protocol)| write(reply, &[protocol, transport, &app]))
            .count();
    }
    Some(if complete { Written::All } else { Written::Some })
}

/// Writes what an instance says of itself.
#[cold]
pub(super) fn details(reply: &mut Reply<'_>, zone: &Zone, node: Node<'_>) -> Option<Written> {
    let written = match node.details()? {
        Details::Record(record) => reply.ready(Section::Answer, record),
        Details::Nothing(data) => {
            reply.record(Section::Answer, reply.owner(), TYPE_TXT, zone.ttl_secs, &[data])
        }
    };
    Some(if written.is_ok() { Written::All } else { Written::Some })
}

/// A pointer to a name of the question, or of an alias in front of all other records: within reach.
fn pointer(place: usize) -> Option<[u8; 2]> {
    let place = u16::try_from(place).ok().filter(|place| *place < 0x4000)?;
    Some((0xc000 | place).to_be_bytes())
}
