//! What stands in the rows of the database: [`FileRow`], [`FolderRow`], [`ValuesRow`],
//! [`RootRow`], and how they are written as bytes.
//!
//! It does not know the database. Bytes that make no sense are [`Malformed`], never a panic.

use volume::{Compression, Extent, File, FileExtent, FileId, Place};

use crate::bytes::{Malformed, put, take, take_u32, take_values, values};

/// Most file extents of a row; a file with more has several rows.
pub(crate) const NR_EXTENTS_OF_ROW: usize = 1024;

const IS_NODATASUM: u64 = 1;
const IS_MOVABLE: u64 = 2;
const IS_NAMED: u64 = 4;

/// A file with the file extents that have storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileRow {
    pub(crate) file: File,
    pub(crate) is_named: bool,
    /// In order; holes and inline data are left out.
    pub(crate) file_extents: Vec<FileExtent>,
}

/// The head of a file's first row.
pub(crate) fn put_file(bytes: &mut Vec<u8>, file: &File, is_named: bool) {
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    let flags = flag(file.is_nodatasum, IS_NODATASUM)
        | flag(file.is_movable, IS_MOVABLE)
        | flag(is_named, IS_NAMED);
    put(bytes, flags);
    put(bytes, file.size);
    put(bytes, file.generation);
}

/// Returns the file of a first row, and whether it has a name.
pub(crate) fn take_file(bytes: &mut &[u8], id: FileId) -> Result<(File, bool), Malformed> {
    let flags = take(bytes)?;
    let file = File {
        id,
        size: take(bytes)?,
        is_nodatasum: flags & IS_NODATASUM != 0,
        is_movable: flags & IS_MOVABLE != 0,
        generation: take(bytes)?,
    };
    Ok((file, flags & IS_NAMED != 0))
}

/// Appends a file extent that has storage.
pub(crate) fn put_extent(bytes: &mut Vec<u8>, file_extent: &FileExtent) {
    let (extent, within, is_prealloc) = match file_extent.place {
        Place::Hole | Place::Inline => return,
        Place::Data { extent, within } => (extent, within, 0),
        Place::Preallocated { extent, within } => (extent, within, 1),
    };
    let algorithm = match extent.compression {
        Compression::None => 0,
        Compression::Algorithm(algorithm) => 1 + u64::from(algorithm),
    };
    put(bytes, algorithm << 1 | is_prealloc);
    put(bytes, file_extent.offset);
    put(bytes, file_extent.len);
    put(bytes, file_extent.generation);
    put(bytes, extent.address);
    put(bytes, extent.disk_bytes);
    if algorithm != 0 {
        put(bytes, extent.ram_bytes);
    }
    put(bytes, within);
}

/// Appends the file extents of a row.
pub(crate) fn take_extents(
    bytes: &mut &[u8],
    found: &mut Vec<FileExtent>,
) -> Result<(), Malformed> {
    while !bytes.is_empty() {
        let head = take(bytes)?;
        let (offset, len, generation) = (take(bytes)?, take(bytes)?, take(bytes)?);
        let (address, disk_bytes) = (take(bytes)?, take(bytes)?);
        let (compression, ram_bytes) = match head >> 1 {
            0 => (Compression::None, disk_bytes),
            number => {
                let algorithm = u8::try_from(number - 1).map_err(|_| Malformed)?;
                (Compression::Algorithm(algorithm), take(bytes)?)
            }
        };
        let within = take(bytes)?;
        let extent = Extent {
            address,
            disk_bytes,
            ram_bytes,
            compression,
        };
        let place = match head & 1 {
            0 => Place::Data { extent, within },
            _ => Place::Preallocated { extent, within },
        };
        found.push(FileExtent {
            offset,
            len,
            generation,
            place,
        });
    }
    Ok(())
}

/// Returns the extent that a file extent refers to.
pub(crate) fn extent_of(file_extent: &FileExtent) -> Option<Extent> {
    match file_extent.place {
        Place::Hole | Place::Inline => None,
        Place::Data { extent, .. } | Place::Preallocated { extent, .. } => Some(extent),
    }
}

/// What is in a folder: inode numbers in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FolderRow(pub(crate) Vec<u64>);

impl FolderRow {
    pub(crate) fn new(mut children: Vec<u64>) -> FolderRow {
        children.sort_unstable();
        children.dedup();
        FolderRow(children)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * 2);
        let mut before = 0;
        for child in &self.0 {
            put(&mut bytes, child - before);
            before = *child;
        }
        bytes
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Result<FolderRow, Malformed> {
        let (mut children, mut before) = (Vec::new(), 0_u64);
        while !bytes.is_empty() {
            before = before.checked_add(take(&mut bytes)?).ok_or(Malformed)?;
            children.push(before);
        }
        Ok(FolderRow(children))
    }
}

/// What is known of a subvolume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RootRow {
    pub(crate) uuid: [u8; 16],
    /// Its rows are as it was after this transaction, or as it became later.
    pub(crate) transid: u64,
    /// Inodes below have been walked.
    pub(crate) walked_to: u64,
}

impl RootRow {
    /// `walked_to` of a subvolume that has been walked to its end.
    pub(crate) const END: u64 = u64::MAX;

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.uuid.to_vec();
        put(&mut bytes, self.transid);
        put(&mut bytes, self.walked_to);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<RootRow, Malformed> {
        let (uuid, mut rest) = bytes.split_first_chunk().ok_or(Malformed)?;
        Ok(RootRow {
            uuid: *uuid,
            transid: take(&mut rest)?,
            walked_to: take(&mut rest)?,
        })
    }
}

/// Values of blocks of an extent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ValuesRow {
    /// The extent as it was after this transaction is what they are of.
    pub(crate) transid: u64,
    /// The run that found them out. Those of the last one may be of what somebody wrote meanwhile,
    /// until it is looked whether anybody did.
    pub(crate) run: u64,
    pub(crate) disk_bytes: u64,
    pub(crate) runs: Vec<ValueRun>,
}

/// Values of blocks that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ValueRun {
    pub(crate) first: u32,
    /// How many bytes the last value is of, if not of a block; else 0.
    pub(crate) tail_len: u32,
    pub(crate) values: Vec<u64>,
}

/// What stands before the values of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ValuesHead {
    pub(crate) transid: u64,
    pub(crate) run: u64,
    pub(crate) disk_bytes: u64,
}

impl ValuesHead {
    pub(crate) fn take(bytes: &mut &[u8]) -> Result<ValuesHead, Malformed> {
        Ok(ValuesHead {
            transid: take(bytes)?,
            run: take(bytes)?,
            disk_bytes: take(bytes)?,
        })
    }
}

/// Calls `visit` with each run behind the head of a row: first block, tail, values.
pub(crate) fn each_run(
    mut bytes: &[u8],
    mut visit: impl FnMut(u32, u32, &mut dyn Iterator<Item = u64>),
) -> Result<(), Malformed> {
    while !bytes.is_empty() {
        let (first, tail_len) = (take_u32(&mut bytes)?, take_u32(&mut bytes)?);
        let nr = take_u32(&mut bytes)? as usize;
        visit(first, tail_len, &mut values(take_values(&mut bytes, nr)?));
    }
    Ok(())
}

impl ValuesRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let nr: usize = self.runs.iter().map(|run| run.values.len()).sum();
        let mut bytes = Vec::with_capacity(24 + nr * 8 + self.runs.len() * 8);
        put(&mut bytes, self.transid);
        put(&mut bytes, self.run);
        put(&mut bytes, self.disk_bytes);
        for run in &self.runs {
            put(&mut bytes, run.first.into());
            put(&mut bytes, run.tail_len.into());
            put(&mut bytes, run.values.len() as u64);
            for value in &run.values {
                bytes.extend(value.to_le_bytes());
            }
        }
        bytes
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Result<ValuesRow, Malformed> {
        let head = ValuesHead::take(&mut bytes)?;
        let mut runs = Vec::new();
        each_run(bytes, |first, tail_len, values| {
            runs.push(ValueRun {
                first,
                tail_len,
                values: values.collect(),
            });
        })?;
        Ok(ValuesRow {
            transid: head.transid,
            run: head.run,
            disk_bytes: head.disk_bytes,
            runs,
        })
    }

    /// Adds values; what is known of the same blocks gives way.
    pub(crate) fn add(&mut self, new: ValueRun) {
        let end = |run: &ValueRun| u64::from(run.first) + run.values.len() as u64;
        let at = self
            .runs
            .partition_point(|run| end(run) <= u64::from(new.first));
        let is_clear = self
            .runs
            .get(at)
            .is_none_or(|next| end(&new) <= u64::from(next.first));
        if !is_clear {
            self.add_above(&new);
            return;
        }
        if let Some(before) = at.checked_sub(1).and_then(|idx| self.runs.get_mut(idx))
            && end(before) == u64::from(new.first)
            && before.tail_len == 0
        {
            before.values.extend(new.values);
            before.tail_len = new.tail_len;
            return;
        }
        self.runs.insert(at, new);
    }

    /// Adds values block by block.
    fn add_above(&mut self, new: &ValueRun) {
        let mut blocks = std::collections::BTreeMap::new();
        for run in self.runs.iter().chain([new]) {
            for (value, at) in run.values.iter().zip(run.first..) {
                let is_last = at - run.first + 1 == run.values.len() as u32;
                let tail_len = if is_last { run.tail_len } else { 0 };
                blocks.insert(at, (tail_len, *value));
            }
        }
        self.runs.clear();
        for (first, (tail_len, value)) in blocks {
            self.add(ValueRun {
                first,
                tail_len,
                values: vec![value],
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: u32, tail_len: u32, values: &[u64]) -> ValueRun {
        ValueRun {
            first,
            tail_len,
            values: values.to_vec(),
        }
    }

    #[test]
    fn values_join_and_give_way_to_newer_ones() {
        let mut row = ValuesRow::default();
        row.add(run(4, 0, &[4, 5]));
        row.add(run(0, 0, &[0, 1]));
        row.add(run(6, 100, &[6]));
        assert_eq!(row.runs, [run(0, 0, &[0, 1]), run(4, 100, &[4, 5, 6])]);
        row.add(run(7, 0, &[7]));
        assert_eq!(row.runs.len(), 3, "nothing joins behind a tail");
        row.add(run(1, 0, &[11, 12, 13, 14]));
        assert_eq!(
            row.runs,
            [run(0, 100, &[0, 11, 12, 13, 14, 5, 6]), run(7, 0, &[7])]
        );
        assert_eq!(ValuesRow::decode(&row.encode()), Ok(row));
    }

    #[test]
    fn rows_come_back_as_they_were() {
        let id = FileId {
            root: 5,
            inode: 257,
        };
        let file = File {
            id,
            size: 12_345,
            is_nodatasum: true,
            is_movable: false,
            generation: 77,
        };
        let extent = Extent {
            address: 1 << 40,
            disk_bytes: 8192,
            ram_bytes: 65_536,
            compression: Compression::Algorithm(3),
        };
        let file_extents = [
            FileExtent {
                offset: 0,
                len: 4096,
                generation: 7,
                place: Place::Data {
                    extent,
                    within: 4096,
                },
            },
            FileExtent {
                offset: 8192,
                len: 4096,
                generation: 8,
                place: Place::Preallocated {
                    extent: Extent {
                        ram_bytes: 8192,
                        compression: Compression::None,
                        ..extent
                    },
                    within: 0,
                },
            },
        ];
        let mut bytes = Vec::new();
        put_file(&mut bytes, &file, true);
        file_extents
            .iter()
            .for_each(|it| put_extent(&mut bytes, it));
        let (mut left, mut found) = (&bytes[..], Vec::new());
        assert_eq!(take_file(&mut left, id), Ok((file, true)));
        assert_eq!(take_extents(&mut left, &mut found), Ok(()));
        assert_eq!(found, file_extents);
        let folder = FolderRow::new(vec![300, 257, 300, 1 << 50]);
        assert_eq!(FolderRow::decode(&folder.encode()), Ok(folder));
        let root = RootRow {
            uuid: [9; 16],
            transid: 8,
            walked_to: RootRow::END,
        };
        assert_eq!(RootRow::decode(&root.encode()), Ok(root));
    }
}
