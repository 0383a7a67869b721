//! GGUF files: every fixture written as one is the same model as its folder. The writer
//! (`common/gguf.rs`) follows llama.cpp.
#![cfg(not(target_family = "wasm"))]

mod common;

use common::Runner;
use common::files::{FIXTURES, folder};
use common::gguf::{self, Gguf};
use fireside::internals::{GgufScan, gguf_tokenizer};
use fireside::{Dtype, LoadOptions, Model, ModelFiles, ModelLoader, Result, TemplateSource, Tokenizer};

const NAME: &str = "model.gguf";

fn load(file: &[u8]) -> Result<Model> {
    Model::from_gguf(NAME, &ModelFiles::default(), &[file], LoadOptions::default())
}

fn logits(model: &Model) -> Vec<f32> {
    let tokens: Vec<u32> = (0..40).map(|at| 5 + (at * 37) % 300).collect();
    Runner::new(model).feed(&tokens)
}

/// A text of everything that the tokenizers treat in their own way.
const TEXTS: [&str; 12] = [
    "",
    "the thin hat in the inn",
    " the  two   three    ",
    "a\nb\n\n\tc",
    "Ünïcödé 日本語 🚀 e\u{301}",
    "<s>typed</s> <|im_start|>user",
    "x <unk> y",
    "\u{2581}the \u{2581}\u{2581}",
    "1234567 3.14",
    "theaint",
    "'s 've I'LL",
    "\u{0}\u{1f}\u{7f}",
];

fn same_ids(ours: &Tokenizer, theirs: &Tokenizer, name: &str) {
    for text in TEXTS {
        assert_eq!(ours.encode_prompt(text), theirs.encode_prompt(text), "{name}: {text:?}");
        assert_eq!(ours.encode_text(text), theirs.encode_text(text), "{name}: {text:?}");
        let ids = theirs.encode_prompt(text).unwrap();
        assert_eq!(ours.decode(&ids, true), theirs.decode(&ids, true), "{name}: {text:?}");
    }
}

#[test]
fn every_fixture_is_the_same_model_as_a_gguf_file() {
    // Files of Qwen2 do not say which layers have a window, and llama.cpp uses none.
    for name in FIXTURES.into_iter().filter(|name| *name != "qwen2-window-f16") {
        let source = folder(name);
        let (ours, theirs) = (load(&Gguf::of(&source).bytes()).unwrap_or_else(|error| panic!("{name}: {error}")), source.load());
        let (got, want) = (logits(&ours), logits(&theirs));
        if name == "llama3-rope-bf16" {
            // The file has the factors of the frequencies, rounded to f32, where the config has a formula.
            let largest = want.iter().fold(0.0f32, |max, logit| max.max(logit.abs()));
            assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() <= 1e-5 * largest), "{name}");
        } else {
            assert_eq!(got, want, "{name}");
        }
        let (ours_config, theirs_config) = (ours.config(), theirs.config());
        assert_eq!((ours_config.bos, ours_config.plan.context), (theirs_config.bos.filter(|_| ours_config.bos.is_some()), 512), "{name}");
        assert_eq!(ours.unread_tensors(), theirs.unread_tensors(), "{name}");
        assert_eq!(ours_config.ignored, Vec::<String>::new(), "{name}");
        same_ids(ours.tokenizer(), theirs.tokenizer(), name);
        assert_eq!(ours.template().source(), theirs.template().source(), "{name}");
    }
}

/// The rows of queries and keys of Llama files are permuted, those of Qwen files are not. A reader that
/// forgets the one or does the other makes fluent nonsense.
#[test]
fn the_order_of_rows_changes_the_logits() {
    for (name, tensor) in
        [("llama-untied-f32", "blk.1.attn_k.weight"), ("qwen2-bf16", "blk.1.attn_q.weight"), ("llama-bias-f32", "blk.0.attn_q.bias")]
    {
        let source = folder(name);
        let mut file = Gguf::of(&source);
        let tensor = file.tensor(tensor);
        let row_bytes = tensor.data.len() / tensor.shape[0];
        let (first, second) = tensor.data[..2 * row_bytes].split_at(row_bytes);
        let swapped = [second, first, &tensor.data[2 * row_bytes..]].concat();
        tensor.data = swapped;
        assert_ne!(logits(&load(&file.bytes()).unwrap()), logits(&source.load()), "{name}");
    }
}

/// Chunks of one byte cut every number, every text and every row.
#[test]
fn chunks_of_any_size_give_the_same_model() {
    let source = folder("llama-odd-f32");
    let file = Gguf::of(&source).bytes();
    let want = logits(&source.load());
    for size in [1, 7, 4096, 1 << 20] {
        let mut loader = ModelLoader::gguf(NAME, &ModelFiles::default(), LoadOptions::default()).unwrap();
        assert!(loader.description().is_none());
        for chunk in file.chunks(size) {
            loader.push(chunk).unwrap();
        }
        loader.end_file().unwrap();
        assert_eq!(logits(&loader.finish().unwrap()), want, "{size}");
    }
}

#[test]
fn version_2_other_alignments_and_a_missing_last_padding_are_read() {
    let source = folder("llama-odd-f32");
    let want = logits(&source.load());
    let mut file = Gguf::of(&source);
    file.version = 2;
    assert_eq!(logits(&load(&file.bytes()).unwrap()), want);
    for alignment in [1, 8, 256, 4096] {
        file.alignment = alignment;
        file.set("general.alignment", gguf::u32(alignment as u32));
        assert_eq!(logits(&load(&file.bytes()).unwrap()), want, "{alignment}");
    }
    let bytes = file.bytes();
    let data = file.tensors.last().unwrap().data.len();
    let cut = bytes.len() - (data.next_multiple_of(4096) - data);
    assert!(cut < bytes.len());
    assert_eq!(logits(&load(&bytes[..cut]).unwrap()), want);
    let error = load(&bytes[..cut - 1]).unwrap_err();
    assert_eq!(error.code(), "BAD_FILE");
    let longer = [&bytes[..], &[0]].concat();
    assert!(load(&longer).unwrap_err().to_string().contains("expected the end of the file, got more bytes"));
}

/// The parts of a model, as `llama-gguf-split` writes them: the metadata is in the first.
fn split(file: &Gguf, cuts: [usize; 2]) -> Vec<Vec<u8>> {
    let ranges = [0..cuts[0], cuts[0]..cuts[1], cuts[1]..file.tensors.len()];
    let part = |(number, range): (usize, std::ops::Range<usize>)| {
        let mut part = if number == 0 { file.clone() } else { Gguf::new() };
        part.tensors = file.tensors[range].to_vec();
        part.set("split.no", gguf::u32(number as u32));
        part.set("split.count", gguf::u32(3));
        part.set("split.tensors.count", gguf::u32(file.tensors.len() as u32));
        part.bytes()
    };
    ranges.into_iter().enumerate().map(part).collect()
}

const FIRST: &str = "m-00001-of-00003.gguf";

fn load_parts(parts: &[Vec<u8>]) -> Result<Model> {
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Model::from_gguf(FIRST, &ModelFiles::default(), &parts, LoadOptions::default())
}

#[test]
fn a_model_in_parts_is_the_same_model() {
    // The head of the second lies in the last part, where the first has told nothing of it.
    for name in ["llama-tied-bf16", "llama-untied-f32", "smollm3-bf16"] {
        let source = folder(name);
        let mut file = Gguf::of(&source);
        file.tensors.sort_by_key(|tensor| tensor.name == "output.weight");
        let want = logits(&source.load());
        for cuts in [[3, 9], [0, 5]] {
            assert_eq!(logits(&load_parts(&split(&file, cuts)).unwrap()), want, "{name} {cuts:?}");
        }
    }
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let file = Gguf::of(&folder("llama-tied-bf16"));
    let parts = split(&file, [3, 9]);
    let message = |parts: &[Vec<u8>]| load_parts(parts).unwrap_err().to_string();
    let end = "Download the file again, or report it to the publisher of the model.";
    let swapped = [parts[0].clone(), parts[2].clone(), parts[1].clone()];
    assert_eq!(
        message(&swapped),
        format!("m-00002-of-00003.gguf: metadata split.no: expected 1, as the name of the file says, got 2. {end}")
    );
    let whole = [file.bytes(), parts[1].clone(), parts[2].clone()];
    assert_eq!(
        message(&whole),
        format!("m-00001-of-00003.gguf: metadata split.count: expected 3, as the name of the file says, got 1. {end}")
    );
    let error = load(&parts[0]).unwrap_err().to_string();
    assert_eq!(error, format!("model.gguf: metadata split.count: expected 1, as the name of the file says, got 3. {end}"));
    let second = ModelLoader::gguf("m-00002-of-00003.gguf", &ModelFiles::default(), LoadOptions::default());
    assert_eq!(second.err().unwrap().code(), "BAD_INPUT");
    let loader = ModelLoader::gguf(FIRST, &ModelFiles::default(), LoadOptions::default()).unwrap();
    assert_eq!(loader.files(), ["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"]);
}

#[test]
fn files_of_the_caller_go_before_what_the_file_says() {
    let source = folder("llama-tied-bf16");
    let mut file = Gguf::of(&source);
    file.set("tokenizer.ggml.model", gguf::text("another"));
    file.set("llama.context_length", gguf::u32(64));
    let bytes = file.bytes();
    let error = load(&bytes).unwrap_err();
    assert_eq!(error.code(), "UNSUPPORTED_MODEL", "{error}");
    let files = ModelFiles { tokenizer: &source.tokenizer, ..ModelFiles::default() };
    let model = Model::from_gguf(NAME, &files, &[&bytes], LoadOptions::default()).unwrap();
    assert_eq!(model.config().plan.context, 64);
    same_ids(model.tokenizer(), source.load().tokenizer(), "given tokenizer");
    let model = Model::from_gguf(NAME, &source.files(), &[&bytes], LoadOptions::default()).unwrap();
    assert_eq!((model.config(), logits(&model)), (source.load().config(), logits(&source.load())));
    let files = ModelFiles { chat_template: Some(b"{{ 'mine' }}"), ..files };
    let model = Model::from_gguf(NAME, &files, &[&bytes], LoadOptions::default()).unwrap();
    assert_eq!(model.template().source(), TemplateSource::Model);
}

/// The bytes say what a file is, whatever its name is.
#[test]
fn a_file_of_the_other_format_is_read_as_what_it_is() {
    let source = folder("llama-tied-bf16");
    let want = logits(&source.load());
    let file = Gguf::of(&source).bytes();
    let model = Model::from_bytes(&source.files(), &[&file], LoadOptions::default()).unwrap();
    assert_eq!(logits(&model), want);
    let model = Model::from_gguf(NAME, &source.files(), &[&source.weights[0]], LoadOptions::default()).unwrap();
    assert_eq!(logits(&model), want);
    let error = load(&source.weights[0]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "model.gguf is not the model file it should be: it is a safetensors file. \
         Load it with the config.json and the tokenizer.json that are published beside it."
    );
    assert_eq!(load(b"<html>").unwrap_err().code(), "NOT_A_MODEL_FILE");
}

#[test]
fn the_header_alone_tells_what_a_model_takes() {
    for name in ["llama-untied-f32", "qwen2-bf16", "llama-subnormal-f16"] {
        let file = Gguf::of(&folder(name)).bytes();
        let model = load(&file).unwrap();
        let mut scan = GgufScan::new(NAME, None, LoadOptions::default()).unwrap();
        let mut given = 1;
        loop {
            let need = scan.header(&file[..given]).unwrap();
            if need <= given {
                break;
            }
            assert!(given < 512 || need >= 2 * given, "{need} after {given}");
            given = need.min(file.len());
        }
        let (config, _, scan) = scan.finish().unwrap();
        assert_eq!(&config.plan, &model.config().plan, "{name}");
        assert_eq!((scan.file_bytes, scan.weight_bytes), (file.len() as u64, model.weights().bytes()), "{name}");
    }
}

#[test]
fn a_model_that_does_not_fit_is_refused_before_its_data() {
    let file = Gguf::of(&folder("llama-untied-f32")).bytes();
    let options = LoadOptions { memory_bytes_max: Some(1 << 20), ..LoadOptions::default() };
    let mut loader = ModelLoader::gguf(NAME, &ModelFiles::default(), options).unwrap();
    let error = file.chunks(64).enumerate().find_map(|(at, chunk)| loader.push(chunk).err().map(|error| (at, error))).unwrap();
    assert!(error.1.to_string().starts_with("out of memory: this model as f32 needs"), "{}", error.1);
    assert!(error.0 * 64 < 20_000, "{}", error.0);
    assert_eq!(loader.end_file(), Err(error.1));
}

#[test]
fn another_format_is_made_while_loading() {
    let source = folder("llama-untied-f32");
    let file = Gguf::of(&source).bytes();
    let options = LoadOptions { dtype: Some(Dtype::Q8), ..LoadOptions::default() };
    let model = Model::from_gguf(NAME, &ModelFiles::default(), &[&file], options).unwrap();
    assert_eq!(logits(&model), logits(&source.try_load(Some(Dtype::Q8)).unwrap()));
}

/// Rotary factors change the logits and the fingerprint; a zero among them is refused.
#[test]
fn the_factors_of_the_frequencies_are_used() {
    let source = folder("llama3-rope-bf16");
    let mut file = Gguf::of(&source);
    let want = load(&file.bytes()).unwrap();
    file.tensor("rope_freqs.weight").data[..4].copy_from_slice(&3f32.to_le_bytes());
    let other = load(&file.bytes()).unwrap();
    assert_ne!(logits(&other), logits(&want));
    assert_ne!(other.fingerprint(), want.fingerprint());
    file.tensor("rope_freqs.weight").data[..4].copy_from_slice(&0f32.to_le_bytes());
    let message = load(&file.bytes()).unwrap_err().to_string();
    assert!(message.starts_with("model.gguf: tensor rope_freqs.weight: expected numbers from 0.001 to 1000000, got 0."), "{message}");
    file.tensors.retain(|tensor| tensor.name != "rope_freqs.weight");
    assert_ne!(logits(&load(&file.bytes()).unwrap()), logits(&want));
}

/// A byte-level vocabulary of the 256 bytes, some merges and some tokens of other types.
fn byte_level(pre: Option<&str>) -> Gguf {
    let alphabet: Vec<String> = bytes_to_unicode().iter().map(char::to_string).collect();
    let merges = ["t h", "th e", "\u{120} the", "1 2", "12 3", "i n", "\u{120} i"];
    let mut tokens: Vec<String> = alphabet;
    tokens.extend(merges.iter().map(|merge| merge.replace(' ', "")));
    tokens.extend(["<|end|>", "<tool>"].map(String::from));
    let mut kinds = vec![1; tokens.len()];
    let last = kinds.len() - 2;
    kinds[last..].copy_from_slice(&[3, 4]);
    let mut file = Gguf::new();
    file.set("general.architecture", gguf::text("llama"));
    file.set("tokenizer.ggml.model", gguf::text("gpt2"));
    if let Some(pre) = pre {
        file.set("tokenizer.ggml.pre", gguf::text(pre));
    }
    file.set("tokenizer.ggml.tokens", gguf::texts(tokens.iter().map(String::as_str)));
    file.set("tokenizer.ggml.merges", gguf::texts(merges.into_iter()));
    file.set("tokenizer.ggml.token_type", gguf::i32s(&kinds));
    file.set("tokenizer.ggml.bos_token_id", gguf::u32(last as u32));
    file
}

/// The characters that stand for bytes in a byte-level vocabulary.
fn bytes_to_unicode() -> Vec<char> {
    let printable = |byte: u32| (33..=126).contains(&byte) || (161..=172).contains(&byte) || (174..=255).contains(&byte);
    let mut next = 256;
    let mut sign = |byte: u32| {
        if printable(byte) {
            return char::from_u32(byte).unwrap();
        }
        next += 1;
        char::from_u32(next - 1).unwrap()
    };
    (0..256).map(&mut sign).collect()
}

/// The pieces of a text show how the pre-tokenizer cut it.
#[test]
fn pre_tokenizers_cut_as_they_are_named() {
    let pieces = |pre: Option<&str>, text: &str| {
        let tokenizer = gguf_tokenizer(NAME, &byte_level(pre).bytes()).unwrap();
        let ids = tokenizer.encode_text(text).unwrap();
        ids.iter().map(|&id| tokenizer.decode(&[id], false).unwrap()).collect::<Vec<_>>().join("|")
    };
    assert_eq!(pieces(Some("gpt-2"), "in the 123"), "in| the| |123");
    assert_eq!(pieces(Some("smollm"), "in the 123"), "in| the| |1|2|3");
    assert_eq!(pieces(Some("qwen2"), "in the 123"), "in| the| |1|2|3");
    assert_eq!(pieces(Some("llama-bpe"), "in the 123"), "in| the| |123");
    assert_eq!(pieces(Some("tekken"), "in the 123"), "in| the| |1|2|3");
    assert_eq!(pieces(Some("gpt-4o"), "in the 123"), "in| the| |123");
    assert_eq!(pieces(None, "in the 1234"), "in| the| |123|4");
    // NFC: a letter and its accent become one character of two bytes, not of three.
    let composed = |pre| gguf_tokenizer(NAME, &byte_level(Some(pre)).bytes()).unwrap().encode_text("e\u{301}").unwrap().len();
    assert_eq!((composed("qwen2"), composed("llama-bpe"), composed("olmo")), (2, 3, 2));
}

#[test]
fn control_tokens_are_special_and_user_defined_ones_are_text() {
    let mut file = byte_level(Some("gpt-2"));
    let tokenizer = gguf_tokenizer(NAME, &file.bytes()).unwrap();
    let (end, tool) = (tokenizer.id("<|end|>").unwrap(), tokenizer.id("<tool>").unwrap());
    assert_eq!(tokenizer.special_tokens(), [("<|end|>".to_owned(), end)]);
    assert_eq!(tokenizer.encode_prompt("<|end|><tool>").unwrap(), [end, tool]);
    assert!(!tokenizer.encode_text("<|end|>").unwrap().contains(&end));
    assert_eq!(tokenizer.encode_text("<tool>").unwrap(), [tool]);
    // BOS by the flag, and by the pre-tokenizer where there is none.
    file.set("tokenizer.ggml.add_bos_token", gguf::flag(true));
    assert_eq!(gguf_tokenizer(NAME, &file.bytes()).unwrap().encode_prompt("in").unwrap()[0], end);
    file.remove("tokenizer.ggml.add_bos_token");
    file.set("tokenizer.ggml.pre", gguf::text("llama-bpe"));
    assert_eq!(gguf_tokenizer(NAME, &file.bytes()).unwrap().encode_prompt("in").unwrap()[0], end);
}

#[test]
fn a_space_before_the_text_can_be_switched_off() {
    let mut file = Gguf::of(&folder("llama-tied-bf16"));
    let with = gguf_tokenizer(NAME, &file.bytes()).unwrap();
    file.set("tokenizer.ggml.add_space_prefix", gguf::flag(false));
    let without = gguf_tokenizer(NAME, &file.bytes()).unwrap();
    assert_eq!(with.encode_text("the").unwrap(), without.encode_text(" the").unwrap());
    assert_eq!(
        (
            with.decode(&with.encode_text("the").unwrap(), false).unwrap(),
            without.decode(&without.encode_text(" the").unwrap(), false).unwrap()
        ),
        ("the".into(), " the".into())
    );
}

#[test]
fn one_of_several_templates_is_the_default() {
    let mut file = Gguf::of(&folder("llama-tied-bf16"));
    file.set("tokenizer.chat_template", gguf::text("{{ 'plain' }}"));
    file.set("tokenizer.chat_template.tool_use", gguf::text("{{ 'tools' }}"));
    let model = load(&file.bytes()).unwrap();
    assert_eq!(model.template().source(), TemplateSource::Model);
    assert_eq!(model.template().render(&[], true, &[], None).unwrap().text, "plain");
    file.remove("tokenizer.chat_template");
    assert_eq!(load(&file.bytes()).unwrap().template().source(), TemplateSource::Broken);
    file.remove("tokenizer.chat_template.tool_use");
    assert_eq!(load(&file.bytes()).unwrap().template().source(), TemplateSource::ChatMl);
}
