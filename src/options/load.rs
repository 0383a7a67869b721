//! The options of loading a model: one row each.
//!
//! The engine reads those of [`LoadOptions`]. JavaScript reads those of [`AROUND`]: they are about the
//! download, the stored files and the worker.

use std::sync::Arc;

use serde_json::Value;

#[cfg(not(target_family = "wasm"))]
use super::table::{Help, around, help};
use super::table::{Kind, Range, Row, Text, Type, bad, each, options, row};
use crate::error::Result;
use crate::pool::Pool;
use crate::quant::{Dtype, KvDtype};

options! {
    /// How a model is to be loaded.
    #[derive(Debug, Clone, Default)]
    pub struct LoadOptions;
    /// The storage format of the weights. `auto` keeps that of the files, or takes the widest narrower
    /// one that fits.
    dtype: Option<Dtype> =>
        row(&["dtype"]).text("one of auto, f32, f16, bf16, q8, q4"),
        help().flag("dtype", "FORMAT").default("`'auto'`");
    /// The storage format of the KV cache: `f16` takes half the memory, `q8` about half of that.
    kv_dtype: KvDtype =>
        row(&["kvDtype"]).text("one of f32, f16, q8"),
        help().flag("kv-dtype", "FORMAT").default("`'f32'`");
    /// The bytes that `dtype: 'auto'` may spend on weights.
    weight_bytes_max: Option<u64> =>
        row(&["weightBytesMax"]).from(1.0).text("a number of bytes"),
        help().default("half of the device's memory, at most 2 GiB");
    /// The bytes that the model may take in all. A model that needs more is refused with
    /// `OUT_OF_MEMORY`.
    memory_bytes_max: Option<u64> =>
        row(&["memoryBytesMax"]).from(1.0).text("a number of bytes"),
        help().default("the device's memory if it is known, at most 4 GiB");
    /// The bytes that the KV caches of all sessions may take together. A token more is refused with
    /// `OUT_OF_MEMORY`.
    kv_bytes_max: Option<u64> =>
        row(&["kvBytesMax"]).from(1.0).text("a number of bytes"),
        help().default("what `memoryBytesMax` leaves beside the weights");
    others {
        /// The threads that compute; `None`: the calling one alone.
        pool: Option<Arc<Pool>>,
    }
}

impl LoadOptions {
    /// Reads options from a JSON object. `null` is the same as absent.
    ///
    /// Errors: `BAD_OPTION` for an unknown name or a value out of range.
    pub fn from_json(value: &Value) -> Result<LoadOptions> {
        let mut options = LoadOptions::default();
        each(LoadOptions::ROWS, value, |row, spelling, value| match (row.field, value.as_str()) {
            ("dtype", Some("auto")) => Ok(()),
            _ if options.set(row, spelling, value)? => Ok(()),
            _ => Err(bad(spelling, &row.range.expected(), value.to_string())),
        })?;
        Ok(options)
    }
}

impl Kind for Dtype {
    const TYPE: Type = Type { typescript: "'auto' | 'f32' | 'f16' | 'bf16' | 'q8' | 'q4'", text: Text::Text, many: false };

    fn read(_: &str, value: &Value, _: &Range) -> Result<Option<Dtype>> {
        Ok(value.as_str().and_then(|word| word.parse().ok()))
    }
}

impl Kind for KvDtype {
    const TYPE: Type = Type { typescript: "'f32' | 'f16' | 'q8'", text: Text::Text, many: false };

    fn read(_: &str, value: &Value, _: &Range) -> Result<Option<KvDtype>> {
        Ok(value.as_str().and_then(|word| word.parse().ok()))
    }
}

/// The options of loading that the engine does not read.
#[cfg(not(target_family = "wasm"))]
pub const AROUND: &[Row] = &[
    around(
        &["threads"],
        "The threads that compute. `auto` tries out what is fastest; in a browser several need a cross-origin isolated page.",
        "\"auto\" or a whole number from 1 to 32",
        "'auto' | number",
        help().flag("threads", "N").text(Text::NumberOrAuto).default("`'auto'`"),
    ),
    around(
        &["deterministic"],
        "Takes only builds that compute the same bits on every machine. They do without relaxed SIMD, which is faster.",
        "true or false",
        "boolean",
        help().default("`false`"),
    ),
    around(
        &["cache"],
        "Keeps the files in the browser for the next time, and takes them from there.",
        "true or false",
        "boolean",
        help().default("`true`"),
    ),
    around(
        &["stallMs"],
        "A download that brings nothing for this many milliseconds starts again where it stopped.",
        "a whole number of milliseconds",
        "number",
        help().default("20,000"),
    ),
    around(
        &["lock"],
        "Says what the files must be: `true` for the `fireside.lock.json` beside them, or the URL of another lock file.",
        "true, or the URL of a lock file",
        "boolean | string | URL",
        help().default("`false`"),
    ),
    around(
        &["chatTemplate"],
        "A chat template in place of the model's.",
        "the text of a template",
        "string",
        help().default("the model's"),
    ),
    around(
        &["onProgress"],
        "Is called with the progress of the load.",
        "a function",
        "(progress: Progress) => void",
        help().default("none"),
    ),
    around(&["signal"], "Aborts the load.", "an AbortSignal", "AbortSignal", help().default("none")),
    around(
        &["hub"],
        "The address that `hf:` sources are fetched from.",
        "an absolute URL",
        "string | URL",
        help().flag("hub", "URL").default("https://huggingface.co"),
    ),
    around(
        &["worker"],
        "How the engine's worker starts: from `worker.js` beside the library, or from a `blob:` URL, which needs `worker-src blob:`.",
        "one of file, blob",
        "'file' | 'blob'",
        help().default("`'file'`"),
    ),
];
