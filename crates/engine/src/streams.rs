//! The streams and their labels.

use text::Labels;

use crate::Engine;

impl Engine {
    /// What stands before the message of each stream where events are written as text.
    #[must_use]
    pub fn labels(&self) -> Labels {
        Labels::default()
    }
}
