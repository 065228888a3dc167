//! A tree searched in several parts at once: [`Ahead`].
//!
//! A search reads one leaf after the other and waits for each. What comes next in a tree is
//! searched in parts by threads of their own, so that several leaves are waited for at a time. It
//! is told in the order of the keys all the same.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use ondisk::{Key, KeyRange};
use volume::VolumeError;

use super::searcher::{Found, Search};

/// A part is cut anew if one search brings less than one in so many of its objects.
const SHARE: u64 = 4;

/// A walk over a range of objects.
#[derive(Debug)]
pub(super) struct Ahead {
    search: Arc<dyn Search>,
    /// What is being searched, in order.
    parts: VecDeque<Part>,
    /// What is behind the parts.
    left: Option<KeyRange>,
    /// The last key of all.
    end: Key,
    /// What was found and not taken.
    peeked: Option<Found>,
    /// So many parts are searched at once; 0 for none.
    nr_parts: usize,
    /// What one of them should bring, bytes: a little less than one search can.
    part_bytes: u64,
    /// So many objects should be in one to bring that, by what the last ones brought.
    nr_objects: u64,
}

/// A range that is searched once.
#[derive(Debug)]
struct Part {
    range: KeyRange,
    /// Who searches it; `None` if that is whoever takes it.
    thread: Option<JoinHandle<Result<Found, VolumeError>>>,
}

impl Ahead {
    /// Begins with `range`, of which nothing is searched yet.
    pub(super) fn new(
        search: Arc<dyn Search>,
        range: KeyRange,
        nr_parts: usize,
        part_bytes: u64,
    ) -> Ahead {
        Ahead {
            search,
            parts: VecDeque::new(),
            left: Some(range),
            end: range.last,
            peeked: None,
            nr_parts,
            part_bytes,
            nr_objects: 1,
        }
    }

    /// Returns the items that come next; `None` behind the last. They may have been searched for
    /// before the last ones were returned.
    pub(super) fn next(&mut self) -> Result<Option<Found>, VolumeError> {
        match self.peeked.take() {
            None => self.search_next(),
            found => Ok(found),
        }
    }

    /// Returns the key that comes next.
    pub(super) fn peek(&mut self) -> Result<Option<Key>, VolumeError> {
        self.peeked = self.next()?;
        let keys = self.peeked.as_ref().and_then(|found| found.keys);
        Ok(keys.map(|(first, _)| first))
    }

    fn search_next(&mut self) -> Result<Option<Found>, VolumeError> {
        loop {
            let part = match self.parts.pop_front() {
                Some(part) => part,
                None => match self.left.take() {
                    Some(range) => Part::waiting(range),
                    None => return Ok(None),
                },
            };
            let range = part.range;
            let found = part.found(&*self.search)?;
            // Behind an empty part there is nothing, or it is far away: it is searched for once
            // all parts are empty.
            if let Some((first, last)) = found.keys {
                self.learn(first, last, found.len_bytes);
                if let Some(rest) = found.left(range) {
                    self.go_on(range, rest);
                }
                self.fill();
                return Ok(Some(found));
            }
        }
    }

    /// Learns how many objects should be in a part.
    fn learn(&mut self, first: Key, last: Key, found_bytes: usize) {
        let nr_objects = last.object.saturating_sub(first.object) + 1;
        let wanted = nr_objects.saturating_mul(self.part_bytes);
        self.nr_objects = (wanted / found_bytes.max(1) as u64).max(1);
    }

    /// Goes on with the rest of a part that one search did not bring whole.
    fn go_on(&mut self, range: KeyRange, rest: KeyRange) {
        let nr_objects = range.last.object - range.first.object;
        let nr_found = rest.first.object - range.first.object;
        let is_one = nr_objects / SHARE <= nr_found && !self.parts.is_empty();
        if is_one {
            let part = Part::begin(&self.search, rest);
            self.parts.push_front(part);
        } else {
            // It was cut too large, or is the last: all that is left is cut anew.
            self.parts.clear();
            self.left = Some(KeyRange {
                first: rest.first,
                last: self.end,
            });
        }
    }

    /// Has threads search the first parts of what is left.
    fn fill(&mut self) {
        while self.parts.len() < self.nr_parts
            && let Some(range) = self.left
        {
            let last_object = range.first.object.saturating_add(self.nr_objects - 1);
            let last = Key {
                object: last_object,
                kind: u8::MAX,
                offset: u64::MAX,
            };
            let last = last.min(range.last);
            let part = Part::begin(&self.search, KeyRange { last, ..range });
            self.parts.push_back(part);
            self.left = range.behind(last);
        }
    }
}

impl Part {
    fn begin(search: &Arc<dyn Search>, range: KeyRange) -> Part {
        let search = Arc::clone(search);
        let builder = Builder::new().name("tree search".to_owned());
        Part {
            range,
            // Without one it waits.
            thread: builder.spawn(move || search.search(range)).ok(),
        }
    }

    fn waiting(range: KeyRange) -> Part {
        Part {
            range,
            thread: None,
        }
    }

    /// Returns what is found.
    fn found(mut self, search: &dyn Search) -> Result<Found, VolumeError> {
        match self.thread.take() {
            None => search.search(self.range),
            Some(thread) => thread.join().unwrap_or_else(|_| {
                let why = "a thread that searched a tree has died";
                Err(VolumeError::Fatal(why.to_owned()))
            }),
        }
    }
}

impl Drop for Part {
    /// Waits for the thread: the filesystem is busy until it has let go of it.
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Nobody wants to know what it found, nor why it did not.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};
    use std::time::Duration;

    use ondisk::{SearchItem, TreeId};
    use quickcheck::quickcheck;

    use super::super::searcher::Spare;
    use super::*;
    use crate::ioctl_trees::SearchBuffer;

    /// How long a search waits for others.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Keys in order.
    #[derive(Debug, Default)]
    struct Fake {
        keys: Vec<Key>,
        /// So many of them are found at once.
        nr_at_once: usize,
        /// Who searches for it, fails or dies.
        failing: Option<Key>,
        dying: Option<Key>,
        /// How many searches were begun.
        nr_searches: Mutex<usize>,
        is_enough: Condvar,
        /// Searches behind the first wait until so many have begun, and then for so long.
        nr_waited_for: usize,
        pause: Duration,
    }

    impl Search for Fake {
        fn search(&self, range: KeyRange) -> Result<Found, VolumeError> {
            self.wait();
            let keys = self.keys.iter().copied();
            let in_range = keys.filter(|key| range.first <= *key && *key <= range.last);
            let all: Vec<Key> = in_range.collect();
            let found = &all[..all.len().min(self.nr_at_once)];
            assert!(found.iter().all(|key| Some(*key) != self.dying), "a death");
            if found.iter().any(|key| Some(*key) == self.failing) {
                return Err(VolumeError::Fatal("a failure".to_owned()));
            }
            let buffer = SearchBuffer::of_items(found.iter().map(|key| (*key, &[][..])));
            let found = Found::new(buffer, Spare::default(), found.len() as u32, |_| {
                all.len() == found.len()
            });
            found.map_err(|(_, error)| VolumeError::Fatal(error.to_string()))
        }
    }

    impl Fake {
        /// Returns one with objects so far apart, that have so many keys each.
        fn new(objects: &[(u16, u8)], nr_at_once: usize) -> Fake {
            let mut object = 0;
            let mut keys = Vec::new();
            for (gap, nr_keys) in objects {
                object += 1 + u64::from(*gap);
                keys.extend((0..u64::from(*nr_keys)).map(|offset| Key {
                    object,
                    kind: 1,
                    offset,
                }));
            }
            Fake {
                keys,
                nr_at_once,
                ..Fake::default()
            }
        }

        fn wait(&self) {
            let mut nr_searches = self.nr_searches.lock().expect("nobody dies with it");
            *nr_searches += 1;
            self.is_enough.notify_all();
            if 1 < *nr_searches {
                let waited = self
                    .is_enough
                    .wait_timeout_while(nr_searches, PATIENCE, |nr| *nr < self.nr_waited_for);
                let (nr_searches, _) = waited.expect("nobody dies with it");
                assert!(self.nr_waited_for <= *nr_searches, "nobody else searches");
                drop(nr_searches);
                std::thread::sleep(self.pause);
            }
        }

        fn ahead(self, nr_parts: usize) -> Ahead {
            let part_bytes = (self.nr_at_once * SearchItem::HEADER_BYTES * 3 / 4) as u64;
            let key = |object| Key {
                object,
                kind: 0,
                offset: 0,
            };
            let range = KeyRange {
                first: key(0),
                last: key(u64::MAX - 255),
            };
            Ahead::new(Arc::new(self), range, nr_parts, part_bytes)
        }
    }

    /// Returns every key, asked for beforehand sometimes.
    fn walk(ahead: &mut Ahead) -> Result<Vec<Key>, VolumeError> {
        let mut keys = Vec::new();
        loop {
            let is_peeked = keys.len() % 3 == 0;
            let peeked = if is_peeked { ahead.peek()? } else { None };
            let Some(found) = ahead.next()? else {
                assert_eq!(peeked, None);
                return Ok(keys);
            };
            assert!(!is_peeked || peeked == found.keys.map(|(first, _)| first));
            found.each(TreeId(5), |item| {
                keys.push(item.key);
                Ok(())
            })?;
        }
    }

    quickcheck! {
        fn parts_bring_in_order_what_one_search_after_the_other_brings(
            objects: Vec<(u16, u8)>, nr_at_once: u8, nr_parts: u8
        ) -> bool {
            // Gaps of most are small, as inode numbers are.
            let near = |(gap, nr_keys): &(u16, u8)| match gap % 4 {
                0 => (*gap, *nr_keys),
                _ => (gap % 3, nr_keys % 4),
            };
            let objects: Vec<(u16, u8)> = objects.iter().map(near).collect();
            let fake = Fake::new(&objects, 1 + usize::from(nr_at_once) % 40);
            let keys = fake.keys.clone();
            let found = walk(&mut fake.ahead(usize::from(nr_parts) % 9));
            found.expect("nothing fails") == keys
        }

        fn a_failure_and_a_death_are_told_and_not_taken_for_the_end(
            objects: Vec<(u16, u8)>, at: usize, is_death: bool
        ) -> bool {
            let mut fake = Fake::new(&objects, 5);
            let Some(&key) = fake.keys.get(at % fake.keys.len().max(1)) else {
                return true;
            };
            match is_death {
                true => fake.dying = Some(key),
                false => fake.failing = Some(key),
            }
            let walked = std::panic::catch_unwind(move || walk(&mut fake.ahead(4)));
            !matches!(walked, Ok(Ok(_)))
        }
    }

    #[test]
    fn several_parts_are_searched_at_a_time() {
        let mut fake = Fake::new(&[(0, 1); 1000], 100);
        fake.nr_waited_for = 5;
        let keys = fake.keys.clone();
        assert_eq!(walk(&mut fake.ahead(4)).expect("nothing fails"), keys);
    }

    #[test]
    fn who_gives_up_waits_for_the_threads() {
        let mut fake = Fake::new(&[(0, 1); 1000], 100);
        fake.pause = Duration::from_millis(50);
        let mut ahead = fake.ahead(4);
        ahead.next().expect("nothing fails");
        let search = Arc::downgrade(&ahead.search);
        drop(ahead);
        assert_eq!(search.strong_count(), 0);
    }

    #[test]
    fn no_part_is_searched_for_who_wants_none() {
        let mut ahead = Fake::new(&[(0, 1); 1000], 100).ahead(0);
        let mut nr_found = 0;
        while ahead.next().expect("nothing fails").is_some() {
            nr_found += 1;
            assert!(ahead.parts.is_empty());
        }
        assert_eq!(nr_found, 10);
    }

    #[test]
    fn what_is_cut_too_large_is_cut_anew() {
        // Few objects far apart, then many: the parts after the first search are far too large.
        let mut objects = vec![(60_000, 1); 100];
        objects.extend([(0, 1); 10_000]);
        let mut ahead = Fake::new(&objects, 100).ahead(4);
        let mut is_first = true;
        while let Some(found) = ahead.next().expect("nothing fails") {
            assert!(found.nr_items <= 100 && ahead.parts.len() <= 4);
            let of_part = |part: &Part| part.range.last.object - part.range.first.object;
            let most = ahead.parts.iter().map(of_part).max();
            assert_eq!(most.is_some_and(|most| 100_000 < most), is_first);
            is_first = false;
        }
    }
}
