//! Micro benches: how fast are documents hashed and cut by shard (MB/s on one core), how long takes the merge of 3, 16 and
//! 64 answers of 20 hits, and of a page far from the beginning, and of 3 with many values of a facet in count order, how
//! long are the ranks behind scores looked for, how long takes a placement of 64 to 4096 shards, does it keep its promises,
//! how near is a plan for one node more or less to the fewest moves, and how long is the protocol's state locked while 64
//! shards of 20 indexes move?

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use miroir_bench::answers::Shape;
use miroir_bench::moves::{MoveShape, Moves};
use miroir_bench::{answers, documents, facets, placement, scores};

fn hash_and_split(criterion: &mut Criterion) {
    let ids = documents::ids(100_000);
    let mut group = criterion.benchmark_group("hash");
    group.throughput(Throughput::Bytes(ids.iter().map(|id| id.len() as u64).sum()));
    group.bench_function("ids", |bencher| bencher.iter(|| documents::hash(black_box(&ids), 64)));
    group.finish();
    let mut group = criterion.benchmark_group("split");
    for (count, bytes) in [(20_000, 300), (8_000, 1_000), (1_000, 10_000)] {
        let body = documents::body(count, bytes);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::new("documents of bytes", bytes), &body, |bencher, body| {
            bencher.iter(|| documents::split(black_box(body), 64));
        });
    }
    group.finish();
}

fn merge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("merge");
    for (nodes, hit_bytes) in [(1, 720), (3, 720), (16, 720), (64, 720), (3, 2_000), (64, 2_000)] {
        let bodies = answers::answers(Shape { nodes, hits: 20, hit_bytes });
        let name = format!("answers of 20 hits of {hit_bytes} bytes");
        group.throughput(Throughput::Bytes(bodies.iter().map(|body| body.len() as u64).sum()));
        group.bench_with_input(BenchmarkId::new(name, nodes), &bodies, |bencher, bodies| {
            bencher.iter(|| answers::merge_answers(black_box(bodies), 0, 20));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("deep page");
    for (name, hit_bytes) in [("with documents", 2_000), ("ranks alone", 0)] {
        let bodies = answers::answers(Shape { nodes: 3, hits: 1_020, hit_bytes });
        let bytes: usize = bodies.iter().map(String::len).sum();
        println!("deep page, offset 1,000, three nodes, {name}: {bytes} bytes come from the nodes");
        group.bench_with_input(BenchmarkId::new("offset 1000", name), &bodies, |bencher, bodies| {
            bencher.iter(|| answers::merge_answers(black_box(bodies), 1_000, 20));
        });
    }
    group.finish();
}

fn merge_facets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("facets by count");
    // With 20,000 the lists are cut.
    for values in [100, 3_000, 19_999, 20_000] {
        let bodies = facets::answers(3, values);
        group.throughput(Throughput::Bytes(bodies.iter().map(|body| body.len() as u64).sum()));
        group.bench_with_input(BenchmarkId::new("values from each of 3 nodes", values), &bodies, |bencher, bodies| {
            bencher.iter(|| facets::merge(black_box(bodies)));
        });
    }
    group.finish();
}

fn read_scores(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scores of 1,000 hits of a federated query");
    for (name, is_honest) in [("that ranks lead to", true), ("that no ranks lead to", false)] {
        let details = scores::details(1_000, is_honest);
        group.bench_function(name, |bencher| bencher.iter(|| scores::read(black_box(&details))));
    }
    group.finish();
}

fn place(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("placement");
    group.sample_size(10);
    for shards in [64, 256, 1024, 4096] {
        for nodes in [3, 8, 32] {
            let name = format!("{shards} shards, 2 replicas, {nodes} nodes");
            let promises = placement::Promises::measure(shards, 2, nodes);
            println!(
                "{name}: fullest {:+.2} over its share (promised +1), adding a node moves {} (promised {}), removing one {} (held {})",
                promises.fullest_over_share,
                promises.added_moves,
                promises.added_moves_promised,
                promises.removed_moves,
                promises.removed_held
            );
            group.bench_function(name, |bencher| bencher.iter(|| placement::fresh(black_box(shards), 2, nodes)));
        }
    }
    group.finish();
    for shards in [64, 256, 1024] {
        for replicas in 1..=3 {
            let worst = placement::WorstPlans::measure(shards, replicas, 2..=64);
            println!(
                "{shards} shards, {replicas} replicas, from 2..64 nodes to one more and one less: {} plans move {} replicas, \
                 an even spread needs {}; worst plan {:.3}, worst imbalance {:.2} shards",
                worst.plans, worst.moved, worst.least, worst.moved_of_least, worst.imbalance
            );
        }
    }
}

fn move_shards(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("moves");
    group.sample_size(10);
    for nodes in [3, 8] {
        let shape = MoveShape { nodes, shards: 64, indexes: 20, writes: 1_000 };
        let name = format!("64 shards of 20 indexes, {nodes} nodes");
        println!("{name}: {} steps are read from the journal", Moves::new(shape).rebalance());
        let mut waiting = Moves::new(shape);
        waiting.wait_for_turn();
        group.bench_function(format!("{name}: a control step while all wait"), |bencher| {
            bencher.iter(|| waiting.control());
        });
        group.bench_function(format!("{name}: all of it"), |bencher| {
            bencher.iter_batched(|| Moves::new(shape), |mut moves| moves.rebalance(), BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, hash_and_split, merge, merge_facets, read_scores, place, move_shards);
criterion_main!(benches);
