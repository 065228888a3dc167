//! What a measurement tells besides results, held against what was seen around the call: contents
//! that did not change, maps, sharing, blocks, times.
//!
//! Not compared: `atime`, mode bits, and of 3.13 the map's shared flag. That kernel does not set
//! it before the next commit; the state tells whether storage is shared, whoever asks.

use std::collections::BTreeMap;

use harness::transcript::Entry;
use libtest_mimic::Failed;
use scenario::text::Size;
use scenario::{DedupeCall, Op};
use serde_json::Value;

/// `FIEMAP_EXTENT_*` of the measurement, with the words of a map line.
const FLAGS: [(u64, &str); 4] = [
    (0x2000, "shared"),
    (0x800, "unwritten"),
    (0x200, "inline"),
    (0x8, "encoded"),
];
/// `FIEMAP_EXTENT_SHARED` in words.
const SHARED: &str = "shared";

/// What an `observe` saw of one file.
#[derive(Debug, Default, PartialEq)]
struct Look {
    fields: BTreeMap<String, String>,
    runs: Vec<Run>,
}

/// A run of a map, bytes.
#[derive(Debug, Clone, PartialEq)]
struct Run {
    start: u64,
    end: u64,
    /// Label of the storage and where in it the run starts.
    place: Option<(String, u64)>,
    flags: Vec<String>,
}

/// The files of one `observe`.
type Looks = BTreeMap<String, Look>;

/// Holds the observations around the measured call against the facts of a measurement.
pub(crate) fn check(entries: &[Entry], measured: &Value, kernel: &str) -> Result<(), Failed> {
    let idx = entries
        .iter()
        .rposition(|entry| matches!(entry.op, Op::Dedupe(_)))
        .ok_or("no dedupe was carried out")?;
    let Op::Dedupe(call) = &entries[idx].op else {
        return Err("no dedupe was measured".into());
    };
    let observe = |entry: &&Entry| matches!(entry.op, Op::Observe { .. });
    let before = looks(&entries[idx - 1].lines)?;
    let later: Vec<&Entry> = entries[idx..].iter().filter(observe).collect();
    let Some(after) = later.first() else {
        return Ok(()); // It hung or died: nothing can be looked at.
    };
    let facts = Facts {
        call,
        before: &before,
        after: &looks(&after.lines)?,
        ignores_shared: kernel == "3.13",
    };
    facts.contents_stay()?;
    for (key, value) in measured.as_object().into_iter().flatten() {
        facts.check(key, value)?;
    }
    // What is written into a target later does not show in the source.
    for entry in &later {
        facts.source_stays(&looks(&entry.lines)?)?;
    }
    Ok(())
}

/// A call with what was seen around it.
struct Facts<'a> {
    call: &'a DedupeCall,
    before: &'a Looks,
    after: &'a Looks,
    ignores_shared: bool,
}

impl Facts<'_> {
    fn check(&self, key: &str, value: &Value) -> Result<(), Failed> {
        let (source, target) = (self.call.source_offset, self.target_offset());
        match key {
            "same_phys" => expect(key, &Value::from(self.is_same(0, source, target)), value),
            "fm_same_1st" => expect(key, &Value::from(self.is_same(0, 0, 0)), value),
            "deduped_on_disk" => {
                let nr_files = value.as_array().map_or(0, Vec::len);
                let shared: Vec<bool> = (0..nr_files)
                    .map(|idx| self.is_same(idx, source, target))
                    .collect();
                expect(key, &Value::from(shared), value)
            }
            "src_fl" => self.flags_at(key, self.source(), source, value),
            "dst_fl" => self.flags_at(key, self.target(0), target, value),
            "src_fm" => self.map(key, self.source(), value),
            "dst_fm" | "fm" => self.map(key, self.target(0), value),
            "blocks" => {
                let blocks = [self.source(), self.target(0)]
                    .map(|look| look.and_then(|look| look.fields["blocks"].parse::<u64>().ok()));
                expect(key, &Value::from(blocks.to_vec()), value)
            }
            "mtime_changed" => self.time_changed(key, "mtime", value),
            "ctime_changed" => self.time_changed(key, "ctime", value),
            "size_changed" => {
                let name = self.target_name(0);
                let size = |looks: &Looks| Some(looks.get(name?)?.fields["size"].clone());
                let is_changed = size(self.before) != size(self.after);
                expect(key, &Value::from(is_changed), value)
            }
            // Nobody looks at it, or it is what contents and results say anyway.
            "atime_changed" | "after_overwrite" => Ok(()),
            _ => Err(format!("nobody knows the fact {key}").into()),
        }
    }

    fn contents_stay(&self) -> Result<(), Failed> {
        for (name, before) in self.before {
            let after = self.after.get(name).map(|look| &look.fields["content"]);
            if after != Some(&before.fields["content"]) {
                return Err(format!("the contents of {name} changed").into());
            }
        }
        Ok(())
    }

    fn source_stays(&self, later: &Looks) -> Result<(), Failed> {
        let Some(name) = self.call.source.name().map(|name| name.as_str()) else {
            return Ok(());
        };
        let content = |looks: &Looks| Some(looks.get(name)?.fields["content"].clone());
        match content(self.before) == content(later) {
            true => Ok(()),
            false => Err(format!("the contents of {name} changed later").into()),
        }
    }

    fn target_name(&self, idx: usize) -> Option<&str> {
        Some(self.call.targets.get(idx)?.fd.name()?.as_str())
    }

    fn target_offset(&self) -> u64 {
        self.call.targets.first().map_or(0, |target| target.offset)
    }

    fn source(&self) -> Option<&Look> {
        self.after.get(self.call.source.name()?.as_str())
    }

    fn target(&self, idx: usize) -> Option<&Look> {
        self.after.get(self.target_name(idx)?)
    }

    /// Returns whether source and a target have the same storage there.
    fn is_same(&self, target_idx: usize, source_offset: u64, target_offset: u64) -> bool {
        let place = |look: Option<&Look>, offset| look?.run_at(offset)?.place_at(offset);
        let source = place(self.source(), source_offset);
        source.is_some() && source == place(self.target(target_idx), target_offset)
    }

    fn flags_at(
        &self,
        key: &str,
        look: Option<&Look>,
        offset: u64,
        value: &Value,
    ) -> Result<(), Failed> {
        let seen = look
            .and_then(|look| look.run_at(offset))
            .map(|run| self.counting(run.flags.clone()));
        expect(key, &seen, &Some(self.counting(flags(value)?)))
    }

    fn map(&self, key: &str, look: Option<&Look>, value: &Value) -> Result<(), Failed> {
        let seen = look.map_or(&[][..], |look| &look.runs);
        let seen = seen
            .iter()
            .map(|run| (run.start, run.end, self.counting(run.flags.clone())));
        let measured: Vec<(u64, u64, Vec<String>)> = value
            .as_array()
            .into_iter()
            .flatten()
            .map(|run| {
                let (start, len) = (run[0].as_u64(), run[1].as_u64());
                let (start, len) = start.zip(len).ok_or("a run without numbers")?;
                Ok((start, start + len, self.counting(flags(&run[2])?)))
            })
            .collect::<Result<_, Failed>>()?;
        expect(key, &merged(seen), &merged(measured.into_iter()))
    }

    fn time_changed(&self, key: &str, field: &str, value: &Value) -> Result<(), Failed> {
        let is_changed = self
            .target(0)
            .is_some_and(|look| look.fields[field] == "changed");
        expect(key, &Value::from(is_changed), value)
    }

    /// Returns the flags that count for this kernel.
    fn counting(&self, mut flags: Vec<String>) -> Vec<String> {
        flags.retain(|flag| !(self.ignores_shared && flag == SHARED));
        flags
    }
}

impl Look {
    fn run_at(&self, offset: u64) -> Option<&Run> {
        self.runs
            .iter()
            .find(|run| run.start <= offset && offset < run.end)
    }
}

impl Run {
    fn place_at(&self, offset: u64) -> Option<(String, u64)> {
        let (label, start) = self.place.clone()?;
        Some((label, start + (offset - self.start)))
    }
}

fn expect<T: std::fmt::Debug + PartialEq>(key: &str, seen: &T, measured: &T) -> Result<(), Failed> {
    match seen == measured {
        true => Ok(()),
        false => Err(format!("{key}: {seen:?}, measured {measured:?}").into()),
    }
}

/// Returns runs with adjacent ones of equal flags merged: where storage goes on is no fact.
fn merged(runs: impl Iterator<Item = (u64, u64, Vec<String>)>) -> Vec<(u64, u64, Vec<String>)> {
    let mut merged: Vec<(u64, u64, Vec<String>)> = Vec::new();
    for run in runs {
        match merged.last_mut() {
            Some(last) if last.1 == run.0 && last.2 == run.2 => last.1 = run.1,
            _ => merged.push(run),
        }
    }
    merged
}

/// Returns measured flags in words. What has no word says where a run lies or that it is the last.
fn flags(value: &Value) -> Result<Vec<String>, Failed> {
    let bits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    let bits = bits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let bits = bits.ok_or_else(|| format!("{value} is no flags"))?;
    let words = FLAGS.iter().filter(|(bit, _)| bits & bit != 0);
    Ok(words.map(|(_, word)| (*word).to_owned()).collect())
}

/// Returns what the result lines of an `observe` say.
fn looks(lines: &[String]) -> Result<Looks, Failed> {
    let mut looks = Looks::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, second, rest @ ..] = words.as_slice() else {
            return Err(format!("no observation: {line}").into());
        };
        let look = looks.entry((*name).to_owned()).or_default();
        match second.split_once("..") {
            Some((start, end)) => look.runs.push(run(start, end, rest)?),
            None => {
                let fields = rest.iter().filter_map(|word| word.split_once('='));
                look.fields = fields
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .collect();
            }
        }
    }
    Ok(looks)
}

fn run(start: &str, end: &str, rest: &[&str]) -> Result<Run, Failed> {
    let size = |text: &str| Size::parse(text).ok_or_else(|| format!("{text} is no size"));
    let place = match rest.first().and_then(|word| word.strip_prefix('x')) {
        Some(place) => {
            let (label, into) = place.split_once('+').unwrap_or((place, "0"));
            Some((label.to_owned(), size(into)?))
        }
        None => None,
    };
    let flags = &rest[usize::from(place.is_some())..];
    Ok(Run {
        start: size(start)?,
        end: size(end)?,
        place,
        flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
    })
}
