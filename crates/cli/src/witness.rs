//! The witnesses by the names that the command line gives them: [`WitnessName`], [`open`].

use std::path::PathBuf;
use std::str::FromStr;

use backend_kernel::{LoopbackOptions, Mount};
use backend_uml::{Uml, UmlOptions};
use miette::{Report, miette};
use model::Sequential;
use reference::Reference;
use rules::Profile;
use scenario::{Backend, BackendError};

use crate::caught::Caught;

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WitnessName {
    /// The best that is there.
    Auto,
    /// The model.
    Model,
    /// The running kernel on a filesystem of our own.
    Mount,
    /// The running kernel in a folder of the user's.
    MountAt(PathBuf),
    /// A User Mode Linux kernel: a version, a path, or whichever there is.
    Uml(Option<String>),
    /// The flat reference.
    Reference,
}

impl FromStr for WitnessName {
    type Err = String;

    fn from_str(text: &str) -> Result<WitnessName, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        match (name, value) {
            ("auto", None) => Ok(WitnessName::Auto),
            ("model", None) => Ok(WitnessName::Model),
            ("mount", None) => Ok(WitnessName::Mount),
            ("mount", Some(folder)) if !folder.is_empty() => {
                Ok(WitnessName::MountAt(PathBuf::from(folder)))
            }
            ("uml", None) => Ok(WitnessName::Uml(None)),
            ("uml", Some(kernel)) if !kernel.is_empty() => {
                Ok(WitnessName::Uml(Some(kernel.to_owned())))
            }
            ("reference", None) => Ok(WitnessName::Reference),
            _ => Err(format!(
                "{text:?} is no backend: it is one of auto, model, mount, mount=DIR, uml, \
                 uml=VERSION, uml=PATH, reference"
            )),
        }
    }
}

/// A witness that was opened, and what has to be said about the choice.
pub(crate) struct Witness {
    pub(crate) backend: Box<dyn Backend>,
    /// Why it is this one, and what would bring more; lines for stderr.
    pub(crate) remarks: Vec<String>,
}

/// Opens a witness; the model plays `profile`.
pub(crate) fn open(
    name: &WitnessName,
    profile: &Profile,
    keeps_image: bool,
) -> Result<Witness, Report> {
    // Whatever is opened now: a process that was killed may have left something behind.
    backend_kernel::remove_leftovers();
    backend_uml::remove_leftovers();
    let backend: Result<Box<dyn Backend>, BackendError> = match name {
        WitnessName::Auto => return Ok(best(keeps_image)),
        WitnessName::Model => Ok(model(profile.clone())),
        WitnessName::Mount => mount(keeps_image),
        WitnessName::MountAt(folder) => {
            Mount::directory(folder).map(|mount| Box::new(mount) as Box<dyn Backend>)
        }
        WitnessName::Uml(wanted) => uml(wanted.as_deref()),
        WitnessName::Reference => Ok(Box::new(Reference::new())),
    };
    let backend = backend.map_err(|error| match (name, error) {
        (WitnessName::Uml(Some(kernel)), BackendError::Channel(text)) => miette!(
            help = "name another User Mode Linux kernel with uml=VERSION or uml=PATH, or leave it \
                    out to have one chosen",
            "{kernel} does not run as a User Mode Linux kernel: {}",
            text.trim_end()
        ),
        (_, error) => report(error),
    })?;
    Ok(Witness {
        backend,
        remarks: Vec::new(),
    })
}

/// Returns the model in the role of a kernel.
pub(crate) fn model(profile: Profile) -> Box<dyn Backend> {
    Box::new(Caught::new(Box::new(Sequential::new(profile))))
}

/// Opens the best witness that is there.
fn best(keeps_image: bool) -> Witness {
    let mut remarks = Vec::new();
    let why_no_mount = match mount(keeps_image) {
        Ok(backend) => return Witness { backend, remarks },
        Err(error) => error,
    };
    remarks.push(format!("no mount: {why_no_mount}"));
    match uml(None) {
        Ok(backend) => Witness { backend, remarks },
        Err(why_no_uml) => {
            remarks.push(format!("no User Mode Linux: {why_no_uml}"));
            remarks
                .push("comparing with the embedded flat reference: bytes and answers only".into());
            Witness {
                backend: Box::new(Reference::new()),
                remarks,
            }
        }
    }
}

fn mount(keeps_image: bool) -> Result<Box<dyn Backend>, BackendError> {
    let options = LoopbackOptions {
        keeps_image,
        ..LoopbackOptions::default()
    };
    Ok(Box::new(Mount::loopback(options)?))
}

fn uml(wanted: Option<&str>) -> Result<Box<dyn Backend>, BackendError> {
    let kernel = backend_uml::find(wanted)?;
    Ok(Box::new(Uml::start(UmlOptions::new(kernel)?)?))
}

/// Returns the profile that `wanted` means for a backend, and what has to be said about it.
pub(crate) fn profile(
    wanted: &str,
    backend: Option<&dyn Backend>,
) -> Result<(Profile, Option<String>), Report> {
    if wanted != "auto" {
        return Ok((
            Profile::by_name(wanted).map_err(|error| miette!("{error}"))?,
            None,
        ));
    }
    let release = backend.and_then(|backend| backend.capabilities().release);
    let Some(release) = release else {
        return Ok((Profile::latest().map_err(|error| miette!("{error}"))?, None));
    };
    let (profile, is_exact) = Profile::nearest(release);
    let remark = (!is_exact).then(|| {
        format!(
            "profile {} is the nearest to kernel {release}, not exact",
            profile.name
        )
    });
    Ok((profile, remark))
}

/// Returns the profile with these bugs in it.
pub(crate) fn mutated(profile: Profile, mutants: &[String]) -> Result<Profile, Report> {
    mutants.iter().try_fold(profile, |profile, id| {
        profile.with_mutant(id).map_err(|error| miette!("{error}"))
    })
}

/// Returns a backend's error as the command line shows it.
pub(crate) fn report(error: BackendError) -> Report {
    match error {
        BackendError::Missing { what, remedy } => miette!(help = remedy, "{what}"),
        error => miette!("{error}"),
    }
}
