//! Events as lines of text: the layouts that people and their scripts already read, and the tree of files.

mod escape;
mod folder;
mod labels;
mod layout;
mod names;
mod pairs;
mod tree;

pub use labels::Labels;
pub use layout::{Layout, level_of};
pub use tree::{Compress, Entry, Export, Found, Tree, TreeError, TreeSettings};
