//! The bytes of a hashfile, as redb reads and writes them: [`Storage`].
//!
//! Opening a database writes into it: a mark that it is open, repairs. What is looked at for the
//! first time may turn out to be damaged or somebody else's, and is then to be left as it is. So it
//! is looked at with an overlay: what is written goes to memory and is forgotten.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use redb::StorageBackend;

/// Bytes that are kept in memory as one.
const PAGE_LEN: u64 = 4096;

/// The bytes of a hashfile. Who has it has the lock on the file, too; it asks for none.
#[derive(Debug)]
pub(crate) struct Storage {
    file: Arc<File>,
    overlay: Option<Mutex<Overlay>>,
}

/// What was written, above the file.
#[derive(Debug, Default)]
struct Overlay {
    len: u64,
    pages: HashMap<u64, Vec<u8>>,
}

impl Storage {
    /// Returns the file itself.
    pub(crate) fn direct(file: Arc<File>) -> Storage {
        Storage {
            file,
            overlay: None,
        }
    }

    /// Returns the file as it is now; what is written is forgotten with it.
    pub(crate) fn overlaid(file: Arc<File>) -> io::Result<Storage> {
        let overlay = Overlay {
            len: file.metadata()?.len(),
            pages: HashMap::new(),
        };
        Ok(Storage {
            file,
            overlay: Some(Mutex::new(overlay)),
        })
    }
}

impl Overlay {
    /// Returns a page, from the file if it was not written yet.
    fn page(&mut self, file: &File, number: u64) -> io::Result<&mut Vec<u8>> {
        Ok(match self.pages.entry(number) {
            Entry::Occupied(page) => page.into_mut(),
            Entry::Vacant(slot) => {
                let mut page = vec![0; PAGE_LEN as usize];
                read_to_end_of_file(file, number * PAGE_LEN, &mut page)?;
                slot.insert(page)
            }
        })
    }

    fn read(&self, file: &File, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.len < offset.saturating_add(out.len() as u64) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        read_to_end_of_file(file, offset, out)?;
        if self.pages.is_empty() {
            return Ok(());
        }
        for (number, within, part) in pieces(offset, out.len()) {
            if let Some(page) = self.pages.get(&number) {
                let len = part.len();
                out[part].copy_from_slice(&page[within..within + len]);
            }
        }
        Ok(())
    }
}

/// Returns the pages of a range: number, place in the page, place in the range.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let end = offset + len as u64;
    (offset / PAGE_LEN..end.div_ceil(PAGE_LEN)).map(move |number| {
        let begin = (number * PAGE_LEN).max(offset);
        let stop = ((number + 1) * PAGE_LEN).min(end);
        let part = (begin - offset) as usize..(stop - offset) as usize;
        (number, (begin % PAGE_LEN) as usize, part)
    })
}

/// Reads what there is; what lies behind the end of the file is zeros.
fn read_to_end_of_file(file: &File, offset: u64, out: &mut [u8]) -> io::Result<()> {
    let mut nr_read = 0;
    while nr_read < out.len() {
        match file.read_at(&mut out[nr_read..], offset + nr_read as u64) {
            Ok(0) => break,
            Ok(more) => nr_read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    out[nr_read..].fill(0);
    Ok(())
}

impl StorageBackend for Storage {
    fn len(&self) -> io::Result<u64> {
        match &self.overlay {
            None => Ok(self.file.metadata()?.len()),
            Some(overlay) => Ok(lock(overlay).len),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match &self.overlay {
            None => self.file.read_exact_at(out, offset),
            Some(overlay) => lock(overlay).read(&self.file, offset, out),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let Some(overlay) = &self.overlay else {
            return self.file.set_len(len);
        };
        let mut overlay = lock(overlay);
        // What was cut off reads as zeros once the file is as long again.
        let (old_len, file_len) = (overlay.len, self.file.metadata()?.len());
        if len < old_len {
            overlay
                .pages
                .retain(|number, _| *number < len.div_ceil(PAGE_LEN));
            for number in len / PAGE_LEN..file_len.min(old_len).div_ceil(PAGE_LEN) {
                let page = overlay.page(&self.file, number)?;
                let kept = len.saturating_sub(number * PAGE_LEN).min(PAGE_LEN);
                page[kept as usize..].fill(0);
            }
        }
        overlay.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        match &self.overlay {
            None => self.file.sync_data(),
            Some(_) => Ok(()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let Some(overlay) = &self.overlay else {
            return self.file.write_all_at(data, offset);
        };
        let mut overlay = lock(overlay);
        for (number, within, part) in pieces(offset, data.len()) {
            let len = part.len();
            let page = overlay.page(&self.file, number)?;
            page[within..within + len].copy_from_slice(&data[part]);
        }
        Ok(())
    }
}

fn lock(overlay: &Mutex<Overlay>) -> std::sync::MutexGuard<'_, Overlay> {
    // Every state of it is whole: a page is there or it is not.
    overlay.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> Arc<File> {
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(bytes, 0).expect("room");
        Arc::new(file)
    }

    #[test]
    fn what_is_written_above_a_file_is_read_back_and_the_file_stays() {
        let bytes: Vec<u8> = (0..10_000_u32).map(|n| n as u8).collect();
        let file = file(&bytes);
        let storage = Storage::overlaid(Arc::clone(&file)).expect("an overlay");
        storage.write(4000, &[7; 200]).expect("memory");
        storage.set_len(20_000).expect("memory");
        storage.write(15_000, &[8; 10]).expect("memory");
        let mut expected = bytes.clone();
        expected[4000..4200].fill(7);
        expected.resize(20_000, 0);
        expected[15_000..15_010].fill(8);
        let mut found = vec![1; 20_000];
        storage.read(0, &mut found).expect("bytes");
        assert!(found == expected);
        storage.set_len(5000).expect("memory");
        storage.set_len(10_000).expect("memory");
        expected.truncate(5000);
        expected.resize(10_000, 0);
        found.resize(10_000, 1);
        storage.read(0, &mut found).expect("bytes");
        assert!(found == expected);
        assert!(storage.read(9_999, &mut [0; 2]).is_err());
        let mut kept = vec![0; 10_000];
        file.read_exact_at(&mut kept, 0).expect("bytes");
        assert!(kept == bytes && file.metadata().expect("a file").len() == 10_000);
    }
}
