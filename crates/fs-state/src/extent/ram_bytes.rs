//! `ram_bytes` of the items that refer to an extent: one number for all of them, for every item
//! came of the one that the extent was made with.

use std::num::NonZeroU32;

use super::{Extent, ExtentId, ExtentTable};
use crate::BLOCK;

impl Extent {
    /// Returns the `ram_bytes` of its items, a block multiple: what is read from it,
    /// unless a truncate cut it while it was under way.
    pub fn item_ram_bytes(&self) -> u64 {
        let cut = self.ram_blocks.map(NonZeroU32::get);
        cut.map_or(self.ram_len(), |nr_blocks| u64::from(nr_blocks) * BLOCK)
    }
}

impl ExtentTable {
    /// Has the items of an extent tell a `ram_bytes` of `len`, a block multiple, less than its
    /// length.
    pub(crate) fn cut_ram_bytes(&mut self, id: ExtentId, len: u64) {
        let nr_blocks = u32::try_from(len / BLOCK).expect("an extent has few blocks");
        self.get_mut(id).ram_blocks = NonZeroU32::new(nr_blocks);
    }
}
