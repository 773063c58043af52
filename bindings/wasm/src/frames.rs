//! Frames: the records of a log, their checks, and the codec of their payloads.

use tailrace_core::error::{Code, Fault};
use tailrace_core::log::compress;
use tailrace_core::log::frame::{self, Header, Seen};

use crate::desk::{answer, given, room, set_bytes, set_number};

/// What a frame says besides its payload.
#[repr(C)]
pub struct FrameHead {
    sequence: u64,
    timestamp_ns: u64,
    message_type: u32,
    sender_pid: u32,
    runtime: u16,
    flags: u16,
    /// Bytes of the stored payload.
    length: u32,
}

/// Writes a frame; how many bytes it took.
///
/// # Safety
/// As for [`given`] and [`room`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frame_encode(head: &FrameHead, payload: *const u8, into: *mut u8, length: usize) -> i32 {
    // SAFETY: the caller's promise.
    let (payload, into) = unsafe { (given(payload, head.length as usize), room(into, length)) };
    let needed = frame::frame_bytes(payload.len());
    if into.len() < needed {
        return answer(Err(Fault::with(Code::TOO_LARGE, needed as u64)));
    }
    let header = Header {
        sequence: head.sequence,
        flags: head.flags as u8,
        sender_runtime: head.runtime,
        timestamp_ns: head.timestamp_ns,
        message_type: head.message_type,
        sender_pid: head.sender_pid,
    };
    frame::encode(into, &header, payload) as i32
}

/// What the first bytes are: 1 a frame, whose head is written and whose bytes are left; 0 nothing; 2 a frame of which more bytes
/// would have to be there, so many; CORRUPT.
///
/// # Safety
/// As for [`given`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn frame_check(bytes: *const u8, length: usize, head: &mut FrameHead) -> i32 {
    // SAFETY: the caller's promise.
    match frame::check(unsafe { given(bytes, length) }) {
        Seen::Frame(frame) => {
            let Header { sequence, flags, sender_runtime, timestamp_ns, message_type, sender_pid } = frame.header;
            let (flags, length) = (flags.into(), frame.payload.len() as u32);
            *head =
                FrameHead { sequence, timestamp_ns, message_type, sender_pid, runtime: sender_runtime, flags, length };
            set_bytes(frame.bytes());
            1
        }
        Seen::Absent => 0,
        Seen::Incomplete(needed) => {
            set_bytes(needed);
            2
        }
        Seen::Bad => Code::CORRUPT as i32,
    }
}

/// Writes what a stored payload was before it was compressed; how many bytes. TOO_LARGE leaves the bytes needed.
///
/// # Safety
/// As for [`given`] and [`room`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn payload_decompress(stored: *const u8, length: usize, into: *mut u8, room_bytes: usize) -> i32 {
    // SAFETY: the caller's promise.
    let (stored, into) = unsafe { (given(stored, length), room(into, room_bytes)) };
    answer(compress::decompress(stored, into))
}

/// Leaves the CRC-32 (IEEE) of bytes.
///
/// # Safety
/// As for [`given`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn checksum(bytes: *const u8, length: usize) -> i32 {
    // SAFETY: the caller's promise.
    set_number(frame::checksum(unsafe { given(bytes, length) }).into());
    0
}
