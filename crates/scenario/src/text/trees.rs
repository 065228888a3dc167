//! The lines about trees, and back: one record each, its first word telling which.
//!
//! The number of bytes is exact everywhere. What reads the lines needs them in the order in which
//! they print.

use std::fmt::Write as _;

use ondisk::{Compression, InodeFlags};

use super::cursor::Cursor;
use super::error::ParseError;
use super::op_parse;
use super::size::Size;
use crate::trees::{
    TreeCsums, TreeExtent, TreeInode, TreeItem, TreePlace, TreeRef, TreeRoot, TreeUsage, Trees,
};
use crate::{FileKind, Name, Storage};

/// The first words of the lines.
const RECORDS: &str = "one of root, inode, item, extent, ref";
/// Stands for a root that is not of the run.
const NO_ROOT: &str = "*";

/// Returns the line of a root.
pub(crate) fn tree_root(root: &TreeRoot) -> String {
    let access = if root.is_readonly { "ro" } else { "rw" };
    let line = format!("root {} {access}", root.name);
    match root.usage {
        None => line,
        Some(TreeUsage {
            referenced,
            exclusive,
        }) => format!("{line} rfer={} excl={}", Size(referenced), Size(exclusive)),
    }
}

/// Returns the line of an inode.
pub(crate) fn tree_inode(root: &Name, inode: &TreeInode) -> String {
    let TreeInode {
        ino,
        kind,
        nlink,
        size,
        nbytes,
        flags,
        items: _,
    } = inode;
    let (size, nbytes) = (Size(*size), Size(*nbytes));
    let kind = kind_word(*kind);
    format!("inode {root} {ino} {kind} nlink={nlink} size={size} nbytes={nbytes}{flags}")
}

/// Returns the line of a file extent item.
pub(crate) fn tree_item(
    root: &Name,
    ino: u64,
    item: &TreeItem,
    place: impl FnOnce(Storage) -> String,
) -> String {
    format!("item {root} {ino} {}", file_item(item, place))
}

/// Returns what a file extent item says, whose ever it is.
pub(crate) fn file_item(item: &TreeItem, place: impl FnOnce(Storage) -> String) -> String {
    let (start, end) = (Size(item.offset), Size(item.offset.wrapping_add(item.len)));
    let mut line = format!("{start}..{end}");
    let printed = match item.place {
        TreePlace::Inline { disk_len } => write!(line, " inline disk={}", Size(disk_len)),
        TreePlace::Hole => write!(line, " hole"),
        TreePlace::Extent {
            is_prealloc,
            extent,
            disk_len,
            skip,
        } => {
            let kind = if is_prealloc { "prealloc" } else { "written" };
            let (place, disk_len) = (place(extent), Size(disk_len));
            write!(line, " {kind} {place} skip={} disk={disk_len}", Size(skip))
        }
    };
    debug_assert!(printed.is_ok(), "a string takes everything");
    let printed = match item.compression {
        Compression::None => write!(line, " ram={}", Size(item.ram_bytes)),
        compression => write!(line, " ram={} {}", Size(item.ram_bytes), compression.word()),
    };
    debug_assert!(printed.is_ok(), "a string takes everything");
    line
}

/// Returns the line of a data extent.
pub(crate) fn tree_extent(place: &str, extent: &TreeExtent) -> String {
    let mut line = format!("extent {place} {}", Size(extent.len));
    for TreeCsums {
        offset,
        len,
        digest,
    } in &extent.csums
    {
        let (start, end) = (Size(*offset), Size(offset.wrapping_add(*len)));
        let printed = write!(line, " csum={start}..{end}:{digest}");
        debug_assert!(printed.is_ok(), "a string takes everything");
    }
    line
}

/// Returns the line of a reference.
pub(crate) fn tree_ref(place: &str, to: &TreeRef) -> String {
    let root = to.root.as_ref().map_or(NO_ROOT, Name::as_str);
    format!("ref {place} {root} {} {}", to.ino, Size(to.offset))
}

fn kind_word(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Regular => "file",
        FileKind::Directory => "dir",
        FileKind::Fifo => "fifo",
    }
}

/// Returns the lines with raw storage, which [`parse_line`] reads.
pub(super) fn raw_lines(trees: &Trees) -> Vec<String> {
    let raw = |Storage(place)| format!("@{place}");
    let mut lines = Vec::new();
    for root in &trees.roots {
        lines.push(tree_root(root));
        for inode in &root.inodes {
            lines.push(tree_inode(&root.name, inode));
            let items = inode.items.iter();
            lines.extend(items.map(|item| tree_item(&root.name, inode.ino, item, raw)));
        }
    }
    for extent in &trees.extents {
        let place = raw(extent.extent);
        lines.push(tree_extent(&place, extent));
        lines.extend(extent.refs.iter().map(|to| tree_ref(&place, to)));
    }
    lines
}

/// Returns whether a word begins a line about trees.
pub(super) fn is_record(word: &str) -> bool {
    matches!(word, "root" | "inode" | "item" | "extent" | "ref")
}

/// Reads one line with raw storage into `trees`.
pub(super) fn parse_line(cursor: &mut Cursor<'_>, trees: &mut Trees) -> Result<(), ParseError> {
    let word = cursor.expect(RECORDS)?;
    match word.text {
        "root" => trees.roots.push(parse_root(cursor)?),
        "inode" => {
            let (root, inode) = parse_inode(cursor)?;
            match trees.roots.last_mut() {
                Some(last) if last.name == root => last.inodes.push(inode),
                _ => return Err(cursor.wrong(word, "the root before its inodes")),
            }
        }
        "item" => {
            let (root, ino, item) = parse_item(cursor)?;
            let of_root = trees.roots.last_mut().filter(|last| last.name == root);
            let inode = of_root.and_then(|root| root.inodes.last_mut());
            match inode.filter(|inode| inode.ino == ino) {
                Some(inode) => inode.items.push(item),
                None => return Err(cursor.wrong(word, "the inode before its items")),
            }
        }
        "extent" => trees.extents.push(parse_extent(cursor)?),
        "ref" => {
            let (extent, to) = parse_ref(cursor)?;
            match trees.extents.last_mut() {
                Some(last) if last.extent == extent => last.refs.push(to),
                _ => return Err(cursor.wrong(word, "the extent before its references")),
            }
        }
        _ => return Err(cursor.wrong(word, RECORDS)),
    }
    cursor.end()
}

fn parse_root(cursor: &mut Cursor<'_>) -> Result<TreeRoot, ParseError> {
    Ok(TreeRoot {
        name: op_parse::name(cursor)?,
        is_readonly: cursor.read("ro or rw", |word| match word {
            "ro" => Some(true),
            "rw" => Some(false),
            _ => None,
        })?,
        usage: match cursor.peek() {
            None => None,
            Some(_) => Some(TreeUsage {
                referenced: valued(cursor, "rfer=BYTES", "rfer=")?,
                exclusive: valued(cursor, "excl=BYTES", "excl=")?,
            }),
        },
        inodes: Vec::new(),
    })
}

fn parse_inode(cursor: &mut Cursor<'_>) -> Result<(Name, TreeInode), ParseError> {
    let root = op_parse::name(cursor)?;
    let ino = cursor.read("an inode number", op_parse::parse_number)?;
    let kind = cursor.read("file, dir or fifo", |word| match word {
        "file" => Some(FileKind::Regular),
        "dir" => Some(FileKind::Directory),
        "fifo" => Some(FileKind::Fifo),
        _ => None,
    })?;
    let nlink = cursor.read("nlink=N", |word| {
        op_parse::parse_number(word.strip_prefix("nlink=")?)
    })?;
    let size = valued(cursor, "size=BYTES", "size=")?;
    let nbytes = valued(cursor, "nbytes=BYTES", "nbytes=")?;
    let mut flags = InodeFlags::default();
    while let Some(word) = cursor.next() {
        let flag = InodeFlags::from_word(word.text);
        let flag = flag.ok_or_else(|| cursor.wrong(word, "a flag of an inode"))?;
        flags = flags.with(flag, true);
    }
    let inode = TreeInode {
        ino,
        kind,
        nlink,
        size,
        nbytes,
        flags,
        items: Vec::new(),
    };
    Ok((root, inode))
}

fn parse_item(cursor: &mut Cursor<'_>) -> Result<(Name, u64, TreeItem), ParseError> {
    let root = op_parse::name(cursor)?;
    let ino = cursor.read("an inode number", op_parse::parse_number)?;
    let (offset, end) = cursor.read("a range START..END", parse_range)?;
    const KINDS: &str = "one of inline, hole, written, prealloc";
    let kind = cursor.expect(KINDS)?;
    let place = match kind.text {
        "hole" => TreePlace::Hole,
        "inline" => TreePlace::Inline {
            disk_len: valued(cursor, "disk=BYTES", "disk=")?,
        },
        "written" | "prealloc" => TreePlace::Extent {
            is_prealloc: kind.text == "prealloc",
            extent: parse_storage(cursor)?,
            skip: valued(cursor, "skip=BYTES", "skip=")?,
            disk_len: valued(cursor, "disk=BYTES", "disk=")?,
        },
        _ => return Err(cursor.wrong(kind, KINDS)),
    };
    let ram_bytes = valued(cursor, "ram=BYTES", "ram=")?;
    let compression = match cursor.peek() {
        None => Compression::None,
        Some(_) => cursor.read("a compression", Compression::from_word)?,
    };
    let item = TreeItem {
        offset,
        len: end.wrapping_sub(offset),
        ram_bytes,
        compression,
        place,
    };
    Ok((root, ino, item))
}

fn parse_extent(cursor: &mut Cursor<'_>) -> Result<TreeExtent, ParseError> {
    let extent = parse_storage(cursor)?;
    let len = op_parse::size(cursor, "the extent's length")?;
    let mut csums = Vec::new();
    while let Some(word) = cursor.next() {
        let parsed = word.text.strip_prefix("csum=").and_then(|csum| {
            let (range, digest) = csum.split_once(':')?;
            let (start, end) = parse_range(range)?;
            Some(TreeCsums {
                offset: start,
                len: end.wrapping_sub(start),
                digest: digest.parse().ok()?,
            })
        });
        let expected = "csum=START..END:DIGEST";
        csums.push(parsed.ok_or_else(|| cursor.wrong(word, expected))?);
    }
    Ok(TreeExtent {
        extent,
        len,
        refs: Vec::new(),
        csums,
    })
}

fn parse_ref(cursor: &mut Cursor<'_>) -> Result<(Storage, TreeRef), ParseError> {
    let extent = parse_storage(cursor)?;
    let root = match cursor.peek() {
        Some(word) if word.text == NO_ROOT => {
            cursor.pass(word);
            None
        }
        _ => Some(op_parse::name(cursor)?),
    };
    let to = TreeRef {
        root,
        ino: cursor.read("an inode number", op_parse::parse_number)?,
        offset: op_parse::size(cursor, "a file offset")?,
    };
    Ok((extent, to))
}

fn parse_storage(cursor: &mut Cursor<'_>) -> Result<Storage, ParseError> {
    let place = |word: &str| Size::parse(word.strip_prefix('@')?);
    cursor.read("@ and a number", place).map(Storage)
}

fn parse_range(word: &str) -> Option<(u64, u64)> {
    let (start, end) = word.split_once("..")?;
    Some((Size::parse(start)?, Size::parse(end)?))
}

/// Reads `key` with a number of bytes behind it.
fn valued(
    cursor: &mut Cursor<'_>,
    expected: &'static str,
    key: &'static str,
) -> Result<u64, ParseError> {
    cursor.read(expected, |word| Size::parse(word.strip_prefix(key)?))
}
