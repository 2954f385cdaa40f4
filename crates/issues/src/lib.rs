//! Many errors, one problem: which events belong together, and the life of an issue.
//!
//! [`group`] says which issue an event belongs to and [`explain`] why. [`Issue`] counts what happens to it, and [`Issue::fold`]
//! says what people want to hear of. Nothing here performs IO or asks for the time.

mod choose;
mod explain;
mod facts;
mod fingerprint;
mod frames;
mod judge;
mod mask;
mod place;
mod symbol;
mod traceback;

pub use explain::{Basis, Explanation, FrameUse, Part, PartKind, Role};
pub use facts::{CONFIGURATION_ERROR, Facts};
pub use fingerprint::{CULPRIT_BYTES_MAX, Group, TITLE_CHARACTERS_MAX, VERSION, explain, group};
