//! Checksum: CRC-32 (IEEE), as it stands in slots, frames and snapshots.
//!
//! Where size counts more than speed, in the WebAssembly build, a table of 1 KiB does for all: crc32fast has 16 of them,
//! and code for each processor's own instructions.

#[cfg(not(target_family = "wasm"))]
pub(crate) use crc32fast::hash;

/// The remainder after one more byte; it begins with all ones, and the checksum is its complement.
pub(crate) const fn with_byte(crc: u32, byte: u8) -> u32 {
    let mut remainder = crc ^ byte as u32;
    let mut bit = 0;
    while bit < 8 {
        remainder = remainder >> 1 ^ if remainder & 1 == 0 { 0 } else { 0xEDB8_8320 };
        bit += 1;
    }
    remainder
}

#[cfg(target_family = "wasm")]
pub(crate) use portable::hash;

#[cfg(any(target_family = "wasm", test))]
mod portable {
    /// Bytes that are taken together, and tables for that.
    const TABLES: usize = 4;

    static TABLE: [[u32; 256]; TABLES] = {
        let mut tables = [[0; 256]; TABLES];
        let mut value = 0;
        while value < 256 {
            tables[0][value] = super::with_byte(0, value as u8);
            value += 1;
        }
        let mut index = 256;
        while index < 256 * TABLES {
            let before = tables[index / 256 - 1][index % 256];
            tables[index / 256][index % 256] = before >> 8 ^ tables[0][(before & 0xFF) as usize];
            index += 1;
        }
        tables
    };

    /// The checksum of `bytes`.
    pub fn hash(bytes: &[u8]) -> u32 {
        let (words, rest) = bytes.as_chunks::<TABLES>();
        let mut crc = !0;
        for word in words {
            let [one, two, three, four] = (crc ^ u32::from_le_bytes(*word)).to_le_bytes().map(usize::from);
            crc = TABLE[3][one] ^ TABLE[2][two] ^ TABLE[1][three] ^ TABLE[0][four];
        }
        for byte in rest {
            crc = crc >> 8 ^ TABLE[0][usize::from(crc as u8 ^ byte)];
        }
        !crc
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_ways_are_one() {
        let bytes: Vec<u8> = (0..1_100_u32).map(|index| (index % 251) as u8).collect();
        for length in [0, 1, 3, 4, 5, 7, 8, 9, 63, 64, 65, 1_023, 1_024, 1_100] {
            let bytewise = !bytes[..length].iter().fold(!0, |crc, byte| super::with_byte(crc, *byte));
            assert_eq!(bytewise, crc32fast::hash(&bytes[..length]), "{length} bytes");
            assert_eq!(super::portable::hash(&bytes[..length]), bytewise, "{length} bytes");
        }
    }
}
