//! Whole numbers of one to ten bytes: seven bits a byte, the lowest first, all but the last with the high bit set. The
//! journal, the index, and the formats of Parquet and protocol buffers have them.

/// Most bytes of one.
const BYTES_MAX: usize = 10;

/// Appends a number.
pub fn write(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "the low seven bits are what is meant")]
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 128 after the loop")]
    out.push(value as u8);
}

/// Reads the number at `at`, which moves behind it. `None`, and `at` stays, where it breaks off or is none of 64 bits.
#[inline]
pub fn read(bytes: &[u8], at: &mut usize) -> Option<u64> {
    // Nearly all are below 128.
    let first = *bytes.get(*at)?;
    if first < 0x80 {
        *at += 1;
        return Some(u64::from(first));
    }
    read_long(bytes, at)
}

fn read_long(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for (place, byte) in bytes.get(*at..)?.iter().take(BYTES_MAX).enumerate() {
        // The tenth byte has room for one bit.
        if place == BYTES_MAX - 1 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            *at += place + 1;
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_number_stays_where_it_is() {
        for bytes in
            [&[][..], &[0x80], &[0xff; 9], &[0xff; 11], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]]
        {
            let mut at = 0;
            assert_eq!((read(bytes, &mut at), at), (None, 0), "{bytes:?}");
        }
        assert_eq!(read(&[1], &mut 2), None);
    }

    proptest! {
        #[test]
        fn numbers_come_back(values in proptest::collection::vec(prop_oneof![any::<u64>(), 0..300_u64], 0..9)) {
            let mut bytes = Vec::new();
            values.iter().for_each(|value| write(&mut bytes, *value));
            let mut at = 0;
            for value in values {
                prop_assert_eq!(read(&bytes, &mut at), Some(value));
            }
            prop_assert_eq!(at, bytes.len());
        }
    }
}
