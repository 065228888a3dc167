//! Which crate may depend on which: the table, held against `cargo metadata`.

use serde_json::Value;

use super::Finding;
use crate::command::{cargo, output};

/// A crate with those of ours that it may depend on.
struct Row {
    name: &'static str,
    /// What it may be built on.
    on: &'static [&'static str],
    /// What its tests may use besides.
    tests_on: &'static [&'static str],
    kind: Kind,
}

/// What a crate may do.
#[derive(PartialEq, Eq)]
enum Kind {
    /// It computes, and what it computes depends on its input alone.
    Pure,
    /// It may talk to the system.
    Outward,
}

/// The edges, from the leaves up. The model (`fs-state`, `rules`, `model`) and whoever holds it
/// against something (`harness`, the backends, `reference`) share a language and nothing else;
/// `cli` brings them together.
const TABLE: &[Row] = &[
    pure("uapi", &[]),
    pure("data", &[]),
    pure("ondisk", &[]),
    pure("scenario", &["uapi", "data", "ondisk"]),
    pure("volume", &["uapi"]),
    pure("ctree", &[]),
    pure("fs-state", &["uapi", "data", "ctree"]),
    pure("rules", &["uapi", "fs-state"]),
    pure(
        "model",
        &[
            "uapi", "data", "ondisk", "fs-state", "rules", "scenario", "volume",
        ],
    ),
    pure("random-trees", &["data", "fs-state", "rules", "model"]),
    Row {
        name: "dupes",
        on: &["uapi", "volume"],
        tests_on: &[
            "backend-kernel",
            "data",
            "fs-state",
            "model",
            "random-trees",
            "rules",
        ],
        kind: Kind::Pure,
    },
    pure("reference", &["uapi", "data", "scenario"]),
    pure("strategies", &["uapi", "data", "scenario", "reference"]),
    pure(
        "fuzz-targets",
        &["uapi", "data", "scenario", "fs-state", "rules", "model"],
    ),
    outward("harness", &["uapi", "data", "scenario"], &[]),
    outward(
        "backend-kernel",
        &["uapi", "data", "ondisk", "scenario", "volume"],
        &[],
    ),
    outward(
        "backend-uml",
        &["uapi", "scenario", "backend-kernel"],
        &["data"],
    ),
    outward(
        "hashfile",
        &["volume"],
        &[
            "data",
            "dupes",
            "fs-state",
            "model",
            "random-trees",
            "rules",
        ],
    ),
    outward(
        "cli",
        &[
            "uapi",
            "data",
            "scenario",
            "rules",
            "model",
            "reference",
            "strategies",
            "harness",
            "volume",
            "dupes",
            "hashfile",
            "backend-kernel",
            "backend-uml",
        ],
        &["fs-state", "random-trees"],
    ),
    outward("xtask", &[], &[]),
];

/// Outside crates that talk to the system; a pure crate is not built on them.
const OUTWARD_LIBRARIES: [&str; 7] = [
    "libc",
    "rustix",
    "tempfile",
    "signal-hook",
    "indicatif",
    "clap",
    "parking_lot",
];

const fn pure(name: &'static str, on: &'static [&'static str]) -> Row {
    Row {
        name,
        on,
        tests_on: &[],
        kind: Kind::Pure,
    }
}

const fn outward(
    name: &'static str,
    on: &'static [&'static str],
    tests_on: &'static [&'static str],
) -> Row {
    Row {
        name,
        on,
        tests_on,
        kind: Kind::Outward,
    }
}

/// Returns the crates that compute only.
pub(super) fn pure_crates() -> impl Iterator<Item = &'static str> {
    let is_pure = |row: &&Row| row.kind == Kind::Pure;
    TABLE.iter().filter(is_pure).map(|row| row.name)
}

/// Returns every edge of the workspace that the table does not allow.
///
/// # Errors
///
/// If cargo cannot tell the edges.
pub(super) fn check() -> Result<Vec<Finding>, String> {
    let metadata = output(&mut cargo(&[
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version=1",
    ]))?;
    let metadata: Value = serde_json::from_str(&metadata)
        .map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
    let packages = metadata["packages"].as_array();
    let packages = packages.ok_or("cargo metadata has no packages")?;
    Ok(packages.iter().flat_map(of_package).collect())
}

fn of_package(package: &Value) -> Vec<Finding> {
    let name = package["name"].as_str().unwrap_or_default();
    let path = match name {
        "xtask" => "xtask/Cargo.toml".to_owned(),
        _ => format!("crates/{name}/Cargo.toml"),
    };
    let finding = |says: String| Finding {
        path: path.clone(),
        line: 1,
        says,
    };
    let Some(row) = TABLE.iter().find(|row| row.name == name) else {
        return vec![finding(format!(
            "no row for {name} in xtask's table of edges"
        ))];
    };
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    let forbidden = dependencies.filter_map(|dependency| {
        let on = dependency["name"].as_str().unwrap_or_default();
        let is_for_tests = dependency["kind"].as_str() == Some("dev");
        let is_ours = dependency["path"].is_string();
        let is_allowed = match is_ours {
            true => row.on.contains(&on) || is_for_tests && row.tests_on.contains(&on),
            false => row.kind == Kind::Outward || is_for_tests || !OUTWARD_LIBRARIES.contains(&on),
        };
        (!is_allowed).then(|| finding(format!("{name} must not depend on {on}")))
    });
    forbidden.collect()
}
