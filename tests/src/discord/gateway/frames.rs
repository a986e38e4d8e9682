//! Frames as they go over the wire: plain, each a compressed blob of its own, or parts of one compressed stream.

use axum::extract::ws::Message;
use flate2::{Compress, Compression, FlushCompress, write::ZlibEncoder};
use std::io::Write as _;

/// How frames are packed.
pub(super) enum Packing {
    /// Text.
    Plain,
    /// Each frame alone: asked for in IDENTIFY.
    Payload,
    /// One stream for the connection: asked for in the address.
    Stream(Box<Compress>),
}

impl Packing {
    pub fn stream() -> Packing {
        Packing::Stream(Box::new(Compress::new(Compression::default(), true)))
    }

    pub fn pack(&mut self, text: String) -> Message {
        match self {
            Packing::Plain => Message::Text(text.into()),
            Packing::Payload => Message::Binary(whole(text.as_bytes()).into()),
            Packing::Stream(stream) => Message::Binary(part(stream, text.as_bytes()).into()),
        }
    }
}

/// Writing into memory does not fail.
fn whole(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(bytes);
    debug_assert!(written.is_ok());
    encoder.finish().unwrap_or_default()
}

/// What the stream makes of these bytes, flushed so that the other side can read all of them (ends in 00 00 FF FF).
fn part(stream: &mut Compress, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 64);
    let begun = stream.total_in();
    loop {
        let done = usize::try_from(stream.total_in() - begun).unwrap_or(bytes.len());
        let room = out.capacity() - out.len();
        let status = stream.compress_vec(&bytes[done..], &mut out, FlushCompress::Sync);
        debug_assert!(status.is_ok());
        let all_in = stream.total_in() - begun == bytes.len() as u64;
        // Room left over means that the flush is complete.
        if all_in && out.len() < out.capacity() && room > 0 {
            return out;
        }
        out.reserve(1_024);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Decompress, FlushDecompress};

    #[test]
    fn a_stream_gives_back_every_frame_whatever_its_length() {
        let (mut packing, mut reader) = (Packing::stream(), Decompress::new(true));
        for length in [1, 10, 100, 1_000, 70_000, 5] {
            let text: String = (0..length).map(|at| char::from(b'a' + u8::try_from((at * at + at / 7) % 26).unwrap())).collect();
            let Message::Binary(bytes) = packing.pack(text.clone()) else { panic!("not binary") };
            assert!(bytes.ends_with(&[0, 0, 0xFF, 0xFF]), "{length}: {:?}", &bytes[bytes.len().saturating_sub(8)..]);
            let mut out = Vec::with_capacity(length + 100);
            reader.decompress_vec(&bytes, &mut out, FlushDecompress::Sync).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
