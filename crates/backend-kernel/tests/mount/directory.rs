//! A directory of the user's, on a btrfs that another backend has made for it.
use crate::Test;

pub(crate) const TESTS: &[Test] = &[(
    "a_directory_that_is_not_on_btrfs_is_named_with_its_filesystem",
    not_btrfs,
)];

fn not_btrfs() {
    for (path, expected) in [
        ("/proc", "/proc is on proc, not on btrfs"),
        ("/nowhere", "/nowhere:"),
    ] {
        let error = backend_kernel::Mount::directory(path.as_ref()).expect_err("no btrfs");
        let text = error.to_string();
        assert!(
            text.starts_with(expected) && text.contains("remedy: "),
            "{text}"
        );
    }
}
