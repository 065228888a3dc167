//! What a kernel's compressor made of data, taken over from what was seen: which parts became
//! smaller from the maps, what they are on disk from the trees.
//!
//! Only that is taken. A part is told by the map of its own file, as far as it is still there after
//! the operation; where it is not, nothing depends on it.

use std::collections::{BTreeMap, HashMap};

use fs_state::{ExtentId, FileExtent, FsState, InlineId, InodeId, Unit};
use ondisk::Compression;
use scenario::{
    Backend, BackendError, Exchange, MapFlags, MapRun, Name, Observation, Outcome, Reply, Storage,
    TreeExtent, TreeItem, TreePlace, Trees, only,
};

use super::Sequential;
use super::trees::trees;

/// A part became compressed, or not, against the estimate.
const BY_COMPRESSOR: &str = "what compresses";

/// What a compressed extent or inline item is on disk.
const SIZE: &str = "compressed size";

/// By file and first byte, whether a part became compressed.
type Told = BTreeMap<(InodeId, u64), bool>;

/// Where an item is: subvolume, inode number, file offset.
type ItemPlace<'a> = (&'a str, u64, u64);

impl Sequential {
    /// Carries out an exchange so that the same parts of files become compressed as in what was
    /// seen, starting over from what was before while the estimates are wrong. A part that is told
    /// both ways stays as it was told last: then the maps differ, for others to tell.
    pub(super) fn run_compressed(
        &mut self,
        exchange: &Exchange,
        seen: &Reply,
    ) -> Result<Reply, BackendError> {
        let mut told = Told::new();
        loop {
            self.machine.fs_mut().tell_compressed(told.clone());
            let mut reply = self.run_one(exchange)?;
            let (mut has_learnt, mut is_contradicted) = (false, false);
            for (unit, is_compressed) in self.corrections(exchange, &reply, seen) {
                match told.get(&unit) {
                    Some(before) => is_contradicted |= *before != is_compressed,
                    None => {
                        told.insert(unit, is_compressed);
                        has_learnt = true;
                    }
                }
            }
            if is_contradicted || !has_learnt {
                reply
                    .answer
                    .adopted
                    .extend(told.iter().map(|_| BY_COMPRESSOR));
                self.adopt_sizes(&mut reply, seen);
                return Ok(reply);
            }
            self.take_back();
        }
    }

    /// Returns which parts the maps tell otherwise than they were written.
    fn corrections(&mut self, exchange: &Exchange, reply: &Reply, seen: &Reply) -> Told {
        let units = self.machine.fs().compressed_units().to_vec();
        if units.is_empty() {
            return Told::new();
        }
        let mut maps: HashMap<InodeId, [&[MapRun]; 2]> = HashMap::new();
        let observations = reply.observations.iter().zip(&seen.observations);
        for (probe, observations) in exchange.probes.iter().zip(observations) {
            if let (Some(id), (Observation::File { map: own, .. }, Observation::File { map, .. })) =
                (self.file(&probe.name), observations)
            {
                maps.insert(id, [own, map]);
            }
        }
        let told = |unit: &Unit| {
            let [own, map] = *maps.get(&unit.inode)?;
            let is_compressed = self.seen_compressed(unit, own, map)?;
            let is_news = is_compressed != unit.is_compressed;
            is_news.then_some(((unit.inode, unit.start), is_compressed))
        };
        units.iter().filter_map(told).collect()
    }

    /// Returns what the map of its file says of a part, if anything of it is still there, beside
    /// what our own map says.
    fn seen_compressed(&self, unit: &Unit, own: &[MapRun], map: &[MapRun]) -> Option<bool> {
        let fs = self.machine.fs();
        if !fs.is_live(unit.inode) {
            return None;
        }
        let end = unit.start + unit.len;
        let is_of_unit = |item: FileExtent<'_>| match (item, unit.extent) {
            (FileExtent::Regular(slice), Some((extent, bytenr))) => {
                slice.extent == extent && fs.extents().get(extent).bytenr() == bytenr
            }
            (FileExtent::Inline(_), None) => true,
            (FileExtent::Regular(_), None) | (FileExtent::Inline(_), Some(_)) => false,
        };
        let mut items = fs.items(unit.inode).filter(|(_, item)| is_of_unit(*item));
        items.find_map(|(key, item)| {
            let first = key.max(unit.start);
            if end <= first || item.end(key) <= first {
                return None;
            }
            let flags = flags_at(map, first)?;
            // What is not written yet will be seen later.
            if flags.is_delalloc {
                return None;
            }
            if flags.is_inline && !flags.is_encoded {
                // A map does not always tell how inline data is compressed. What does not fit as it
                // is has to be.
                let is_untold = unit.is_compressed && !flags_at(own, first)?.is_encoded;
                let is_long = fs.behaviour().max_inline < item.end(key);
                return (is_long || !is_untold).then_some(is_long);
            }
            Some(flags.is_encoded)
        })
    }

    /// Takes over what the trees say of compressed extents and inline items that were not seen
    /// there yet, and tells the trees anew.
    fn adopt_sizes(&mut self, reply: &mut Reply, seen: &Reply) {
        let (Outcome::Trees(_), Outcome::Trees(seen)) =
            (&reply.answer.outcome, &seen.answer.outcome)
        else {
            return;
        };
        let nr_adopted = self.adopt_from(seen);
        if nr_adopted == 0 {
            return;
        }
        let (checksum, compression) = (self.checksum, self.compression);
        let told = trees(self.machine.fs_mut(), checksum, compression);
        reply.answer.outcome = Outcome::Trees(Box::new(told));
        let adopted = std::iter::repeat_n(SIZE, nr_adopted);
        reply.answer.adopted.extend(adopted);
    }

    fn adopt_from(&mut self, seen: &Trees) -> usize {
        let seen_items: HashMap<ItemPlace<'_>, &TreeItem> = items(seen).collect();
        let fs = self.machine.fs_mut();
        let roots = fs.walk_names().roots;
        let mut found = Vec::new();
        for (id, inode) in fs.inodes() {
            let Some(root) = roots.get(&inode.root()) else {
                continue;
            };
            for (offset, item) in fs.items(id) {
                let seen_item = seen_items.get(&(root.as_str(), inode.ino(), offset));
                let is_compressed = |item: &&&TreeItem| item.compression != Compression::None;
                let place = seen_item.filter(is_compressed).map(|item| item.place);
                found.extend(place.map(|place| (Storable::of(item), place)));
            }
        }
        let extents = seen.extents.iter();
        let seen_extents: HashMap<Storage, &TreeExtent> =
            extents.map(|extent| (extent.extent, extent)).collect();
        let mut nr_adopted = 0;
        for (own, place) in found {
            let is_adopted = match (own, place) {
                (Storable::Inline(Some(id)), TreePlace::Inline { disk_len }) => {
                    fs.adopt_inline_len(id, disk_len)
                }
                (Storable::Extent(id), TreePlace::Extent { extent, .. }) => {
                    let extent = seen_extents.get(&extent);
                    extent.is_some_and(|extent| adopt_extent(fs, id, extent))
                }
                _ => false,
            };
            nr_adopted += usize::from(is_adopted);
        }
        nr_adopted
    }

    /// Returns the regular file of a name.
    fn file(&mut self, name: &Name) -> Option<InodeId> {
        let held = self.descriptors.held(&self.machine, name);
        held.or_else(|| self.machine.fs_mut().lookup(name.as_str()).ok())
    }

    /// Carries out one exchange.
    fn run_one(&mut self, exchange: &Exchange) -> Result<Reply, BackendError> {
        let replies = self.run(std::slice::from_ref(exchange))?;
        only(replies, &self.name())
    }
}

/// Returns what a map says of the block at `offset`.
fn flags_at(map: &[MapRun], offset: u64) -> Option<MapFlags> {
    let mut runs = map.iter();
    let run = runs.find(|run| run.offset <= offset && offset < run.offset + run.len)?;
    Some(run.flags)
}

/// What of an item has a size on disk.
enum Storable {
    Inline(Option<InlineId>),
    Extent(ExtentId),
}

impl Storable {
    fn of(item: FileExtent<'_>) -> Storable {
        match item {
            FileExtent::Inline(inline) => Storable::Inline(inline.compressed),
            FileExtent::Regular(slice) => Storable::Extent(slice.extent),
        }
    }
}

/// Returns the file extent items of all subvolumes.
fn items(trees: &Trees) -> impl Iterator<Item = (ItemPlace<'_>, &TreeItem)> {
    trees.roots.iter().flat_map(|root| {
        root.inodes.iter().flat_map(|inode| {
            let place = (root.name.as_str(), inode.ino);
            let items = inode.items.iter();
            items.map(move |item| ((place.0, place.1, item.offset), item))
        })
    })
}

/// Takes over what an extent is on disk, all of which has checksums.
fn adopt_extent(fs: &mut FsState, id: ExtentId, seen: &TreeExtent) -> bool {
    match seen.csums.as_slice() {
        [csums] if (csums.offset, csums.len) == (0, seen.len) => {
            fs.adopt_compressed(id, seen.len, csums.digest)
        }
        _ => false,
    }
}
