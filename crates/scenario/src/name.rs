//! Names of files: paths below the top of the filesystem of one run.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A path below the top of the run's filesystem: components of `[A-Za-z0-9_-]`, joined by `/`.
/// The top itself is written `.`. Capital letters by custom: `A`, `S1/A`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// Longest name that the language accepts, in bytes.
pub const NAME_LEN_MAX: usize = 200;

impl Name {
    /// Returns the name for `text`, or `None` if a component is empty or has a character outside
    /// `[A-Za-z0-9_-]`.
    pub fn new(text: &str) -> Option<Name> {
        let is_component = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        let is_valid =
            text == "." || (text.len() <= NAME_LEN_MAX && text.split('/').all(is_component));
        is_valid.then(|| Name(Arc::from(text)))
    }

    /// Returns the name of the top of the filesystem, `.`.
    pub fn top() -> Name {
        Name(Arc::from("."))
    }

    /// Returns the path as text, without a leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether this is the top of the filesystem.
    pub fn is_top(&self) -> bool {
        &*self.0 == "."
    }

    /// Returns the components of the path, none for the top.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|part| *part != ".")
    }

    /// Returns this name with `child` below it.
    pub fn join(&self, child: &Name) -> Name {
        if self.is_top() {
            child.clone()
        } else {
            Name(Arc::from(format!("{self}/{child}")))
        }
    }
}

impl Name {
    /// Returns the name that this one has after `from` was renamed to `to`; `None` if it is
    /// neither `from` nor below it.
    pub fn moved(&self, from: &Name, to: &Name) -> Option<Name> {
        let mut parts = self.components();
        let is_prefix = from.components().all(|part| parts.next() == Some(part));
        if !is_prefix {
            return None;
        }
        let rest: Vec<&str> = parts.collect();
        match Name::new(&rest.join("/")) {
            Some(rest) => Some(to.join(&rest)),
            None => Some(to.clone()),
        }
    }

    /// Returns whether this is `top` or below it.
    pub fn is_within(&self, top: &Name) -> bool {
        let mut parts = self.components();
        top.components().all(|part| parts.next() == Some(part))
    }
}

impl FromStr for Name {
    type Err = ();

    fn from_str(text: &str) -> Result<Name, ()> {
        Name::new(text).ok_or(())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
