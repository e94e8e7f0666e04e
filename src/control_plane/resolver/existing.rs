//! The documents of a put one by one: their ids, and which of them are left out. Pure.

use std::collections::HashSet;

use crate::logic::ids::ShardId;
use crate::logic::payload::Payload;
use crate::logic::primary_key::id_in;

/// One document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line {
    pub shard: ShardId,
    /// Its place in the section of its shard.
    pub number: u32,
    /// None when it cannot exist.
    pub id: Option<String>,
}

/// All documents of a put, shard by shard.
pub(super) fn lines(documents: &Payload, primary_key: Option<&str>) -> Vec<Line> {
    let mut lines = Vec::new();
    for section in &documents.sections {
        let bytes = documents.slices(|shard| shard == section.shard).next().unwrap_or_default();
        for (line, number) in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).zip(0..) {
            let text = std::str::from_utf8(line).unwrap_or_default();
            let id =
                primary_key.and_then(|primary_key| id_in(primary_key, text).ok().map(std::borrow::Cow::into_owned));
            lines.push(Line { shard: section.shard, number, id });
        }
    }
    lines
}

/// The shards in which any document is left, and the lines of each that are left out, when only these exist.
pub(super) fn left_out(lines: &[Line], existing: &HashSet<String>) -> (Vec<ShardId>, Vec<(ShardId, Vec<u32>)>) {
    let mut shards: Vec<ShardId> = Vec::new();
    let mut left_out: Vec<(ShardId, Vec<u32>)> = Vec::new();
    for line in lines {
        if line.id.as_ref().is_some_and(|id| existing.contains(id)) {
            if shards.last() != Some(&line.shard) {
                shards.push(line.shard);
            }
            continue;
        }
        match left_out.last_mut() {
            Some((shard, numbers)) if *shard == line.shard => numbers.push(line.number),
            Some(_) | None => left_out.push((line.shard, vec![line.number])),
        }
    }
    (shards, left_out)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::logic::payload::Section;

    #[test]
    fn what_does_not_exist_is_left_out_shard_by_shard() {
        let first =
            "{\"_miroir\":\"x\",\"id\":1}\n{\"_miroir\":\"x\",\"id\":\"b\"}\n{\"_miroir\":\"x\",\"id\":1,\"n\":2}\n";
        let second = "{\"_miroir\":\"y\",\"id\":3}\n";
        let section = |shard, start: usize, length: usize| Section {
            shard: ShardId(shard),
            start: start as u64,
            length: length as u64,
            id_hashes: vec![],
        };
        let documents = Payload {
            sections: vec![section(2, 0, first.len()), section(5, first.len(), second.len())],
            bytes: Bytes::from(format!("{first}{second}")),
        };
        let lines = lines(&documents, Some("id"));
        let ids: Vec<_> = lines.iter().map(|line| (line.shard.0, line.number, line.id.as_deref())).collect();
        assert_eq!(ids, [(2, 0, Some("1")), (2, 1, Some("b")), (2, 2, Some("1")), (5, 0, Some("3"))]);
        let only = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<HashSet<String>>();
        assert_eq!(
            left_out(&lines, &only(&["1"])),
            (vec![ShardId(2)], vec![(ShardId(2), vec![1]), (ShardId(5), vec![0])])
        );
        let all = vec![(ShardId(2), vec![0, 1, 2]), (ShardId(5), vec![0])];
        assert_eq!(left_out(&lines, &only(&[])), (vec![], all));
    }
}
