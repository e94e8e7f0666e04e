//! Compactions and snapshots that clients want, while nodes die.

use super::*;

impl World {
    /// Like [`World::run`], for a while.
    fn run_for(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            for node in 0..self.nodes.len() {
                while self.act(node) {}
            }
            self.control();
            for due in self.fleet.compactions_due() {
                self.fleet.compact(&due);
            }
            self.now = self.now.plus_ms(10);
        }
    }
}

fn swap(world: &mut World) -> EntryId {
    let named = |node: &str, name: &str| (NodeIndexUid::new(node), IndexUid::new(name));
    world.add(Operation::SwapIndexes { swaps: Vec::new(), names: vec![named("a-0", "b"), named("b-0", "a")] })
}

#[test]
fn a_swap_does_not_wait_for_a_compaction_that_waits_for_a_node() {
    let mut world = World::new(2);
    world.create();
    world.add_to("b", &[0], Operation::CreateIndex { primary_key: None });
    world.run();
    let away = world.nodes[1].take();
    world.run_for(100);
    let compaction = world.add(Operation::CompactIndex);
    let swapped = swap(&mut world);
    world.run_for(1_000);
    assert_eq!(world.status(swapped), &ReportStatus::Succeeded);
    assert!(world.reports.iter().all(|report| report.entry != compaction));
    world.nodes[1] = away;
    world.run_for(10_000);
    world.status(compaction);
}

#[test]
fn a_compaction_leaves_out_a_node_that_stays_away() {
    for dies_midway in [false, true] {
        let mut world = World::new(2);
        world.create();
        world.run();
        let compaction = if dies_midway {
            let compaction = world.add(Operation::CompactIndex);
            world.control();
            world.nodes[1] = None;
            compaction
        } else {
            world.nodes[1] = None;
            world.run_for(100);
            world.add(Operation::CompactIndex)
        };
        world.run_for(10_000);
        assert!(world.reports.iter().all(|report| report.entry != compaction));
        world.run_for(25_000);
        world.status(compaction);
    }
}

#[test]
fn a_snapshot_ends_though_the_node_that_makes_it_dies() {
    let mut world = World::new(2);
    world.create();
    world.run();
    let snapshot = world.add(Operation::CreateSnapshot);
    world.control();
    world.nodes[0] = None;
    world.run_for(10_000);
    assert!(world.reports.iter().all(|report| report.entry != snapshot));
    world.run_for(25_000);
    assert!(matches!(world.status(snapshot), ReportStatus::Failed(error) if error.message.contains("n0")));
}
