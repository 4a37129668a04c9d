//! Runs one loop so many times, for tools that count instructions: `cargo xtask instructions`.

use clap::Parser;
use penstock_bench::loops::{Loop, Work};

/// Runs a loop over a thousand rows, so many times.
#[derive(Debug, Parser)]
struct Args {
    /// The loop.
    #[arg(value_enum)]
    of: Loop,
    /// How often.
    passes: u32,
}

/// As the stages have it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let work = Work::new()?;
    for _ in 0..args.passes {
        work.pass(args.of);
    }
    Ok(())
}
