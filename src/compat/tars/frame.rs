//! Frames of Tars: four octets of length, big-endian, that count themselves, and a packet (TarsCloud/TarsCpp,
//! servant/libservant/AppProtocol.h).
//!
//! Knows nothing of what is in a packet.

use bytes::{Buf, Bytes, BytesMut};

/// The longest frame: a keep-alive has some 200 octets, and names, context and status leave room to grow.
pub const FRAME_OCTETS_MAX: usize = 64 * 1024;

/// Octets of the length.
const LENGTH_OCTETS: usize = size_of::<u32>();

/// A length that no frame has: what follows can't be told apart any more, and the connection has to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame has {LENGTH_OCTETS} to {FRAME_OCTETS_MAX} octets, not {0}")]
pub struct FrameLength(pub u32);

/// The packet of the first frame, taken out of what has been received; none until all of it is there.
///
/// The length is judged as soon as it is there, so that who reads a connection never keeps more than one frame and what
/// one read brings.
pub fn take_packet(received: &mut BytesMut) -> Result<Option<Bytes>, FrameLength> {
    let Some(length) = received.first_chunk().map(|length| u32::from_be_bytes(*length)) else {
        return Ok(None);
    };
    let octets = usize::try_from(length).map_err(|_| FrameLength(length))?;
    if !(LENGTH_OCTETS..=FRAME_OCTETS_MAX).contains(&octets) {
        return Err(FrameLength(length));
    }
    if received.len() < octets {
        return Ok(None);
    }
    let mut frame = received.split_to(octets).freeze();
    frame.advance(LENGTH_OCTETS);
    Ok(Some(frame))
}

/// The frame of a packet.
pub(super) fn frame(packet: &[u8]) -> Vec<u8> {
    let octets = u32::try_from(LENGTH_OCTETS + packet.len()).unwrap_or(u32::MAX);
    [&octets.to_be_bytes()[..], packet].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_as_they_become_whole() {
        let stream = [frame(b"one"), frame(b""), frame(b"three")].concat();
        for piece in 1..=stream.len() {
            let (mut received, mut packets) = (BytesMut::new(), Vec::new());
            for arrived in stream.chunks(piece) {
                received.extend_from_slice(arrived);
                while let Some(packet) = take_packet(&mut received).unwrap() {
                    packets.push(packet);
                }
            }
            assert_eq!(packets, ["one", "", "three"], "in pieces of {piece}");
            assert!(received.is_empty());
        }
    }

    #[test]
    fn a_length_that_no_frame_has_is_refused_at_once() {
        for length in [0, 3, FRAME_OCTETS_MAX as u32 + 1, u32::MAX] {
            let mut received = BytesMut::from(&length.to_be_bytes()[..]);
            assert_eq!(take_packet(&mut received), Err(FrameLength(length)));
        }
        let mut longest = BytesMut::from(&frame(&vec![0; FRAME_OCTETS_MAX - 4])[..]);
        assert_eq!(take_packet(&mut longest).unwrap().map(|packet| packet.len()), Some(65_532));
        assert_eq!(
            FrameLength(0x4745_5420).to_string(),
            "a frame has 4 to 65536 octets, not 1195725856"
        );
    }
}
