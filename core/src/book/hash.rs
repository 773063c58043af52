//! Hash: the fold that makes states comparable, and the mix that keeps clients from choosing places in a table.

const START: u64 = 0xCBF2_9CE4_8422_2325;
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// One record's part of a state hash: `h = (h ^ field) * FACTOR; h ^= h >> 32`, field by field.
///
/// It is public knowledge, so that every language can recompute it; it protects against mistakes, not against anybody.
#[inline(always)]
pub(super) fn fold<const FIELDS: usize>(fields: [u64; FIELDS]) -> u64 {
    let mut hash = START;
    for field in fields {
        hash = (hash ^ field).wrapping_mul(FACTOR);
        hash ^= hash >> 32;
    }
    hash
}

/// Mixes two numbers under a key nobody outside knows: two folded 128-bit products.
#[inline(always)]
pub(super) fn mix(key: [u64; 2], first: u64, second: u64) -> u64 {
    let once = product(first ^ key[0], second ^ key[1]);
    product(once ^ key[1], FACTOR)
}

#[inline(always)]
fn product(first: u64, second: u64) -> u64 {
    let wide = u128::from(first) * u128::from(second);
    wide as u64 ^ (wide >> 64) as u64
}
