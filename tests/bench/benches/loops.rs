//! Times of the loops that run for every row: `cargo bench --bench loops`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use penstock_bench::loops::{Loop, ROWS, Work};

fn loops(criterion: &mut Criterion) {
    let work = Work::new().unwrap_or_else(|error| panic!("{error:#}"));
    let mut group = criterion.benchmark_group("rows");
    group.throughput(Throughput::Elements(ROWS as u64));
    for of in Loop::all() {
        group.bench_function(of.name(), |bencher| bencher.iter(|| work.pass(*of)));
    }
    group.finish();
}

criterion_group!(benches, loops);
criterion_main!(benches);
