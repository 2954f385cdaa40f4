//! The content of a file, unpacked if it is compressed, from any offset on.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::files::Input;
use super::identity::{HEAD_BYTES, Position};

/// How much is read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// How far a file is looked for NUL bytes.
const LOOK_BYTES: usize = 8 << 10;

/// Compressed forms that we cannot unpack, so that they are named instead of imported as nonsense.
const UNKNOWN_FORMS: [(&[u8], &str, &str); 3] =
    [(b"\xfd7zXZ\0", "xz", "xz -dc"), (b"BZh", "bzip2", "bzip2 -dc"), (b"PK\x03\x04", "zip", "unzip -p")];

/// Counts the bytes of the file itself, for the progress bar.
struct Counted<Reader> {
    reader: Reader,
    count: Arc<AtomicU64>,
}

impl<Reader: Read> Read for Counted<Reader> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.count.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

enum Stream {
    Plain(Counted<File>),
    Passing(Box<dyn Read + Send>),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(buffer),
            Self::Passing(reader) => reader.read(buffer),
        }
    }
}

/// The content of a file or of standard input.
pub(super) struct Source {
    stream: Stream,
    /// The first bytes of the content: at most 64 KiB, fewer only if there are no more.
    pub(super) head: Vec<u8>,
    /// The content's offset of the byte to come next.
    at: u64,
    /// Bytes of the file read so far.
    pub(super) read: Arc<AtomicU64>,
}

impl Source {
    /// Opens an input and reads the beginning of its content.
    pub(super) fn open(input: &Input) -> io::Result<Self> {
        let read = Arc::new(AtomicU64::new(0));
        let mut stream = if input.is_standard_input() {
            unpacked(Counted { reader: io::stdin(), count: Arc::clone(&read) }, &[])?
        } else {
            let mut file = File::open(&input.path)?;
            let magic = beginning(&mut file, 6)?;
            // A pipe cannot go back, and need not: what was read of it is put before the rest.
            if file.seek(SeekFrom::Start(0)).is_ok() {
                let file = Counted { reader: file, count: Arc::clone(&read) };
                if is_packed(&magic) { unpacked(file, &[])? } else { Stream::Plain(file) }
            } else {
                unpacked(Counted { reader: file, count: Arc::clone(&read) }, &magic)?
            }
        };
        let head = beginning(&mut stream, HEAD_BYTES)?;
        if let Some((_, form, command)) = UNKNOWN_FORMS.iter().find(|(magic, ..)| head.starts_with(magic)) {
            let hint = format!(
                "{form} is a form we do not unpack: try `{command} {} | everlog import -`",
                input.path.display()
            );
            return Err(io::Error::other(hint));
        }
        Ok(Self { stream, head, at: 0, read })
    }

    /// Whether it is no text. A log may have some NUL bytes: nginx writes what was sent to it into its error log, and a
    /// power cut leaves runs of them. But it begins with a line of text.
    pub(super) fn is_binary(&self) -> bool {
        let beginning = &self.head[..self.head.len().min(LOOK_BYTES)];
        let first_line = beginning.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let visible =
            |line: &str| !line.is_empty() && !line.trim_end().contains(|of: char| of.is_control() && of != '\t');
        beginning.contains(&0) && !std::str::from_utf8(first_line).is_ok_and(visible)
    }

    /// Goes forward to an offset of the content and gives the bytes before it, at most 64 KiB; none if the content is
    /// shorter. To be called once, before anything was read.
    pub(super) fn advance(&mut self, offset: u64) -> io::Result<Option<Vec<u8>>> {
        let head_end = self.head.len() as u64;
        self.at = offset;
        if offset <= head_end {
            let end = usize::try_from(offset).unwrap_or(0);
            return Ok(Some(self.head[..end].to_vec()));
        }
        match &mut self.stream {
            Stream::Plain(file) => {
                if offset > file.reader.metadata()?.len() {
                    return Ok(None);
                }
                let start = offset - HEAD_BYTES as u64;
                file.reader.seek(SeekFrom::Start(start))?;
                file.count.store(start, Ordering::Relaxed);
                let before = beginning(file, HEAD_BYTES)?;
                Ok((before.len() == HEAD_BYTES).then_some(before))
            }
            Stream::Passing(reader) => {
                let mut before = self.head.clone();
                let mut left = offset - head_end;
                while left > 0 {
                    let piece = beginning(reader, left.min(HEAD_BYTES as u64) as usize)?;
                    if piece.is_empty() {
                        return Ok(None);
                    }
                    left -= piece.len() as u64;
                    before.extend_from_slice(&piece);
                    before.drain(..before.len().saturating_sub(HEAD_BYTES));
                }
                Ok(Some(before))
            }
        }
    }

    /// Whether the content before a position is what it was when the position was taken.
    pub(super) fn fits(&mut self, position: Position) -> io::Result<Fit> {
        Ok(match self.advance(position.offset)? {
            None => Fit::TooShort,
            Some(before) if Position::after(position.offset, &before) == position => Fit::Same { before },
            Some(_) => Fit::Different,
        })
    }

    /// Reads the next piece of the content into `chunk`; an empty one is the end.
    pub(super) fn next(&mut self, chunk: &mut Vec<u8>) -> io::Result<()> {
        chunk.clear();
        let head = usize::try_from(self.at).ok().and_then(|at| self.head.get(at..)).unwrap_or_default();
        if head.is_empty() {
            chunk.resize(CHUNK_BYTES, 0);
            let length = loop {
                match self.stream.read(chunk) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    other => break other?,
                }
            };
            chunk.truncate(length);
        } else {
            chunk.extend_from_slice(head);
        }
        self.at += chunk.len() as u64;
        Ok(())
    }
}

/// How a content compares with one that was imported before.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Fit {
    /// It is the same, as far as that one was imported.
    Same {
        /// The end of what was imported, at most 64 KiB.
        before: Vec<u8>,
    },
    /// It begins alike, and goes on differently.
    Different,
    /// It begins alike, and ends before the other was imported.
    TooShort,
}

fn is_packed(magic: &[u8]) -> bool {
    magic.starts_with(b"\x1f\x8b") || magic.starts_with(b"\x28\xb5\x2f\xfd")
}

/// The content of a reader of which `taken` was already read.
fn unpacked(reader: impl Read + Send + 'static, taken: &[u8]) -> io::Result<Stream> {
    let mut reader = io::Cursor::new(taken.to_vec()).chain(reader);
    let magic = beginning(&mut reader, 6)?;
    let whole = io::BufReader::with_capacity(CHUNK_BYTES, io::Cursor::new(magic.clone()).chain(reader));
    Ok(Stream::Passing(if magic.starts_with(b"\x1f\x8b") {
        Box::new(flate2::bufread::MultiGzDecoder::new(whole))
    } else if is_packed(&magic) {
        Box::new(zstd::stream::read::Decoder::with_buffer(whole)?)
    } else {
        Box::new(whole)
    }))
}

/// The first bytes of a reader, fewer only at its end.
fn beginning(reader: &mut (impl Read + ?Sized), length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    reader.take(length as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(directory: &tempfile::TempDir, name: &str, bytes: &[u8]) -> Input {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Input { path, size: bytes.len() as u64, named: true }
    }

    fn content() -> Vec<u8> {
        (0..40_000_u32).flat_map(|number| format!("line {number}\n").into_bytes()).collect()
    }

    fn rest(source: &mut Source) -> Vec<u8> {
        let (mut all, mut chunk) = (Vec::new(), Vec::new());
        loop {
            source.next(&mut chunk).unwrap();
            if chunk.is_empty() {
                return all;
            }
            all.extend_from_slice(&chunk);
        }
    }

    #[test]
    fn all_forms_have_the_same_content_from_any_offset() {
        let directory = tempfile::tempdir().unwrap();
        let content = content();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut gzip, &content).unwrap();
        let forms = [
            input(&directory, "plain", &content),
            input(&directory, "gzip", &gzip.finish().unwrap()),
            input(&directory, "zstd", &zstd::encode_all(&*content, 1).unwrap()),
        ];
        for form in &forms {
            for offset in [0, 1, HEAD_BYTES, HEAD_BYTES + 1, 200_000, content.len()] {
                let mut source = Source::open(form).unwrap();
                assert_eq!(source.head, content[..HEAD_BYTES]);
                let before = source.advance(offset as u64).unwrap().unwrap();
                assert_eq!(before, content[offset.saturating_sub(HEAD_BYTES)..offset], "{form:?} {offset}");
                assert!(rest(&mut source) == content[offset..], "{form:?} {offset}");
            }
            let position = Position::after(200_000, &content[..200_000]);
            assert!(matches!(Source::open(form).unwrap().fits(position).unwrap(), Fit::Same { .. }));
            let beyond = Position::after(content.len() as u64 + 1, &content);
            assert_eq!(Source::open(form).unwrap().fits(beyond).unwrap(), Fit::TooShort);
        }
    }

    #[test]
    fn another_content_is_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let imported = b"banner\nrun 1\n";
        let position = Position::after(imported.len() as u64, imported);
        let other = input(&directory, "a", b"banner\nrun 2\nmore\n");
        assert_eq!(Source::open(&other).unwrap().fits(position).unwrap(), Fit::Different);
        let grown = input(&directory, "b", b"banner\nrun 1\nmore\n");
        assert!(matches!(Source::open(&grown).unwrap().fits(position).unwrap(), Fit::Same { .. }));
        assert!(Source::open(&input(&directory, "c", b"a\0b")).unwrap().is_binary());
        let error = Source::open(&input(&directory, "d", b"BZh91AY")).err().unwrap();
        assert!(error.to_string().contains("bzip2 -dc"), "{error}");
    }
}
