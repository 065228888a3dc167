//! Where kernels are: [`find`] and [`cache_folder`]. It does not know how they got there.
//!
//! A kernel in the cache is the executable `linux` in a folder named by its release:
//! `CACHE/6.12.113/linux`.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use scenario::BackendError;
use uapi::Release;

/// The name of the program in Debian's package.
const PROGRAM: &str = "linux.uml";

/// Returns the folder that kernels are fetched into: `$XSAME_KERNELS`, else `xsame/kernels` in
/// `$XDG_CACHE_HOME`, else in `~/.cache`. `None` without any of these variables.
#[must_use]
pub fn cache_folder() -> Option<PathBuf> {
    let variable = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    variable("XSAME_KERNELS").or_else(|| {
        let cache = variable("XDG_CACHE_HOME")
            .or_else(|| variable("HOME").map(|home| home.join(".cache")))?;
        Some(cache.join("xsame/kernels"))
    })
}

/// Returns the kernel that `wanted` means.
///
/// `None`: `linux.uml` of the search path, else the newest of the cache. A path (anything with a
/// slash): that file. A release or its beginning (`6.1`): the newest such kernel of the search
/// path and the cache.
///
/// # Errors
///
/// [`BackendError::Missing`] if there is no such kernel.
pub fn find(wanted: Option<&str>) -> Result<PathBuf, BackendError> {
    match wanted {
        Some(path) if path.contains('/') => {
            let path = PathBuf::from(path);
            if is_executable(&path) {
                Ok(path)
            } else {
                Err(missing(&path.display().to_string()))
            }
        }
        Some(release) => {
            newest(release).ok_or_else(|| missing(&format!("a User Mode Linux kernel {release}")))
        }
        None => in_search_path()
            .or_else(|| newest(""))
            .ok_or_else(|| missing(&format!("a User Mode Linux kernel ({PROGRAM})"))),
    }
}

fn missing(what: &str) -> BackendError {
    let cache = match cache_folder() {
        Some(folder) => folder.display().to_string(),
        None => "no cache folder (neither XSAME_KERNELS nor HOME is set)".to_owned(),
    };
    BackendError::Missing {
        what: format!("{what} is not there or not executable; looked in PATH and {cache}"),
        remedy: "install the Debian package user-mode-linux, or run `cargo xtask kernels`"
            .to_owned(),
    }
}

/// Returns the newest kernel whose release begins with the components of `prefix`.
fn newest(prefix: &str) -> Option<PathBuf> {
    let mut kernels = in_cache();
    // Asking the program takes milliseconds: only if a particular one is wanted.
    if let Some(path) = in_search_path().filter(|_| !prefix.is_empty())
        && let Some(text) = release_of(&path)
    {
        kernels.push((text, path));
    }
    kernels
        .into_iter()
        .filter(|(text, _)| begins_with(text, prefix))
        .filter_map(|(text, path)| Some((text.parse::<Release>().ok()?, path)))
        .max_by_key(|(release, _)| *release)
        .map(|(_, path)| path)
}

/// Returns whether `release` is `prefix` or goes on after it with another component.
fn begins_with(release: &str, prefix: &str) -> bool {
    match release.strip_prefix(prefix) {
        Some(rest) => prefix.is_empty() || !rest.starts_with(|c: char| c.is_ascii_digit()),
        None => false,
    }
}

fn in_search_path() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(PROGRAM))
        .find(|path| is_executable(path))
}

fn in_cache() -> Vec<(String, PathBuf)> {
    let Some(entries) = cache_folder().and_then(|folder| fs::read_dir(folder).ok()) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                entry.path().join("linux"),
            )
        })
        .filter(|(_, path)| is_executable(path))
        .collect()
}

/// Asks a kernel for its release.
fn release_of(kernel: &Path) -> Option<String> {
    let output = Command::new(kernel)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().last().map(|line| line.trim().to_owned())
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_found_by_whole_components() {
        assert!(begins_with("6.1.176", "6.1"));
        assert!(begins_with("6.1.176", "6.1.176"));
        assert!(begins_with("6.1.176", ""));
        assert!(!begins_with("6.12.113", "6.1"));
        assert!(!begins_with("6.1.176", "6.1.17"));
        assert!(!begins_with("5.10.46", "6"));
    }

    #[test]
    fn a_kernel_that_is_not_there_is_named_with_the_remedy() {
        let error = find(Some("/nowhere/linux"))
            .expect_err("no such file")
            .to_string();
        assert!(error.contains("/nowhere/linux"), "{error}");
        assert!(error.contains("user-mode-linux"), "{error}");
        assert!(error.contains("cargo xtask kernels"), "{error}");
    }
}
