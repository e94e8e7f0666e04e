//! What the micro benches do, as functions that take their size: `benches/micro.rs` runs them large and measures, the
//! tests below run them tiny, so that they never rot. Every function returns a number that depends on its result: it
//! cannot be optimised away, and a change of it is a change of behaviour.

pub mod answers;
pub mod documents;
pub mod facets;
pub mod moves;
pub mod placement;
pub mod scores;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bench_runs_tiny() {
        let body = documents::body(20, 200);
        assert_eq!(documents::hash(&documents::ids(100), 64), documents::hash(&documents::ids(100), 64));
        assert!(documents::split(&body, 64) > body.len(), "the payload is the body and the markers");
        let answers = answers::answers(answers::Shape { nodes: 3, hits: 5, hit_bytes: 700 });
        assert!(answers::merge_answers(&answers, 1, 4) > 100);
        assert!(facets::merge(&facets::answers(2, 120)) > 100);
        assert_eq!([true, false].map(|is_honest| scores::read(&scores::details(3, is_honest))), [6, 6]);
        let moves = placement::Promises::measure(64, 2, 4);
        assert!(moves.fullest_over_share <= 1.0 && moves.added_moves <= moves.added_moves_promised, "{moves:?}");
        assert!(moves.removed_moves <= moves.removed_held, "{moves:?}");
        let plans = placement::WorstPlans::measure(64, 2, 2..=6);
        let shape = moves::MoveShape { nodes: 3, shards: 4, indexes: 2, writes: 10 };
        moves::Moves::new(shape).rebalance();
        let mut waiting = moves::Moves::new(shape);
        waiting.wait_for_turn();
        waiting.control();
        assert!(plans.moved_of_least <= 1.05 && plans.imbalance <= 1.0, "{plans:?}");
    }
}
