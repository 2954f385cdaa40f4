//! Every bound of the product that is not a setting, with its reason.

/// Deepest nesting of arrays and objects accepted in one event, counting the event itself.
///
/// A little below the 128 of the common JSON readers, so that they can read back what we keep, within an answer too.
pub const DEPTH_MAX: usize = 120;

/// Longest path of a key, in bytes, that gets a column of its own. Longer ones stay in the overflow column.
pub const COLUMN_PATH_BYTES_MAX: usize = 256;

/// Most columns, beside the shared keys, of one batch of rows in memory or of one segment.
///
/// Surplus keys go to the overflow column, which stays searchable: no document is ever refused for its keys.
pub const COLUMNS_MAX: usize = 200;

/// Largest event accepted unless the setting says otherwise, in bytes of JSON.
pub const EVENT_BYTES_MAX: usize = 1 << 20;

/// Largest request body accepted unless the setting says otherwise, in bytes after decompression.
pub const BODY_BYTES_MAX: usize = 32 << 20;

/// Longest name of a log, in bytes.
pub const LOG_NAME_BYTES_MAX: usize = 64;

/// Longest name of a stream, in bytes, where one is given a place in the list or comes through the API Logger call.
pub const STREAM_BYTES_MAX: usize = 100;

/// Longest user name of an API Logger call, in bytes: an address of the longest kind fits.
pub const LOCATION_BYTES_MAX: usize = 320;

/// Longest heading of an API Logger call, in bytes: it is one line.
pub const HEADING_BYTES_MAX: usize = 1024;

/// Longest id of an event, in bytes. A longer one is refused: cut short it would be another id.
pub const ID_BYTES_MAX: usize = 512;

/// Most events of one request. An event of two bytes takes a hundred times as much while it is written, so that a small
/// compressed body could fill the memory.
pub const REQUEST_EVENTS_MAX: usize = 500_000;

/// Most refused items of one request that are listed with their reasons; the others are counted.
pub const REFUSED_LISTED_MAX: usize = 10_000;
