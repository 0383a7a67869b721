//! A forward pass under way: rows of one or several sequences, and the layer that they have come to.
//!
//! A pass owns everything that must survive between two layers, so that a caller can put it aside, run another pass
//! with the same executor, and go on.

use std::ops::Range;

use super::rope::Angles;

/// Which of its rows a sequence needs the last layer's output of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// None: their keys and values are enough.
    Nothing,
    /// The last, for its logits.
    Last,
    /// All, for a probe.
    All,
}

/// The rows of one sequence: neighbours in the pass and in the text.
#[derive(Debug, Clone, Copy)]
struct Group {
    /// Its first row in the pass.
    first: usize,
    count: usize,
    /// The position of its first row.
    past: usize,
    reads: Reads,
}

/// A forward pass under way.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    groups: Vec<Group>,
    /// (rows, hidden)
    pub(super) residual: Vec<f32>,
    /// One for each of the plan's ropes.
    pub(super) angles: Vec<Angles>,
    /// The next layer.
    pub(super) layer: usize,
    /// Set by the last layer: only the rows that are read are left in `residual`.
    is_reduced: bool,
}

impl Group {
    fn rows(&self) -> Range<usize> {
        self.first..self.first + self.count
    }

    fn read_count(&self) -> usize {
        match self.reads {
            Reads::Nothing => 0,
            Reads::Last => 1,
            Reads::All => self.count,
        }
    }

    fn read_rows(&self) -> Range<usize> {
        self.rows().end - self.read_count()..self.rows().end
    }
}

impl Pass {
    /// Makes it an empty pass; the memory is kept.
    pub(crate) fn clear(&mut self) {
        self.groups.clear();
        self.residual.clear();
        self.angles.iter_mut().for_each(Angles::clear);
        (self.layer, self.is_reduced) = (0, false);
    }

    /// Rows of all sequences.
    pub(crate) fn rows(&self) -> usize {
        self.groups.last().map_or(0, |group| group.rows().end)
    }

    /// The next layer it goes through.
    pub(crate) fn layer(&self) -> usize {
        self.layer
    }

    /// Rows of the i-th sequence.
    pub(crate) fn count(&self, index: usize) -> usize {
        self.groups[index].count
    }

    /// Adds rows and returns their residual stream, which the caller fills. Shapes: (count, hidden).
    pub(super) fn add(&mut self, count: usize, past: usize, reads: Reads, hidden: usize) -> &mut [f32] {
        debug_assert!(self.layer == 0 && count > 0);
        let first = self.rows();
        self.groups.push(Group { first, count, past, reads });
        self.residual.resize((first + count) * hidden, 0.0);
        &mut self.residual[first * hidden..]
    }

    /// Removes the i-th sequence and its rows from a pass that is between two layers.
    pub(super) fn remove(&mut self, index: usize, hidden: usize) {
        let gone = self.groups.remove(index);
        self.residual.drain(gone.first * hidden..gone.rows().end * hidden);
        self.angles.iter_mut().for_each(|angles| angles.remove(gone.rows()));
        self.groups[index..].iter_mut().for_each(|group| group.first -= gone.count);
    }

    /// For each sequence its rows in the pass and the position of the first.
    pub(super) fn groups(&self) -> impl Iterator<Item = (Range<usize>, usize)> {
        self.groups.iter().map(|group| (group.rows(), group.past))
    }

    /// Whether every row is read to the end.
    pub(super) fn reads_all(&self) -> bool {
        self.groups.iter().all(|group| group.read_count() == group.count)
    }

    /// Keeps only the rows that are read, of the residual stream and of `x`. Shapes: `x` (rows, hidden).
    pub(super) fn reduce(&mut self, x: &mut Vec<f32>, hidden: usize) {
        self.is_reduced = true;
        for values in [&mut self.residual, x] {
            let mut kept = 0;
            for rows in self.groups.iter().map(Group::read_rows) {
                values.copy_within(rows.start * hidden..rows.end * hidden, kept * hidden);
                kept += rows.len();
            }
            values.truncate(kept * hidden);
        }
    }

    /// The rows of the pass that the residual stream still has, in its order.
    pub(super) fn live_rows(&self) -> impl Iterator<Item = usize> {
        self.groups.iter().flat_map(|group| if self.is_reduced { group.read_rows() } else { group.rows() })
    }

    /// For each sequence its rows in the residual stream, and the position of the first of them.
    pub(super) fn live_groups(&self) -> impl Iterator<Item = (Range<usize>, usize)> {
        let mut first = 0;
        self.groups.iter().map(move |group| {
            let rows = if self.is_reduced { group.read_rows() } else { group.rows() };
            let live = first..first + rows.len();
            first = live.end;
            (live, group.past + rows.start - group.first)
        })
    }
}
