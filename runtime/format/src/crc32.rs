//! CRC-32 as in Ethernet and gzip: polynomial 0x04C11DB7, bits reflected
//! (0xEDB88320), all ones before and after. Any error confined to 32
//! consecutive bits is found.

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut value = i as u32;
        let mut bit = 0;
        while bit < 8 {
            value = (value >> 1) ^ if value & 1 == 1 { 0xEDB8_8320 } else { 0 };
            bit += 1;
        }
        table[i] = value;
        i += 1;
    }
    table
}

/// CRC-32 of `parts` one after the other.
pub(crate) fn crc32(parts: [&[u8]; 2]) -> u32 {
    let mut crc = !0u32;
    for &byte in parts.into_iter().flatten() {
        crc = (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)];
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::crc32;

    #[test]
    fn check_values() {
        // The check value that catalogues of CRCs give for this one.
        assert_eq!(crc32([b"123456789", b""]), 0xCBF4_3926);
        assert_eq!(crc32([b"1234", b"56789"]), 0xCBF4_3926);
        assert_eq!(crc32([b"", b""]), 0);
        assert_eq!(crc32([&[0; 32], b""]), 0x190A_55AD);
    }
}
