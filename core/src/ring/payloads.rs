//! The messages of one write call, wherever their bytes are: slices, rows of a matrix, or one packed buffer.

/// What a writer says of one message beside its bytes, when it is not the same for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Nanoseconds since 1970.
    pub timestamp_ns: u64,
    /// The user's number for the kind of message.
    pub message_type: u32,
}

/// The messages of one write call.
pub trait Payloads {
    /// How many.
    fn len(&self) -> usize;
    /// The bytes of one.
    fn get(&self, index: usize) -> &[u8];
    /// What is said of one; none: what the call says of all, and the time of the call. All have one, or none has.
    #[inline(always)]
    fn stamp(&self, _index: usize) -> Option<Stamp> {
        None
    }
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Payloads for [&[u8]] {
    #[inline(always)]
    fn len(&self) -> usize {
        <[&[u8]]>::len(self)
    }
    #[inline(always)]
    fn get(&self, index: usize) -> &[u8] {
        self[index]
    }
}

/// Messages of one size at a fixed distance, such as the rows of a matrix.
#[derive(Debug, Clone, Copy)]
pub struct Strided<'a> {
    bytes: &'a [u8],
    stride: usize,
    length: usize,
    count: usize,
}

impl<'a> Strided<'a> {
    /// `count` messages of `length` bytes, each `stride` bytes after the one before; `None` when they exceed `bytes`.
    pub fn new(bytes: &'a [u8], stride: usize, length: usize, count: usize) -> Option<Self> {
        let end = count.checked_sub(1).map_or(Some(0), |last| last.checked_mul(stride)?.checked_add(length))?;
        (end <= bytes.len()).then_some(Self { bytes, stride, length, count })
    }
}

impl Payloads for Strided<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.count
    }
    #[inline(always)]
    fn get(&self, index: usize) -> &[u8] {
        let start = index * self.stride;
        &self.bytes[start..start + self.length]
    }
}

/// Messages one after the other, each beginning at a multiple of 8.
#[derive(Debug, Clone)]
pub struct Packed<'a> {
    bytes: &'a [u8],
    lengths: &'a [u32],
    // (index, offset) of the message asked for last: a writer goes through them in order, at most twice.
    last: core::cell::Cell<(usize, usize)>,
}

impl<'a> Packed<'a> {
    /// `None` when the messages exceed `bytes`.
    pub fn new(bytes: &'a [u8], lengths: &'a [u32]) -> Option<Self> {
        let mut end = 0_usize;
        for (index, length) in lengths.iter().enumerate() {
            end = end.checked_add(*length as usize)?;
            if end > bytes.len() {
                return None;
            }
            if index + 1 < lengths.len() {
                end = end.checked_next_multiple_of(8)?;
            }
        }
        Some(Self { bytes, lengths, last: core::cell::Cell::new((0, 0)) })
    }
}

impl Payloads for Packed<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.lengths.len()
    }
    #[inline(always)]
    fn get(&self, index: usize) -> &[u8] {
        let (mut at, mut start) = self.last.get();
        if at > index {
            (at, start) = (0, 0);
        }
        while at < index {
            start += (self.lengths[at] as usize).next_multiple_of(8);
            at += 1;
        }
        self.last.set((at, start));
        &self.bytes[start..start + self.lengths[index] as usize]
    }
}
