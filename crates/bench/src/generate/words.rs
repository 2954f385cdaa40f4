//! The words of the messages: a few that stand everywhere, and thousands that stand nearly nowhere.

use super::chance::Dice;
use super::marks;

const VOCABULARY: usize = 20_000;
const WORD_BYTES: usize = 14;

/// The commonest words, commonest first; the rest of the vocabulary is made of syllables.
const COMMON_WORDS: &str = "the order for user was request to in with by and from after answered stored of product cart price is not service at \
    found on queue no task done stock waiting connection page read written sent value upstream image cache line address new id parcel until timeout \
    retry mail branch database row old token error changed size limit payment body invoice second because header while file missing refused label \
    closed opened report session key supplier customer slow first again batch empty template version expected worker counted state note transfer \
    coupon refund lock host released started stopped device index copied moved sum printed shift door night bridge harbour paper window garden";

/// Rare words that contain a common one: what a search for a part of a word has to find.
const COMPOUND_WORDS: [(usize, &str); 4] =
    [(350, "timeouts"), (1100, "read_timeout"), (3000, "timeout_ms"), (8000, "notimeoutset")];

/// A word in a fixed place, so that copying it needs no look-up and no loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    bytes: [u8; WORD_BYTES],
    length: u8,
    /// Which of the words that are asked for this is, as bits.
    pub(super) marks: u8,
}

impl Word {
    fn new(text: &str) -> Self {
        let mut bytes = [b' '; WORD_BYTES];
        let length = text.len().min(WORD_BYTES - 1);
        bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
        Self { bytes, length: length as u8, marks: marks(text) }
    }

    /// Appends the word and one space.
    pub(super) fn push(&self, out: &mut Vec<u8>) {
        let end = out.len() + usize::from(self.length) + 1;
        out.extend_from_slice(&self.bytes);
        out.truncate(end);
    }
}

/// All words, by Zipf rank.
pub(super) fn vocabulary() -> Vec<Word> {
    // The words do not depend on the seed, so that a question fits every run.
    let mut dice = Dice(7);
    let mut texts: Vec<String> = COMMON_WORDS.split_whitespace().map(str::to_owned).collect();
    let mut known: std::collections::HashSet<String> = texts.iter().cloned().collect();
    while texts.len() < VOCABULARY {
        let planted = COMPOUND_WORDS.iter().find(|(place, _)| *place == texts.len());
        let text = planted.map_or_else(|| made_up_word(&mut dice), |(_, compound)| (*compound).to_owned());
        if known.insert(text.clone()) {
            texts.push(text);
        }
    }
    texts.iter().map(|text| Word::new(text)).collect()
}

fn made_up_word(dice: &mut Dice) -> String {
    const ONSETS: [&str; 18] =
        ["b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "st", "tr", "gl"];
    const RHYMES: [&str; 12] = ["a", "e", "i", "o", "u", "an", "er", "il", "on", "us", "ei", "ar"];
    let syllables = 2 + dice.below(2);
    let syllable = |_| [ONSETS[dice.below(18) as usize], RHYMES[dice.below(12) as usize]].concat();
    (0..syllables).map(syllable).collect()
}
