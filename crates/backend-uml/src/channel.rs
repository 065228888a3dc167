//! What driver and guest say to each other: [`Request`] in files, [`Frame`] on the serial line.
//!
//! It does not know who reads or writes, nor what an exchange does; operations and replies are in
//! the protocol of `scenario::text`.

use scenario::Geometry;

/// The byte on the line that means "the next request file is there".
pub(crate) const DOORBELL: u8 = b'R';

/// The first byte of every frame. Early kernel text on the same descriptor has no such byte.
const START: u8 = 0x02;
/// Start, kind, four bytes of length.
const HEADER_LEN: usize = 6;
/// Longest payload that is believed, in bytes.
const PAYLOAD_LEN_MAX: usize = 256 << 20;

/// A request of the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Start a run on an empty filesystem. Answered by [`Kind::Done`].
    Reset(Geometry),
    /// End the run and scrub. Answered by one [`Kind::Complaints`] and one [`Kind::LeftOut`], then
    /// [`Kind::Done`].
    Verify,
    /// Carry out exchanges, given as text. Answered by one [`Kind::Reply`] each, then
    /// [`Kind::Done`].
    Run(String),
}

impl Request {
    /// Returns the request as the text of a request file.
    pub(crate) fn print(&self) -> String {
        match self {
            Request::Reset(geometry) => {
                format!("reset {geometry}\n")
            }
            Request::Verify => "verify\n".to_owned(),
            Request::Run(exchanges) => format!("run\n{exchanges}"),
        }
    }

    /// Returns the request that a text is, or `None`.
    pub(crate) fn parse(text: &str) -> Option<Request> {
        let (head, rest) = text.split_once('\n')?;
        match head.split_once(' ').unwrap_or((head, "")) {
            ("reset", geometry) => Some(Request::Reset(geometry.parse().ok()?)),
            ("verify", "") => Some(Request::Verify),
            ("run", "") => Some(Request::Run(rest.to_owned())),
            _ => None,
        }
    }
}

/// Returns the name of a request file in the channel folder.
pub(crate) fn request_name(sequence: u64) -> String {
    format!("{sequence:06}.req")
}

/// What a frame of the guest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The agent is ready; the payload is the kernel's release.
    Hello,
    /// The reply to one exchange.
    Reply,
    /// What is wrong with the filesystem, a line each.
    Complaints,
    /// What of that could not be looked for, a line each.
    LeftOut,
    /// A request is finished.
    Done,
    /// The guest could not ask; the payload is the error's text.
    Failure,
}

impl Kind {
    const ALL: [Kind; 6] = [
        Kind::Hello,
        Kind::Reply,
        Kind::Complaints,
        Kind::LeftOut,
        Kind::Done,
        Kind::Failure,
    ];

    fn byte(self) -> u8 {
        match self {
            Kind::Hello => b'h',
            Kind::Reply => b'r',
            Kind::Complaints => b'c',
            Kind::LeftOut => b'l',
            Kind::Done => b'd',
            Kind::Failure => b'f',
        }
    }
}

/// One thing that the guest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// What it is.
    pub(crate) kind: Kind,
    /// Its text.
    pub(crate) payload: String,
}

impl Frame {
    /// Returns the frame as bytes for the line.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let len = u32::try_from(self.payload.len()).expect("a reply is shorter than 4 GiB");
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.payload.len());
        bytes.extend([START, self.kind.byte()]);
        bytes.extend(len.to_le_bytes());
        bytes.extend(self.payload.as_bytes());
        bytes
    }
}

/// The bytes that have arrived and are no frame yet.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    bytes: Vec<u8>,
    /// How many of them have been taken.
    taken: usize,
}

impl Decoder {
    /// Adds bytes from the line.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next whole frame. Text between frames is passed over.
    pub(crate) fn take(&mut self) -> Option<Frame> {
        loop {
            let rest = &self.bytes[self.taken..];
            let Some(start) = rest.iter().position(|byte| *byte == START) else {
                self.taken = self.bytes.len();
                return None;
            };
            self.taken += start;
            let rest = &self.bytes[self.taken..];
            let (header, rest) = rest.split_at_checked(HEADER_LEN)?;
            let kind = Kind::ALL.into_iter().find(|kind| kind.byte() == header[1]);
            let len = u32::from_le_bytes([header[2], header[3], header[4], header[5]]) as usize;
            let Some(kind) = kind.filter(|_| len <= PAYLOAD_LEN_MAX) else {
                self.taken += 1;
                continue;
            };
            let payload = String::from_utf8_lossy(rest.get(..len)?).into_owned();
            self.taken += HEADER_LEN + len;
            return Some(Frame { kind, payload });
        }
    }
}

#[cfg(test)]
mod tests {
    use scenario::DataMode;

    use super::*;

    fn frame(kind: Kind, payload: &str) -> Frame {
        Frame {
            kind,
            payload: payload.to_owned(),
        }
    }

    #[test]
    fn frames_survive_any_cut_of_the_stream_and_text_between_them() {
        let frames = [
            frame(Kind::Hello, "6.1.176\n"),
            frame(Kind::Reply, ""),
            frame(Kind::Reply, &"x".repeat(5000)),
            frame(Kind::Done, "\u{2}h"),
            frame(Kind::Failure, "cannot mount"),
        ];
        let mut stream = b"Checking for tmpfs mount\n".to_vec();
        for frame in &frames {
            stream.extend(frame.encode());
            stream.extend(b"\r\nnoise \x02? ");
        }
        for cut in [1, 2, 3, 5, 7, 64, 4096, stream.len()] {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for piece in stream.chunks(cut) {
                decoder.push(piece);
                while let Some(frame) = decoder.take() {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, frames, "cut {cut}");
        }
    }

    #[test]
    fn requests_round_trip_and_other_text_is_none() {
        let requests = [
            Request::Reset(Geometry::default()),
            Request::Reset(Geometry {
                data: DataMode::NoCow,
                ..Geometry::default()
            }),
            Request::Run("file A\n  observe A\n".to_owned()),
        ];
        for request in requests {
            assert_eq!(Request::parse(&request.print()), Some(request));
        }
        assert_eq!(Request::parse("reset 1\n"), None);
        assert_eq!(Request::parse("walk\n"), None);
        assert_eq!(Request::parse("run"), None);
    }
}
