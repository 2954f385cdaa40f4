//! The binary `everlog` from outside: started, spoken to over sockets, stopped, killed. One test binary, so that it is
//! linked once.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by stopping there")]

mod answer;
mod archive;
mod bucket;
mod damage;
mod doors;
mod full;
mod hostile;
mod imports;
mod lost;
mod once;
mod pages;
mod reading;
mod real;
mod retention;
mod server;
mod starting;
mod stopping;
mod tail;
mod tokens;
