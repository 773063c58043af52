//! Records: payloads out of them, for faces that want a matrix.

use tailrace_core::layout::RECORD_HEADER_BYTES;

use super::{argument, border, slice, slice_mut};

const HEADER: usize = RECORD_HEADER_BYTES as usize;
const LENGTH_AT: usize = 20;

/// See `signatures.rs`.
///
/// # Safety
/// `records` points to `bytes_used` bytes, `payloads` to `room` writable ones.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_gather(
    records: *const u8,
    bytes_used: u64,
    count: u64,
    length: u64,
    payloads: *mut u8,
    room: u64,
) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let (records, payloads) =
            unsafe { (slice(records, bytes_used, "records")?, slice_mut(payloads, room, "payloads")?) };
        let (Ok(count), Ok(length)) = (usize::try_from(count), u32::try_from(length)) else { return Ok(0) };
        let stride = HEADER + (length as usize).next_multiple_of(8);
        if count.checked_mul(stride) != Some(records.len()) || length == 0 {
            return Ok(0);
        }
        let Some(payloads) = payloads.get_mut(..count * length as usize) else {
            return Err(argument(format!("{count} payloads of {length} bytes do not fit {room} bytes")));
        };
        Ok(if gather(records, stride, length, payloads) { count as i64 } else { 0 })
    })
}

/// Copies, and says whether every record says that its payload has this length. Where all records before one have it,
/// that one begins where it was looked for.
fn gather(records: &[u8], stride: usize, length: u32, payloads: &mut [u8]) -> bool {
    // A copy whose length the compiler knows is a few instructions; `memcpy` costs more than it copies here.
    match length {
        8 => gather_known::<8>(records, stride, payloads),
        16 => gather_known::<16>(records, stride, payloads),
        24 => gather_known::<24>(records, stride, payloads),
        32 => gather_known::<32>(records, stride, payloads),
        40 => gather_known::<40>(records, stride, payloads),
        48 => gather_known::<48>(records, stride, payloads),
        56 => gather_known::<56>(records, stride, payloads),
        64 => gather_known::<64>(records, stride, payloads),
        128 => gather_known::<128>(records, stride, payloads),
        _ => gather_any(records, stride, length, payloads),
    }
}

fn gather_known<const LENGTH: usize>(records: &[u8], stride: usize, payloads: &mut [u8]) -> bool {
    let mut difference = 0;
    for (record, to) in records.chunks_exact(stride).zip(payloads.as_chunks_mut::<LENGTH>().0) {
        let (Some(from), Some(seen)) = (record[HEADER..].first_chunk::<LENGTH>(), length_of(record)) else {
            return false;
        };
        difference |= seen ^ LENGTH as u32;
        *to = *from;
    }
    difference == 0
}

fn gather_any(records: &[u8], stride: usize, length: u32, payloads: &mut [u8]) -> bool {
    let mut difference = 0;
    for (record, to) in records.chunks_exact(stride).zip(payloads.chunks_exact_mut(length as usize)) {
        let Some(seen) = length_of(record) else { return false };
        difference |= seen ^ length;
        to.copy_from_slice(&record[HEADER..HEADER + length as usize]);
    }
    difference == 0
}

fn length_of(record: &[u8]) -> Option<u32> {
    record.get(LENGTH_AT..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(length: u32, fill: u8) -> Vec<u8> {
        let mut bytes = vec![0; HEADER + (length as usize).next_multiple_of(8)];
        bytes[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_le_bytes());
        bytes[HEADER..HEADER + length as usize].fill(fill);
        bytes
    }

    fn gathered(lengths: &[u32], length: u64) -> (i64, Vec<u8>) {
        let records: Vec<u8> = lengths.iter().zip(1..).flat_map(|(length, fill)| record(*length, fill)).collect();
        let mut payloads = vec![0; lengths.len() * length as usize];
        let (from, to) = (records.as_ptr(), payloads.as_mut_ptr());
        // SAFETY: both are vectors of the lengths given.
        let count =
            unsafe { tr_gather(from, records.len() as u64, lengths.len() as u64, length, to, payloads.len() as u64) };
        (count, payloads)
    }

    #[test]
    fn payloads_of_one_length_are_gathered() {
        for length in [1, 7, 8, 9, 16, 24, 32, 40, 48, 56, 63, 64, 65, 128, 1_024] {
            let (count, payloads) = gathered(&[length; 3], length.into());
            let wanted: Vec<u8> = (1..=3).flat_map(|fill| vec![fill; length as usize]).collect();
            assert_eq!((count, payloads), (3, wanted), "{length}");
        }
    }

    #[test]
    fn others_are_not() {
        for lengths in [&[8, 16, 0, 8][..], &[64, 63, 64], &[63, 64, 64], &[64, 64, 57], &[1, 2, 3], &[0, 0]] {
            assert_eq!(gathered(lengths, lengths[0].into()).0, 0, "{lengths:?}");
        }
        assert_eq!(gathered(&[64; 3], 65).0, 0);
    }
}
