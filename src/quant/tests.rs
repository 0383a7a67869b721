//! Tests of every storage format.

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

const FLOATS: [(Dtype, usize); 3] = [(Dtype::F32, 4), (Dtype::F16, 2), (Dtype::Bf16, 2)];

fn stored(dtype: Dtype, source: FileDtype, cols: usize, bytes: &[u8]) -> Vec<f32> {
    let mut matrix = Matrix::new(dtype.format(), 3, cols).unwrap();
    matrix.set_row(1, source, bytes).unwrap();
    let mut out = vec![f32::NAN; cols];
    matrix.row(0, &mut out);
    assert!(out.iter().all(|value| value.to_bits() == 0), "the row before is still zero");
    matrix.row(1, &mut out);
    out
}

/// The same number to the bit; a NaN may change its payload.
fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

#[test]
fn every_f16_alone_in_its_row_comes_back_exactly() {
    for bits in 0..=u16::MAX {
        let expected = ::half::f16::from_bits(bits).to_f32();
        for dtype in [Dtype::F16, Dtype::F32] {
            let got = stored(dtype, FileDtype::F16, 1, &bits.to_le_bytes())[0];
            assert!(same(got, expected) || (dtype == Dtype::F16 && !expected.is_finite() && got.is_nan()), "{bits:#06x}: {got}");
        }
    }
}

#[test]
fn every_finite_f16_comes_back_exactly_from_one_row_that_holds_them_all() {
    let all: Vec<u16> = (0..=u16::MAX).filter(|&bits| ::half::f16::from_bits(bits).is_finite()).collect();
    let bytes: Vec<u8> = all.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let got = stored(Dtype::F16, FileDtype::F16, all.len(), &bytes);
    for (bits, got) in all.iter().zip(got) {
        assert!(same(got, ::half::f16::from_bits(*bits).to_f32()), "{bits:#06x}: {got}");
    }
}

#[test]
fn every_bf16_comes_back_exactly() {
    let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    for dtype in [Dtype::Bf16, Dtype::F32] {
        for (bits, got) in (0..=u16::MAX).zip(stored(dtype, FileDtype::Bf16, 1 << 16, &bytes)) {
            assert!(same(got, ::half::bf16::from_bits(bits).to_f32()), "{bits:#06x} in {dtype}: {got}");
        }
    }
}

#[test]
fn f32_rows_are_rounded_to_f16_relative_to_their_largest_value() {
    // The largest value decides the unit: 11 bits below it, or 2^-40 of it for the smallest.
    for exponent in [-149, -126, -60, -14, 0, 15, 16, 60, 94] {
        let scale = 2f64.powi(exponent) as f32;
        let values = [1.0, -1.0 - 2f32.powi(-10), 0.3, 1.0 / 3.0, 1e-3, 2f32.powi(-28)].map(|value| value * scale);
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        for (got, value) in stored(Dtype::F16, FileDtype::F32, values.len(), &bytes).into_iter().zip(values) {
            let bound = (value.abs() * 2f32.powi(-11)).max(scale * 2f32.powi(-40));
            assert!((got - value).abs() <= bound, "2^{exponent}: {value} became {got}");
        }
    }
}

#[test]
fn ties_are_rounded_to_even() {
    let unit = 2f32.powi(-10);
    let values = [1.0 + unit / 2.0, 1.0 + unit * 1.5, -1.0 - unit / 2.0, 2.0 - unit / 2.0];
    let matrix = Matrix::from_f32(Dtype::F16, 1, 4, &values).unwrap();
    let mut out = [f32::NAN; 4];
    matrix.row(0, &mut out);
    assert_eq!(out, [1.0, 1.0 + 2.0 * unit, -1.0, 2.0]);
}

#[test]
fn rows_out_of_the_range_of_f16_storage_read_as_nan() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 2f32.powi(95)] {
        let matrix =
            Matrix::from_f32(Dtype::F16, 2, 9, &[[1.0; 9], std::array::from_fn(|i| if i == 8 { bad } else { 1.0 })].concat()).unwrap();
        let mut out = [0.0; 9];
        matrix.row(1, &mut out);
        assert!(out.iter().all(|value| value.is_nan()), "{bad}: {out:?}");
        matrix.row(0, &mut out);
        assert_eq!(out, [1.0; 9], "the row before");
    }
}

#[test]
fn rows_of_every_shape_are_told_apart() {
    for (dtype, size) in FLOATS {
        for (rows, cols) in [(1, 1), (3, 7), (4, 8), (5, 9), (13, 26), (0, 5), (5, 0)] {
            let values: Vec<f32> = (0..rows * cols).map(|i| i as f32 - 100.0).collect();
            let matrix = Matrix::from_f32(dtype, rows, cols, &values).unwrap();
            assert_eq!((matrix.rows(), matrix.cols(), matrix.dtype()), (rows, cols, dtype));
            assert!(matrix.bytes() >= (rows * cols * size) as u64);
            for row in 0..rows {
                let mut out = vec![f32::NAN; cols];
                matrix.row(row, &mut out);
                assert_eq!(out, values[row * cols..][..cols], "{dtype}, {rows} x {cols}, row {row}");
            }
        }
    }
}

#[test]
fn an_impossible_size_is_an_error_and_not_a_crash() {
    for (rows, cols) in [(usize::MAX, usize::MAX), (usize::MAX / 8, 1), (1, usize::MAX / 4)] {
        for format in Format::ALL {
            let error = Matrix::new(format, rows, cols).unwrap_err();
            assert_eq!(error.code(), "OUT_OF_MEMORY", "{rows} x {cols}");
        }
    }
}

#[test]
fn names_of_formats_are_those_of_the_options() {
    for dtype in Dtype::ALL {
        assert_eq!(dtype.to_string().parse(), Ok(dtype));
    }
    assert_eq!("float32".parse::<Dtype>().unwrap_err().to_string(), "option `dtype`: expected f32, f16, bf16, q8 or q4, got `float32`.");
}

#[test]
fn the_size_of_a_matrix_is_known_before_it_is_there() {
    let formats = [
        (Format::F32, 64 * 4),
        (Format::F16, 64 * 2 + 32),
        (Format::Bf16, 64 * 2),
        (Format::Q8, 128 * 9 / 8),
        (Format::Q8Wide, 128 * 10 / 8),
        (Format::Q8Fine, 128 * 10 / 8),
        (Format::Q4, 128 * 5 / 8),
        (Format::Q4Wide, 128 * 6 / 8),
        (Format::Q4Fine, 128),
    ];
    for (format, bytes) in formats {
        assert_eq!(format.matrix_bytes(1, 1), bytes, "one tile of {format:?}");
        for (rows, cols) in [(1, 1), (4, 8), (5, 26), (31, 312)] {
            let matrix = Matrix::new(format, rows, cols).unwrap();
            let stored = match matrix.tiles() {
                Tiles::F32(tiles) => size_of_val(tiles.as_slice()),
                Tiles::F16(tiles, factors) => size_of_val(tiles.as_slice()) + size_of_val(factors.as_slice()),
                Tiles::Bf16(tiles) => size_of_val(tiles.as_slice()),
                Tiles::Q8(blocks) => size_of_val(blocks.as_slice()),
                Tiles::Q8Wide(blocks) => size_of_val(blocks.as_slice()),
                Tiles::Q8Fine(blocks) => size_of_val(blocks.as_slice()),
                Tiles::Q4(blocks) => size_of_val(blocks.as_slice()),
                Tiles::Q4Wide(blocks) => size_of_val(blocks.as_slice()),
                Tiles::Q4Fine(blocks) => size_of_val(blocks.as_slice()),
            };
            assert_eq!((matrix.bytes(), format.matrix_bytes(rows, cols)), (stored as u64, stored as u64));
        }
    }
}

/// `tests/golden/ggml.json`: for each format of ggml, blocks of 256 weights and what the package gguf makes
/// of them.
fn ggml_golden(ggml: Ggml) -> (Vec<u8>, Vec<f32>) {
    let golden: serde_json::Value = serde_json::from_str(include_str!("../../tests/golden/ggml.json")).unwrap();
    let bytes = |field: &str| {
        let hex = golden["formats"][ggml.name_and_number().0][field].as_str().unwrap().as_bytes();
        hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect::<Vec<u8>>()
    };
    (bytes("bytes"), bytes("values").as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect())
}

#[test]
fn blocks_of_ggml_are_read_and_stored_as_the_numbers_that_they_stand_for() {
    for ggml in Ggml::ALL {
        let (bytes, expected) = ggml_golden(ggml);
        let source = FileDtype::Blocks(ggml);
        let mut widened = vec![f32::NAN; 256];
        source.widen(&bytes, &mut widened);
        // Two roundings of f32 in another order are allowed, where a product and an offset cancel.
        let unit = expected.iter().fold(0.0, |max: f32, value| max.max(value.abs())) * f32::EPSILON;
        for (got, want) in widened.iter().zip(&expected) {
            assert!((got - want).abs() <= unit, "{ggml:?}: {got}, not {want}");
        }
        let mut matrix = Matrix::new(source.storage(), 3, 256).unwrap();
        matrix.set_row(1, source, &bytes).unwrap();
        assert_eq!(matrix.format(), source.storage(), "{ggml:?}");
        let mut stored = vec![f32::NAN; 256];
        matrix.row(1, &mut stored);
        assert_eq!(stored, widened, "{ggml:?} in {:?}", matrix.format());
        matrix.row(2, &mut stored);
        assert!(stored.iter().all(|&value| value == 0.0), "the row after is still zero");
    }
}

#[test]
fn scales_that_f16_cannot_hold_make_the_matrix_wide_and_nothing_is_lost() {
    let mut matrix = Matrix::new(Format::Q4, 5, 64).unwrap();
    let levels = |scale, offset| Levels::with(std::array::from_fn(|c| (c % 16) as i8), scale, offset);
    let (small, large) = (levels(0.25, -1.5), levels(1.0 / 3.0, 1e6));
    matrix.set_levels(0, 1, &small).unwrap();
    assert_eq!(matrix.format(), Format::Q4);
    matrix.set_levels(4, 0, &large).unwrap();
    assert_eq!(matrix.format(), Format::Q4Wide);
    let mut row = [f32::NAN; 64];
    matrix.row(0, &mut row);
    assert_eq!((&row[..32], &row[32..]), (&[0.0; 32][..], &small.values()[..]));
    matrix.row(4, &mut row);
    assert_eq!(row[..32], large.values());
}

#[test]
fn quantised_rows_of_every_shape_are_told_apart() {
    for (dtype, levels) in [(Dtype::Q8, 127.0), (Dtype::Q4, 7.5)] {
        for (rows, cols) in [(1, 1), (3, 31), (4, 32), (5, 33), (13, 26), (9, 100), (0, 5), (5, 0)] {
            // Whole steps of one row's own scale, the largest always among them: nothing is lost.
            let values: Vec<f32> =
                (0..rows * cols).map(|i| (i / cols + 1) as f32 * if i % cols % 32 == 0 { -levels } else { (i % 7) as f32 }).collect();
            let matrix = Matrix::from_f32(dtype, rows, cols, &values).unwrap();
            for row in 0..rows {
                let mut out = vec![f32::NAN; cols];
                matrix.row(row, &mut out);
                for (got, value) in out.iter().zip(&values[row * cols..]) {
                    assert!(
                        (got - value).abs() <= 0.08 * (row + 1) as f32 * levels,
                        "{dtype}, {rows} x {cols}, row {row}: {got}, not {value}"
                    );
                }
            }
        }
    }
}
