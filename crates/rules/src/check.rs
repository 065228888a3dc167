//! The parts of a rule: its name, how it ends a call, where to read about it, who can reach it.
//!
//! A [`Check`] joins a [`Rule`] with a predicate over the view of one stage. It does not know in
//! which order it is asked; tables and plans do.

use uapi::Errno;

/// The stable name of a rule: kebab-case, unique over all profiles.
pub type RuleId = &'static str;

/// A named decision of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The name.
    pub id: RuleId,
    /// How it ends the call or the element.
    pub end: End,
    /// Where the kernel decides it.
    pub cite: Cite,
    /// One sentence that says what it is about.
    pub sentence: &'static str,
    /// Which witnesses can show it.
    pub reach: Reach,
}

/// How a rule ends what it decides: the whole call in a call's plan, one element in an element's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this errno.
    Refuses(Errno),
    /// With success, nothing left to do.
    Succeeds,
    /// With the status for different bytes.
    Differs,
    /// Never: the task does not come back.
    Hangs,
    /// With the kernel's death.
    Panics,
}

/// Where to look, never pasted code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cite {
    /// Path in the kernel's tree.
    pub path: &'static str,
    /// Function.
    pub func: &'static str,
    /// A release (or posting, or commit) in which it reads so.
    pub at: &'static str,
}

/// Which witnesses can show a rule, with the reason why no cheaper one can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Anybody who can mount a filesystem; a UML kernel as well.
    Mount,
    /// Only a UML kernel.
    Uml(&'static str),
    /// Only the model.
    ModelOnly(&'static str),
}

/// A rule with the predicate that says, of a stage's view, whether it fires.
#[derive(Debug)]
pub struct Check<V: 'static> {
    /// The rule.
    pub rule: &'static Rule,
    /// Returns whether it fires.
    pub fires: fn(&V) -> bool,
}

impl<V> Clone for Check<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Check<V> {}

impl<V> Check<V> {
    /// Returns the check of `rule` by `fires`.
    #[must_use]
    pub const fn new(rule: &'static Rule, fires: fn(&V) -> bool) -> Check<V> {
        Check { rule, fires }
    }
}

/// Returns the rule of the first check that fires, in table order.
#[inline]
#[must_use]
pub fn first_fired<V>(table: &[Check<V>], view: &V) -> Option<&'static Rule> {
    table
        .iter()
        .find(|check| (check.fires)(view))
        .map(|check| check.rule)
}

impl Rule {
    /// Returns the errno that it refuses with, if it refuses.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self.end {
            End::Refuses(errno) => Some(errno),
            End::Succeeds | End::Differs | End::Hangs | End::Panics => None,
        }
    }
}

impl Cite {
    /// Returns a place in the source of a release.
    #[must_use]
    pub const fn new(path: &'static str, func: &'static str, at: &'static str) -> Cite {
        Cite { path, func, at }
    }
}

impl std::fmt::Display for Cite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({})", self.path, self.func, self.at)
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Refuses(errno) => write!(f, "{errno}"),
            End::Succeeds => f.write_str("success"),
            End::Differs => f.write_str("differs"),
            End::Hangs => f.write_str("hangs"),
            End::Panics => f.write_str("panics"),
        }
    }
}

impl std::fmt::Display for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reach::Mount => f.write_str("mount"),
            Reach::Uml(reason) => write!(f, "UML: {reason}"),
            Reach::ModelOnly(reason) => write!(f, "model only: {reason}"),
        }
    }
}
