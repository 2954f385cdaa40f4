//! By what a file is known again, after it has grown, was renamed, rotated or compressed: its content.
//!
//! The server remembers for each producer the highest position of which it has stored the events. Our producer is named
//! after the first bytes of the content, the longest power of two of them, at most 64 KiB; a file that grows gets a longer
//! name, and is found under the shorter ones. Two files may begin alike (a banner, a heading) and go on differently, so a
//! position holds besides the offset a checksum of the bytes before it: only if that fits too, the file is the same one. A
//! file that begins like another takes the next free number after the name.

use uuid::Uuid;

/// Longest beginning by which a file is known, and longest piece before a position that its checksum covers.
pub(super) const HEAD_BYTES: usize = 64 << 10;

/// Bits of a position that hold the checksum. The others hold the offset, up to 8 TiB in a signed number of the database.
const CHECK_BITS: u32 = 20;

/// Most files that may begin alike.
pub(super) const NUMBERS_MAX: u32 = 4096;

/// Where all hashes of contents begin, so that they cannot be taken for those of another program.
const NAMESPACE: Uuid = Uuid::from_u128(0x6576_6572_6c6f_6720_8069_6d70_6f72_7421);

/// How a file is known to the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    length: usize,
    hash: Uuid,
    number: u32,
}

impl Identity {
    /// The identity by the first `length` bytes of the content.
    pub(super) fn of(head: &[u8], length: usize) -> Self {
        Self { length, hash: Uuid::new_v5(&NAMESPACE, &head[..length.min(head.len())]), number: 0 }
    }

    /// The same beginning, another file.
    pub(super) fn numbered(&self, number: u32) -> Self {
        Self { number, ..self.clone() }
    }

    #[cfg(test)]
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Whether both are known by as much of their content.
    pub(super) fn is_as_long_as(&self, other: &Self) -> bool {
        self.length == other.length
    }

    /// Whether as much is known of the content as will ever be: it only can be the same file.
    pub(super) fn is_full(&self) -> bool {
        self.length == HEAD_BYTES
    }

    pub(super) fn producer(&self, log: &str) -> String {
        let Self { length, hash, number } = self;
        let hash = hash.simple();
        if *number == 0 {
            format!("file:{log}:{length}:{hash}")
        } else {
            format!("file:{log}:{length}:{hash}:{number}")
        }
    }

    /// The id of the record at an offset. One file's ids differ in the offset alone, so they compress well.
    pub(super) fn event_id(&self, offset: u64) -> Uuid {
        let hash = if self.number == 0 { self.hash } else { Uuid::new_v5(&self.hash, &self.number.to_be_bytes()) };
        let mut bytes = hash.into_bytes();
        bytes[8..].copy_from_slice(&offset.to_be_bytes());
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

/// The lengths under which a content may be known, the longest first.
pub(super) fn lengths(head: &[u8]) -> Vec<usize> {
    let longest = head.len().min(HEAD_BYTES);
    (0..=HEAD_BYTES.ilog2()).rev().map(|power| 1 << power).filter(|length| *length <= longest).collect()
}

/// How far a file is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Position {
    /// Bytes of the content whose events are stored.
    pub(super) offset: u64,
    /// Checksum of the bytes before it.
    check: u32,
}

impl Position {
    /// The position after these bytes, of which the last 64 KiB count.
    pub(super) fn after(offset: u64, before: &[u8]) -> Self {
        let mut checksum = flate2::Crc::new();
        checksum.update(&before[before.len().saturating_sub(HEAD_BYTES)..]);
        Self { offset, check: checksum.sum() & ((1 << CHECK_BITS) - 1) }
    }

    pub(super) fn decode(number: u64) -> Self {
        let check = u32::try_from(number & ((1 << CHECK_BITS) - 1)).unwrap_or(0);
        Self { offset: number >> CHECK_BITS, check }
    }

    pub(super) fn encode(self) -> u64 {
        self.offset << CHECK_BITS | u64::from(self.check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_known_by_powers_of_two() {
        assert_eq!(lengths(&[0; 1000]), [512, 256, 128, 64, 32, 16, 8, 4, 2, 1]);
        assert_eq!(lengths(&[0; HEAD_BYTES])[0], HEAD_BYTES);
        assert!(lengths(&[]).is_empty());
        let short = Identity::of(b"0123456789", 8);
        let grown = Identity::of(b"0123456789 and more", 8);
        assert_eq!(short, grown);
        assert_eq!(short.producer("shop"), "file:shop:8:decf6cc6fa2c51849b3ae09cfe1ef653");
        assert_eq!(short.numbered(2).producer("shop"), "file:shop:8:decf6cc6fa2c51849b3ae09cfe1ef653:2");
    }

    #[test]
    fn positions_ascend_and_tell_their_content() {
        let position = Position::after(10, b"0123456789");
        assert_eq!(Position::decode(position.encode()), position);
        assert!(position.encode() < Position::after(11, b"01234567890").encode());
        assert_ne!(position, Position::after(10, b"0123456788"));
        let long = vec![7; HEAD_BYTES + 5];
        assert_eq!(Position::after(9, &long), Position::after(9, &long[5..]));
        assert!(i64::try_from(Position::after(1 << 42, &[]).encode()).is_ok());
    }

    #[test]
    fn ids_are_uuids_of_version_8_and_the_same_every_time() {
        let identity = Identity::of(b"abcd", 4);
        let id = identity.event_id(258);
        assert_eq!(id.get_version_num(), 8);
        assert!(id.to_string().ends_with("-8000-000000000102"));
        assert_eq!(id, Identity::of(b"abcdef", 4).event_id(258));
        assert_ne!(id, identity.event_id(259));
        assert_ne!(id, identity.numbered(1).event_id(258));
    }
}
