//! Events on their way from a door to the disk: taken apart once, and never parsed again.
//!
//! A batch is what one request brought. Its bytes are what the journal keeps (docs/format.md gives the layout),
//! and what the column builders read. Keys are written once for a batch; a row refers to them by number.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};
use thiserror::Error;

use crate::{Id, Timestamp, Value, varint};

/// The number of a key within its batch.
pub type KeyIndex = u32;

/// Events of one request, in the order they were sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    keys: Vec<Box<str>>,
    heads: Vec<Head>,
    data: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq)]
struct Head {
    id: Id,
    timestamp: Timestamp,
    end: u32,
}

/// One event of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The id, which is also the idempotency key.
    pub id: &'a Id,
    /// When it happened.
    pub timestamp: Timestamp,
    data: &'a [u8],
}

/// One value of an event, and the number of its key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field<'a> {
    /// Which key, as an index into [`Batch::keys`].
    pub key: KeyIndex,
    /// The value.
    pub value: Value<'a>,
    /// True for what is only kept to give back the document as it was sent: it goes to the overflow column, and
    /// when the event is put together it takes the place of a column of the same path.
    pub sent: bool,
}

/// One value of an event as its bytes: no text is made of them, nor looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Which key, as an index into [`Batch::keys`].
    pub key: KeyIndex,
    /// Where the value ends in [`Row::data`].
    pub end: usize,
    /// What is written of the value: a text, or the eight bytes of a number.
    pub bytes: &'a [u8],
    tag: u8,
}

/// The bytes do not hold a batch.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the bytes of a batch break off or contradict themselves at byte {at}")]
pub struct BatchError {
    /// Where reading stopped.
    pub at: usize,
}

const TAG_NULL: u8 = 0;
const TAG_FALSE: u8 = 1;
const TAG_TRUE: u8 = 2;
const TAG_INT: u8 = 3;
const TAG_FLOAT: u8 = 4;
const TAG_STR: u8 = 5;
const TAG_UUID: u8 = 6;
const TAG_RAW: u8 = 7;
const SENT: u8 = 0x80;

/// Stands for a length that is written before the value.
const OWN_LENGTH: u8 = u8::MAX;

/// The lengths of values, by their tags.
const LENGTHS: [u8; 8] = [0, 0, 0, 8, 8, OWN_LENGTH, 16, OWN_LENGTH];

/// So much is reserved for the events of a body before they are read.
const ROOM_BYTES_MAX: usize = 512 << 10;

impl Batch {
    /// How many events there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// The paths that the rows refer to.
    #[must_use]
    pub fn keys(&self) -> &[Box<str>] {
        &self.keys
    }

    /// About how many bytes the batch takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.data.len() + self.heads.len() * 32
    }

    /// The event at `index`.
    ///
    /// # Panics
    /// When there is no such event.
    #[must_use]
    pub fn row(&self, index: usize) -> Row<'_> {
        let start = if index == 0 { 0 } else { self.heads[index - 1].end as usize };
        let head = &self.heads[index];
        Row { id: &head.id, timestamp: head.timestamp, data: &self.data[start..head.end as usize] }
    }

    /// All events in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        (0..self.len()).map(|index| self.row(index))
    }

    /// A batch with only the events for which `keep` is true.
    #[must_use]
    pub fn filtered(&self, mut keep: impl FnMut(usize) -> bool) -> Self {
        let mut filtered =
            Self { keys: self.keys.clone(), heads: Vec::new(), data: Vec::with_capacity(self.data.len()) };
        for (index, row) in self.rows().enumerate() {
            if keep(index) {
                filtered.data.extend_from_slice(row.data);
                let end = u32::try_from(filtered.data.len()).unwrap_or(u32::MAX);
                filtered.heads.push(Head { id: row.id.clone(), timestamp: row.timestamp, end });
            }
        }
        filtered
    }

    /// Appends the bytes of the batch, as the journal keeps them.
    pub fn encode(&self, out: &mut Vec<u8>) {
        varint::write(out, self.keys.len() as u64);
        for key in &self.keys {
            varint::write(out, key.len() as u64);
            out.extend_from_slice(key.as_bytes());
        }
        varint::write(out, self.heads.len() as u64);
        for row in self.rows() {
            out.extend_from_slice(&row.timestamp.as_micros().to_le_bytes());
            match row.id {
                Id::Uuid(bytes) => {
                    out.push(0);
                    out.extend_from_slice(bytes);
                }
                Id::Text(text) => {
                    out.push(1);
                    varint::write(out, text.len() as u64);
                    out.extend_from_slice(text.as_bytes());
                }
            }
            varint::write(out, row.data.len() as u64);
            out.extend_from_slice(row.data);
        }
    }

    /// Reads what [`Batch::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes break off, name a key that is not there, or hold text that is not UTF-8.
    pub fn decode(bytes: &[u8]) -> Result<Self, BatchError> {
        let mut reader = Reader { bytes, at: 0 };
        let mut batch = Self::default();
        for _ in 0..reader.count()? {
            let key = reader.text()?;
            batch.keys.push(key.into());
        }
        for _ in 0..reader.count()? {
            let timestamp = Timestamp::from_micros(i64::from_le_bytes(reader.array()?));
            let id = match reader.byte()? {
                0 => Id::Uuid(reader.array()?),
                1 => Id::Text(reader.text()?.into()),
                _ => return Err(reader.error()),
            };
            let length = reader.count()?;
            let data = reader.take(length)?;
            check_fields(data, batch.keys.len()).map_err(|()| reader.error())?;
            batch.data.extend_from_slice(data);
            let end = u32::try_from(batch.data.len()).map_err(|_| reader.error())?;
            batch.heads.push(Head { id, timestamp, end });
        }
        if reader.at == bytes.len() { Ok(batch) } else { Err(reader.error()) }
    }
}

fn check_fields(data: &[u8], keys: usize) -> Result<(), ()> {
    let mut reader = Reader { bytes: data, at: 0 };
    while reader.at < data.len() {
        let field = reader.field().map_err(|_| ())?;
        if field.key as usize >= keys {
            return Err(());
        }
    }
    Ok(())
}

impl<'a> Row<'a> {
    /// The values of the event, in the order they were sent.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let mut reader = Reader { bytes: self.data, at: 0 };
        std::iter::from_fn(move || if reader.at < reader.bytes.len() { reader.field().ok() } else { None })
    }

    /// The values of some keys, in the order they were sent. The others are passed over, which is quicker than to read them.
    pub fn fields_of(&self, mut is_wanted: impl FnMut(KeyIndex) -> bool) -> impl Iterator<Item = Field<'a>> {
        self.parts().filter(move |part| is_wanted(part.key)).filter_map(|part| part.field())
    }

    /// The values in the same order, as their bytes.
    #[inline]
    pub fn parts(&self) -> impl Iterator<Item = Part<'a>> + use<'a> {
        let mut reader = Reader { bytes: self.data, at: 0 };
        std::iter::from_fn(move || if reader.at < reader.bytes.len() { reader.part().ok() } else { None })
    }

    /// The values as they are encoded: numbers and lengths between the bytes of the texts.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// About how many bytes the event takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.data.len() + 24
    }
}

/// Where a value stands in its event, and of what type it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartAt {
    end: usize,
    tag: u8,
}

impl<'a> Part<'a> {
    /// Where it stands.
    #[must_use]
    pub fn at(&self) -> PartAt {
        PartAt { end: self.end, tag: self.tag }
    }

    /// The value, where it is a whole number.
    #[inline]
    #[must_use]
    pub fn int(&self) -> Option<i64> {
        let bytes = self.bytes.try_into().ok().filter(|_| self.tag & !SENT == TAG_INT)?;
        Some(i64::from_le_bytes(bytes))
    }

    /// Whether it is JSON text, kept as it was sent.
    #[inline]
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.tag & !SENT == TAG_RAW
    }

    /// The whole field.
    #[must_use]
    pub fn field(&self) -> Option<Field<'a>> {
        let value = match self.tag & !SENT {
            TAG_NULL => Value::Null,
            TAG_FALSE => Value::Bool(false),
            TAG_TRUE => Value::Bool(true),
            TAG_INT => Value::Int(i64::from_le_bytes(self.bytes.try_into().ok()?)),
            TAG_FLOAT => Value::Float(f64::from_le_bytes(self.bytes.try_into().ok()?)),
            TAG_STR => Value::Str(std::str::from_utf8(self.bytes).ok()?),
            TAG_UUID => Value::Uuid(self.bytes.try_into().ok()?),
            TAG_RAW => Value::Raw(std::str::from_utf8(self.bytes).ok()?),
            _ => return None,
        };
        Some(Field { key: self.key, value, sent: self.tag & SENT != 0 })
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn error(&self) -> BatchError {
        BatchError { at: self.at }
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], BatchError> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len()).ok_or(self.error())?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, BatchError> {
        let byte = *self.bytes.get(self.at).ok_or(self.error())?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], BatchError> {
        let error = self.error();
        self.take(N)?.try_into().map_err(|_| error)
    }

    #[inline]
    fn count(&mut self) -> Result<usize, BatchError> {
        let count = varint::read(self.bytes, &mut self.at).and_then(|count| usize::try_from(count).ok());
        count.ok_or(self.error())
    }

    fn text(&mut self) -> Result<&'a str, BatchError> {
        let length = self.count()?;
        let error = self.error();
        std::str::from_utf8(self.take(length)?).map_err(|_| error)
    }

    /// Most keys and lengths are below 128: such a value is read without a loop.
    #[inline]
    fn part(&mut self) -> Result<Part<'a>, BatchError> {
        if let Some(rest) = self.bytes.get(self.at..)
            && let Some([key, tag, length]) = rest.first_chunk()
            && let Some(fixed) = LENGTHS.get(usize::from(tag & !SENT))
        {
            let is_text = *fixed == OWN_LENGTH;
            let start = 2 + usize::from(is_text);
            let end = start + usize::from(if is_text { *length } else { *fixed });
            if (key | if is_text { *length } else { 0 }) < 0x80
                && let Some(bytes) = rest.get(start..end)
            {
                self.at += end;
                return Ok(Part { key: u32::from(*key), end: self.at, bytes, tag: *tag });
            }
        }
        self.long_part()
    }

    fn long_part(&mut self) -> Result<Part<'a>, BatchError> {
        let key = u32::try_from(self.count()?).map_err(|_| self.error())?;
        let tag = self.byte()?;
        let length = match tag & !SENT {
            TAG_NULL | TAG_FALSE | TAG_TRUE => 0,
            TAG_INT | TAG_FLOAT => 8,
            TAG_STR | TAG_RAW => self.count()?,
            TAG_UUID => 16,
            _ => return Err(self.error()),
        };
        let bytes = self.take(length)?;
        Ok(Part { key, end: self.at, bytes, tag })
    }

    fn field(&mut self) -> Result<Field<'a>, BatchError> {
        let part = self.part()?;
        part.field().ok_or(self.error())
    }
}

/// Puts a batch together, one event after the other.
#[derive(Debug)]
pub struct BatchBuilder {
    batch: Batch,
    /// The keys by their hashes.
    index: HashTable<KeyIndex>,
    hasher: DefaultHashBuilder,
    /// For each key, the last row that used it (counted from 1), to notice a key that occurs twice.
    used: Vec<[u32; 2]>,
    /// The keys of the event before this one, in order: most events repeat them, which saves the hashing.
    expected: Vec<KeyIndex>,
    position: usize,
    row: u32,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            batch: Batch::default(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            used: Vec::new(),
            expected: Vec::new(),
            position: 0,
            row: 1,
        }
    }

    /// An empty one with room for the events of a body of so many bytes.
    #[must_use]
    pub fn with_room(body_bytes: usize) -> Self {
        let mut builder = Self::new();
        builder.batch.data.reserve(body_bytes.min(ROOM_BYTES_MAX));
        builder
    }

    /// One with the keys of a batch and its first events: what is copied from it needs no new numbers.
    ///
    /// # Panics
    /// When the batch has fewer events.
    #[must_use]
    pub fn continuing(batch: &Batch, events: usize) -> Self {
        let mut builder = Self::with_room(batch.data.len());
        for key in &batch.keys {
            builder.key(key);
        }
        builder.batch.heads.extend_from_slice(&batch.heads[..events]);
        let end = builder.batch.heads.last().map_or(0, |head| head.end as usize);
        builder.batch.data.extend_from_slice(&batch.data[..end]);
        builder
    }

    /// Adds an event of the batch that this one continues, as it is. False when there is no room for it.
    pub fn copy(&mut self, row: &Row<'_>) -> bool {
        self.begin(row);
        self.commit(row.id.clone(), row.timestamp)
    }

    /// Begins an event with the values of one of the batch that this one continues; more may be pushed. That a key
    /// is pushed which it has already is not noticed.
    pub fn begin(&mut self, row: &Row<'_>) {
        self.batch.data.extend_from_slice(row.data);
    }

    /// Puts another number in the place of a part of the event that [`BatchBuilder::begin`] began. False, and nothing
    /// changed, when the part is none with a fraction: numbers alone are as long as any other.
    pub fn replace_number(&mut self, part: PartAt, value: f64) -> bool {
        let begun = self.batch.heads.last().map_or(0, |head| head.end as usize);
        let end = begun + part.end;
        let Some(place) = self.batch.data.get_mut(end.saturating_sub(size_of::<f64>())..end) else { return false };
        if part.tag & !SENT != TAG_FLOAT {
            return false;
        }
        place.copy_from_slice(&value.to_le_bytes());
        true
    }

    /// How many events were committed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Whether none was committed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// The number of a path in this batch.
    pub fn key(&mut self, path: &str) -> KeyIndex {
        if let Some(expected) = self.expected.get(self.position)
            && *self.batch.keys[*expected as usize] == *path
        {
            return *expected;
        }
        let keys = &mut self.batch.keys;
        let hash = self.hasher.hash_one(path);
        if let Some(index) = self.index.find(hash, |index| *keys[*index as usize] == *path) {
            return *index;
        }
        let index = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        keys.push(path.into());
        self.index.insert_unique(hash, index, |index| self.hasher.hash_one(&*keys[*index as usize]));
        self.used.push([0; 2]);
        index
    }

    /// The path of a key.
    ///
    /// # Panics
    /// When the batch has no such key.
    #[must_use]
    pub fn path(&self, key: KeyIndex) -> &str {
        &self.batch.keys[key as usize]
    }

    /// How many values the event under construction has.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// The paths of the values of the event under construction, from one of them on.
    pub fn pushed(&self, from: usize) -> impl Iterator<Item = &str> {
        self.expected[..self.position].iter().skip(from).map(|key| &*self.batch.keys[*key as usize])
    }

    /// Adds a value to the event under construction. False, and nothing added, when it has one under this key
    /// already (as a column, or as sent: the two do not collide).
    pub fn push(&mut self, key: KeyIndex, value: Value<'_>, sent: bool) -> bool {
        let used = &mut self.used[key as usize][usize::from(sent)];
        if *used == self.row {
            return false;
        }
        *used = self.row;
        if let Some(slot) = self.expected.get_mut(self.position) {
            *slot = key;
        } else {
            self.expected.push(key);
        }
        self.position += 1;
        let out = &mut self.batch.data;
        varint::write(out, u64::from(key));
        let flag = if sent { SENT } else { 0 };
        match value {
            Value::Null => out.push(TAG_NULL | flag),
            Value::Bool(value) => out.push(if value { TAG_TRUE } else { TAG_FALSE } | flag),
            Value::Int(value) => {
                out.push(TAG_INT | flag);
                out.extend_from_slice(&value.to_le_bytes());
            }
            Value::Float(value) => {
                out.push(TAG_FLOAT | flag);
                out.extend_from_slice(&value.to_le_bytes());
            }
            Value::Uuid(value) => {
                out.push(TAG_UUID | flag);
                out.extend_from_slice(&value);
            }
            Value::Str(text) | Value::Raw(text) => {
                out.push(if matches!(value, Value::Str(_)) { TAG_STR } else { TAG_RAW } | flag);
                varint::write(out, text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            }
        }
        true
    }

    /// Completes the event under construction. False when the batch has no room for it (4 GiB): then it is dropped.
    pub fn commit(&mut self, id: Id, timestamp: Timestamp) -> bool {
        let Ok(end) = u32::try_from(self.batch.data.len()) else {
            self.rollback();
            return false;
        };
        self.batch.heads.push(Head { id, timestamp, end });
        self.next_row();
        true
    }

    /// Forgets the event under construction.
    pub fn rollback(&mut self) {
        let end = self.batch.heads.last().map_or(0, |head| head.end as usize);
        self.batch.data.truncate(end);
        self.next_row();
    }

    fn next_row(&mut self) {
        self.position = 0;
        self.row += 1;
    }

    /// The events committed so far.
    #[must_use]
    pub fn finish(mut self) -> Batch {
        self.rollback();
        self.batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Batch {
        let mut builder = BatchBuilder::new();
        for number in 0..3_i64 {
            let key = builder.key("status");
            assert!(builder.push(key, Value::Int(number), false));
            assert!(!builder.push(key, Value::Int(9), false), "a second value under one key is refused");
            let key = builder.key("message");
            assert!(builder.push(key, Value::Str("héllo"), false));
            assert!(builder.push(key, Value::Raw("[1,2]"), true));
            builder.commit(Id::new("a"), Timestamp::from_micros(number));
        }
        let key = builder.key("lost");
        builder.push(key, Value::Null, false);
        builder.rollback();
        builder.finish()
    }

    #[test]
    fn encodes_and_decodes() {
        let batch = sample();
        let mut bytes = Vec::new();
        batch.encode(&mut bytes);
        let read = Batch::decode(&bytes).unwrap();
        assert_eq!(read, batch);
        assert_eq!(read.row(2).fields().count(), 3);
    }

    #[test]
    fn an_event_is_continued() {
        let batch = sample();
        let mut builder = BatchBuilder::continuing(&batch, 0);
        assert!(builder.copy(&batch.row(0)));
        builder.begin(&batch.row(1));
        let key = builder.key("more");
        assert!(builder.push(key, Value::Bool(true), false));
        assert!(builder.commit(batch.row(1).id.clone(), batch.row(1).timestamp));
        let read = builder.finish();
        assert_eq!((read.len(), read.row(0).data()), (2, batch.row(0).data()));
        let fields: Vec<Value<'_>> = read.row(1).fields().map(|field| field.value).collect();
        assert_eq!(fields, [Value::Int(1), Value::Str("héllo"), Value::Raw("[1,2]"), Value::Bool(true)]);
        let some: Vec<Value<'_>> = read.row(1).fields_of(|key| key != 1).map(|field| field.value).collect();
        assert_eq!(some, [Value::Int(1), Value::Bool(true)]);
    }

    #[test]
    fn a_number_of_an_event_is_replaced() {
        let mut builder = BatchBuilder::new();
        for number in 0..2 {
            let (size, name) = (builder.key("size"), builder.key("name"));
            builder.push(size, Value::Float(f64::from(number)), false);
            builder.push(name, Value::Str("n"), false);
            builder.commit(Id::new("a"), Timestamp::from_micros(0));
        }
        let batch = builder.finish();
        let mut builder = BatchBuilder::continuing(&batch, 1);
        builder.begin(&batch.row(1));
        let [size, name] = batch.row(1).parts().map(|part| part.at()).collect::<Vec<_>>()[..] else { panic!() };
        assert!(builder.replace_number(size, 7.5));
        assert!(!builder.replace_number(name, 8.5), "a text stays as it is");
        builder.commit(Id::new("a"), Timestamp::from_micros(0));
        let read = builder.finish();
        let sizes: Vec<Value<'_>> = read.rows().flat_map(|row| row.fields().next()).map(|field| field.value).collect();
        assert_eq!(sizes, [Value::Float(0.0), Value::Float(7.5)]);
    }

    #[test]
    fn a_cut_batch_is_an_error_and_never_a_panic() {
        let mut bytes = Vec::new();
        sample().encode(&mut bytes);
        for cut in 0..bytes.len() {
            assert!(Batch::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for flip in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[flip] ^= 0xff;
            let _ = Batch::decode(&broken);
        }
    }

    #[test]
    fn filtered_keeps_whole_rows() {
        let kept = sample().filtered(|index| index != 1);
        assert_eq!(kept.len(), 2);
        assert_eq!(kept.row(1).timestamp.as_micros(), 2);
        assert_eq!(kept.row(1).fields().next().map(|field| field.value), Some(Value::Int(2)));
    }
}
