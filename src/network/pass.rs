//! A forward pass under way: rows of one or more sequences, and the next layer for them.
//!
//! A pass owns all values that must survive between two layers. So a caller can stop between layers, run
//! another pass with the same executor, and continue.

use std::ops::Range;

use super::rope::Angles;

/// The rows of a sequence whose output of the last layer is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// No row: only keys and values are needed.
    Nothing,
    /// The last row, for its logits.
    Last,
    /// All rows, for a probe.
    All,
}

/// The rows of one sequence, which are consecutive in the pass and in the text.
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
    /// Whether `residual` holds only the rows that are read. The last layer sets it.
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
    /// Empties the pass and keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.groups.clear();
        self.residual.clear();
        self.angles.iter_mut().for_each(Angles::clear);
        (self.layer, self.is_reduced) = (0, false);
    }

    /// The number of rows of all sequences.
    pub(crate) fn rows(&self) -> usize {
        self.groups.last().map_or(0, |group| group.rows().end)
    }

    /// The next layer to compute.
    pub(crate) fn layer(&self) -> usize {
        self.layer
    }

    /// The number of rows of the i-th sequence.
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

    /// Removes the i-th sequence and its rows, between two layers.
    pub(super) fn remove(&mut self, index: usize, hidden: usize) {
        let gone = self.groups.remove(index);
        self.residual.drain(gone.first * hidden..gone.rows().end * hidden);
        self.angles.iter_mut().for_each(|angles| angles.remove(gone.rows()));
        self.groups[index..].iter_mut().for_each(|group| group.first -= gone.count);
    }

    /// For each sequence, its rows in the pass and the position of the first row.
    pub(super) fn groups(&self) -> impl Iterator<Item = (Range<usize>, usize)> {
        self.groups.iter().map(|group| (group.rows(), group.past))
    }

    /// Whether the output of every row is needed.
    pub(super) fn reads_all(&self) -> bool {
        self.groups.iter().all(|group| group.read_count() == group.count)
    }

    /// Removes from the residual stream and from `x` the rows whose output is not needed. Shapes: `x` (rows,
    /// hidden).
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

    /// The rows of the pass that are still in the residual stream, in its order.
    pub(super) fn live_rows(&self) -> impl Iterator<Item = usize> {
        self.groups.iter().flat_map(|group| if self.is_reduced { group.read_rows() } else { group.rows() })
    }

    /// For each sequence, its rows in the residual stream and the position of the first of these.
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
