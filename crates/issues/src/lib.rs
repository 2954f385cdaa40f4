//! Many errors, one problem: which events belong together, and the life of an issue.
//!
//! [`group`] says which issue an event belongs to and [`explain`] why. [`Issue`] counts what happens to it, and [`Issue::fold`]
//! says what people want to hear of. Nothing here performs IO or asks for the time.

mod choose;
mod counts;
mod explain;
mod facts;
mod fingerprint;
mod frames;
mod issue;
mod judge;
mod mask;
mod merge;
mod moment;
mod place;
mod release;
mod symbol;
mod tally;
mod traceback;
mod users;

pub use counts::{Counts, DAYS_MAX, HOURS_MAX};
pub use explain::{Basis, Explanation, FrameUse, Part, PartKind, Role};
pub use facts::{CONFIGURATION_ERROR, Facts};
pub use fingerprint::{CULPRIT_BYTES_MAX, Group, TITLE_CHARACTERS_MAX, VERSION, explain, group};
pub use issue::{Decision, FINGERPRINTS_MAX, Happening, Ignore, Issue, Resolution, State};
pub use merge::{MergeError, Merged, Split};
pub use release::{DEPLOYS_MAX, Deploy, NAME_BYTES_MAX, RELEASES_KNOWN_MAX, Releases};
pub use tally::{NAMES_MAX, Names, Occurrence, Seen, Tally};
pub use users::{USERS_EXACT_MAX, UserCount, Users, user_hash};
