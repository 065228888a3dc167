//! The error numbers of the asm-generic Linux ABI, as [`Errno`], and their names.
//!
//! One table drives constants, names and parsing. It does not know what a number means to any
//! call.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A positive error number, as in `errno`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(i32);

/// Why a text is not an error number.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown errno {text:?}")]
pub struct ParseErrnoError {
    /// The text as it was given.
    pub text: String,
}

impl Errno {
    /// Returns the error number `raw`; `None` unless it is positive.
    #[must_use]
    pub const fn new(raw: i32) -> Option<Self> {
        if 0 < raw { Some(Self(raw)) } else { None }
    }

    /// Returns the error in a status or return value, where errors are negative.
    #[must_use]
    pub const fn from_status(status: i32) -> Option<Self> {
        match status.checked_neg() {
            Some(raw) => Self::new(raw),
            None => None,
        }
    }

    /// Returns the positive number.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// Returns the negative number, as a kernel stores it in a status field.
    #[must_use]
    pub const fn status(self) -> i32 {
        -self.0
    }
}

/// Expands the table into constants, `name` and the lookup of `FromStr`.
macro_rules! errnos {
    ($($name:ident = $raw:literal, $doc:literal;)*) => {
        impl Errno {
            $(#[doc = $doc] pub const $name: Self = Self($raw);)*

            /// Every named error number, in numeric order.
            pub const ALL: &'static [Self] = &[$(Self($raw)),*];

            /// Returns the symbolic name, for example `"EINVAL"`.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($raw => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            fn from_name(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    EPERM = 1, "Operation not permitted.";
    ENOENT = 2, "No such file or directory.";
    ESRCH = 3, "No such process.";
    EINTR = 4, "Interrupted system call.";
    EIO = 5, "Input/output error.";
    ENXIO = 6, "No such device or address.";
    E2BIG = 7, "Argument list too long.";
    ENOEXEC = 8, "Exec format error.";
    EBADF = 9, "Bad file descriptor.";
    ECHILD = 10, "No child processes.";
    EAGAIN = 11, "Try again; also `EWOULDBLOCK`.";
    ENOMEM = 12, "Out of memory.";
    EACCES = 13, "Permission denied.";
    EFAULT = 14, "Bad address.";
    ENOTBLK = 15, "Block device required.";
    EBUSY = 16, "Device or resource busy.";
    EEXIST = 17, "File exists.";
    EXDEV = 18, "Cross-device link.";
    ENODEV = 19, "No such device.";
    ENOTDIR = 20, "Not a directory.";
    EISDIR = 21, "Is a directory.";
    EINVAL = 22, "Invalid argument.";
    ENFILE = 23, "File table overflow.";
    EMFILE = 24, "Too many open files.";
    ENOTTY = 25, "Not a typewriter: no such request.";
    ETXTBSY = 26, "Text file busy: a swap file, for extent-same.";
    EFBIG = 27, "File too large.";
    ENOSPC = 28, "No space left on device.";
    ESPIPE = 29, "Illegal seek.";
    EROFS = 30, "Read-only file system.";
    EMLINK = 31, "Too many links.";
    EPIPE = 32, "Broken pipe.";
    EDOM = 33, "Argument out of domain.";
    ERANGE = 34, "Result not representable.";
    EDEADLK = 35, "Resource deadlock would occur.";
    ENAMETOOLONG = 36, "File name too long.";
    ENOLCK = 37, "No record locks available.";
    ENOSYS = 38, "No such system call.";
    ENOTEMPTY = 39, "Directory not empty.";
    ELOOP = 40, "Too many symbolic links.";
    EBADE = 52, "Invalid exchange: the ranges differ, inside the kernel.";
    ENODATA = 61, "No data available.";
    ETIME = 62, "Timer expired.";
    ENOLINK = 67, "Link has been severed.";
    EPROTO = 71, "Protocol error.";
    EBADMSG = 74, "Bad message; also `EFSBADCRC`.";
    EOVERFLOW = 75, "Value too large for its type.";
    EBADFD = 77, "File descriptor in bad state.";
    EILSEQ = 84, "Illegal byte sequence.";
    ERESTART = 85, "Interrupted system call should be restarted.";
    EUSERS = 87, "Too many users.";
    EOPNOTSUPP = 95, "Operation not supported; also `ENOTSUP`.";
    ETIMEDOUT = 110, "Connection timed out.";
    EALREADY = 114, "Operation already in progress.";
    EINPROGRESS = 115, "Operation now in progress.";
    ESTALE = 116, "Stale file handle.";
    EUCLEAN = 117, "Structure needs cleaning; also `EFSCORRUPTED`.";
    EREMOTEIO = 121, "Remote input/output error.";
    EDQUOT = 122, "Quota exceeded.";
    ENOMEDIUM = 123, "No medium found.";
    EMEDIUMTYPE = 124, "Wrong medium type.";
    ECANCELED = 125, "Operation cancelled.";
    ENOKEY = 126, "Required key not available.";
    EOWNERDEAD = 130, "Owner died.";
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "E{}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Errno {
    type Err = ParseErrnoError;

    fn from_str(text: &str) -> Result<Self, ParseErrnoError> {
        Self::from_name(text)
            .or_else(|| numbered(text))
            .ok_or_else(|| ParseErrnoError {
                text: text.to_owned(),
            })
    }
}

/// Returns the error of a text such as `E4095`.
fn numbered(text: &str) -> Option<Errno> {
    let digits = text.strip_prefix('E')?;
    // `parse` alone would take a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Errno::new(digits.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_linux() {
        assert_eq!(Errno::EINVAL.raw(), 22);
        assert_eq!(Errno::EXDEV.raw(), 18);
        assert_eq!(Errno::ETXTBSY.raw(), 26);
        assert_eq!(Errno::EBADE.raw(), 52);
        assert_eq!(Errno::EOPNOTSUPP.raw(), 95);
        assert_eq!(Errno::EDQUOT.raw(), 122);
    }

    #[test]
    fn the_table_is_in_strict_numeric_order() {
        assert!(Errno::ALL.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn every_named_error_prints_and_parses_as_its_name() {
        for &errno in Errno::ALL {
            let name = errno.name().expect("the table names it");
            assert_eq!(errno.to_string(), name);
            assert_eq!(name.parse(), Ok(errno));
        }
    }

    #[test]
    fn a_named_error_parses_by_number_too() {
        assert_eq!("E22".parse(), Ok(Errno::EINVAL));
    }

    #[test]
    fn text_round_trips_for_every_positive_number() {
        fn law(raw: i32) -> bool {
            Errno::new(raw).is_none_or(|errno| errno.to_string().parse() == Ok(errno))
        }
        quickcheck::quickcheck(law as fn(i32) -> bool);
    }

    #[test]
    fn a_status_is_an_error_exactly_when_negative() {
        fn law(status: i32) -> bool {
            match Errno::from_status(status) {
                Some(errno) => status < 0 && errno.status() == status,
                None => 0 <= status || status == i32::MIN,
            }
        }
        quickcheck::quickcheck(law as fn(i32) -> bool);
        assert!(law(i32::MIN));
    }

    #[test]
    fn texts_that_name_no_error_are_refused() {
        for text in [
            "",
            "E",
            "E0",
            "E-1",
            "E+1",
            "einval",
            "EINVAL ",
            "22",
            "E2147483648",
        ] {
            assert!(text.parse::<Errno>().is_err(), "{text:?}");
        }
    }
}
