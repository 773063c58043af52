//! Compress: the payload of a COMPRESSED frame is its length before, u32, and an LZ4 block. Reading compiles without
//! std.
//!
//! The length is a claim of whoever wrote the bytes: it is held against what a frame may hold before anything is made
//! that large, and the block must give exactly so many bytes.

use super::layout::FRAME_PAYLOAD_MAX;
use crate::error::{Code, Fault};

/// Payloads below this are stored as they are.
pub const COMPRESS_BYTES_MIN: usize = 512;

const PREFIX: usize = 4;

/// The length before compression that a stored payload states.
///
/// # Errors
/// CORRUPT when there is no length, or none that a frame may have.
pub fn length_before(stored: &[u8]) -> Result<usize, Fault> {
    let Some((prefix, _)) = stored.split_first_chunk::<PREFIX>() else { return Err(Fault::new(Code::CORRUPT)) };
    let length = u32::from_le_bytes(*prefix) as usize;
    if length > FRAME_PAYLOAD_MAX { Err(Fault::new(Code::CORRUPT)) } else { Ok(length) }
}

/// Writes to the start of `into` what a stored payload was before, and returns its length.
///
/// # Errors
/// CORRUPT; TOO_LARGE with the bytes that `into` needs.
pub fn decompress(stored: &[u8], into: &mut [u8]) -> Result<usize, Fault> {
    let length = length_before(stored)?;
    let Some(into) = into.get_mut(..length) else { return Err(Fault::with(Code::TOO_LARGE, length as u64)) };
    match lz4_flex::block::decompress_into(&stored[PREFIX..], into) {
        Ok(done) if done == length => Ok(length),
        _ => Err(Fault::new(Code::CORRUPT)),
    }
}

/// Makes `into` the stored form of `payload`; false, and `into` is anything, when that is not shorter.
#[cfg(feature = "std")]
pub(crate) fn compress(payload: &[u8], into: &mut Vec<u8>) -> bool {
    if payload.len() < COMPRESS_BYTES_MIN {
        return false;
    }
    into.resize(PREFIX + lz4_flex::block::get_maximum_output_size(payload.len()), 0);
    into[..PREFIX].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    let Ok(bytes) = lz4_flex::block::compress_into(payload, &mut into[PREFIX..]) else { return false };
    into.truncate(PREFIX + bytes);
    into.len() < payload.len()
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_back_and_noise_is_left_alone() {
        let mut stored = Vec::new();
        for length in [512, 513, 1_000, 100_000, 1 << 20] {
            let payload: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
            assert!(compress(&payload, &mut stored) && stored.len() < length);
            assert_eq!(length_before(&stored), Ok(length));
            let mut whole = vec![0; length + 3];
            assert_eq!(decompress(&stored, &mut whole), Ok(length));
            assert_eq!(whole[..length], payload);
            let short = decompress(&stored, &mut whole[..length - 1]).expect_err("no room");
            assert_eq!(short, Fault::with(Code::TOO_LARGE, length as u64));
        }
        assert!(!compress(&[0; 511], &mut stored), "too short to be worth it");
        let mut state = 1_u64;
        let noise: Vec<u8> = (0..600)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        assert!(!compress(&noise, &mut stored), "it does not get shorter");
    }

    #[test]
    fn hostile_bytes_are_refused_before_anything_is_made_that_large() {
        let mut stored = Vec::new();
        assert!(compress(&[7; 600], &mut stored));
        let mut into = vec![0; 1 << 21];
        for length in [0_u32, 599, 601, 1 << 20, (1 << 20) + 9, u32::MAX] {
            let mut wrong = stored.clone();
            wrong[..4].copy_from_slice(&length.to_le_bytes());
            assert_eq!(decompress(&wrong, &mut into), Err(Fault::new(Code::CORRUPT)), "{length}");
        }
        for cut in 0..stored.len() {
            assert_eq!(decompress(&stored[..cut], &mut into), Err(Fault::new(Code::CORRUPT)), "cut at {cut}");
        }
        for bit in 32..stored.len() * 8 {
            let mut wrong = stored.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            if let Ok(length) = decompress(&wrong, &mut into) {
                assert_eq!(length, 600, "bit {bit}");
            }
        }
    }
}
