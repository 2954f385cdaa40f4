//! The binary `everlog` from outside: started, spoken to over sockets, stopped, killed. One test binary, so that it is
//! linked once.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by stopping there")]

mod answer;
mod archive;
mod azure;
mod bucket;
mod connect;
mod damage;
mod doors;
mod entries;
mod es;
mod es_search;
mod follow;
mod forward;
mod full;
mod ga4;
mod gelf;
mod hostile;
mod imports;
mod init;
mod joined;
mod lost;
mod markup;
mod named;
mod once;
mod otel;
mod pages;
mod people;
mod problems_cli;
mod reading;
mod real;
mod records;
mod retention;
mod rollbar;
mod secrets;
mod sentry;
mod server;
mod starting;
mod stopping;
mod streams;
mod syslog;
mod tail;
mod tokens;
mod tree;
mod trouble;
mod viewing;
