//! Requests as bytes, on the model: [`ioctl_on_model`].

use data::Content;
use fs_state::{FsState, InodeId, Kind};
use model::{FrameEnd, UserMemory};
use scenario::op::Caller;

use crate::prepared;
use crate::reply::assert_differs_in_out_fields_only;

/// What comes before the request: which profile, on which descriptor, by whom in which memory,
/// and where the memory ends.
const CALL_LEN: usize = 5;

/// Makes any bytes a call on a prepared filesystem: whatever the kernel of that profile does, the
/// filesystem is sound afterwards, every file has the contents it had, and the reply differs from
/// the request in out fields only.
///
/// The bytes are: the profile, modulo how many there are; the descriptor; bits for caller (1) and
/// memory (2: it ends at the edge, 4: it is read-only from the edge on); the edge in bytes, two of
/// them, little endian; and the request, to the end.
pub fn ioctl_on_model(bytes: &[u8]) {
    let Some((call, request)) = bytes.split_at_checked(CALL_LEN) else {
        return;
    };
    let [profile, fd, bits, edge @ ..] = call else {
        return;
    };
    let edge = edge
        .iter()
        .rev()
        .fold(0, |edge, &byte| edge << 8 | usize::from(byte));
    let caller = if bits & 1 == 0 {
        Caller::Root
    } else {
        Caller::User
    };
    let readable_to = if bits & 2 == 0 { request.len() } else { edge };
    let writable_to = if bits & 4 == 0 { readable_to } else { edge };
    let mut memory = UserMemory::with_edges(request.to_vec(), readable_to, writable_to);

    let mut machine = prepared::machine(*profile);
    let before = contents(machine.fs());
    let report = machine.ioctl_dedupe(caller, i32::from(*fd), &mut memory);

    let told = || format!("{}: {report:?}", machine.profile().name);
    assert_eq!(machine.fs().fsck(), [], "{}", told());
    assert!(
        contents(machine.fs()) == before,
        "contents changed: {}",
        told()
    );
    assert_differs_in_out_fields_only(request, memory.bytes_mut());
    if let FrameEnd::Ended(_) = report.end {
        let nr_elements = request.len() / uapi::dedupe::ELEMENT_LEN;
        assert!(report.elements.len() <= nr_elements, "{}", told());
    }
}

/// Returns what every regular file reads as.
fn contents(fs: &FsState) -> Vec<(InodeId, Content)> {
    let files = fs
        .inodes()
        .filter(|(_, inode)| inode.kind() == Kind::Regular);
    files.map(|(id, _)| (id, fs.content(id))).collect()
}
