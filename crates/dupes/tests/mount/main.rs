//! The trees of the model's properties again on a btrfs of the running kernel: the tool frees
//! there what it frees in the model, to the byte. Needs root, a loop device and mkfs.btrfs; without
//! them every test is reported as ignored with the reason.
//!
//! `XSAME_REPLAYS` says how many trees are drawn, `XSAME_SEED` which.

mod replay;
#[path = "../it/tree.rs"]
#[expect(dead_code, reason = "nobody disturbs these runs")]
mod tree;

use backend_kernel::ground;
use libtest_mimic::{Arguments, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let reason = ground::on_loopback(|_| ())
        .err()
        .map(|error| error.to_string().replace('\n', ";"));
    let name = "on_the_running_kernel_as_much_is_freed_as_in_the_model";
    let trial = match reason {
        None => Trial::test(name, || {
            replay::trees();
            Ok(())
        }),
        Some(reason) => {
            Trial::test(format!("{name} (ignored: {reason})"), || Ok(())).with_ignored_flag(true)
        }
    };
    libtest_mimic::run(&arguments, vec![trial]).exit();
}
