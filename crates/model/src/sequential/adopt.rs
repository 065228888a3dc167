//! Taking over what a kernel decided freely: `docs/envelope.md` lists it as `adopt`.
//!
//! An exchange may be adopted twice, for a kernel completes ordered extents behind its caller's
//! back and an early look sees them as delayed allocation. So the state before it is kept.

use ondisk::Compression;
use scenario::{Backend, BackendError, Exchange, Reply, only};

use super::Sequential;

impl Sequential {
    /// Keeps the state from which the exchange can be adopted anew, and adopts it.
    pub(super) fn adopt_first(
        &mut self,
        exchange: &Exchange,
        seen: &Reply,
    ) -> Result<Reply, BackendError> {
        // One state is enough: nothing but the last exchange is taken back.
        self.before = None;
        self.before = Some(Box::new(self.clone()));
        self.carry_out_as(exchange, seen)
    }

    /// Takes the last exchange back and adopts it from what was seen later.
    pub(super) fn adopt_later(
        &mut self,
        exchange: &Exchange,
        seen: &Reply,
    ) -> Result<Reply, BackendError> {
        self.take_back();
        self.carry_out_as(exchange, seen)
    }

    /// Takes the last exchange back.
    pub(super) fn take_back(&mut self) {
        if let Some(before) = self.before.take() {
            *self = (*before).clone();
            self.before = Some(before);
        }
    }

    /// Carries out an exchange as the kernel did that showed `seen`.
    fn carry_out_as(&mut self, exchange: &Exchange, seen: &Reply) -> Result<Reply, BackendError> {
        if self.compression != Compression::None {
            return self.run_compressed(exchange, seen);
        }
        let replies = self.run(std::slice::from_ref(exchange))?;
        only(replies, &self.name())
    }
}
