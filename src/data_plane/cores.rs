//! Which processors the executors run on.
//!
//! `auto`: one executor per processor that this process may use. They are pinned from four processors on; on fewer the
//! control plane and whatever else runs there would hold up a pinned executor while another processor is free. When a quota
//! (cgroup) allows less time than the affinity mask has processors, as many executors as the quota allows, not pinned.

/// From so many processors on, executors are pinned.
const PINNED_FROM: usize = 4;

/// The setting `cores`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Cores {
    /// As the machine is.
    #[default]
    Auto,
    /// So many executors, not pinned: tests, and machines shared with others.
    Unpinned(usize),
    /// One executor on each of these processors.
    Pinned(Vec<usize>),
}

/// Reads `0,2,4-7`; none when it is empty, malformed, or names a processor twice.
fn parse_cpu_list(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.trim().split_once('-').unwrap_or((part.trim(), part.trim()));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last > 4096 {
            return None;
        }
        cpus.extend(first..=last);
    }
    let mut sorted = cpus.clone();
    sorted.sort_unstable();
    sorted.dedup();
    (sorted.len() == cpus.len()).then_some(cpus)
}

impl Cores {
    /// For each executor the processor that it is pinned to.
    pub fn plan(&self) -> Vec<Option<usize>> {
        let quota = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.plan_on(&allowed_cpus(), quota)
    }

    fn plan_on(&self, allowed: &[usize], quota: usize) -> Vec<Option<usize>> {
        match self {
            Self::Unpinned(count) => vec![None; (*count).max(1)],
            Self::Pinned(cpus) if cpus.iter().all(|cpu| allowed.contains(cpu)) => {
                cpus.iter().copied().map(Some).collect()
            }
            Self::Pinned(cpus) => {
                tracing::warn!(asked = ?cpus, ?allowed, "not all processors can be used: executors are not pinned");
                vec![None; cpus.len().min(quota).max(1)]
            }
            Self::Auto if allowed.len() <= quota && allowed.len() >= PINNED_FROM => {
                allowed.iter().copied().map(Some).collect()
            }
            Self::Auto => vec![None; quota],
        }
    }
}

/// The affinity mask of this process; empty when it cannot be read.
fn allowed_cpus() -> Vec<usize> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.and_then(parse_cpu_list).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_nonsense_is_refused() {
        assert_eq!(parse_cpu_list("0,2,4-6"), Some(vec![0, 2, 4, 5, 6]));
        for nonsense in ["", "a", "3-1", "1,1", "0-2,1", "-1", "0-99999999999"] {
            assert_eq!(parse_cpu_list(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn executors_are_pinned_only_where_the_machine_has_room() {
        let auto = Cores::Auto;
        assert_eq!(auto.plan_on(&[0, 3, 4, 5], 4), [Some(0), Some(3), Some(4), Some(5)]);
        assert_eq!(auto.plan_on(&[0, 1], 2), [None, None]);
        assert_eq!(auto.plan_on(&[0, 1, 2, 3], 2), [None, None]);
        assert_eq!(auto.plan_on(&[], 1), [None]);
        assert_eq!(Cores::Pinned(vec![1]).plan_on(&[0, 1], 2), [Some(1)]);
        assert_eq!(Cores::Pinned(vec![1, 7, 8]).plan_on(&[0, 1], 2), [None, None]);
        assert_eq!(Cores::Unpinned(3).plan_on(&[0], 1), [None, None, None]);
    }
}
