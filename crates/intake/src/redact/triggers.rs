//! Parts of words without which no text holds a secret of ours, and the quickest way past a text that has none.
//!
//! Of three bytes that follow each other in a trigger, a look at every second place of a text sees the first or the
//! last two. A table says of any three bytes whether they may be such, so most of a text is passed at a third of a
//! nanosecond a byte; only where it says yes are triggers compared.

use std::sync::LazyLock;

/// Each is in lower, upper and mixed case as far as it is written so; a first letter that may be either is left out.
/// Of two that begin at the same place the first one counts.
pub(super) const TRIGGERS: [&str; 82] = [
    "assw",
    "ASSW",
    "assphrase",
    "ASSPHRASE",
    "pwd",
    "PWD",
    "Pwd",
    "ecret",
    "ECRET",
    "oken",
    "OKEN",
    "redential",
    "REDENTIAL",
    "ookie",
    "OOKIE",
    "uthoriz",
    "UTHORIZ",
    "uth=",
    "uth:",
    "uth'",
    "uth\"",
    "uth\\",
    "UTH=",
    "pi_key",
    "pikey",
    "piKey",
    "piKEY",
    "pi-key",
    "pi-Key",
    "PI_KEY",
    "PIKEY",
    "PI-KEY",
    "rivate",
    "RIVATE",
    "srf",
    "SRF",
    "ntry_key",
    "ikey",
    "iKey",
    "mz-Sig",
    "ccesskey",
    "earer ",
    "EARER ",
    "earer%20",
    "asic ",
    "ASIC ",
    "asic%20",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "AKIA",
    "ASIA",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb",
    "xoxp",
    "xoxa",
    "xoxr",
    "xoxs",
    "AIza",
    "eyJ",
    "-----BEGIN",
    "%40",
    "%2540",
    "\\u00",
    "cvv",
    "cvc",
    "CVV",
    "CVC",
    "jwt",
    "JWT",
    "ardnumber",
    "ardNumber",
    "ard_number",
    "sessid",
    "SESSID",
    "connect.sid",
];

/// Letters from the most to the least frequent one in English.
const LETTERS: &[u8; 26] = b"etaoinshrdlcumwfgypbvkjxqz";

/// Places that are looked at before it is asked whether any was of interest.
const PLACES: usize = 8;

/// Bytes that are passed so.
const STEP: usize = 2 * PLACES;

/// Bytes that are read for it: three at the last place.
const READ: usize = STEP + 1;

/// For each byte, the bit that stands for it.
const BITS: [u32; 256] = {
    let mut bits = [0; 256];
    let mut byte = 0;
    while byte < bits.len() {
        bits[byte] = 1 << (byte % 32);
        byte += 1;
    }
    bits
};

static SIEVE: LazyLock<Sieve> = LazyLock::new(Sieve::new);

/// Whether anything in these bytes may be a secret.
pub(super) fn is_triggered(bytes: &[u8]) -> bool {
    find(bytes, 0) < bytes.len()
}

/// A place before which no trigger ends that begins at `from` or behind it, and near which one stands; the end of the
/// bytes when there is none.
pub(super) fn find(bytes: &[u8], from: usize) -> usize {
    SIEVE.find(bytes, from)
}

struct Sieve {
    /// By two bytes: which third bytes are of interest.
    thirds: Box<[u32; 1 << 16]>,
    /// By the hash of three bytes, the triggers that have them.
    triggers: Box<[Vec<Shown>; 256]>,
}

/// What three bytes may show.
struct Shown {
    three: [u8; 3],
    trigger: &'static [u8],
    /// Where in the trigger they stand.
    at: usize,
}

impl Sieve {
    fn new() -> Self {
        let mut sieve = Self {
            thirds: vec![0; 1 << 16].try_into().unwrap_or_else(|_| Box::new([0; 1 << 16])),
            triggers: Box::new([const { Vec::new() }; 256]),
        };
        for trigger in TRIGGERS.map(str::as_bytes) {
            if let [first, second, third] = *trigger {
                sieve.note(trigger, 0);
                sieve.thirds[usize::from(u16::from_le_bytes([second, third]))] = u32::MAX;
                debug_assert!(first != 0, "no trigger has a byte that fills up the end of a text");
                continue;
            }
            let at = rarest(trigger);
            sieve.note(trigger, at);
            sieve.note(trigger, at + 1);
        }
        sieve
    }

    fn note(&mut self, trigger: &'static [u8], at: usize) {
        let [first, second, third] = [trigger[at], trigger[at + 1], trigger[at + 2]];
        self.thirds[usize::from(u16::from_le_bytes([first, second]))] |= BITS[usize::from(third)];
        let three = [first, second, third];
        self.triggers[hash(three)].push(Shown { three, trigger, at });
    }

    fn find(&self, bytes: &[u8], from: usize) -> usize {
        let mut at = from;
        while let Some(read) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
            if self.is_of_interest(read) && self.is_shown(bytes, at) {
                return at.saturating_sub(1);
            }
            at += STEP;
        }
        if let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let mut read = [0; READ];
            read[..rest.len()].copy_from_slice(rest);
            if self.is_of_interest(&read) && self.is_shown(bytes, at) {
                return at.saturating_sub(1);
            }
        }
        bytes.len()
    }

    #[inline]
    fn is_of_interest(&self, read: &[u8; READ]) -> bool {
        // Two words hold all but the last byte: what is taken from them needs no further reading.
        let [mut low, mut high] = [0, STEP / 2].map(|at| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&read[at..at + 8]);
            u64::from_le_bytes(eight)
        });
        let mut all = self.of_place(low >> 48, high) | self.of_place(high >> 48, u64::from(read[STEP]));
        for _ in 0..PLACES / 2 - 1 {
            all |= self.of_place(low, low >> 16) | self.of_place(high, high >> 16);
            (low, high) = (low >> 16, high >> 16);
        }
        all != 0
    }

    /// Whether two bytes and a third one are of interest.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the lowest bytes are what is meant")]
    fn of_place(&self, two: u64, third: u64) -> u32 {
        self.thirds[usize::from(two as u16)] & BITS[usize::from(third as u8)]
    }

    /// Whether one of the places from `at` on shows a trigger.
    #[inline(never)]
    fn is_shown(&self, bytes: &[u8], at: usize) -> bool {
        (at..bytes.len().min(at + STEP)).step_by(2).any(|place| {
            let three = [0, 1, 2].map(|ahead| bytes.get(place + ahead).copied().unwrap_or(0));
            let thirds = self.thirds[usize::from(u16::from_le_bytes([three[0], three[1]]))];
            thirds & BITS[usize::from(three[2])] != 0
                && (self.begins(bytes, place) || place.checked_sub(1).is_some_and(|before| self.begins(bytes, before)))
        })
    }

    /// Whether the three bytes at a place are those of a trigger that stands there.
    fn begins(&self, bytes: &[u8], place: usize) -> bool {
        let Some(three) = bytes[place..].first_chunk() else { return false };
        self.triggers[hash(*three)].iter().any(|shown| {
            shown.three == *three
                && place.checked_sub(shown.at).is_some_and(|start| bytes[start..].starts_with(shown.trigger))
        })
    }
}

fn hash([first, second, third]: [u8; 3]) -> usize {
    usize::from(first.wrapping_mul(7) ^ second.wrapping_mul(29) ^ third.wrapping_mul(101))
}

/// Where the four bytes of a trigger begin that are rarest in texts.
fn rarest(trigger: &[u8]) -> usize {
    let commonness = |byte: &u8| match byte {
        b' ' => LETTERS.len() + 4,
        _ => LETTERS.iter().rev().position(|letter| letter == byte).unwrap_or(0),
    };
    let of_four = |at: &usize| trigger[*at..*at + 4].iter().map(commonness).sum::<usize>();
    (0..=trigger.len() - 4).min_by_key(of_four).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::bytes::Regex;

    use super::*;

    #[test]
    fn each_trigger_is_found_wherever_it_stands() {
        for trigger in TRIGGERS {
            let cut = &trigger[..trigger.len() - 1];
            for (before, after) in (0..40).flat_map(|before| (0..40).map(move |after| (before, after))) {
                let [whole, broken] =
                    [trigger, cut].map(|text| format!("{}{text}{}", "q".repeat(before), "q".repeat(after)));
                assert!(is_triggered(whole.as_bytes()) && !is_triggered(broken.as_bytes()), "{whole}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_plain_search_finds_no_more_and_no_less(parts in prop::collection::vec(
            prop_oneof![
                4 => (prop::sample::select(TRIGGERS.to_vec()), 0..6_usize, 0..3_usize).prop_map(|(trigger, start, cut)| {
                    let end = trigger.len() - cut;
                    trigger.as_bytes()[start.min(end)..end].to_vec()
                }),
                1 => prop::collection::vec(any::<u8>(), 0..20),
                1 => prop::sample::select(vec!["the order of a search", " "]).prop_map(|text| text.as_bytes().to_vec()),
            ], 0..6)) {
            let text = parts.concat();
            let plain = Regex::new(&TRIGGERS.map(regex::escape).join("|")).unwrap();
            let first = plain.find(&text);
            prop_assert_eq!(is_triggered(&text), first.is_some());
            prop_assert!(first.is_none_or(|first| find(&text, 0) < first.end()));
        }
    }
}
