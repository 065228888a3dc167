//! A [`scenario::Backend`] over a User Mode Linux kernel: [`Uml`]. No root is needed, no mkfs, no
//! loop device; the genuine `fs/btrfs` answers.
//!
//! Three processes work together, all of them the same program:
//!
//! - the *driver* holds a [`Uml`], prepares a work folder and sends batches of exchanges;
//! - the [`guard`] is its child and the parent of the kernel. When the driver goes, however it
//!   goes, the guard kills every process of the kernel and removes the work folder;
//! - the [`agent`] is init inside the kernel. It mounts btrfs, carries operations out there by
//!   [`backend_kernel::Session`] and streams the replies.
//!
//! Requests are files in the work folder, which the guest sees through hostfs; one byte on a
//! serial line is the doorbell. Replies come back over the same line, one frame for each
//! exchange, so that a hang or a panic of the kernel is attributed to the exchange that met it
//! and nothing said before is lost. Measured on 6.1 on one CPU: a doorbell and its answer take
//! 55 µs, a frame 30 to 40 µs whatever its length up to 16 KiB; a file for each reply 100 µs.
//! Requests do not go over the line: a megabyte sent to the guest took 0.6 s and stopped the line.
//!
//! The crate does not know any operation of the language, nor the model. It decides nothing about
//! answers but two: the kernel was silent for too long ([`scenario::Outcome::Hangs`]), or died
//! with a panic on its console ([`scenario::Outcome::Panics`]).
//!
//! # The empty filesystem
//!
//! `assets/empty-64g.img.zst` is the first 96 MiB of an empty filesystem of 64 GiB; the rest of it
//! is zeros. It was made by btrfs-progs 6.2 and mounts on 5.10 and later:
//!
//! ```sh
//! truncate -s 64G empty.img
//! mkfs.btrfs -s 4096 -n 16384 --csum crc32c -d single -m single \
//!     -O extref,skinny-metadata,no-holes -R free-space-tree \
//!     -U 6f1e7c1a-5b1e-4b8a-9d3c-0a5a3e000001 empty.img
//! head -c 96M empty.img | zstd -19 --no-check -o empty-64g.img.zst
//! ```
#![forbid(unsafe_code)]

pub mod agent;
mod channel;
mod find;
pub mod guard;
mod guest;
mod image;
mod live;
mod machine;
mod uml;
mod work;

pub use find::{cache_folder, find};
pub use image::IMAGE_BYTES;
pub use live::cleanup_all;
pub use uml::{Uml, UmlOptions};
pub use work::remove_leftovers;
