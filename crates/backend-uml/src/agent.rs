//! The program inside the kernel, and the entry of both other roles: [`run`].
//!
//! As init it mounts what a machine needs, sets the kernel up so that nothing is written back
//! unasked, mounts btrfs, drives a `Backend` there and answers requests until the serial line ends;
//! then it switches the machine off. It does not know what any operation does.

use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::slice;

use backend_kernel::{Place, Session};
use rustix::fs::OFlags;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::{Resource, Rlimit};
use rustix::system::RebootCommand;
use rustix::termios::{OptionalActions, Termios};
use scenario::text::protocol;
use scenario::{Backend, BackendError, Verified};

use crate::channel::{self, DOORBELL, Frame, Kind, Request};
use crate::guard;

/// Where everything that the agent mounts lies.
const TOP: &str = "/tmp";
const CHANNEL: &str = "/tmp/channel";
const FIRST: &str = "/tmp/first";
const SECOND: &str = "/tmp/second";
const READONLY: &str = "/tmp/readonly";
const LINE: &str = "/dev/ttyS0";

/// Dirty data stays dirty until an operation writes it back.
const SETTINGS: [(&str, &str); 4] = [
    ("/proc/sys/vm/dirty_background_ratio", "90"),
    ("/proc/sys/vm/dirty_ratio", "95"),
    ("/proc/sys/vm/dirty_writeback_centisecs", "0"),
    ("/proc/sys/vm/dirty_expire_centisecs", "360000"),
];

/// `f_type` of hostfs.
const HOSTFS_MAGIC: i64 = 0x00c0_ffee;

/// Descriptors that a run may keep open.
const NR_FILES_MAX: u64 = 1 << 16;

/// Where the filesystem is mounted in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounts {
    /// The first mount, writable.
    pub first: PathBuf,
    /// The same once more, writable.
    pub second: PathBuf,
    /// The same once more, read-only.
    pub readonly: PathBuf,
    /// The block device: `/dev/ubda`.
    pub device: PathBuf,
}

/// Returns the arguments that make an agent program init of a guest, which mounts `device` with
/// `options`.
pub(crate) fn guest_arguments(channel: &Path, device: &str, options: &str) -> [OsString; 4] {
    [
        "guest".into(),
        channel.into(),
        device.into(),
        options.into(),
    ]
}

/// Runs the role that `args` say: guard, or init of a guest, which carries operations out with
/// [`backend_kernel::Session`]. The program's hidden subcommand calls this with the arguments
/// behind it. As init it does not return.
pub fn run(args: &[OsString]) -> ExitCode {
    run_over(args, |mounts| {
        let place = Place {
            first: mounts.first.clone(),
            second: Some(mounts.second.clone()),
            readonly: Some(mounts.readonly.clone()),
            device: mounts
                .device
                .file_name()
                .map(|name| name.to_string_lossy().into_owned()),
            is_ours: true,
        };
        Ok(Box::new(Session::new(place)))
    })
}

/// Does what [`run`] does, with `open` making the backend over the mounted filesystem.
pub fn run_over<F>(args: &[OsString], open: F) -> ExitCode
where
    F: FnOnce(&Mounts) -> Result<Box<dyn Backend>, BackendError>,
{
    match args {
        [role, rest @ ..] if role == "guard" => guard::run(rest),
        [role, channel, device, options, ..] if role == "guest" && std::process::id() == 1 => {
            // The end of init would be a panic of the kernel, which would be blamed.
            let served = panic::catch_unwind(AssertUnwindSafe(|| {
                let options = options.to_string_lossy();
                serve(Path::new(channel), (Path::new(device), &options), open)
            }));
            if let Ok(Err(error)) = served {
                eprintln!("agent: {error}");
            }
            let error = rustix::system::reboot(RebootCommand::PowerOff);
            eprintln!("agent: cannot switch off: {error:?}");
            loop {
                std::thread::park();
            }
        }
        _ => {
            eprintln!("agent: this subcommand is for the program itself, in guests and as a guard");
            ExitCode::from(2)
        }
    }
}

/// Sets the guest up and answers requests until nobody is left to ask.
fn serve<F>(channel: &Path, filesystem: (&Path, &str), open: F) -> Result<(), BackendError>
where
    F: FnOnce(&Mounts) -> Result<Box<dyn Backend>, BackendError>,
{
    mount_machine()?;
    let mut line = Line::open()?;
    let result = set_up(channel, filesystem, open).and_then(|(mut backend, release)| {
        line.say(Kind::Hello, release)?;
        answer_all(&mut line, backend.as_mut(), filesystem)
    });
    if let Err(error) = &result {
        line.say(Kind::Failure, error.to_string())?;
    }
    result
}

/// Mounts the filesystems that every machine has over what hostfs shows of the host's own.
fn mount_machine() -> Result<(), BackendError> {
    mount("proc", "/proc", "proc", "")?;
    mount("sysfs", "/sys", "sysfs", "")?;
    // Some kernels mount it before init, and refuse to do so twice.
    if is_of_host("/dev")? {
        mount("devtmpfs", "/dev", "devtmpfs", "")?;
    }
    make_folder("/dev/shm")?;
    mount("tmpfs", "/dev/shm", "tmpfs", "")?;
    mount("tmpfs", TOP, "tmpfs", "")
}

/// Returns whether `path` is the host's, seen through hostfs.
fn is_of_host(path: &str) -> Result<bool, BackendError> {
    let stat = rustix::fs::statfs(path)
        .map_err(|errno| system("tell the filesystem of", path, errno.into()))?;
    Ok(stat.f_type == HOSTFS_MAGIC)
}

/// Mounts channel and filesystem, which is a device and the options for its mount. Returns the
/// backend over it and the kernel's release.
fn set_up<F>(
    channel: &Path,
    (device, options): (&Path, &str),
    open: F,
) -> Result<(Box<dyn Backend>, String), BackendError>
where
    F: FnOnce(&Mounts) -> Result<Box<dyn Backend>, BackendError>,
{
    for (path, value) in SETTINGS {
        // With a root outside, these would be the settings of the host.
        assert!(!is_of_host(path)?, "proc was mounted");
        fs::write(path, value).map_err(|source| system("write", path, source))?;
    }
    let limit = Rlimit {
        current: Some(NR_FILES_MAX),
        maximum: Some(NR_FILES_MAX),
    };
    rustix::process::setrlimit(Resource::Nofile, limit)
        .map_err(|errno| system("raise the limit of", "open files", errno.into()))?;
    make_folder(CHANNEL)?;
    mount("none", CHANNEL, "hostfs", &channel.to_string_lossy())?;
    for folder in [FIRST, SECOND, READONLY] {
        make_folder(folder)?;
    }
    mount_filesystem((device, options))?;
    let mounts = Mounts {
        first: FIRST.into(),
        second: SECOND.into(),
        readonly: READONLY.into(),
        device: device.to_owned(),
    };
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    Ok((open(&mounts)?, release))
}

/// Mounts the filesystem, a device and the options for its mount, at its three places.
fn mount_filesystem((device, options): (&Path, &str)) -> Result<(), BackendError> {
    mount(&device.to_string_lossy(), FIRST, "btrfs", options)?;
    bind(SECOND)?;
    bind(READONLY)?;
    let flags = MountFlags::BIND | MountFlags::RDONLY;
    rustix::mount::mount_remount(READONLY, flags, c"")
        .map_err(|errno| system("make read-only", READONLY, errno.into()))
}

/// Unmounts the filesystem and mounts it again: from then on everything is read from its device.
fn mount_anew(filesystem: (&Path, &str)) -> Result<(), BackendError> {
    for folder in [READONLY, SECOND, FIRST] {
        rustix::mount::unmount(folder, UnmountFlags::empty())
            .map_err(|errno| system("unmount", folder, errno.into()))?;
    }
    mount_filesystem(filesystem)
}

/// Ends the run and checks the filesystem, as it is and once it is mounted anew.
fn verify(backend: &mut dyn Backend, filesystem: (&Path, &str)) -> Result<Verified, BackendError> {
    // The first check leaves nothing open.
    let mut verified = backend.verify()?;
    mount_anew(filesystem)?;
    verified.extend(backend.verify()?);
    Ok(verified)
}

/// Answers requests until the line ends.
fn answer_all(
    line: &mut Line,
    backend: &mut dyn Backend,
    filesystem: (&Path, &str),
) -> Result<(), BackendError> {
    let mut sequence = 0;
    while line.is_rung()? {
        let path = Path::new(CHANNEL).join(channel::request_name(sequence));
        let name = path.display().to_string();
        let text = fs::read_to_string(&path).map_err(|source| system("read", &name, source))?;
        let request = Request::parse(&text)
            .ok_or_else(|| BackendError::Channel(format!("{name} is not a request")))?;
        match request {
            Request::Reset(geometry) => backend.reset(&geometry)?,
            Request::Run(text) => answer(line, backend, &text)?,
            Request::Verify => {
                let verified = verify(backend, filesystem)?;
                line.say(Kind::Complaints, verified.complaints.join("\n"))?;
                line.say(Kind::LeftOut, verified.left_out.join("\n"))?;
            }
        }
        line.say(Kind::Done, String::new())?;
        sequence += 1;
    }
    Ok(())
}

/// Carries out a batch; each reply is sent as soon as it is there.
fn answer(line: &mut Line, backend: &mut dyn Backend, text: &str) -> Result<(), BackendError> {
    let exchanges = protocol::parse_exchanges(text)
        .map_err(|error| BackendError::Channel(format!("not a batch: {error}")))?;
    for exchange in &exchanges {
        let replies = backend.run(slice::from_ref(exchange))?;
        line.say(Kind::Reply, protocol::print_replies(&replies))?;
    }
    Ok(())
}

/// The serial line, both ways.
struct Line(File);

impl Line {
    fn open() -> Result<Line, BackendError> {
        let file = File::options()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NOCTTY.bits() as i32)
            .open(LINE)
            .map_err(|source| system("open", LINE, source))?;
        let set_raw = || {
            let mut modes: Termios = rustix::termios::tcgetattr(&file)?;
            modes.make_raw();
            rustix::termios::tcsetattr(&file, OptionalActions::Now, &modes)
        };
        set_raw().map_err(|errno| system("set the modes of", LINE, errno.into()))?;
        Ok(Line(file))
    }

    /// Waits for the doorbell. Returns whether it rang; otherwise the driver is gone.
    fn is_rung(&mut self) -> Result<bool, BackendError> {
        let mut byte = [0];
        loop {
            match self.0.read(&mut byte) {
                Ok(0) => return Ok(false),
                Ok(_) if byte[0] == DOORBELL => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // A line that was hung up.
                Err(error) if error.raw_os_error() == Some(5) => return Ok(false),
                Err(source) => return Err(system("read", LINE, source)),
            }
        }
    }

    fn say(&mut self, kind: Kind, payload: String) -> Result<(), BackendError> {
        let frame = Frame { kind, payload }.encode();
        self.0
            .write_all(&frame)
            .map_err(|source| system("write", LINE, source))
    }
}

fn mount(source: &str, target: &str, kind: &str, options: &str) -> Result<(), BackendError> {
    let options = CString::new(options)
        .map_err(|error| BackendError::Channel(format!("mount options {options:?}: {error}")))?;
    rustix::mount::mount(
        source,
        target,
        kind,
        MountFlags::NOATIME,
        Some(options.as_c_str()),
    )
    .map_err(|errno| system("mount", &format!("{kind} on {target}"), errno.into()))
}

/// Mounts the filesystem of [`FIRST`] at `target` too.
fn bind(target: &str) -> Result<(), BackendError> {
    rustix::mount::mount_bind(FIRST, target)
        .map_err(|errno| system("bind", &format!("{FIRST} to {target}"), errno.into()))
}

fn make_folder(path: &str) -> Result<(), BackendError> {
    fs::create_dir_all(path).map_err(|source| system("create", path, source))
}

fn system(action: &str, name: &str, source: std::io::Error) -> BackendError {
    BackendError::System {
        action: format!("{action} {name} in the guest"),
        source,
    }
}
