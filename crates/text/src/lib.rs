//! Events as lines of text: the layouts that people and their scripts already read.

mod labels;
mod layout;

pub use labels::Labels;
pub use layout::Layout;
