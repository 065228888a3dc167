//! Tests that need a btrfs of their own: [`run`].

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use backend_kernel::ground;
use libtest_mimic::{Arguments, Trial};

/// Runs tests and ends the process. Each is its name, a sentence; what it does; and what it lacks
/// besides root, a loop device and mkfs.btrfs, if anything. What lacks something is reported as
/// ignored with the reason.
pub(crate) fn run(tests: impl Iterator<Item = (&'static str, fn(), Option<String>)>) -> ! {
    let arguments = Arguments::from_args();
    // Asked once: what is missing for one is missing for all.
    let reason = ground::on_loopback(|_| ())
        .err()
        .map(|error| error.to_string().replace('\n', ";"));
    let trials = tests.map(|(name, test, missing)| match reason.clone().or(missing) {
        None => Trial::test(name, move || {
            test();
            Ok(())
        }),
        Some(reason) => {
            Trial::test(format!("{name} (ignored: {reason})"), || Ok(())).with_ignored_flag(true)
        }
    });
    libtest_mimic::run(&arguments, trials.collect()).exit()
}

/// Runs `work` with the top of a filesystem that `mkfs` makes in an image of so many bytes, which
/// lies in a folder.
#[allow(dead_code, reason = "not every target needs another filesystem")]
pub(crate) fn on_image(
    folder: &Path,
    bytes: u64,
    mkfs: &mut Command,
    work: impl FnOnce(&Path),
) -> Result<(), String> {
    let (image, point) = (folder.join("image"), folder.join("mounted"));
    let file = File::create(&image).map_err(|error| error.to_string())?;
    file.set_len(bytes).map_err(|error| error.to_string())?;
    fs::create_dir_all(&point).map_err(|error| error.to_string())?;
    let run = |command: &mut Command| match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{command:?}: {output:?}")),
        Err(error) => Err(format!("{command:?}: {error}")),
    };
    run(mkfs.arg(&image))?;
    run(Command::new("mount")
        .args(["-o", "loop"])
        .arg(&image)
        .arg(&point))?;
    let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&point)));
    run(Command::new("umount").arg(&point))?;
    worked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    Ok(())
}
