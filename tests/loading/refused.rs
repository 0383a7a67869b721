//! Errors about a file name the place of the fault.

use super::*;

#[test]
fn a_missing_or_wrong_tensor_is_named() {
    let config = config(json!({}));
    let sound = tensors_of(&config, "F16");
    let with = |change: &dyn Fn(&mut Vec<FileTensor>)| {
        let mut tensors = sound.clone();
        change(&mut tensors);
        load(&config, None, &file_of(&tensors), 4096)
    };
    let q = "model.layers.0.self_attn.q_proj.weight";
    let position = |name: &str| sound.iter().position(|tensor| tensor.name == name).unwrap();
    let (q_at, head_at) = (position(q), position("lm_head.weight"));

    let missing = with(&|tensors| drop(tensors.remove(q_at)));
    assert_bad_file(missing, &format!("tensor {q}: expected a tensor of shape [28, 26], got nothing"));
    let untied = with(&|tensors| drop(tensors.remove(head_at)));
    assert_bad_file(untied, "tensor lm_head.weight: expected a tensor of shape [37, 26], got nothing");
    let transposed = with(&|tensors| tensors[q_at].shape = vec![26, 28]);
    assert_bad_file(transposed, &format!("tensor {q}: expected shape [28, 26], got shape [26, 28]"));
    let flattened = with(&|tensors| tensors[q_at].shape = vec![28 * 26]);
    assert_bad_file(flattened, &format!("tensor {q}: expected shape [28, 26], got shape [728]"));
    let third = with(&|tensors| tensors[q_at].name = "model.layers.2.self_attn.q_proj.weight".into());
    assert_bad_file(third, &format!("tensor {q}: expected a tensor of shape [28, 26], got nothing"));
    let norm = FileTensor { name: "model.layers.1.self_attn.q_norm.weight".into(), dtype: "F16", shape: vec![14], bytes: vec![0; 28] };
    let only = "expected only tensors of the llama model that config.json describes, got another one";
    assert_bad_file(with(&|tensors| tensors.push(norm.clone())), &format!("tensor {}: {only}", norm.name));
    let twice = with(&|tensors| tensors.push(FileTensor { name: q.trim_start_matches("model.").into(), ..tensors[q_at].clone() }));
    let fact = "tensor layers.0.self_attn.q_proj.weight: expected one tensor of this name, with or without \u{201c}model.\u{201d}, got two";
    assert_bad_file(twice, fact);
}

#[test]
fn damaged_numbers_are_named_by_tensor_and_row() {
    let config = config(json!({}));
    for (dtype, nan, infinity) in [("F32", &f32::NAN.to_le_bytes()[..], &f32::INFINITY.to_le_bytes()[..]), ("F16", &[1, 0xfc], &[0, 0x7c])]
    {
        for (tensor, value, row) in [(0, 26 * 3, 3), (1, 25, 0)] {
            for bytes in [nan, infinity] {
                let mut tensors = tensors_of(&config, dtype);
                tensors[tensor].bytes[value * bytes.len()..][..bytes.len()].copy_from_slice(bytes);
                let name = &tensors[tensor].name;
                let fact = format!("tensor {name}, row {row}: expected numbers, got a NaN or an infinity");
                assert_bad_file(load(&config, None, &file_of(&tensors), 333), &fact);
            }
        }
    }
}

#[test]
fn an_unsupported_dtype_is_named_with_its_tensor() {
    let config = config(json!({}));
    for (dtype, bits) in [("I64", 64), ("I8", 8), ("F8_E4M3", 8), ("F8_E8M0", 8), ("F4", 4), ("F7", 7), ("U8", 8)] {
        let mut tensors = tensors_of(&config, "F32");
        (tensors[0].dtype, tensors[0].bytes) = (dtype, vec![0; 37 * 26 * bits / 8]);
        let error = load(&config, None, &file_of(&tensors), 4096).unwrap_err();
        let message = format!(
            "model.safetensors: the dtype of tensor model.embed_tokens.weight is {dtype}, which Fireside does not support \
             (supported: F32, F16, BF16, F64). Choose another model."
        );
        assert_eq!((error.code(), error.to_string()), ("UNSUPPORTED_MODEL", message));
    }
}

#[test]
fn an_incomplete_file_reports_its_bytes() {
    let config = config(json!({}));
    let file = file_of(&tensors_of(&config, "F16"));
    let len = file.len();
    for chunk in [1, 4096, len] {
        let truncated = load(&config, None, &file[..len - 1], chunk);
        assert_bad_file(truncated, &format!("the whole file: expected {len} bytes, got {} bytes", len - 1));
        let zipped = [&file[..], b"PK\x03\x04"].concat();
        assert_bad_file(load(&config, None, &zipped, chunk), &format!("byte {len}: expected the end of the file, got more bytes"));
        let header = 8 + u64::from_le_bytes(file[..8].try_into().unwrap());
        let in_header = load(&config, None, &file[..100], chunk);
        assert_bad_file(in_header, &format!("the whole file: expected at least {header} bytes for the header, got 100 bytes"));
        let no_data = load(&config, None, &file[..header as usize], chunk);
        assert_bad_file(no_data, &format!("the whole file: expected {len} bytes, got {header} bytes"));
        let in_length = load(&config, None, &file[..7], chunk);
        assert_bad_file(in_length, "the whole file: expected at least 9 bytes for the header, got 7 bytes");
    }
}

#[test]
fn an_invalid_header_is_refused() {
    let config = config(json!({}));
    let file = |length: u64, rest: &[u8]| [&length.to_le_bytes(), rest].concat();
    let range = "bytes 0 to 7: expected a header length from 2 to 16777216";
    let cases: Vec<(Vec<u8>, String)> = vec![
        (file(0, b"{}"), format!("{range}, got 0")),
        (file(1 << 63, b"{}"), format!("{range}, got 9223372036854775808")),
        (file(100_000_001, b"{}"), format!("{range}, got 100000001")),
        (file(3, b" {}"), "byte 8: expected the `{` of the header, got the byte 0x20".into()),
        (file(5, b"\xef\xbb\xbf{}"), "byte 8: expected the `{` of the header, got the byte 0xef".into()),
        (file(2, b"{}"), "tensor model.embed_tokens.weight: expected a tensor of shape [37, 26], got nothing".into()),
    ];
    for (bytes, fact) in cases {
        for chunk in [1, 4096] {
            assert_bad_file(load(&config, None, &bytes, chunk), &fact);
        }
        let long = [&bytes[..], &[1; 5000]].concat();
        assert_bad_file(load(&config, None, &long, 777), &fact);
    }
}

#[test]
fn a_file_of_another_kind_is_named() {
    let config = config(json!({}));
    let long_page = [&b"<!DOCTYPE html><title>404</title>"[..], &[b' '; 3000]].concat();
    let cases: [(&[u8], &str); 7] = [
        (b"", "empty. Download it again: the transfer ended before its first byte."),
        (b"oops", "a text that begins \u{201c}oops\u{201d}. Open"),
        (&long_page, "an HTML page that begins \u{201c}<!DOCTYPE html><title>404</title>\u{201d}. Open"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 99\n",
            "a Git LFS pointer, a note that stands in for the real file of 99 bytes. Run",
        ),
        (b"lmgg\0\0\0\0\0\0\0\0", "a GGML file, which llama.cpp wrote before GGUF. Fireside reads safetensors"),
        // The first eight bytes of this gzip file, read as a length, are 559903.
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "compressed by gzip. Unpack"),
        (b"{\"error\":\"Repository not found\"}", "a server's error message: \u{201c}{\"error\":\"Repository not found\"}\u{201d}. Open"),
    ];
    for (bytes, found) in cases {
        for chunk in [1, 4096] {
            let error = load(&config, None, bytes, chunk).unwrap_err();
            let start = format!("model.safetensors is not the model file it should be: it is {found}");
            assert_eq!(error.code(), "NOT_A_MODEL_FILE");
            assert!(error.to_string().starts_with(&start), "{error}");
        }
    }
}

#[test]
fn a_loader_repeats_its_first_error() {
    let mut loader = Loader::new(&config(json!({})), None, None).unwrap();
    let error = loader.push(&[b'<'; 600]).unwrap_err();
    assert_eq!(loader.push(b"more").unwrap_err(), error);
    assert_eq!(loader.end_file().unwrap_err(), error);
    assert_eq!(loader.finish().unwrap_err(), error);
}

#[test]
fn a_missing_tensor_is_reported_before_the_data_is_downloaded() {
    let config = config(json!({}));
    let file = file_of(&tensors_of(&config, "F16")[1..]);
    let header = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let mut loader = Loader::new(&config, None, None).unwrap();
    assert_eq!(loader.push(&file[..header - 1]), Ok(()));
    assert_eq!(loader.push(&file[header - 1..header]).unwrap_err().code(), "BAD_FILE");
}
