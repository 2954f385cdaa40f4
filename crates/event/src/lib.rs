//! The vocabulary of Everlog: what an event is, and the words for its parts.
//!
//! Nothing here performs IO, and nothing asks the system for the time except [`SystemClock`].

mod batch;
mod id;
mod level;
pub mod limits;
mod number;
mod path;
mod render;
pub mod shared;
pub mod suggest;
pub mod text;
mod timestamp;
mod value;
pub mod varint;

pub use batch::{Batch, BatchBuilder, BatchError, Field, KeyIndex, Part, PartAt, Row};
pub use id::{Id, fresh_uuid};
pub use level::Level;
pub use path::{escape_segment, logical_name, push_segment, split_first};
pub use render::{Leaf, Renderer, rest_leaves};
pub use shared::{ADDED, Added};
pub use timestamp::{Clock, SystemClock, Timestamp};
pub use value::{Value, format_uuid, parse_uuid};
