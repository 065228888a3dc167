//! Who carries scenarios out in these tests: the model in every role, the running kernel, a User
//! Mode Linux kernel. Where one is not there, [`Witnesses`] knows why.
//!
//! It does not know what is expected of a scenario beyond what its text says.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use backend_kernel::{LoopbackOptions, Mount};
use backend_uml::{Uml, UmlOptions};
use harness::transcript::{self, Entry};
use libtest_mimic::{Failed, Trial};
use model::Sequential;
use rules::Profile;
use scenario::Backend;
use scenario::text::Scenario;

/// Why no kernel is there while tests are listed.
const LISTING: &str = "not looked for while listing";

/// A real kernel that scenarios share, one after the other.
type Shared = Arc<Mutex<Box<dyn Backend + Send>>>;

/// A kernel that is there with the profile of its release, or why it is not.
pub(crate) struct Kernel {
    /// What test names call it.
    title: String,
    /// The kernel and the name of its profile.
    pub(crate) found: Result<(Shared, &'static str), String>,
}

/// The real kernels.
pub(crate) struct Witnesses {
    /// The running kernel, on a btrfs of our own.
    pub(crate) mount: Kernel,
    /// User Mode Linux kernels.
    pub(crate) umls: Vec<Kernel>,
}

/// A test of one scenario on one witness; gets the backend and its profile.
pub(crate) type Check =
    Box<dyn FnOnce(&mut dyn Backend, &'static str) -> Result<(), Failed> + Send>;

impl Witnesses {
    /// Looks for the running kernel and for User Mode Linux kernels of some releases, unless tests
    /// are only listed.
    pub(crate) fn find(is_listing: bool, uml_releases: &[&str]) -> Witnesses {
        let look = |title: String, find: &dyn Fn() -> Result<Box<dyn Backend + Send>, String>| {
            let found = match is_listing {
                true => Err(LISTING.to_owned()),
                false => find().and_then(profiled),
            };
            let found = found.map(|(backend, profile)| (Arc::new(Mutex::new(backend)), profile));
            Kernel { title, found }
        };
        let umls = uml_releases
            .iter()
            .map(|release| look(format!("user mode linux {release}"), &|| uml(release)));
        Witnesses {
            mount: look("the running kernel".to_owned(), &mount),
            umls: umls.collect(),
        }
    }

    /// Returns every kernel.
    pub(crate) fn kernels(&self) -> impl Iterator<Item = &Kernel> {
        std::iter::once(&self.mount).chain(&self.umls)
    }

    /// Takes everything down that was put up.
    pub(crate) fn end(self) {
        drop(self);
        backend_kernel::cleanup_all();
        backend_uml::cleanup_all();
    }
}

impl Kernel {
    /// Returns the test `name` on this kernel, ignored with the reason where it cannot run.
    pub(crate) fn trial(&self, name: &str, check: Check) -> Trial {
        let title = &self.title;
        match &self.found {
            Ok((backend, profile)) => {
                let (backend, profile) = (Arc::clone(backend), *profile);
                Trial::test(format!("{title}::{name}"), move || {
                    let mut backend = backend.lock().unwrap_or_else(PoisonError::into_inner);
                    check(backend.as_mut(), profile)
                })
            }
            Err(reason) => Trial::test(format!("{title}::{name} (ignored: {reason})"), || Ok(()))
                .with_ignored_flag(true),
        }
    }
}

/// Returns the test `name` on the model in the role of `profile`.
pub(crate) fn on_model(name: &str, profile: &'static str, check: Check) -> Trial {
    Trial::test(format!("the model as {profile}::{name}"), move || {
        let mut model = Sequential::new(Profile::by_name(profile)?);
        check(&mut model, profile)
    })
}

/// Runs a scenario with what it expects under `profile`. Returns what came of each operation.
pub(crate) fn play(
    backend: &mut dyn Backend,
    scenario: &Scenario,
    profile: &str,
) -> Result<Vec<Entry>, Failed> {
    let mut unmet = String::new();
    let entries = transcript::run(backend, scenario, profile, &mut |_, entry| {
        show_unmet(entry, &mut unmet);
    })?;
    if unmet.is_empty() {
        Ok(entries)
    } else {
        Err(format!("not as expected under {profile}:\n{unmet}").into())
    }
}

/// Appends what came of an operation, if that is not what was expected.
pub(crate) fn show_unmet(entry: &Entry, unmet: &mut String) {
    if entry.is_met {
        return;
    }
    let _ = writeln!(unmet, "{}", entry.op);
    for expected in entry.expected.iter().flatten() {
        let _ = writeln!(unmet, "  - {expected}");
    }
    for line in &entry.lines {
        let _ = writeln!(unmet, "  + {line}");
    }
}

/// Returns the scenarios of a folder beside these tests, by name without `.scn`.
pub(crate) fn scenarios(folder: &str) -> Vec<(String, Scenario)> {
    let folder = beside(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder can be read to its end").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "scn"))
        .collect();
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// Returns the path of something beside these tests.
pub(crate) fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name)
}

fn read(path: &Path) -> (String, Scenario) {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let scenario =
        Scenario::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    assert_eq!(
        scenario.to_string(),
        text,
        "{} is not canonical, xsame fmt makes it so",
        path.display()
    );
    (name.unwrap_or_default(), scenario)
}

fn mount() -> Result<Box<dyn Backend + Send>, String> {
    let mount = Mount::loopback(LoopbackOptions::default());
    let mount = mount.map_err(|error| in_one_line(&error.to_string()))?;
    Ok(Box::new(mount))
}

/// Starts a User Mode Linux kernel of a release, or says why there is none.
fn uml(release: &str) -> Result<Box<dyn Backend + Send>, String> {
    let started = || {
        let options = UmlOptions {
            agent: env!("CARGO_BIN_EXE_xsame").into(),
            ..UmlOptions::new(backend_uml::find(Some(release))?)?
        };
        Uml::start(options)
    };
    let uml = started().map_err(|error| in_one_line(&error.to_string()))?;
    Ok(Box::new(uml))
}

/// Returns a backend with the profile of its release, if there is an exact one.
fn profiled(
    backend: Box<dyn Backend + Send>,
) -> Result<(Box<dyn Backend + Send>, &'static str), String> {
    let name = backend.name();
    let release = backend.capabilities().release;
    let release = release.ok_or_else(|| format!("{name} does not tell its release"))?;
    let (profile, is_exact) = Profile::nearest(release);
    let known = rules::PROFILE_NAMES
        .iter()
        .find(|known| is_exact && **known == profile.name);
    match known {
        Some(profile) => Ok((backend, profile)),
        None => Err(format!("no profile is that of {name}")),
    }
}

fn in_one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}
