//! The binary `everlog`: sockets, HTTP, the command line, configuration.
//!
//! The only crate that knows HTTP and the terminal; everything it does for an event it asks of the engine.

mod cli;
mod clock;
mod config;
mod doctor;
mod http;
mod s3;
mod serve;
mod trouble;
mod xlsx;

fn main() -> std::process::ExitCode {
    cli::run()
}
