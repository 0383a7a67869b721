//! The tensors that have been read: rows go into them, and at the end they become the weights.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::checkpoint::RowOrder;
use super::manifest::{EMBED_NUMBER, Incoming, Manifest, Part, Piece, Target};
use super::tensors::{Tensor, Weights};
use super::{bad, reserve};
use crate::config::Plan;
use crate::error::Result;
use crate::quant::{FileDtype, Format, Matrix, widen_powers};

/// The tensors so far, by their numbers in the table.
#[derive(Default)]
pub(super) struct Stored {
    matrices: HashMap<usize, Matrix>,
    vectors: HashMap<usize, Arc<[f32]>>,
    /// How many of its tensors are whole, for each matrix that several make.
    whole: HashMap<usize, usize>,
}

impl Stored {
    /// Whether the matrix of this number has begun.
    pub(super) fn has(&self, number: usize) -> bool {
        self.matrices.contains_key(&number)
    }

    /// Stores one whole row of a tensor.
    ///
    /// Errors: `BAD_FILE` if it holds a NaN or an infinity, `OUT_OF_MEMORY`.
    pub(super) fn row(&mut self, file: &str, tensor: &Incoming, row: usize, bytes: &[u8]) -> Result<()> {
        if let Target::Packed(piece) = &tensor.target {
            return self.piece(file, &tensor.name, piece, row, bytes);
        }
        let (Target::Matrix { number, source, .. } | Target::Vector { number, source, .. } | Target::Twin { number, source, .. }) =
            tensor.target
        else {
            return Ok(());
        };
        if !source.is_finite(bytes) {
            return Err(bad(file, &format!("tensor {}, row {row}", tensor.name), "numbers", "a NaN or an infinity".into()));
        }
        match tensor.target {
            Target::Matrix { format, rows, cols, .. } => {
                if row == 0 {
                    self.matrices.insert(number, Matrix::new(format, rows, cols)?);
                }
            }
            Target::Twin { other, format, rows, cols, .. } => {
                if let Some(first) = self.matrices.get(&other)
                    && !self.matrices.contains_key(&number)
                {
                    match untie(first, format, (rows, cols), source, row, bytes)? {
                        Some(own) => self.matrices.insert(number, own),
                        None => return Ok(()),
                    };
                }
            }
            Target::Vector { len, .. } => {
                let mut values = zeros(len)?;
                source.widen(bytes, &mut values);
                self.vectors.insert(number, placed(&values, tensor.order)?.into());
            }
            Target::Packed(_) | Target::Zero | Target::Skip => {}
        }
        if let Some(matrix) = self.matrices.get_mut(&number) {
            matrix.set_row(tensor.order.place(row), source, bytes)?;
        }
        Ok(())
    }

    /// Stores a row of one of the tensors of a quantised matrix. After the last row of all of them, the
    /// matrix becomes the format that the caller asked for.
    fn piece(&mut self, file: &str, name: &str, piece: &Piece, row: usize, bytes: &[u8]) -> Result<()> {
        let &Piece { number, part, packing, exact, wanted, rows, cols } = piece;
        let matrix = match self.matrices.entry(number) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Matrix::new(exact, rows, cols)?),
        };
        let is_finite = match part {
            Part::Codes => true,
            Part::Powers => !bytes.contains(&u8::MAX),
            Part::Scales(source) | Part::Offsets(source) => source.is_finite(bytes),
        };
        if !is_finite {
            return Err(bad(file, &format!("tensor {name}, row {row}"), "numbers", "a NaN or an infinity".into()));
        }
        let mut values = zeros(if part == Part::Codes { 0 } else { piece.len() })?;
        match part {
            Part::Codes => matrix.set_codes(row, packing, bytes),
            Part::Powers => {
                widen_powers(bytes, &mut values);
                matrix.set_scales(row, packing, &values)?;
            }
            Part::Scales(source) => {
                source.widen(bytes, &mut values);
                matrix.set_scales(row, packing, &values)?;
            }
            Part::Offsets(source) => {
                source.widen(bytes, &mut values);
                matrix.set_offsets(row, packing, &values)?;
            }
        }
        if row + 1 == rows {
            let whole = self.whole.entry(number).or_default();
            *whole += 1;
            if let (Some(wanted), true) = (wanted, *whole == packing.tensors()) {
                *matrix = matrix.converted(wanted)?;
            }
        }
        Ok(())
    }

    /// The factors of the rotary frequencies, if a file had them.
    pub(super) fn rope_factors(&self, manifest: &Manifest) -> Option<Arc<[f32]>> {
        self.vectors.get(&manifest.rope_factors()).cloned()
    }

    /// The weights. Every tensor is there: the manifest saw it named, and the loader saw its data whole.
    pub(super) fn assemble(mut self, manifest: &Manifest) -> Weights {
        let own_head = manifest.own_head();
        // A tied embedding may stand under the head's name alone.
        if !self.has(EMBED_NUMBER)
            && let Some(head) = self.matrices.remove(&own_head)
        {
            self.matrices.insert(EMBED_NUMBER, head);
        }
        let plan = Plan { tied: manifest.plan().tied && !self.has(own_head), ..manifest.plan().clone() };
        let tensor = |number: usize| match self.matrices.remove(&number) {
            Some(matrix) => Some(Tensor::Matrix(Arc::new(matrix))),
            None => self.vectors.remove(&number).map(Tensor::Vector),
        };
        Weights::of(&plan, (0..).map_while(tensor))
    }
}

/// Compares a row of the second of embedding and head with the `first`. Returns `None` if both are equal. At
/// the first row that differs, returns a matrix for the second, whose rows so far are those of the first.
///
/// Source: transformers 5.24, `tie_weights` does not tie two tensors of a checkpoint with different values.
fn untie(
    first: &Matrix,
    format: Format,
    (rows, cols): (usize, usize),
    source: FileDtype,
    row: usize,
    bytes: &[u8],
) -> Result<Option<Matrix>> {
    let mut one_row = Matrix::new(format, 1, cols)?;
    one_row.set_row(0, source, bytes)?;
    if decoded(&one_row, 0)? == decoded(first, row)? {
        return Ok(None);
    }
    if first.format() == format {
        return first.copy().map(Some);
    }
    // Their rows so far are the same numbers, so both formats hold them exactly.
    let mut own = Matrix::new(format, rows, cols)?;
    for row in 0..row {
        let values: Vec<u8> = decoded(first, row)?.iter().flat_map(|value| value.to_le_bytes()).collect();
        own.set_row(row, FileDtype::F32, &values)?;
    }
    Ok(Some(own))
}

/// The values of a bias, in the order of the matrix.
fn placed(values: &[f32], order: RowOrder) -> Result<Vec<f32>> {
    let mut placed = zeros(values.len())?;
    for (row, &value) in values.iter().enumerate() {
        placed[order.place(row)] = value;
    }
    Ok(placed)
}

fn decoded(matrix: &Matrix, row: usize) -> Result<Vec<f32>> {
    let mut values = zeros(matrix.cols())?;
    matrix.row(row, &mut values);
    Ok(values)
}

fn zeros(len: usize) -> Result<Vec<f32>> {
    let mut values = Vec::new();
    reserve(&mut values, len, "a row of weights")?;
    values.resize(len, 0.0);
    Ok(values)
}
