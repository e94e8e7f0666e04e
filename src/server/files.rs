//! File descriptors: as many as the system allows, and who may have how many of them.
//!
//! Connections of clients must not take those that the store and the way to the nodes need: without them an overload
//! would look like dead nodes and a broken disk.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Those of the store, the log, listeners, executors, feeders and probers.
const OWN: u64 = 256;
/// The part of the others that connections of clients may have.
const CLIENTS_PERCENT: u64 = 60;
/// So many nodes at least are reckoned with: others may join.
const NODES_MIN: usize = 4;
/// A node can always be asked for so many things at a time.
const EACH_NODE_MIN: u64 = 8;

/// Who may have how many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FileShares {
    /// Connections of clients.
    pub clients: usize,
    /// Connections of one core to one node.
    pub each_node: u32,
}

/// Raises the limit of this process as far as it may, and shares it out.
pub(super) fn of_process(cores: usize, nodes: usize) -> FileShares {
    let limit = raise().unwrap_or_else(|error| {
        tracing::warn!(%error, "the limit of file descriptors is not known");
        1024
    });
    share_out(limit, cores, nodes)
}

fn raise() -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => Ok(hard),
        Err(_) => Ok(soft),
    }
}

fn share_out(limit: u64, cores: usize, nodes: usize) -> FileShares {
    let left = limit.saturating_sub(OWN).max(limit / 2);
    let clients = left * CLIENTS_PERCENT / 100;
    let ways = (cores * nodes.max(NODES_MIN)).max(1) as u64;
    let each_node = ((left - clients) / ways).max(EACH_NODE_MIN);
    FileShares { clients: clients as usize, each_node: u32::try_from(each_node).unwrap_or(u32::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_together_have_no_more_than_there_is() {
        for (limit, cores, nodes) in [(1_024, 2, 3), (4_096, 8, 12), (20_000, 2, 3), (1_048_576, 64, 100)] {
            let FileShares { clients, each_node } = share_out(limit, cores, nodes);
            let all = clients as u64 + u64::from(each_node) * (cores * nodes) as u64 + OWN;
            assert!(all <= limit, "{limit}: {all}");
            assert!(clients > 400 && u64::from(each_node) >= EACH_NODE_MIN);
        }
        assert!(share_out(20_000, 2, 3).clients >= 10_000);
        assert!(share_out(64, 1, 1).clients > 0);
    }
}
