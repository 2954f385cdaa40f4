//! Where to go on in a file, compared with all that was imported before and begins like it.

use std::io;

use super::deliver::Known;
use super::files::Input;
use super::identity::{HEAD_BYTES, Identity};
use super::source::{Fit, Source};

/// A file of which it is known where to go on.
pub(super) struct Opened {
    pub(super) source: Source,
    pub(super) identity: Identity,
    /// Up to where it was imported before.
    pub(super) from: u64,
    /// The end of what was imported before.
    pub(super) before: Vec<u8>,
}

/// Compares a file with what is known, the longest beginning first. None if it is an older copy of a file that was
/// imported and has grown since: then all of it is stored. `free` is the identity for a file that is new.
pub(super) fn resume(input: &Input, mut source: Source, known: &[Known], free: Identity) -> io::Result<Option<Opened>> {
    for Known { identity: earlier, position } in known {
        match source.fits(*position)? {
            Fit::Same { before } => {
                // As soon as more of the content is there, the file gets the longer name.
                let identity = if earlier.is_as_long_as(&free) { earlier.clone() } else { free };
                return Ok(Some(Opened { source, identity, from: position.offset, before }));
            }
            Fit::TooShort if earlier.is_full() => return Ok(None),
            Fit::Different | Fit::TooShort if position.offset <= HEAD_BYTES as u64 => {}
            Fit::Different | Fit::TooShort if input.is_standard_input() => {
                return Err(io::Error::other(
                    "it begins like something imported before and goes on differently. Save it to a file and import that",
                ));
            }
            Fit::Different | Fit::TooShort => source = Source::open(input)?,
        }
    }
    let before = source.advance(0)?.unwrap_or_default();
    Ok(Some(Opened { source, identity: free, from: 0, before }))
}

#[cfg(test)]
mod tests {
    use super::super::identity::{Position, lengths};
    use super::*;

    /// A server that remembers, and the files given to it one after the other: from where each is read, under which name.
    fn check(contents: &[&[u8]]) -> Vec<Option<(u64, String)>> {
        let directory = tempfile::tempdir().unwrap();
        let mut stored: Vec<(String, u64)> = Vec::new();
        let mut answers = Vec::new();
        for content in contents {
            let path = directory.path().join("a.log");
            std::fs::write(&path, content).unwrap();
            let input = Input { path, size: content.len() as u64, named: true };
            let source = Source::open(&input).unwrap();
            let mut known = Vec::new();
            let mut free = None;
            for length in lengths(&source.head) {
                let mut identity = Identity::of(&source.head, length);
                while let Some((_, position)) = stored.iter().find(|(name, _)| *name == identity.producer("x")) {
                    known.push(Known { identity: identity.clone(), position: Position::decode(*position) });
                    identity = identity.numbered(identity.number() + 1);
                }
                free.get_or_insert(identity);
            }
            let opened = resume(&input, source, &known, free.unwrap()).unwrap();
            answers.push(opened.map(|opened| {
                let name = opened.identity.producer("x");
                stored.retain(|(other, _)| *other != name);
                stored.push((name.clone(), Position::after(content.len() as u64, content).encode()));
                let parts: Vec<&str> = name.split(':').collect();
                (opened.from, [&parts[2..3], &parts[4..]].concat().join(":"))
            }));
        }
        answers
    }

    fn at(from: u64, name: &str) -> Option<(u64, String)> {
        Some((from, name.to_owned()))
    }

    fn long(lines: usize) -> Vec<u8> {
        (0..lines).flat_map(|number| format!("this is line {number}\n").into_bytes()).collect()
    }

    #[test]
    fn a_file_that_grows_goes_on_where_it_was() {
        let whole = long(10_000);
        assert_eq!(
            check(&[&whole[..10], &whole[..10], &whole[..15], &whole[..300], &whole[..100_000], &whole, &whole]),
            [
                at(0, "8"),
                at(10, "8"),
                at(10, "8"),
                at(15, "256"),
                at(300, "65536"),
                at(100_000, "65536"),
                at(whole.len() as u64, "65536")
            ]
        );
    }

    #[test]
    fn files_that_begin_alike_are_not_mixed_up() {
        let banner = long(25);
        let run = |number: u8| [&banner[..], format!("run {number} of them").as_bytes()].concat();
        let answers = check(&[&run(1), &run(2), &run(1), &run(2), &run(3)]);
        let length = run(1).len() as u64;
        assert_eq!(answers, [at(0, "256"), at(0, "256:1"), at(length, "256"), at(length, "256:1"), at(0, "256:2")]);
    }

    #[test]
    fn an_older_copy_of_a_long_file_is_known_and_a_shorter_short_one_is_not() {
        let whole = long(10_000);
        assert_eq!(check(&[&whole, &whole[..150_000]]), [at(0, "65536"), None]);
        assert_eq!(check(&[&whole[..1000], &whole[..900]]), [at(0, "512"), at(0, "512:1")]);
    }
}
