//! The binary `everlog`: sockets, HTTP, the command line, configuration.
//!
//! The only crate that knows HTTP and the terminal; everything it does for an event it asks of the engine.

mod cli;
mod clock;
mod config;
mod console;
mod crawlers;
mod doctor;
mod forward;
mod http;
mod listen;
mod notify;
mod outward;
mod s3;
mod serve;
mod trouble;
mod xlsx;

/// Gives memory back that is no longer used, and keeps events of many sizes and threads beside each other without gaps:
/// loading and asking takes a third less than with the system's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
