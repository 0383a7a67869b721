//! A run as an iterator.

use super::{Completion, Piece, Run, Session, Step};
use crate::error::Result;

/// The pieces of a generation as they come. If this is dropped before the end, a chat turn is rolled back.
#[derive(Debug)]
pub struct Pieces<'s> {
    session: &'s mut Session,
    run: Run,
    completion: Option<Completion>,
    failed: bool,
}

impl Iterator for Pieces<'_> {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Result<Piece>> {
        while self.completion.is_none() && !self.failed {
            match self.session.step(&mut self.run) {
                Ok(Step::Prefill { .. } | Step::Overflow(_)) => {}
                Ok(Step::Token(piece)) => return Some(Ok(piece)),
                Ok(Step::End(piece, completion)) => {
                    self.completion = Some(completion);
                    return (!piece.text.is_empty()).then_some(Ok(piece));
                }
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

impl<'s> Pieces<'s> {
    pub(super) fn new(session: &'s mut Session, run: Run) -> Pieces<'s> {
        Pieces { session, run, completion: None, failed: false }
    }

    /// Runs to the end and returns the completion.
    ///
    /// Errors: as [`Session::step`].
    pub fn finish(mut self) -> Result<Completion> {
        for piece in self.by_ref() {
            piece?;
        }
        Ok(self.completion.expect("an iterator that did not fail has ended"))
    }

    /// The completion, once the iterator has ended.
    pub fn completion(&self) -> Option<&Completion> {
        self.completion.as_ref()
    }
}
