//! The time that the loops take which run for every row. `cargo xtask bench -- loops`; ARGS go to criterion.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// The same work as for `cargo xtask instructions`.
#[path = "../../src/loops.rs"]
mod loops;

use loops::{Loop, ROWS, Work};

/// As the stages have it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn rows(criterion: &mut Criterion) {
    let work = Work::new().expect("schema, template and program are valid");
    let mut group = criterion.benchmark_group("rows");
    group.throughput(Throughput::Elements(ROWS as u64));
    for of in Loop::all() {
        group.bench_function(of.name(), |bencher| bencher.iter(|| work.pass(*of)));
    }
    group.finish();
}

criterion_group!(benches, rows);
criterion_main!(benches);
