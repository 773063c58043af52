//! Mold: MoldUDP64, the framing of the market stream on UDP.
//!
//! ```text
//! 0   [u8; 10]  session: digits of the exchange's epoch, right-justified with spaces
//! 10  u64       sequence of the first message; of a heartbeat and of the end: of the next one there will be
//! 18  u16       count of messages; 0 heartbeat, 0xFFFF end of session; of a request: how many are wanted
//! 20  blocks    [length u16][bytes] each, `count` times
//! ```
//!
//! The integers here are big-endian, those in the messages are little-endian. A sender sends a message once and never
//! waits; whoever sees a sequence above the one it expects asks for what is between, by a datagram that is a header and
//! nothing else, and gets as much of it as one datagram holds.
//!
//! A datagram is one of these if and only if its blocks are as many as it counts and fill it to its last byte. This is
//! found out before the first message is handed out, so that nobody acts on half a datagram.

use super::reason::Reason;
use crate::schema::{Constant, constants};

constants! {
    /// Bytes of the header of a MoldUDP64 datagram; a request is a header and nothing else.
    pub const MOLD_HEADER_BYTES: u64 = 20;
    /// Bytes before each message of a datagram: its length.
    pub const MOLD_LENGTH_BYTES: u64 = 2;
    /// Count of a datagram that only says which sequence comes next.
    pub const MOLD_HEARTBEAT: u16 = 0;
    /// Count of a datagram that ends the session.
    pub const MOLD_END: u16 = 0xFFFF;
}

const HEADER: usize = MOLD_HEADER_BYTES as usize;
const LENGTH: usize = MOLD_LENGTH_BYTES as usize;

/// The session of an exchange of epoch `epoch`: the last ten digits, right-justified with spaces.
pub fn session(epoch: u64) -> [u8; 10] {
    let (mut digits, mut rest) = ([b' '; 10], epoch);
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    digits
}

/// The first 20 bytes of a datagram, and all of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// See [`session`].
    pub session: [u8; 10],
    /// Of the first message, or of the next one there will be.
    pub sequence: u64,
    /// Messages, `MOLD_HEARTBEAT` or `MOLD_END`; in a request, how many are wanted.
    pub count: u16,
}

impl Header {
    /// Bytes.
    pub const SIZE: usize = HEADER;

    /// The wire image.
    #[allow(clippy::big_endian_bytes, reason = "MoldUDP64 is big-endian")]
    pub fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..10].copy_from_slice(&self.session);
        bytes[10..18].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[18..].copy_from_slice(&self.count.to_be_bytes());
        bytes
    }

    /// What a wire image says.
    #[allow(clippy::big_endian_bytes, reason = "MoldUDP64 is big-endian")]
    pub fn decode(bytes: &[u8; HEADER]) -> Self {
        let (mut session, mut sequence, mut count) = ([0; 10], [0; 8], [0; 2]);
        session.copy_from_slice(&bytes[..10]);
        sequence.copy_from_slice(&bytes[10..18]);
        count.copy_from_slice(&bytes[18..]);
        Self { session, sequence: u64::from_be_bytes(sequence), count: u16::from_be_bytes(count) }
    }

    /// Whether a session ends with it.
    pub const fn is_end(&self) -> bool {
        self.count == MOLD_END
    }
}

/// A datagram that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Its header.
    pub header: Header,
    blocks: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// [`Reason::MALFORMED`]: its messages are not as many as it counts, or do not fill it.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Reason> {
        let (header, blocks) = bytes.split_first_chunk::<HEADER>().ok_or(Reason::MALFORMED)?;
        let header = Header::decode(header);
        let mut messages = Messages { blocks };
        let count = if header.is_end() { 0 } else { header.count };
        if (0..count).all(|_| messages.next().is_some()) && messages.blocks.is_empty() {
            Ok(Self { header, blocks })
        } else {
            Err(Reason::MALFORMED)
        }
    }

    /// Its messages; the first has the header's sequence.
    pub fn messages(&self) -> Messages<'a> {
        Messages { blocks: self.blocks }
    }
}

/// The messages of a datagram, in order.
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    blocks: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = &'a [u8];

    #[allow(clippy::big_endian_bytes, reason = "MoldUDP64 is big-endian")]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.blocks.split_first_chunk::<LENGTH>()?;
        let (message, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        self.blocks = rest;
        Some(message)
    }
}

/// Writes datagrams into one buffer, message by message.
#[derive(Debug)]
pub struct Writer<'a> {
    bytes: &'a mut [u8],
    used: usize,
    count: u16,
}

impl<'a> Writer<'a> {
    /// An empty datagram in `bytes`.
    ///
    /// # Panics
    /// When `bytes` has no room for a header.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self::resume(bytes, HEADER, 0)
    }

    /// Goes on with a datagram of `used` bytes and `count` messages that another writer began.
    ///
    /// # Panics
    /// When `bytes` has no room for them, or for a header.
    pub fn resume(bytes: &'a mut [u8], used: usize, count: u16) -> Self {
        assert!((HEADER..=bytes.len()).contains(&used), "room for a header and what follows it");
        Self { bytes, used, count }
    }

    /// Bytes until now.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Messages until now.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Whether a message of `length` bytes fits behind those that are there.
    #[inline(always)]
    pub fn has_room(&self, length: usize) -> bool {
        length <= u16::MAX.into() && self.count < MOLD_END - 1 && self.bytes.len() - self.used >= LENGTH + length
    }

    /// Appends one message, if it fits.
    #[inline(always)]
    #[allow(clippy::big_endian_bytes, reason = "MoldUDP64 is big-endian")]
    pub fn push(&mut self, message: &[u8]) -> bool {
        if !self.has_room(message.len()) {
            return false;
        }
        let (length, rest) = self.bytes[self.used..].split_at_mut(LENGTH);
        length.copy_from_slice(&(message.len() as u16).to_be_bytes());
        rest[..message.len()].copy_from_slice(message);
        self.used += LENGTH + message.len();
        self.count += 1;
        true
    }

    /// Puts the header before the messages; the datagram is the bytes returned.
    pub fn finish(self, session: [u8; 10], sequence: u64) -> &'a [u8] {
        let header = Header { session, sequence, count: self.count };
        self.bytes[..HEADER].copy_from_slice(&header.encode());
        &self.bytes[..self.used]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_ten_characters() {
        assert_eq!(session(0), *b"         0");
        assert_eq!(session(42), *b"        42");
        assert_eq!(session(1_763_750_000), *b"1763750000");
        assert_eq!(session(91_763_750_000), *b"1763750000");
    }

    #[test]
    fn a_datagram_is_filled_to_its_last_byte_and_no_further() {
        let mut bytes = [0xEE; 20 + 2 + 3 + 2 + 5];
        let mut writer = Writer::new(&mut bytes);
        assert!(writer.push(b"abc"));
        assert!(!writer.push(b"123456"));
        assert_eq!((writer.used(), writer.count()), (25, 1));
        let (used, count) = (writer.used(), writer.count());
        let mut writer = Writer::resume(&mut bytes, used, count);
        assert!(writer.push(b"12345"));
        assert!(!writer.push(b""));
        let datagram = writer.finish(session(42), 1 << 56 | 2);
        let read = Datagram::decode(datagram).expect("a datagram");
        assert_eq!(read.header, Header { session: *b"        42", sequence: 1 << 56 | 2, count: 2 });
        assert!(read.messages().eq([&b"abc"[..], b"12345"]));
        assert_eq!(datagram[..25], *b"        42\x01\0\0\0\0\0\0\x02\0\x02\0\x03abc");
    }

    #[test]
    fn every_cut_and_every_addition_is_refused() {
        let mut bytes = [0; 40];
        let mut writer = Writer::new(&mut bytes);
        for message in [&b"abc"[..], b"", b"12345"] {
            assert!(writer.push(message));
        }
        let used = writer.finish(session(1), 1).len();
        for length in (0..bytes.len()).filter(|length| *length != used) {
            assert_eq!(Datagram::decode(&bytes[..length]), Err(Reason::MALFORMED), "{length} bytes");
        }
        for count in (0..=u16::MAX).filter(|count| *count != 3) {
            let mut wrong = bytes;
            wrong[..HEADER].copy_from_slice(&Header { session: session(1), sequence: 1, count }.encode());
            assert_eq!(Datagram::decode(&wrong[..used]), Err(Reason::MALFORMED), "{count} messages");
        }
    }

    #[test]
    fn heartbeat_end_and_request_are_headers() {
        for (count, is_end) in [(MOLD_HEARTBEAT, false), (MOLD_END, true)] {
            let bytes = Header { session: session(7), sequence: 9, count }.encode();
            let read = Datagram::decode(&bytes).expect("a datagram");
            assert_eq!((read.header.is_end(), read.messages().count()), (is_end, 0));
        }
    }
}
