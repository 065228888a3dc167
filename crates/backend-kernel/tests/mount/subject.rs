//! The kernel under test, spoken to in short: [`Subject`].

use backend_kernel::{LoopbackOptions, Mount};
use data::Content;
use scenario::{
    Answer, Backend, CallEnd, DedupeCall, ElementAnswer, Fd, Geometry, MapRun, Name, Observation,
    Op, Outcome, Probe, Stat,
};

/// A loopback mount at the start of a run.
pub(crate) struct Subject(pub(crate) Mount);

impl Subject {
    pub(crate) fn new() -> Subject {
        let mut mount = Mount::loopback(LoopbackOptions::default()).expect("a loopback mount");
        mount.reset(&Geometry::default()).expect("a reset");
        Subject(mount)
    }

    pub(crate) fn answer(&mut self, op: Op) -> Answer {
        let answer = self.0.apply(&op).expect("an answer");
        assert_eq!(answer.complaints, Vec::<String>::new(), "{op:?}");
        answer
    }

    pub(crate) fn outcome(&mut self, op: Op) -> Outcome {
        self.answer(op).outcome
    }

    #[track_caller]
    pub(crate) fn done(&mut self, op: Op) {
        let shown = format!("{op:?}");
        assert_eq!(self.outcome(op), Outcome::Done, "{shown}");
    }

    /// Creates a file with this content.
    #[track_caller]
    pub(crate) fn file(&mut self, text: &str, content: Content) -> Name {
        let name = name(text);
        self.done(Op::File {
            name: name.clone(),
            is_nocow: false,
        });
        self.done(Op::Write {
            name: name.clone(),
            offset: 0,
            content,
        });
        name
    }

    pub(crate) fn observe(&mut self, name: &Name) -> Observation {
        self.0
            .observe(&Probe {
                name: name.clone(),
                expected_shape: None,
            })
            .expect("an observation")
    }

    #[track_caller]
    pub(crate) fn look(&mut self, name: &Name) -> (Stat, data::Digest, Vec<MapRun>) {
        match self.observe(name) {
            Observation::File { stat, content, map } => (stat, content, map),
            other => panic!("{name} is no file: {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn dedupe(&mut self, call: DedupeCall) -> (CallEnd, Vec<ElementAnswer>, Vec<u8>) {
        match self.outcome(Op::Dedupe(call)) {
            Outcome::Dedupe {
                end,
                elements,
                bytes,
            } => (end, elements, bytes),
            other => panic!("no dedupe: {other:?}"),
        }
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

pub(crate) fn fd(name: &Name) -> Fd {
    Fd::file(name.clone())
}

/// Returns the answer of an element.
pub(crate) fn element(status: i32, bytes_deduped: u64) -> ElementAnswer {
    ElementAnswer {
        status,
        bytes_deduped,
    }
}
