//! Frame: where one message of a client ends and the next begins.
//!
//! `[length u16][message]`, little-endian. A length that is not its type's, and a type that no client sends, are wrong
//! as soon as they can be seen, before the rest has come: nothing is waited for that could not be right.

use tailrace_core::book::message::{CancelOrder, MassCancel, NewOrder, Replace};
use tailrace_core::book::session::{Heartbeat, Login, Logout};

/// Bytes before a message.
pub const HEAD: usize = 2;

/// The longest frame, its head included.
pub const FRAME_MAX: usize = HEAD + Login::SIZE;

/// What a buffer begins with.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A message whose length is its type's, and what follows it.
    Message(&'a [u8], &'a [u8]),
    /// A part of one, or nothing.
    Part,
    /// What can be no message.
    Wrong,
}

/// Bytes of a message of this type; none: nobody sends it here.
pub type SizeOfType = fn(u8) -> Option<usize>;

/// Bytes of a message that clients send.
pub const fn size_from_client(message_type: u8) -> Option<usize> {
    match message_type {
        NewOrder::TYPE => Some(NewOrder::SIZE),
        CancelOrder::TYPE => Some(CancelOrder::SIZE),
        Replace::TYPE => Some(Replace::SIZE),
        MassCancel::TYPE => Some(MassCancel::SIZE),
        Login::TYPE => Some(Login::SIZE),
        Heartbeat::TYPE => Some(Heartbeat::SIZE),
        Logout::TYPE => Some(Logout::SIZE),
        _ => None,
    }
}

impl<'a> Frame<'a> {
    /// The first frame in `bytes`.
    #[inline(always)]
    pub fn first(bytes: &'a [u8], size_of_type: SizeOfType) -> Self {
        let [low, high, rest @ ..] = bytes else { return Self::Part };
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let Some(&message_type) = rest.first() else {
            return if (1..=FRAME_MAX - HEAD).contains(&length) { Self::Part } else { Self::Wrong };
        };
        if size_of_type(message_type) != Some(length) {
            return Self::Wrong;
        }
        match rest.split_at_checked(length) {
            Some((message, rest)) => Self::Message(message, rest),
            None => Self::Part,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_seen_before_the_rest_has_come() {
        let mut frame = vec![16, 0];
        frame.extend(CancelOrder::BLANK.encode());
        for end in 0..frame.len() {
            assert_eq!(Frame::first(&frame[..end], size_from_client), Frame::Part, "{end} bytes");
        }
        assert_eq!(Frame::first(&frame, size_from_client), Frame::Message(&frame[2..], &[]));
        frame.push(7);
        assert_eq!(Frame::first(&frame, size_from_client), Frame::Message(&frame[2..18], &[7]));
        let wrongs: [&[u8]; 8] =
            [&[0, 0], &[65, 0], &[0, 1], &[255, 255], &[16, 0, 1], &[32, 0, 2], &[48, 0, 3], &[8, 0, 32]];
        for wrong in wrongs {
            assert_eq!(Frame::first(wrong, size_from_client), Frame::Wrong, "{wrong:?}");
        }
    }
}
