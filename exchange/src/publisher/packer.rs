//! Packer: messages into datagrams, whole commands together.
//!
//! ```text
//!   | header | command | command | comm...       |
//!            '----- whole -------'-- begun -'
//! ```
//! What is whole may leave at any time, and leaves when the next message does not fit. What is begun waits for its end,
//! moves to the front of the next datagram when the whole leaves without it, and is cut only when it fills a datagram
//! alone. A message is copied once, into its place.

use tailrace_core::book::mold::{self, Header, MOLD_HEARTBEAT};

/// How far a datagram is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    bytes: usize,
    count: u16,
}

impl Extent {
    const NONE: Self = Self { bytes: Header::SIZE, count: 0 };
}

/// Packs messages into datagrams, and hands them out.
#[derive(Debug)]
pub struct Packer {
    session: [u8; 10],
    bytes: Box<[u8]>,
    filled: Extent,
    /// What of it ends with a command's last message.
    whole: Extent,
    /// Sequence of the next message.
    next: u64,
}

impl Packer {
    /// Datagrams of at most `datagram_bytes`, which begin with message `next`.
    pub fn new(session: [u8; 10], datagram_bytes: usize, next: u64) -> Self {
        let bytes = vec![0; datagram_bytes].into_boxed_slice();
        Self { session, bytes, filled: Extent::NONE, whole: Extent::NONE, next }
    }

    /// Sequence of the message that is to be pushed next.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Sequence of the first message that was not handed out.
    pub fn unsent(&self) -> u64 {
        self.next - u64::from(self.filled.count)
    }

    /// Appends the next message, at most as long as a datagram has room for one; `send` gets the datagram that is full.
    #[inline(always)]
    pub fn push(&mut self, message: &[u8], is_last: bool, send: &mut impl FnMut(&[u8])) {
        if !self.append(message) {
            self.make_room(message.len(), send);
            self.append(message);
        }
        if is_last {
            self.whole = self.filled;
        }
    }

    #[inline(always)]
    fn append(&mut self, message: &[u8]) -> bool {
        let mut writer = mold::Writer::resume(&mut self.bytes, self.filled.bytes, self.filled.count);
        if !writer.push(message) {
            return false;
        }
        self.filled = Extent { bytes: writer.used(), count: writer.count() };
        self.next += 1;
        true
    }

    fn make_room(&mut self, length: usize, send: &mut impl FnMut(&[u8])) {
        self.flush(send);
        let writer = mold::Writer::resume(&mut self.bytes, self.filled.bytes, self.filled.count);
        if !writer.has_room(length) {
            self.flush_all(send);
        }
    }

    /// Hands out all whole commands.
    pub fn flush(&mut self, send: &mut impl FnMut(&[u8])) {
        let Extent { bytes, count } = self.whole;
        if count == 0 {
            return;
        }
        let first = self.unsent();
        send(mold::Writer::resume(&mut self.bytes, bytes, count).finish(self.session, first));
        self.bytes.copy_within(bytes..self.filled.bytes, Header::SIZE);
        self.filled = Extent { bytes: Header::SIZE + self.filled.bytes - bytes, count: self.filled.count - count };
        self.whole = Extent::NONE;
    }

    /// Hands out everything, also what has only begun.
    pub fn flush_all(&mut self, send: &mut impl FnMut(&[u8])) {
        self.whole = self.filled;
        self.flush(send);
    }

    /// Goes on with another message than the next one; everything before was handed out.
    pub fn jump(&mut self, next: u64, send: &mut impl FnMut(&[u8])) {
        self.flush_all(send);
        self.next = next;
    }

    /// A datagram without messages: a heartbeat, or with another count the end of the session.
    pub fn header(&self, count: u16) -> [u8; Header::SIZE] {
        Header { session: self.session, sequence: self.unsent(), count }.encode()
    }

    /// A heartbeat.
    pub fn heartbeat(&self) -> [u8; Header::SIZE] {
        self.header(MOLD_HEARTBEAT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tailrace_core::book::mold::Datagram;

    /// Datagrams with room for ten bytes in one message, or two and two and so on.
    fn packer() -> Packer {
        Packer::new(mold::session(5), Header::SIZE + 12, 7)
    }

    /// Sequence and messages of each datagram.
    fn packed(packer: &mut Packer, messages: &[(&str, bool)], is_all: bool) -> Vec<(u64, Vec<String>)> {
        let mut seen = Vec::new();
        let mut send = |bytes: &[u8]| {
            let datagram = Datagram::decode(bytes).expect("a datagram");
            assert_eq!(datagram.header.session, *b"         5");
            let messages = datagram.messages().map(|message| String::from_utf8_lossy(message).into_owned());
            seen.push((datagram.header.sequence, messages.collect()));
        };
        for (message, is_last) in messages {
            packer.push(message.as_bytes(), *is_last, &mut send);
        }
        if is_all {
            packer.flush_all(&mut send)
        } else {
            packer.flush(&mut send)
        }
        seen
    }

    fn datagram(sequence: u64, messages: &[&str]) -> (u64, Vec<String>) {
        (sequence, messages.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn as_many_as_fit_leave_together() {
        let mut packer = packer();
        let seen = packed(&mut packer, &[("aa", true), ("bb", true), ("cc", true), ("dd", true)], false);
        assert_eq!(seen, [datagram(7, &["aa", "bb", "cc"]), datagram(10, &["dd"])]);
        assert_eq!((packer.next(), packer.unsent()), (11, 11));
        assert!(packed(&mut packer, &[], true).is_empty());
    }

    #[test]
    fn a_command_that_fits_a_datagram_is_never_cut() {
        let mut packer = packer();
        let seen = packed(&mut packer, &[("aa", true), ("bb", false), ("cc", false), ("dd", true)], false);
        assert_eq!(seen, [datagram(7, &["aa"]), datagram(8, &["bb", "cc", "dd"])]);
        let seen = packed(&mut packer, &[("ee", true), ("ff", false)], false);
        assert_eq!(seen, [datagram(11, &["ee"])]);
        assert_eq!((packer.next(), packer.unsent()), (13, 12));
        assert_eq!(Header::decode(&packer.heartbeat()).sequence, 12, "what was not sent is not skipped");
        assert_eq!(packed(&mut packer, &[("gg", true)], false), [datagram(12, &["ff", "gg"])]);
    }

    #[test]
    fn a_command_that_fits_none_is_cut_where_a_datagram_is_full() {
        let mut packer = packer();
        let seen =
            packed(&mut packer, &[("aa", true), ("b", false), ("cc", false), ("dddd", false), ("ee", true)], false);
        assert_eq!(seen, [datagram(7, &["aa"]), datagram(8, &["b", "cc"]), datagram(10, &["dddd", "ee"])]);
        let seen = packed(&mut packer, &[("ten bytes!", false), ("x", false)], true);
        assert_eq!(seen, [datagram(12, &["ten bytes!"]), datagram(13, &["x"])]);
    }

    #[test]
    fn a_jump_leaves_nothing_behind() {
        let mut packer = packer();
        assert!(packed(&mut packer, &[("aa", false)], false).is_empty());
        let mut seen = Vec::new();
        packer.jump(20, &mut |bytes| seen.push(Datagram::decode(bytes).expect("a datagram").header.sequence));
        assert_eq!(seen, [7]);
        assert_eq!(packed(&mut packer, &[("bb", true)], false), [datagram(20, &["bb"])]);
    }
}
