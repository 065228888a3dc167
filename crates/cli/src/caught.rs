//! A witness that may panic: [`Caught`] answers for it with [`Outcome::Panics`].
//!
//! A model that finds its own state impossible panics. In a run that is a finding like any other,
//! to be shrunk and told. What else panics is not its business.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};

use scenario::{
    Answer, Backend, BackendError, Capabilities, Exchange, Geometry, Layout, Observation, Op,
    Outcome, Probe, Reply, Verified,
};

thread_local! {
    /// Whether a panic of this thread will be caught here.
    static CATCHES: Cell<bool> = const { Cell::new(false) };
}

/// A backend whose panics are answers.
pub(crate) struct Caught {
    backend: Box<dyn Backend>,
    /// What it said when it panicked; only a reset helps.
    last_words: Option<String>,
}

/// Lets a panic that is caught say nothing by itself; others print as ever.
pub(crate) fn silence_caught_panics() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !CATCHES.get() {
            print(info);
        }
    }));
}

impl Caught {
    pub(crate) fn new(backend: Box<dyn Backend>) -> Caught {
        Caught {
            backend,
            last_words: None,
        }
    }

    /// Calls the backend; remembers what it said if it panicked.
    fn ask<T>(
        &mut self,
        ask: impl FnOnce(&mut dyn Backend) -> Result<T, BackendError>,
    ) -> Result<Option<T>, BackendError> {
        if self.last_words.is_some() {
            return Ok(None);
        }
        let backend = self.backend.as_mut();
        let before = CATCHES.replace(true);
        // What a panic leaves behind in the backend is not looked at again.
        let asked = panic::catch_unwind(AssertUnwindSafe(|| ask(backend)));
        CATCHES.set(before);
        match asked {
            Ok(answer) => answer.map(Some),
            Err(payload) => {
                self.last_words = Some(text(payload.as_ref()));
                Ok(None)
            }
        }
    }

    /// Returns the reply of a backend that panicked.
    fn last_reply(&self) -> Reply {
        Reply {
            answer: self.panicked(),
            observations: Vec::new(),
            layouts: Vec::new(),
        }
    }

    /// Returns the answer of a backend that panicked.
    fn panicked(&self) -> Answer {
        let complaints = self.last_words.iter();
        Answer {
            complaints: complaints.map(|text| format!("panic: {text}")).collect(),
            ..Answer::plain(Outcome::Panics)
        }
    }
}

fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("without a word").replace('\n', " ")
}

impl Backend for Caught {
    fn name(&self) -> String {
        self.backend.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    fn reset(&mut self, geometry: &Geometry) -> Result<(), BackendError> {
        self.last_words = None;
        self.backend.reset(geometry)
    }

    fn apply(&mut self, op: &Op) -> Result<Answer, BackendError> {
        let answer = self.ask(|backend| backend.apply(op))?;
        Ok(answer.unwrap_or_else(|| self.panicked()))
    }

    fn settled(&mut self, op: Op) -> Result<Op, BackendError> {
        let settled = self.ask(|backend| backend.settled(op.clone()))?;
        Ok(settled.unwrap_or(op))
    }

    fn observe(&mut self, probe: &Probe) -> Result<Observation, BackendError> {
        let seen = self.ask(|backend| backend.observe(probe))?;
        seen.ok_or_else(|| {
            let words = self.last_words.as_deref().unwrap_or_default();
            BackendError::Channel(format!("{} panicked: {words}", self.name()))
        })
    }

    fn layout(&mut self, probe: &Probe) -> Result<Option<Layout>, BackendError> {
        Ok(self.ask(|backend| backend.layout(probe))?.flatten())
    }

    fn verify(&mut self) -> Result<Verified, BackendError> {
        let verified = self.ask(|backend| backend.verify())?;
        Ok(verified.unwrap_or_else(|| Verified {
            complaints: self.panicked().complaints,
            left_out: Vec::new(),
        }))
    }

    fn run(&mut self, batch: &[Exchange]) -> Result<Vec<Reply>, BackendError> {
        let mut replies = Vec::with_capacity(batch.len());
        for exchange in batch {
            let asked = self.ask(|backend| backend.run(std::slice::from_ref(exchange)))?;
            match asked {
                Some(answered) => replies.extend(answered),
                None => {
                    replies.push(self.last_reply());
                    break;
                }
            }
        }
        Ok(replies)
    }

    fn adopt(&mut self, exchange: &Exchange, seen: &Reply) -> Result<Reply, BackendError> {
        let adopted = self.ask(|backend| backend.adopt(exchange, seen))?;
        Ok(adopted.unwrap_or_else(|| self.last_reply()))
    }

    fn adopt_again(
        &mut self,
        exchange: &Exchange,
        seen: &Reply,
    ) -> Result<Option<Reply>, BackendError> {
        let adopted = self.ask(|backend| backend.adopt_again(exchange, seen))?;
        Ok(adopted.unwrap_or_else(|| Some(self.last_reply())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panics when asked for anything but a reset.
    struct Fragile;

    impl Backend for Fragile {
        fn name(&self) -> String {
            "fragile".into()
        }

        fn capabilities(&self) -> Capabilities {
            let reference = reference::Reference::default();
            reference.capabilities()
        }

        fn reset(&mut self, _geometry: &Geometry) -> Result<(), BackendError> {
            Ok(())
        }

        fn apply(&mut self, op: &Op) -> Result<Answer, BackendError> {
            match op {
                Op::Tick => Ok(Answer::plain(Outcome::Done)),
                _ => panic!("no such thing"),
            }
        }

        fn observe(&mut self, _probe: &Probe) -> Result<Observation, BackendError> {
            Ok(Observation::Absent)
        }
    }

    #[test]
    fn a_panic_is_an_answer_until_the_next_reset() {
        let mut caught = Caught::new(Box::new(Fragile));
        let answer = caught.apply(&Op::Sync).expect("an answer");
        assert_eq!(answer.outcome, Outcome::Panics);
        assert_eq!(answer.complaints, ["panic: no such thing"]);
        let answer = caught.apply(&Op::Tick).expect("an answer");
        assert_eq!(answer.outcome, Outcome::Panics);
        caught.reset(&Geometry::default()).expect("a reset");
        let answer = caught.apply(&Op::Tick).expect("an answer");
        assert_eq!(answer.outcome, Outcome::Done);
    }
}
