//! The names of the parts of a model that is split over several files: `NAME-00001-of-00003.gguf`.

use super::metadata::Metadata;
use crate::error::{Error, Result};

/// The most parts of a model.
const PARTS_MAX: usize = 1000;

/// The files of the model whose first file has this name, in order.
///
/// Errors: `BAD_INPUT` for a part that is not the first.
pub(crate) fn files(name: &str) -> Result<Vec<String>> {
    let Some((stem, number, count)) = numbered(name) else { return Ok(vec![name.into()]) };
    if number != 1 || count == 0 || count > PARTS_MAX {
        let expected = format!("the first part of a GGUF model, {stem}-00001-of-{count:05}.gguf, of at most {PARTS_MAX}");
        return Err(Error::BadInput { what: "name".into(), expected, got: name.into() });
    }
    Ok((1..=count).map(|number| format!("{stem}-{number:05}-of-{count:05}.gguf")).collect())
}

/// The stem, the number and the number of parts in a name.
fn numbered(name: &str) -> Option<(&str, usize, usize)> {
    let (rest, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let five =
        |digits: &str| if digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None };
    Some((stem, five(number)?, five(count)?))
}

/// Checks that a file is part number `file` (from 0) of `count`, as its name says.
///
/// Errors: `BAD_FILE` with the key.
pub(in super::super) fn check(metadata: &Metadata, file: usize, count: usize) -> Result<()> {
    for (key, expected, default) in [("split.count", count, 1), ("split.no", file, 0)] {
        let got = metadata.whole(key)?.unwrap_or(default);
        // A file that is not split may say so by 0.
        if got != expected as u64 && !(key == "split.count" && count == 1 && got == 0) {
            return Err(metadata.bad(key, &format!("{expected}, as the name of the file says"), got.to_string()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_names_of_all_parts_follow_from_the_first() {
        assert_eq!(files("m-00001-of-00002.gguf").unwrap(), ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]);
        for whole in ["m.gguf", "m-1-of-2.gguf", "m-00001-of-00002.bin", "-of-00002.gguf"] {
            assert_eq!(files(whole).unwrap(), [whole]);
        }
        for wrong in ["m-00002-of-00002.gguf", "m-00000-of-00002.gguf", "m-00001-of-00000.gguf", "m-00001-of-09999.gguf"] {
            assert_eq!(files(wrong).unwrap_err().code(), "BAD_INPUT", "{wrong}");
        }
    }
}
