//! Files that are no hashfiles, and hashfiles that are damaged: told, and left as they are.

use std::fs;
use std::path::{Path, PathBuf};

use dupes::{InMemory, Options, Report, ScanMode, Unwatched};
use hashfile::HashfileError;
use model::{Machine, ModelVolume};
use rules::Profile;
use tempfile::TempDir;
use volume::Volume;

use crate::chronicle::Chronicle;

const NR_FILES: u64 = 60;

fn chronicle() -> Chronicle {
    let mut machine = Machine::new(Profile::latest().expect("a profile"));
    let fs = machine.fs_mut();
    for number in 0..NR_FILES {
        let id = fs
            .create_file(&format!("file-{number}"), false)
            .expect("a new name");
        let content = data::Content::pattern(number % 40, 0, 4 * 4096);
        fs.write(id, 0, &content).expect("room");
    }
    Chronicle::new(ModelVolume::new(machine))
}

fn open(chronicle: &Chronicle, path: &Path) -> Result<Box<dyn Volume>, HashfileError> {
    hashfile::open_trees(Box::new(chronicle.clone()), path, Box::new(|_, _| {}))
}

fn plan(volume: &mut dyn Volume) -> String {
    let options = Options {
        scan: ScanMode::Read,
        ..Options::default()
    };
    let mut report = Report::default();
    let found = dupes::find(volume, &options, &mut InMemory, &mut Unwatched, &mut report);
    let plan = found
        .expect("nothing fails")
        .plan(volume, &options, &mut Unwatched, &mut report);
    format!("{:#?}", plan.expect("nothing fails"))
}

/// Returns a folder with a hashfile, and what it is about.
fn hashfile() -> (TempDir, PathBuf, Chronicle) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("hashes");
    let chronicle = chronicle();
    plan(&mut *open(&chronicle, &path).expect("a new hashfile"));
    (folder, path, chronicle)
}

#[track_caller]
fn refused(chronicle: &Chronicle, path: &Path, says: &str) {
    let before = fs::read(path).ok();
    let error = open(chronicle, path)
        .err()
        .expect("it is refused")
        .to_string();
    assert!(error.contains(says), "{says}: {error}");
    assert!(error.contains(&path.display().to_string()), "{error}");
    assert!(error.contains("remedy: "), "{error}");
    assert!(fs::read(path).ok() == before, "the file has changed");
}

#[test]
fn what_is_no_hashfile_is_refused_and_stays() {
    let (folder, path, chronicle) = hashfile();
    let other = folder.path().join("other");
    refused(&chronicle, folder.path(), "is no hashfile: it is a folder");
    fs::write(&other, "").expect("room");
    refused(&chronicle, &other, "it is empty");
    fs::write(&other, "abc").expect("room");
    refused(&chronicle, &other, "it is too short");
    fs::write(&other, [b'x'; 100_000]).expect("room");
    refused(&chronicle, &other, "its first bytes are not those of one");
    refused(
        &chronicle,
        &folder.path().join("none/hashes"),
        "cannot create",
    );
    fs::remove_file(&other).expect("a file");
    let table: redb::TableDefinition<'_, u64, u64> = redb::TableDefinition::new("numbers");
    let foreign = redb::Database::create(&other).expect("a database");
    let write = foreign.begin_write().expect("a database");
    write
        .open_table(table)
        .expect("a table")
        .insert(1, 2)
        .expect("room");
    write.commit().expect("room");
    drop(foreign);
    refused(&chronicle, &other, "it is a database of something else");
    plan(&mut *open(&chronicle, &path).expect("the hashfile is as good as before"));
}

#[test]
fn a_run_excludes_another_one() {
    let (_folder, path, chronicle) = hashfile();
    let first = open(&chronicle, &path).expect("a hashfile");
    refused(&chronicle, &path, "another run uses the hashfile");
    drop(first);
    open(&chronicle, &path).expect("it is free again");
}

/// Has a hashfile say something else about itself.
fn set_about(path: &Path, name: &str, number: u64) {
    let about: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("about");
    let database = redb::Database::open(path).expect("a database");
    let write = database.begin_write().expect("a database");
    write
        .open_table(about)
        .expect("a table")
        .insert(name, number)
        .expect("room");
    write.commit().expect("room");
}

#[test]
fn a_hashfile_of_another_version_is_refused() {
    let (_folder, path, chronicle) = hashfile();
    set_about(&path, "version", 2);
    refused(
        &chronicle,
        &path,
        "has version 2 of the format, this program knows 1",
    );
}

#[test]
fn a_hashfile_of_another_filesystem_is_refused() {
    let (_folder, path, chronicle) = hashfile();
    set_about(&path, "filesystem", 2);
    refused(
        &chronicle,
        &path,
        "remembers the filesystem 00000000-0000-0002-",
    );
}

#[test]
fn a_cut_hashfile_is_refused_and_stays() {
    let (_folder, path, chronicle) = hashfile();
    let whole = fs::read(&path).expect("a file");
    for len in (1..whole.len()).step_by(whole.len() / 37) {
        fs::write(&path, &whole[..len]).expect("room");
        refused(&chronicle, &path, "remedy");
    }
}

/// A flipped bit is found, or it is in a page that nothing is in: then the plan is the same.
#[test]
fn a_flipped_bit_is_told_or_harmless() {
    let (_folder, path, chronicle) = hashfile();
    let whole = fs::read(&path).expect("a file");
    let expected = plan(&mut *open(&chronicle, &path).expect("a hashfile"));
    let whole_after = fs::read(&path).expect("a file");
    assert!(
        whole == whole_after,
        "nothing was new, and something was written"
    );
    let (mut nr_told, mut nr_harmless) = (0, 0);
    let step = whole.len() / 150 + 1;
    // The header has the most that can go wrong.
    let places = (0..512).step_by(7).chain((512..whole.len()).step_by(step));
    for at in places {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, &flipped).expect("room");
        match open(&chronicle, &path) {
            Err(error) => {
                nr_told += 1;
                let error = error.to_string();
                assert!(error.contains("remedy"), "{error}");
                assert!(fs::read(&path).expect("a file") == flipped, "at {at}");
            }
            Ok(mut volume) => {
                nr_harmless += 1;
                assert_eq!(plan(&mut *volume), expected, "at {at}");
            }
        }
    }
    println!("{nr_told} told, {nr_harmless} harmless");
    assert!(20 < nr_told, "{nr_told} told, {nr_harmless} harmless");
}
