//! The line `mkfs size=64g sectorsize=4k` of a scenario.
//!
//! It does not know what a key means to a filesystem.

use std::fmt;
use std::str::FromStr;

use ondisk::{ChecksumKind, Compression};

use super::cursor::Cursor;
use super::op_parse;
use super::{ParseError, Size};
use crate::{DataMode, Geometry};

impl fmt::Display for Geometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Geometry {
            device_bytes,
            sector_bytes,
            node_bytes,
            is_mixed,
            checksum,
            data,
            compress,
            has_quota,
        } = self;
        let sector_bytes = Size(u64::from(*sector_bytes));
        write!(
            f,
            "mkfs size={} sectorsize={sector_bytes}",
            Size(*device_bytes)
        )?;
        // What is not usual is said, so that the usual line stays short.
        let usual = Geometry::default();
        if *is_mixed {
            write!(f, " mixed")?;
        } else if *node_bytes != usual.node_bytes {
            write!(f, " nodesize={}", Size(u64::from(*node_bytes)))?;
        }
        if *checksum != usual.checksum {
            write!(f, " csum={}", checksum.name())?;
        }
        if *data != usual.data {
            write!(f, " data={}", data.name())?;
        }
        if *compress != usual.compress {
            write!(f, " compress={}", compress.name())?;
        }
        if *has_quota {
            write!(f, " quota=on")?;
        }
        Ok(())
    }
}

impl FromStr for Geometry {
    type Err = ParseError;

    fn from_str(line: &str) -> Result<Geometry, ParseError> {
        parse_geometry(&mut Cursor::new(1, line))
    }
}

/// Returns the geometry of a line `mkfs size=64g sectorsize=4k`; what is not said is the default.
pub(super) fn parse_geometry(cursor: &mut Cursor<'_>) -> Result<Geometry, ParseError> {
    const KEYS: &str = "size=, sectorsize=, nodesize=, mixed, csum=, data=, compress= or quota=on";
    let mut geometry = Geometry::default();
    let mut nodesize = None;
    cursor.literal("mkfs", "mkfs")?;
    while let Some(word) = cursor.next() {
        let (key, value) = word.text.split_once('=').unwrap_or((word.text, ""));
        match key {
            "size" => {
                geometry.device_bytes =
                    Size::parse(value).ok_or_else(|| cursor.wrong(word, "size=SIZE"))?;
            }
            "sectorsize" => {
                geometry.sector_bytes = op_parse::parse_number(value)
                    .ok_or_else(|| cursor.wrong(word, "sectorsize=SIZE"))?;
            }
            "nodesize" => {
                let node_bytes = op_parse::parse_number(value)
                    .ok_or_else(|| cursor.wrong(word, "nodesize=SIZE"))?;
                nodesize = Some((word, node_bytes));
            }
            _ if word.text == "mixed" => geometry.is_mixed = true,
            "csum" => {
                geometry.checksum = ChecksumKind::by_name(value).ok_or_else(|| {
                    cursor.wrong(word, "csum=crc32c, csum=xxhash, csum=sha256 or csum=blake2")
                })?;
            }
            "data" => {
                geometry.data = DataMode::by_name(value).ok_or_else(|| {
                    cursor.wrong(word, "data=checked, data=nodatasum or data=nodatacow")
                })?;
            }
            "compress" => {
                geometry.compress = Compression::by_name(value).ok_or_else(|| {
                    cursor.wrong(
                        word,
                        "compress=none, compress=zlib, compress=lzo or compress=zstd",
                    )
                })?;
            }
            "quota" => {
                geometry.has_quota = match value {
                    "on" => true,
                    "off" => false,
                    _ => return Err(cursor.wrong(word, "quota=on or quota=off")),
                };
            }
            _ => return Err(cursor.wrong(word, KEYS)),
        }
        if geometry.compress != Compression::None && geometry.data != DataMode::Checked {
            return Err(cursor.wrong(word, "compress= without data=, which it would take back"));
        }
    }
    match (nodesize, geometry.is_mixed) {
        (Some((word, node_bytes)), true) if node_bytes != geometry.sector_bytes => {
            return Err(cursor.wrong(word, "nodes as large as sectors, for it is mixed"));
        }
        (Some((_, node_bytes)), _) => geometry.node_bytes = node_bytes,
        (None, true) => geometry.node_bytes = geometry.sector_bytes,
        (None, false) => {}
    }
    Ok(geometry)
}
