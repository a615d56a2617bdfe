//! Times the hot paths of the protocol core.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wirebahn_bench::hot::paths;

fn proto(criterion: &mut Criterion) {
    for path in paths() {
        let mut group = criterion.benchmark_group(path.unit);
        group.throughput(Throughput::Elements(path.units));
        group.bench_function(path.name, |bencher| {
            bencher.iter(path.runner());
        });
        group.finish();
    }
}

criterion_group!(benches, proto);
criterion_main!(benches);
