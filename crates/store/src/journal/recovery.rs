//! Reading the journal back at a start: which groups count, what is damaged, and what is still in doubt.
//!
//! Several groups may stand there for the same sequence numbers: one that was refused or cut off, and the one that
//! took its place. The group after them tells which of them was acknowledged; at the end of the journal it is the
//! latest that is whole.

use std::io;

use super::{FRAME_HEADER_BYTES, FRAME_MAGIC, Frame, JournalDamage, Recovered, file_name, file_start, read_frame};
use crate::disk::Disk;

/// Goes through the files of the journal, oldest first.
pub(super) struct Recovery<'a> {
    flushed: u64,
    /// The next sequence number if nothing is missing.
    pub(super) expected: u64,
    /// The number of the latest group.
    pub(super) group: u64,
    /// Groups that begin at the same sequence number, in the order in which they were written.
    rivals: Vec<Group>,
    /// The first sequence number of each file, and its number.
    files: Vec<(u64, u64)>,
    pub(super) damage: Vec<JournalDamage>,
    take: &'a mut dyn FnMut(Recovered),
}

struct Group {
    number: u64,
    first: u64,
    rows: u64,
    frames: Vec<Recovered>,
}

impl Group {
    fn found(&self) -> u64 {
        self.frames.iter().map(|frame| frame.batch.len() as u64).sum()
    }

    fn is_whole(&self) -> bool {
        self.found() == self.rows
    }
}

impl<'a> Recovery<'a> {
    pub(super) fn new(flushed: u64, take: &'a mut dyn FnMut(Recovered)) -> Self {
        let expected = flushed + 1;
        Self { flushed, expected, group: 0, rivals: Vec::new(), files: Vec::new(), damage: Vec::new(), take }
    }

    pub(super) fn read_file(&mut self, disk: &dyn Disk, number: u64) -> io::Result<()> {
        let file = disk.open(&file_name(number))?;
        let length = file.size()?;
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, 0)?;
        self.files.push((file_start(&bytes).unwrap_or(self.expected), number));
        let mut at = 32;
        while at + FRAME_HEADER_BYTES <= bytes.len() {
            if let Some((frame, group, end)) = read_frame(&bytes, at, number) {
                self.accept(frame, group);
                at = end;
            } else {
                at = next_magic(&bytes, at + 8);
            }
        }
        Ok(())
    }

    fn accept(&mut self, frame: Frame, number: u64) {
        if let Some(open) = self.rivals.last_mut()
            && open.number == number
        {
            open.frames.push(frame.recovered);
            return;
        }
        // What is left of an older group behind the one that took its place.
        if number <= self.group {
            return;
        }
        self.group = number;
        // A flush takes whole groups.
        if frame.group_first <= self.flushed {
            return;
        }
        if self.rivals.first().is_some_and(|rival| rival.first != frame.group_first) {
            self.settle(Some(frame.group_first));
        }
        let (first, rows) = (frame.group_first, frame.group_rows);
        self.rivals.push(Group { number, first, rows, frames: vec![frame.recovered] });
    }

    /// Ends the reading. What it returns was found whole at the end: the write may have been seen by this start
    /// and still not be on the platter, for no later group proves that its sync returned.
    pub(super) fn finish(&mut self) -> Vec<Recovered> {
        self.settle(None)
    }

    /// Hands over the one of the rivals that counts, given where the group after them begins.
    fn settle(&mut self, next: Option<u64>) -> Vec<Recovered> {
        let rivals = std::mem::take(&mut self.rivals);
        let Some(first) = rivals.first().map(|rival| rival.first) else { return Vec::new() };
        if first > self.expected {
            self.lost(self.expected, first - self.expected);
            self.expected = first;
        }
        let fits = |rival: &Group| next.is_none_or(|next| rival.first + rival.rows == next);
        let chosen = rivals
            .into_iter()
            .filter(|rival| next.is_some() || rival.is_whole())
            .max_by_key(|rival| (fits(rival), rival.is_whole(), rival.number));
        // Cut off, and never acknowledged.
        let Some(chosen) = chosen else { return Vec::new() };
        if !chosen.is_whole() {
            self.lost(first, chosen.rows - chosen.found());
        }
        self.expected = first + chosen.rows;
        let in_doubt = if next.is_none() { chosen.frames.clone() } else { Vec::new() };
        chosen.frames.into_iter().for_each(&mut *self.take);
        in_doubt
    }

    fn lost(&mut self, first: u64, events: u64) {
        let holder = self.files.iter().rev().find(|(start, _)| *start <= first).or(self.files.first());
        let file = holder.map_or_else(String::new, |(_, number)| file_name(*number));
        self.damage.push(JournalDamage { file, events, first });
    }
}

/// The next place, on a multiple of eight, where a frame may begin.
fn next_magic(bytes: &[u8], from: usize) -> usize {
    let magic = FRAME_MAGIC.to_le_bytes();
    bytes[from.min(bytes.len())..]
        .chunks(8)
        .position(|chunk| chunk.starts_with(&magic))
        .map_or(bytes.len(), |chunks| from + chunks * 8)
}
