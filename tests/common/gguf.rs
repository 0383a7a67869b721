//! Writes GGUF files, and writes a model folder as one, as llama.cpp's `convert_hf_to_gguf.py` does.

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use super::Folder;

/// A GGUF file in the making.
#[derive(Clone)]
pub struct Gguf {
    pub version: u32,
    pub alignment: usize,
    pub pairs: Vec<(String, Vec<u8>)>,
    pub tensors: Vec<Tensor>,
}

/// A tensor: its shape has rows first, `kind` is the number of its format.
#[derive(Clone)]
pub struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub kind: u32,
    pub data: Vec<u8>,
}

pub const F32: u32 = 0;
pub const F16: u32 = 1;
pub const BF16: u32 = 30;

fn typed(kind: u32, bytes: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes(), bytes].concat()
}

fn text_bytes(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// A value of the metadata.
pub fn u32(value: u32) -> Vec<u8> {
    typed(4, &value.to_le_bytes())
}

pub fn f32(value: f32) -> Vec<u8> {
    typed(6, &value.to_le_bytes())
}

pub fn flag(value: bool) -> Vec<u8> {
    typed(7, &[u8::from(value)])
}

pub fn text(value: &str) -> Vec<u8> {
    typed(8, &text_bytes(value))
}

pub fn texts<'a>(values: impl ExactSizeIterator<Item = &'a str>) -> Vec<u8> {
    let count = (values.len() as u64).to_le_bytes();
    typed(9, &[&8u32.to_le_bytes()[..], &count, &values.flat_map(text_bytes).collect::<Vec<u8>>()].concat())
}

pub fn i32s(values: &[i32]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    typed(9, &[&5u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes(), &bytes].concat())
}

pub fn f32s(values: &[f32]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    typed(9, &[&6u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes(), &bytes].concat())
}

impl Gguf {
    pub fn new() -> Gguf {
        Gguf { version: 3, alignment: 32, pairs: Vec::new(), tensors: Vec::new() }
    }

    /// Sets a value of the metadata.
    pub fn set(&mut self, key: &str, value: Vec<u8>) {
        match self.pairs.iter_mut().find(|(name, _)| name == key) {
            Some(pair) => pair.1 = value,
            None => self.pairs.push((key.into(), value)),
        }
    }

    pub fn remove(&mut self, key: &str) {
        self.pairs.retain(|(name, _)| name != key);
    }

    pub fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap_or_else(|| panic!("there is no tensor {name}"))
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.pairs.len() as u64).to_le_bytes());
        for (key, value) in &self.pairs {
            out.extend(text_bytes(key));
            out.extend(value);
        }
        let mut offset = 0;
        for tensor in &self.tensors {
            out.extend(text_bytes(&tensor.name));
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            tensor.shape.iter().rev().for_each(|&dim| out.extend((dim as u64).to_le_bytes()));
            out.extend(tensor.kind.to_le_bytes());
            out.extend((offset as u64).to_le_bytes());
            offset += tensor.data.len().next_multiple_of(self.alignment);
        }
        let pad = |out: &mut Vec<u8>| out.resize(out.len().next_multiple_of(self.alignment), 0);
        pad(&mut out);
        for tensor in &self.tensors {
            // Padding counts from the beginning of the data, which is itself aligned.
            out.extend(&tensor.data);
            pad(&mut out);
        }
        out
    }

    /// A model folder as one file.
    pub fn of(folder: &Folder) -> Gguf {
        let config: Value = serde_json::from_slice(&folder.config).unwrap();
        let model_type = config["model_type"].as_str().unwrap();
        let architecture = if model_type == "mistral" { "llama" } else { model_type };
        let mut gguf = Gguf::new();
        gguf.set("general.architecture", text(architecture));
        gguf.shape(&config, architecture);
        gguf.tokenizer(folder, &config);
        let (heads, kv_heads) = (size(&config, "num_attention_heads"), size(&config, "num_key_value_heads"));
        for file in &folder.weights {
            let file = SafeTensors::deserialize(file).unwrap();
            let mut tensors = file.tensors();
            tensors.sort_by(|a, b| a.0.cmp(&b.0));
            for (name, view) in tensors {
                let kind = match view.dtype() {
                    Dtype::F32 => F32,
                    Dtype::F16 => F16,
                    Dtype::BF16 => BF16,
                    other => panic!("{other:?}"),
                };
                let mut data = view.data().to_vec();
                if matches!(architecture, "llama" | "smollm3") {
                    let heads = if name.contains("q_proj") {
                        Some(heads)
                    } else if name.contains("k_proj") {
                        Some(kv_heads)
                    } else {
                        None
                    };
                    data = heads.map_or(data.clone(), |heads| permuted(&data, view.shape()[0], heads));
                }
                gguf.tensors.push(Tensor { name: own_name(&name), shape: view.shape().to_vec(), kind, data });
            }
        }
        gguf
    }

    fn shape(&mut self, config: &Value, architecture: &str) {
        let mut put = |name: &str, value: Vec<u8>| self.set(&format!("{architecture}.{name}"), value);
        let whole = |field: &str| u32(size(config, field) as u32);
        put("block_count", whole("num_hidden_layers"));
        put("context_length", whole("max_position_embeddings"));
        put("embedding_length", whole("hidden_size"));
        put("feed_forward_length", whole("intermediate_size"));
        put("attention.head_count", whole("num_attention_heads"));
        put("attention.head_count_kv", whole("num_key_value_heads"));
        put("attention.layer_norm_rms_epsilon", f32(config["rms_norm_eps"].as_f64().unwrap() as f32));
        let theta = config["rope_theta"].as_f64().or(config["rope_parameters"]["rope_theta"].as_f64());
        put("rope.freq_base", f32(theta.unwrap() as f32));
        put("vocab_size", whole("vocab_size"));
        if let Some(head_dim) = config["head_dim"].as_u64() {
            put("attention.key_length", u32(head_dim as u32));
            put("attention.value_length", u32(head_dim as u32));
            put("rope.dimension_count", u32(head_dim as u32));
        }
        if config["model_type"] == "mistral"
            && let Some(window) = config["sliding_window"].as_u64()
        {
            put("attention.sliding_window", u32(window as u32));
        }
        let scaling = &config["rope_scaling"];
        if scaling["rope_type"] == "llama3" {
            let factors = llama3_factors(scaling, theta.unwrap(), config["head_dim"].as_u64().unwrap() as usize);
            let data = factors.iter().flat_map(|factor| factor.to_le_bytes()).collect();
            self.tensors.push(Tensor { name: "rope_freqs.weight".into(), shape: vec![factors.len()], kind: F32, data });
        }
    }

    /// A tokenizer of SentencePiece's kind.
    fn tokenizer(&mut self, folder: &Folder, config: &Value) {
        let json: Value = serde_json::from_slice(&folder.tokenizer).unwrap();
        let mut tokens: Vec<(&String, usize)> =
            json["model"]["vocab"].as_object().unwrap().iter().map(|(token, id)| (token, id.as_u64().unwrap() as usize)).collect();
        tokens.sort_by_key(|(_, id)| *id);
        let special = |token: &str| json["added_tokens"].as_array().unwrap().iter().any(|added| added["content"] == token);
        let kinds = tokens.iter().map(|(token, _)| match token.as_str() {
            "<unk>" => 2,
            token if special(token) => 3,
            token if token.starts_with("<0x") => 6,
            _ => 1,
        });
        // The score of a token is minus its merge: the first merge has the best.
        let merges: Vec<String> = json["model"]["merges"]
            .as_array()
            .unwrap()
            .iter()
            .map(|merge| match merge {
                Value::String(line) => line.replacen(' ', "", 1),
                pair => format!("{}{}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()),
            })
            .collect();
        let score = |token: &str| -(merges.iter().position(|merge| merge == token).unwrap_or(merges.len()) as f32);
        let scores: Vec<f32> = tokens.iter().map(|(token, _)| score(token)).collect();
        self.set("tokenizer.ggml.model", text("llama"));
        self.set("tokenizer.ggml.tokens", texts(tokens.iter().map(|(token, _)| token.as_str())));
        self.set("tokenizer.ggml.scores", f32s(&scores));
        self.set("tokenizer.ggml.token_type", i32s(&kinds.collect::<Vec<i32>>()));
        let of_config: Value = folder.tokenizer_config.as_deref().map_or(Value::Null, |bytes| serde_json::from_slice(bytes).unwrap());
        let id = |token: &Value| token.as_str().and_then(|token| json["model"]["vocab"][token].as_u64());
        for (name, key) in [("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown")] {
            if let Some(id) = id(&of_config[name]) {
                self.set(&format!("tokenizer.ggml.{key}_token_id"), u32(id as u32));
            }
        }
        let adds_bos = json["post_processor"]["single"][0]["SpecialToken"].is_object();
        self.set("tokenizer.ggml.add_bos_token", flag(adds_bos));
        let _ = config;
        let template = folder.chat_template.as_deref().or(of_config["chat_template"].as_str());
        if let Some(template) = template {
            self.set("tokenizer.chat_template", text(template));
        }
    }
}

fn size(config: &Value, field: &str) -> usize {
    config[field].as_u64().unwrap_or_else(|| panic!("{field}")) as usize
}

/// The name of a tensor in llama.cpp.
fn own_name(name: &str) -> String {
    const WORDS: [(&str, &str); 14] = [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("post_attention_layernorm", "ffn_norm"),
        ("input_layernorm", "attn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("self_attn.q_norm", "attn_q_norm"),
        ("self_attn.k_norm", "attn_k_norm"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ];
    let mut own = name.replace("model.layers.", "blk.");
    for (published, word) in WORDS {
        own = own.replace(published, word);
    }
    own
}

/// The rows of each head as pairs of lanes that rotate together: `weights.reshape(heads, 2, head_dim / 2,
/// ..).swapaxes(1, 2)`.
fn permuted(data: &[u8], rows: usize, heads: usize) -> Vec<u8> {
    let (row_bytes, head_dim) = (data.len() / rows, rows / heads);
    let mut out = Vec::new();
    for head in 0..heads {
        for pair in 0..head_dim / 2 {
            for half in 0..2 {
                let row = head * head_dim + half * (head_dim / 2) + pair;
                out.extend(&data[row * row_bytes..][..row_bytes]);
            }
        }
    }
    out
}

/// As `generate_extra_tensors` of llama.cpp's `conversion/llama.py`.
fn llama3_factors(scaling: &Value, theta: f64, head_dim: usize) -> Vec<f32> {
    let number = |field: &str| scaling[field].as_f64().unwrap();
    let (factor, low, high) = (number("factor"), number("low_freq_factor"), number("high_freq_factor"));
    let original = number("original_max_position_embeddings");
    let factor_of = |lane: usize| {
        let freq = 1.0 / theta.powf((2 * lane) as f64 / head_dim as f64);
        let wavelength = std::f64::consts::TAU / freq;
        if wavelength < original / high {
            1.0
        } else if wavelength > original / low {
            factor
        } else {
            let smooth = (original / wavelength - low) / (high - low);
            1.0 / ((1.0 - smooth) / factor + smooth)
        }
    };
    (0..head_dim / 2).map(|lane| factor_of(lane) as f32).collect()
}
