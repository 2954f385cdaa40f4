//! Data for measuring: events of the shape that a web API sends.

pub(crate) mod generate;
