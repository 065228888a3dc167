//! Values of blocks on their way into the file and out of it: [`Pending`], [`recall`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redb::{ReadableTable, WriteTransaction};
use volume::{Extent, Learned, Recalled, ValueKind};

use crate::database::{CHECKSUMS, Database, HASHES};
use crate::error::HashfileError;
use crate::rows::{ValueRun, ValuesHead, ValuesRow, each_run};

/// Most bytes of values that wait for a commit.
pub(crate) const BYTES_MAX: usize = 16 << 20;
/// How long they wait at most, while others come: what a kill costs.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(5);
/// So many rows are passed over before the next one is looked for from the top of the table.
const NR_PASSED_MAX: u32 = 16;

/// Values that are to be written.
#[derive(Debug)]
pub(crate) struct Pending {
    checksums: BTreeMap<u64, ValuesRow>,
    hashes: BTreeMap<u64, ValuesRow>,
    nr_bytes: usize,
    since: Instant,
}

impl Pending {
    pub(crate) fn new() -> Pending {
        Pending {
            checksums: BTreeMap::new(),
            hashes: BTreeMap::new(),
            nr_bytes: 0,
            since: Instant::now(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.nr_bytes == 0
    }

    /// Returns whether it is time to write them.
    pub(crate) fn is_due(&self) -> bool {
        BYTES_MAX <= self.nr_bytes || !self.is_empty() && WAIT_MAX <= self.since.elapsed()
    }

    /// Takes what a run learned that began after `transid`.
    pub(crate) fn add(&mut self, kind: ValueKind, learned: &Learned<'_>, transid: u64, run: u64) {
        if self.is_empty() {
            self.since = Instant::now();
        }
        let of_kind = match kind {
            ValueKind::Checksum => &mut self.checksums,
            ValueKind::Hash => &mut self.hashes,
        };
        let row = of_kind.entry(learned.extent.address).or_default();
        if row.disk_bytes != learned.extent.disk_bytes {
            row.runs.clear();
        }
        row.transid = transid;
        row.run = run;
        row.disk_bytes = learned.extent.disk_bytes;
        row.add(ValueRun {
            first: learned.first,
            tail_len: learned.tail_len,
            values: learned.values.to_vec(),
        });
        self.nr_bytes += learned.values.len() * 8 + 64;
    }

    /// Writes all of it.
    pub(crate) fn write(
        &mut self,
        database: &Database,
        write: &WriteTransaction,
    ) -> Result<(), HashfileError> {
        let tables = [(CHECKSUMS, &mut self.checksums), (HASHES, &mut self.hashes)];
        for (definition, rows) in tables {
            if rows.is_empty() {
                continue;
            }
            let table = write.open_table(definition);
            let mut table = table.map_err(|it| database.wrong(it))?;
            for (address, mut row) in std::mem::take(rows) {
                let old = table.get(address).map_err(|it| database.wrong(it))?;
                let old = old.map(|old| ValuesRow::decode(old.value()));
                let old = old.transpose().map_err(|_| database.malformed())?;
                if let Some(mut old) = old.filter(|old| old.disk_bytes == row.disk_bytes) {
                    // It is still the extent that it was then.
                    old.transid = old.transid.min(row.transid);
                    old.run = row.run;
                    std::mem::take(&mut row.runs)
                        .into_iter()
                        .for_each(|run| old.add(run));
                    row = old;
                }
                let bytes = row.encode();
                let inserted = table.insert(address, &bytes[..]);
                inserted.map_err(|it| database.wrong(it))?;
            }
        }
        self.nr_bytes = 0;
        Ok(())
    }
}

/// Appends what the database remembers of extents, which are about in the order of addresses.
pub(crate) fn recall(
    database: &Database,
    kind: ValueKind,
    extents: &[Extent],
    recalled: &mut Recalled,
) -> Result<(), HashfileError> {
    let wrong = |error| database.wrong(error);
    let read = database.read()?;
    let definition = match kind {
        ValueKind::Checksum => CHECKSUMS,
        ValueKind::Hash => HASHES,
    };
    let table = read
        .open_table(definition)
        .map_err(|it| database.wrong(it))?;
    let mut rows = table.range(..0).map_err(wrong)?;
    let mut at = None;
    let mut before = u64::MAX;
    for (extent, asked_idx) in extents.iter().zip(0..) {
        let wanted = extent.address;
        if wanted < before {
            rows = table.range(wanted..).map_err(wrong)?;
            at = rows.next().transpose().map_err(wrong)?;
        }
        before = wanted;
        let mut nr_passed = 0;
        while let Some((address, _)) = &at
            && address.value() < wanted
        {
            nr_passed += 1;
            if NR_PASSED_MAX < nr_passed {
                rows = table.range(wanted..).map_err(wrong)?;
            }
            at = rows.next().transpose().map_err(wrong)?;
        }
        let Some((_, row)) = at.as_ref().filter(|(address, _)| address.value() == wanted) else {
            continue;
        };
        let mut bytes = row.value();
        let head = ValuesHead::take(&mut bytes).map_err(|_| database.malformed())?;
        if head.disk_bytes == extent.disk_bytes {
            let read = each_run(bytes, |first, tail_len, values| {
                recalled.push(asked_idx, first, tail_len, values);
            });
            read.map_err(|_| database.malformed())?;
        }
    }
    Ok(())
}
