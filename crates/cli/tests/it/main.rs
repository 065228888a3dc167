//! The program as its user sees it: arguments in, text and exit codes out. Only what needs neither
//! root nor a kernel of its own.

mod diff;
mod dupes;
mod files;
mod program;
mod same;
mod tree;
