//! One fault each, by hand: a full disk, a failing sync.
