//! What the file says of what runs leave behind: `[gc]`.

use std::collections::BTreeMap;

use super::cx::Cx;
use crate::gc::Policy;

impl Cx<'_> {
    pub(super) fn read_gc(&mut self) -> Policy {
        let base = Policy {
            caches: self.budgets(),
            ..Policy::default()
        };
        let Some(spec) = &self.spec.gc else {
            return base;
        };
        let keep = spec.keep.as_ref().map(|at| at.value);
        Policy {
            keep: keep.map_or(base.keep, |keep| {
                usize::try_from(keep).unwrap_or(usize::MAX)
            }),
            max_age: self
                .some_time("max_age", spec.max_age.as_ref())
                .unwrap_or(base.max_age),
            max_size: self.size_on_disk(spec.max_size.as_ref()),
            every: self.some_time("every", spec.every.as_ref()),
            caches: base.caches,
        }
    }

    /// What each cache may take, where the file says so.
    fn budgets(&mut self) -> BTreeMap<String, u64> {
        let spec = self.spec;
        let caches = spec.volumes.iter().filter_map(|(name, volume)| {
            let most = volume.cache.as_ref()?.max_size.as_ref();
            Some((name.value.clone(), self.size_on_disk(most)?))
        });
        caches.collect()
    }
}
