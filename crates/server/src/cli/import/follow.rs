//! `everlog import --follow`: files for ever, each line once and in order, through rotations, truncations and restarts.
//!
//! Each content of a file has a number, kept in a file of ours ([`state`]), and under that number the server remembers,
//! together with the events, up to where it is stored. A batch that arrives twice is stored once, and after a crash, of
//! either side, reading goes on exactly there. A record is sent when the next one begins, or after a second of silence.

mod find;
mod state;
mod tracked;

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::StreamExt as _;
use jiff::tz::TimeZone;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use self::state::{CHECK_BYTES, Known, Saved, State, read_at};
use self::tracked::{Found, Outgoing, Tracked, lines};
use super::super::client::Failure;
use super::super::output::note;
use super::deliver::Store;
use super::files::Input;
use super::identity::Position;
use super::record;
use super::source::Source;

/// How often files are looked at.
const EVERY: Duration = Duration::from_millis(250);

/// Files that are read and sent at a time.
const AT_A_TIME: usize = 16;

/// Longest pause between two attempts to reach the server.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How long it is tried once it is to stop. What is not sent then is sent by the next run.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

/// Of a file that looks like a copy, so much is compared.
const COMPARED_BYTES: usize = 1 << 20;

/// Follows files until it is told to stop.
pub(super) async fn run(
    store: Store<'_>,
    paths: &[PathBuf],
    named: Option<PathBuf>,
    zone: TimeZone,
) -> anyhow::Result<()> {
    let (saved, state) = Saved::open(named, store.log)?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (stop, stopping) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = stop.send(true);
    });
    let sender = Sender { store, stopping: stopping.clone() };
    let mut follow = Follow { sender, saved, state, zone, tracked: Vec::new(), ignored: BTreeMap::new() };
    let mut waiting = follow.positions().await?;
    let mut stopping = stopping;
    while !*stopping.borrow() {
        let busy = follow.step().await?;
        follow.scan(paths, &mut waiting).await?;
        if !busy {
            let _ = tokio::time::timeout(EVERY, stopping.wait_for(|stop| *stop)).await;
        }
    }
    follow.end().await
}

/// Contents that were followed before, and how far they are stored.
type Waiting = Vec<(Known, Position)>;

struct Follow<'a> {
    sender: Sender<'a>,
    saved: Saved,
    state: State,
    zone: TimeZone,
    tracked: Vec<Tracked>,
    /// Files that are not read, by device and inode, with their beginning and their size: copies, and compressed ones.
    ignored: BTreeMap<(u64, u64), (Vec<u8>, u64)>,
}

/// Whether a file is what rotation made of one that is followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Copy {
    Yes,
    /// It is as yet, and may become something else.
    Perhaps,
    No,
}

impl Follow<'_> {
    /// Asks the server how far everything is stored that was followed before.
    async fn positions(&self) -> anyhow::Result<Waiting> {
        let ask = |known: &Known| {
            let (known, producer) = (known.clone(), self.state.producer(known.number));
            async move {
                let position = self.sender.patiently(|| self.sender.store.position_of(&producer)).await?;
                anyhow::Ok((known, Position::decode(position.unwrap_or(0))))
            }
        };
        let asked = futures::stream::iter(&self.state.files).map(ask).buffered(AT_A_TIME);
        let positions: Vec<anyhow::Result<_>> = asked.collect().await;
        positions.into_iter().collect()
    }

    /// Reads and sends what is new in all files: of those that were renamed first. Whether there is more at once.
    async fn step(&mut self) -> anyhow::Result<bool> {
        // Those that are gone stand first; the others keep their order.
        self.tracked.sort_by_key(|tracked| !tracked.is_gone());
        let gone = self.tracked.iter().filter(|tracked| tracked.is_gone()).count();
        let mut steps = self.advance(0..gone).await?;
        steps.extend(self.advance(gone..self.tracked.len()).await?);
        for place in (0..steps.len()).rev() {
            match steps[place] {
                Step::Truncated => {
                    let tracked = self.tracked.remove(place);
                    self.truncated(tracked).await?;
                }
                Step::Over => drop(self.tracked.remove(place)),
                Step::Idle | Step::Busy => {}
            }
        }
        Ok(steps.contains(&Step::Busy))
    }

    async fn advance(&mut self, range: Range<usize>) -> anyhow::Result<Vec<Step>> {
        let first: HashSet<PathBuf> = self
            .tracked
            .iter()
            .filter(|tracked| tracked.goes_first())
            .map(|tracked| tracked.known.path.clone())
            .collect();
        let (sender, state) = (&self.sender, &self.state);
        let work = self.tracked[range].iter_mut().map(|tracked| {
            let waits = !tracked.is_gone() && first.contains(&tracked.known.path);
            async move { if waits { Ok(Step::Idle) } else { sender.advance(state, tracked).await } }
        });
        let steps: Vec<anyhow::Result<Step>> = futures::stream::iter(work).buffered(AT_A_TIME).collect().await;
        steps.into_iter().collect()
    }

    /// The content of a file is gone. What of it was not read yet is in the copy that was made before, if there is one.
    async fn truncated(&mut self, mut tracked: Tracked) -> anyhow::Result<()> {
        if !self.finish_by_copy(&tracked.known, tracked.position()).await? {
            if let Some(outgoing) = tracked.finish() {
                self.sender.must_send(&self.state, &tracked.known, &outgoing).await?;
            }
            self.state.forget(tracked.known.number);
        }
        let gone = tracked.is_gone();
        let Tracked { known, file, .. } = tracked;
        self.add(&known.path, file, gone)
    }

    /// Begins to follow a content that is new.
    fn add(&mut self, path: &Path, file: File, gone: bool) -> anyhow::Result<()> {
        let known = self.state.add(path, &file)?;
        // Before anything is sent: otherwise it would be sent under another number after a crash.
        self.saved.save(&self.state)?;
        self.track(known, file, 0, gone)
    }

    fn track(&mut self, known: Known, file: File, from: u64, gone: bool) -> anyhow::Result<()> {
        let mut tracked = Tracked::new(known, file, from, self.zone.clone())?;
        tracked.set_gone(gone);
        self.tracked.push(tracked);
        Ok(())
    }

    /// Looks for files that came, and for those that are no longer where they were.
    async fn scan(&mut self, paths: &[PathBuf], waiting: &mut Waiting) -> anyhow::Result<()> {
        let found = tokio::task::block_in_place(|| find::files(paths));
        let mut present = HashSet::new();
        let known = |tracked: &Tracked| Some(place(&tracked.file.metadata().ok()?));
        let known: HashSet<(u64, u64)> = self.tracked.iter().filter_map(known).collect();
        for path in found {
            let Ok(metadata) = path.metadata() else { continue };
            present.insert(place(&metadata));
            if !known.contains(&place(&metadata)) && metadata.len() > 0 {
                self.appeared(&path, waiting).await?;
            }
        }
        for (known, position) in std::mem::take(waiting) {
            self.left_behind(&known, position).await?;
        }
        let mut learnt = false;
        for tracked in &mut self.tracked {
            let there = tracked.file.metadata().is_ok_and(|metadata| present.contains(&place(&metadata)));
            tracked.set_gone(!there);
            if tracked.known.learn(&tracked.file)? {
                if let Some(known) = self.state.files.iter_mut().find(|known| known.number == tracked.known.number) {
                    known.clone_from(&tracked.known);
                }
                learnt = true;
            }
        }
        if learnt { self.saved.save(&self.state) } else { Ok(()) }
    }

    /// A file that is not followed yet: one from before the restart, a copy, or a new one.
    async fn appeared(&mut self, path: &Path, waiting: &mut Waiting) -> anyhow::Result<()> {
        let Ok(file) = File::open(path) else { return Ok(()) };
        let metadata = file.metadata()?;
        let mut head = vec![0; 256];
        let length = read_at(&file, &mut head, 0)?;
        head.truncate(length);
        // Another file may have the place of one that was deleted.
        if self.ignored.get(&place(&metadata)).is_some_and(|(known, size)| *known == head && *size == metadata.len()) {
            return Ok(());
        }
        if let Some(at) = waiting.iter().position(|(known, _)| known.is_at(&metadata)) {
            let (known, position) = waiting.remove(at);
            if known.fits(&file, position)? {
                return self.track(known, file, position.offset, false);
            }
            // It was truncated while nobody looked.
            if !self.finish_by_copy(&known, position).await? {
                self.state.forget(known.number);
            }
        }
        let is_packed = head.starts_with(b"\x1f\x8b") || head.starts_with(b"\x28\xb5\x2f\xfd");
        match self.is_copy(path, &file, waiting)? {
            Copy::No if is_packed => {
                note(&format!(
                    "{} is compressed, so nobody writes to it: `everlog import` takes it once",
                    path.display()
                ));
            }
            Copy::No => return self.add(path, file, false),
            Copy::Perhaps => return Ok(()),
            Copy::Yes => {}
        }
        self.ignored.insert(place(&metadata), (head, metadata.len()));
        Ok(())
    }

    fn is_copy(&self, path: &Path, file: &File, waiting: &Waiting) -> io::Result<Copy> {
        let tracked = self.tracked.iter().map(|tracked| (&tracked.known, tracked.position(), Some(&tracked.file)));
        let waiting = waiting.iter().map(|(known, position)| (known, *position, None));
        let mut found = Copy::No;
        for (known, position, whole) in tracked.chain(waiting).filter(|(known, ..)| find::is_rotated(&known.path, path))
        {
            if position.offset > 0 && known.fits(file, position)? {
                return Ok(Copy::Yes);
            }
            if let Some(whole) = whole
                && begins_like(file, whole)?
            {
                // It is being copied just now.
                found = Copy::Perhaps;
            }
        }
        Ok(found)
    }

    /// A content from before the restart that is at none of the paths: it was renamed, or copied and deleted.
    async fn left_behind(&mut self, known: &Known, position: Position) -> anyhow::Result<()> {
        for path in find::siblings(&known.path) {
            let Ok(file) = File::open(&path) else { continue };
            if known.is_at(&file.metadata()?) && known.fits(&file, position)? {
                return self.track(known.clone(), file, position.offset, true);
            }
        }
        if !self.finish_by_copy(known, position).await? {
            self.state.forget(known.number);
        }
        self.saved.save(&self.state)
    }

    /// Sends what a copy of a content has beyond a position. Whether there is such a copy.
    async fn finish_by_copy(&mut self, known: &Known, position: Position) -> anyhow::Result<bool> {
        if known.was_empty() && position.offset == 0 {
            // Whatever lies beside it would look like its copy.
            return Ok(false);
        }
        for path in find::siblings(&known.path) {
            let Ok(metadata) = path.metadata() else { continue };
            let input = Input { path, size: metadata.len(), named: true };
            let zone = self.zone.clone();
            let read = tokio::task::block_in_place(|| rest_of_copy(&input, known, position, zone));
            if let Some(batches) = read.unwrap_or(None) {
                for outgoing in batches {
                    self.sender.must_send(&self.state, known, &outgoing).await?;
                }
                let mut head = vec![0; 256];
                let length = File::open(&input.path).and_then(|file| read_at(&file, &mut head, 0))?;
                head.truncate(length);
                self.ignored.insert(place(&metadata), (head, metadata.len()));
                self.state.moved(known.number, &metadata);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sends what is complete.
    async fn end(mut self) -> anyhow::Result<()> {
        for tracked in self.tracked.iter_mut().filter(|tracked| !tracked.stuck) {
            while let Found::Records(outgoing, more) = tracked.look()? {
                self.sender.deliver(&self.state, tracked, outgoing).await?;
                if !more || tracked.stuck {
                    break;
                }
            }
            if let Some(outgoing) = tracked.settle().filter(|_| !tracked.stuck) {
                self.sender.deliver(&self.state, tracked, outgoing).await?;
            }
        }
        self.saved.save(&self.state)
    }
}

/// Whether all there is of a file, as far as it is compared, is the beginning of another.
fn begins_like(file: &File, whole: &File) -> io::Result<bool> {
    let (mut part, mut beginning) = (vec![0; COMPARED_BYTES], vec![0; COMPARED_BYTES]);
    let (length, there) = (read_at(file, &mut part, 0)?, read_at(whole, &mut beginning, 0)?);
    Ok(length <= there && part[..length] == beginning[..length])
}

/// Where a file lies, whatever it is called.
fn place(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// The records of a copy beyond a position, in requests of a bearable size; none if it is no copy.
fn rest_of_copy(input: &Input, known: &Known, position: Position, zone: TimeZone) -> io::Result<Option<Vec<Outgoing>>> {
    let mut source = Source::open(input)?;
    let head = source.head.clone();
    let Some(before) = source.advance(position.offset)? else { return Ok(None) };
    if head.is_empty() || !known.fits_content(&head, &before, position) {
        return Ok(None);
    }
    let mut lines = lines(zone);
    let mut seen = before;
    let (mut batches, mut chunk, mut read) = (Vec::new(), Vec::new(), position.offset);
    loop {
        source.next(&mut chunk)?;
        let mut records = Vec::new();
        let mut emit = |record: intake::lines::Record| records.push((position.offset + record.offset, record.json));
        if chunk.is_empty() {
            lines.finish(&mut emit);
        } else {
            lines.push(&chunk, &mut emit);
        }
        read += chunk.len() as u64;
        seen.extend_from_slice(&chunk);
        let covered = if chunk.is_empty() { read } else { position.offset + lines.held_from() };
        if !records.is_empty() {
            let end = seen.len() - (read - covered) as usize;
            let position = Position::after(covered, &seen[end.saturating_sub(CHECK_BYTES)..end]);
            batches.push(Outgoing { records, position });
        }
        if chunk.is_empty() {
            return Ok(Some(batches));
        }
        // The longest record that is held back, and what a position is computed from.
        let needed = (read - covered) as usize + CHECK_BYTES;
        seen.drain(..seen.len().saturating_sub(needed));
    }
}

/// What became of a file at a look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Idle,
    Busy,
    Truncated,
    Over,
}

/// The way to the server.
struct Sender<'a> {
    store: Store<'a>,
    stopping: watch::Receiver<bool>,
}

impl Sender<'_> {
    async fn advance(&self, state: &State, tracked: &mut Tracked) -> anyhow::Result<Step> {
        let found = match tokio::task::block_in_place(|| tracked.look()) {
            Ok(found) => found,
            Err(error) => {
                note(&format!("{}: {error}", tracked.known.path.display()));
                return Ok(Step::Idle);
            }
        };
        Ok(match found {
            Found::Nothing => Step::Idle,
            Found::Truncated => Step::Truncated,
            Found::Records(outgoing, more) => {
                let stored = self.deliver(state, tracked, outgoing).await?;
                if more && stored { Step::Busy } else { Step::Idle }
            }
            Found::Over(outgoing) => {
                if let Some(outgoing) = outgoing {
                    self.deliver(state, tracked, outgoing).await?;
                }
                Step::Over
            }
        })
    }

    async fn deliver(&self, state: &State, tracked: &mut Tracked, outgoing: Outgoing) -> anyhow::Result<bool> {
        let stored = outgoing.records.is_empty() || self.send(state, &tracked.known, &outgoing).await?;
        tracked.stuck |= !stored;
        if stored {
            tracked.stored(outgoing.position);
        }
        Ok(stored)
    }

    /// Sends records until they are stored. False if it was told to stop before.
    async fn send(&self, state: &State, known: &Known, outgoing: &Outgoing) -> anyhow::Result<bool> {
        let file = json!(known.path.to_string_lossy()).to_string();
        let mut body = Vec::new();
        for (offset, json) in &outgoing.records {
            record::push(&mut body, json, &state.event_id(known.number, *offset).to_string(), Some(&file));
        }
        let producer = state.producer(known.number);
        let sent = self.patiently(|| self.store.attempt(&body, outgoing.position, &producer)).await?;
        for refused in sent.iter().flat_map(|receipt| &receipt.refused) {
            note(&format!("{}: the server refused a record: {}", known.path.display(), refused.text()));
        }
        Ok(sent.is_some())
    }

    /// Sends what has to be stored before anything else is done.
    async fn must_send(&self, state: &State, known: &Known, outgoing: &Outgoing) -> anyhow::Result<()> {
        let stored = self.send(state, known, outgoing).await?;
        ensure!(stored, "stopped before everything could be sent: the next run goes on there");
        Ok(())
    }

    /// Asks until there is an answer; none if it was told to stop before.
    async fn patiently<T>(&self, ask: impl AsyncFn() -> anyhow::Result<T>) -> anyhow::Result<Option<T>> {
        let mut pause = EVERY;
        let mut stopped: Option<Instant> = None;
        loop {
            let error = match ask().await {
                Ok(answer) => return Ok(Some(answer)),
                Err(error) => error,
            };
            let Some(wait) = error.downcast_ref::<Failure>().and_then(Failure::wait) else { return Err(error) };
            if *self.stopping.borrow() && stopped.get_or_insert_with(Instant::now).elapsed() > STOP_TIME_MAX {
                return Ok(None);
            }
            note(&format!("{error}; trying again"));
            tokio::time::sleep(wait.min(pause)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}
