//! Any octets on a connection of Tars, in any pieces: the same packets come out of them, each is a request or says why not,
//! and every reply is a whole frame for that request.
//!
//! An input is one octet that says how long the pieces are, one of what becomes of requests, and then what is sent.

#![cfg_attr(not(test), no_main)]

use bytes::{Bytes, BytesMut};
use rollcall::compat::tars::{Call, FRAME_OCTETS_MAX, Outcome, Request, take_packet};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let [piece, outcome, stream @ ..] = input else { return };
    let packets = packets(stream, usize::from(*piece) + 1);
    assert_eq!(packets, self::packets(stream, stream.len().max(1)), "pieces differ from the whole");
    let outcome = match outcome % 3 {
        0 => Outcome::Returned(i64::from(*outcome) - 128),
        1 => Outcome::Undecodable,
        _ => Outcome::NoFunction,
    };
    for packet in packets {
        match Request::parse(&packet) {
            Ok(request) => {
                match request.call() {
                    Ok(Call::KeepAlive(info) | Call::KeepActiving(info)) => {
                        assert_ne!(info.adapter.as_deref(), Some(""));
                    }
                    Ok(_) => {}
                    Err(reason) => assert!(is_line(&reason), "reason {reason:?}"),
                }
                if let Some(reply) = request.reply(outcome) {
                    // What it repeats of the request, and not much more.
                    assert!(reply.len() <= packet.len() + 100, "{} octets", reply.len());
                    let replies = self::packets(&reply, reply.len());
                    assert_eq!(replies.len(), 1);
                    assert_eq!(replies[0].len() + 4, reply.len());
                }
            }
            Err(reason) => assert!(is_line(&reason), "reason {reason:?}"),
        }
    }
});

/// The packets of a stream that arrives in pieces, up to one that can't be any.
fn packets(stream: &[u8], piece: usize) -> Vec<Bytes> {
    let (mut received, mut packets) = (BytesMut::new(), Vec::new());
    for arrived in stream.chunks(piece) {
        received.extend_from_slice(arrived);
        loop {
            match take_packet(&mut received) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(_) => return packets,
            }
        }
        assert!(received.len() <= FRAME_OCTETS_MAX, "{} octets are kept", received.len());
    }
    packets
}

fn is_line(reason: &str) -> bool {
    !reason.is_empty() && !reason.contains('\n')
}
