//! What clients write.

use miroir::logic::ids::{EntryId, NodeIndexUid};

use crate::documents::{Change, Doc, Docs, Geo, IDS};
use crate::options::Storm;
use crate::oracle::Wish;
use crate::world::World;

impl World {
    /// A client writes; names are resolved in journal order.
    pub fn write(&mut self) {
        let name = self.random.pick(self.names);
        let head = self.durable.head(name);
        let wish = self.wish(head.is_some());
        let target = match (&wish, head) {
            (Wish::Cancel(_) | Wish::Rename(_) | Wish::Dump, _) => None,
            (_, Some(head)) => Some(head),
            (_, None) => Some(NodeIndexUid::new(format!("{name}-{}", self.durable.records.len()))),
        };
        let entry = self.durable.append(name, target, wish.clone());
        self.oracle.apply(entry.id, entry.target.as_ref(), &wish);
        self.log(|| {
            format!("journal {} {:?} {wish:?} -> {}", entry.id, entry.target, self.oracle.succeeded[&entry.id])
        });
        self.fleet.add(&entry);
    }

    fn wish(&mut self, exists: bool) -> Wish {
        if self.options.storm == Storm::Dumps && self.random.chance(0.1) {
            return Wish::Dump;
        }
        if matches!(self.options.storm, Storm::Names | Storm::Dumps)
            && self.random.chance(0.2)
            && let Some(renaming) = self.renaming()
        {
            return renaming;
        }
        if !exists {
            return if self.random.chance(0.5) { Wish::Create } else { Wish::CreateAndPut(self.put()) };
        }
        let choice = match self.options.storm {
            Storm::Mixed
            | Storm::Names
            | Storm::Dumps
            | Storm::Restarts
            | Storm::Wipes
            | Storm::Damage
            | Storm::Embedders => self.random.below(22),
            _ if self.random.chance(self.rates.votes) => 17,
            Storm::Votes | Storm::Losses | Storm::Plans | Storm::Upheaval | Storm::Slips | Storm::Audits => {
                self.random.below(22)
            }
        };
        match choice {
            0..12 => Wish::Documents(self.put()),
            12..16 => {
                let count = self.random.between(1, 3) as usize;
                Wish::Documents(Change::Delete { ids: self.random.sample(IDS, count) })
            }
            16 => Wish::Clear,
            17 | 18 => Wish::Settings(self.random.chance(0.6)),
            19 => Wish::Drop,
            // It would be resolved by what is damaged.
            20 if self.options.storm != Storm::Damage => Wish::DeleteByFilter,
            _ => {
                let count = self.durable.records.len();
                let recent = (count.saturating_sub(3)..count).map(|id| EntryId(id as u64));
                Wish::Cancel(recent.collect())
            }
        }
    }

    /// Two indexes change their names, or one gets the other's, which is free.
    fn renaming(&self) -> Option<Wish> {
        let mut heads = self.durable.heads();
        let other = |name: &str| if name == "a" { "b" } else { "a" };
        let names: Vec<(NodeIndexUid, &'static str)> =
            ["a", "b"].iter().filter_map(|name| Some((heads.remove(*name)?, other(name)))).collect();
        (!names.is_empty()).then_some(Wish::Rename(names))
    }

    fn put(&mut self) -> Change {
        let entry = self.durable.records.len() as u64;
        let count = self.random.between(1, 3) as usize;
        let mut docs = Docs::new();
        for id in self.random.sample(IDS, count) {
            let mut doc = Doc::default();
            let field = if self.random.chance(0.5) { &mut doc.x } else { &mut doc.y };
            *field = Some(entry);
            if self.random.chance(self.rates.bad) {
                doc.geo = Some(self.random.pick(&[Geo::Poison, Geo::Bad, Geo::Bad, Geo::Stubborn]));
            } else if self.random.chance(0.3) {
                doc.geo = Some(Geo::Null);
            }
            docs.insert(id, doc);
        }
        Change::Put { docs, is_merge: self.random.chance(0.5) }
    }
}
