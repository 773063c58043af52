//! Line: one connection as bytes: what came and is no whole frame yet, and what is to be sent and did not go yet.
//!
//! Sockets are read into a buffer that all lines share, and taken apart there; only the part of a frame that is left
//! over is kept, so a thousand idle lines cost next to nothing. Readiness comes in edges: a line stays readable until a
//! read finds less than it could hold, and writable until a write does not go through.

use super::frame::FRAME_MAX;
use std::io::{ErrorKind, Read, Write};

/// Output that is not worth moving to the front.
const MOVE_AT: usize = 64 << 10;

/// Room for output that a line keeps when it has sent everything.
const KEEP: usize = 256 << 10;

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    /// So many bytes at the front of the buffer, those that were kept included.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The other side has ended, in good order or not.
    End,
}

/// One connection. `S`: a stream that does not block.
pub struct Line<S> {
    stream: S,
    part: [u8; FRAME_MAX],
    part_length: usize,
    output: Vec<u8>,
    sent: usize,
    /// A read may bring something.
    pub is_readable: bool,
    /// The other side has said that nothing more comes, and what came before is still to be read.
    pub is_ending: bool,
    is_writable: bool,
}

impl<S: Read + Write> Line<S> {
    /// A line over a fresh connection.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            part: [0; FRAME_MAX],
            part_length: 0,
            output: Vec::new(),
            sent: 0,
            is_readable: true,
            is_ending: false,
            is_writable: true,
        }
    }

    /// The stream.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Reads once into `buffer`, behind what was kept.
    pub fn read(&mut self, buffer: &mut [u8]) -> Brought {
        let kept = self.part_length;
        buffer[..kept].copy_from_slice(&self.part[..kept]);
        loop {
            return match self.stream.read(&mut buffer[kept..]) {
                Ok(0) => Brought::End,
                Ok(read) => {
                    // Less than there was room for: that was all, unless the end comes behind it without an edge.
                    self.is_readable = kept + read == buffer.len() || self.is_ending;
                    self.part_length = 0;
                    Brought::Bytes(kept + read)
                }
                Err(cause) if cause.kind() == ErrorKind::Interrupted => continue,
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => {
                    self.is_readable = false;
                    Brought::Nothing
                }
                Err(_) => Brought::End,
            };
        }
    }

    /// Keeps the start of a frame whose rest has not come.
    pub fn keep(&mut self, part: &[u8]) {
        self.part[..part.len()].copy_from_slice(part);
        self.part_length = part.len();
    }

    /// Appends a frame to what is to be sent.
    #[inline(always)]
    pub fn queue<const LENGTH: usize>(&mut self, message: &[u8; LENGTH]) {
        self.output.extend_from_slice(&(LENGTH as u16).to_le_bytes());
        self.output.extend_from_slice(message);
    }

    /// Appends bytes as they are.
    pub fn queue_bytes(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// Bytes that did not go yet.
    pub fn backlog(&self) -> usize {
        self.output.len() - self.sent
    }

    /// A write may go through again.
    pub fn set_writable(&mut self) {
        self.is_writable = true;
    }

    /// Sends what goes; says how many bytes that was, or none when the connection is no more.
    pub fn send(&mut self) -> Option<usize> {
        let before = self.sent;
        while self.is_writable && self.sent < self.output.len() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(0) => return None,
                Ok(written) => self.sent += written,
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => self.is_writable = false,
                Err(_) => return None,
            }
        }
        let went = self.sent - before;
        if self.sent == self.output.len() {
            self.output.clear();
            self.output.shrink_to(KEEP);
            self.sent = 0;
        } else if self.sent >= MOVE_AT && self.sent >= self.output.len() / 2 {
            self.output.drain(..self.sent);
            self.sent = 0;
        }
        Some(went)
    }
}
