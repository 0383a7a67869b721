//! How the files of a model folder combine. transformers 5.24.0 and tokenizers 0.23.3 made the expected
//! values.
#![cfg(not(target_family = "wasm"))]

mod common;

use std::sync::Arc;

use common::files::folder;
use common::{Folder, greedy};
use fireside::internals::{Mixer, ModelConfig};
use fireside::{LoadOptions, Message, Model, Options, Session, TemplateSource};
use serde::Deserialize;
use serde_json::{Value, json};

const PROMPT: &str = "Once upon a time there was a little cat, and it said";

/// The greedy text of tests/fixtures/llama-untied-f32 after that prompt.
const UNTIED: &str = "itA andmitasoiq apen thezfT";

fn continued(folder: &Folder) -> String {
    Session::new(Arc::new(folder.load())).generate(PROMPT, &greedy(16)).unwrap().finish().unwrap().text
}

fn chat_tokens(folder: &Folder) -> usize {
    Session::new(Arc::new(folder.load())).measure_context_usage("hi", &Options::default()).unwrap()
}

/// A folder with changed fields of config.json.
fn with_config(name: &str, changes: &Value) -> Folder {
    let mut folder = folder(name);
    let mut config: Value = serde_json::from_slice(&folder.config).unwrap();
    config.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    folder.config = config.to_string().into_bytes();
    folder
}

#[test]
fn a_template_in_a_file_of_its_own_wins() {
    let mut folder = folder("chat");
    let config: Value = serde_json::from_slice(folder.tokenizer_config.as_ref().unwrap()).unwrap();
    folder.chat_template = Some("{{ 'x y z ' * 40 }}{{ messages[0].content }}".into());
    for template in [config["chat_template"].clone(), Value::Null, json!({"rag": "R"}), json!("{% if %}")] {
        let mut config = config.clone();
        config["chat_template"] = template;
        folder.tokenizer_config = Some(config.to_string().into_bytes());
        assert_eq!((chat_tokens(&folder), folder.load().template().source()), (121, TemplateSource::Model));
    }
}

#[test]
fn a_template_that_cannot_be_used_stops_chats_alone() {
    let mut folder = folder("llama-untied-f32");
    for template in [&b"{% for x in messages %}"[..], b"\xff\xfe"] {
        folder.tokenizer_config = None;
        let model = Model::from_bytes(
            &fireside::ModelFiles { chat_template: Some(template), ..folder.files() },
            &[&folder.weights[0]],
            LoadOptions::default(),
        );
        let model = Arc::new(model.unwrap());
        assert_eq!(model.template().source(), TemplateSource::Broken);
        let mut session = Session::new(model);
        assert_eq!(session.generate(PROMPT, &greedy(16)).unwrap().finish().unwrap().text, UNTIED);
        let error = session.chat("hi", &greedy(1)).expect_err("no chat");
        assert_eq!(error.code(), "BAD_TEMPLATE");
    }
    folder.tokenizer_config = Some(json!({"chat_template": [{"name": "rag", "template": "R"}]}).to_string().into_bytes());
    assert_eq!(continued(&folder), UNTIED);
}

#[test]
fn special_tokens_are_read_from_the_older_file_where_the_newer_is_silent() {
    let mut folder = folder("llama-untied-f32");
    folder.tokenizer_config = Some(br#"{"tokenizer_class": "PreTrainedTokenizerFast"}"#.to_vec());
    folder.special_tokens_map = Some(br#"{"bos_token": "<s>", "eos_token": "</s>"}"#.to_vec());
    folder.chat_template = Some("{{ bos_token }}{{ messages[0].content }}".into());
    let message = Message::new("user", "Once");
    let mut session = Session::new(Arc::new(folder.load()));
    let answer = session.chat(vec![message], &greedy(16)).unwrap().finish().unwrap();
    assert_eq!((answer.usage.prompt_tokens, answer.text.as_str()), (6, "g s was of a toe to of ofisy theitit"));
}

#[test]
fn a_head_in_the_file_wins_over_tie_word_embeddings() {
    let own = with_config("llama-untied-f32", &json!({"tie_word_embeddings": true}));
    assert_eq!(continued(&own), UNTIED);
    let (tied, untied) = (own.load(), folder("llama-untied-f32").load());
    assert!(!tied.config().plan.tied && tied.weights().head.is_some());
    assert_eq!(tied.config().plan.parameters(), untied.config().plan.parameters());
    assert_eq!((tied.weights().bytes(), tied.fingerprint()), (untied.weights().bytes(), untied.fingerprint()));

    // It needs the memory of the untied model. A load without room for the head fails.
    let config = |folder: &Folder| ModelConfig::from_json(&folder.config).unwrap();
    let load_bytes = |folder: &Folder| fireside::Estimate::of(&config(folder), &LoadOptions::default()).load_bytes;
    let (tied_bytes, untied_bytes) = (load_bytes(&own), load_bytes(&folder("llama-untied-f32")));
    let kv_bytes = 256 * config(&own).plan.kv_bytes_per_token(Default::default());
    let with_memory = |bytes: u64| {
        let options = LoadOptions { memory_bytes_max: Some(bytes + kv_bytes), ..LoadOptions::default() };
        Model::from_bytes(&own.files(), &[&own.weights[0]], options)
    };
    assert_eq!(with_memory(untied_bytes).unwrap().kv_budget().max(), Some(kv_bytes));
    assert_eq!(with_memory(tied_bytes).unwrap_err().code(), "OUT_OF_MEMORY");
}

#[test]
fn the_model_type_decides_what_a_model_is() {
    for names in
        [json!(["LLaMAForCausalLM"]), json!(["LlamaModel"]), json!(["MistralForCausalLM"]), json!(["LlamaForCausalLM", "LlamaForCausalLM"])]
    {
        assert_eq!(continued(&with_config("llama-untied-f32", &json!({"architectures": names}))), UNTIED, "{names}");
    }
}

/// If tokenizer.json has no post-processor, the publisher's flag counts. transformers 5 ignores it. The ids
/// without the flag are those of tokenizers.
#[test]
fn add_bos_token_counts_where_there_is_no_post_processor() {
    let mut folder = folder("llama-untied-f32");
    let mut tokenizer: Value = serde_json::from_slice(&folder.tokenizer).unwrap();
    tokenizer["post_processor"] = Value::Null;
    folder.tokenizer = tokenizer.to_string().into_bytes();
    let bare = [261, 77, 266, 273, 273, 276, 310, 276, 279, 273, 265];
    for (flag, bos) in [(true, &[1][..]), (false, &[])] {
        let config = json!({"add_bos_token": flag, "bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "LlamaTokenizerFast"});
        folder.tokenizer_config = Some(config.to_string().into_bytes());
        assert_eq!(folder.load().tokenizer().encode_prompt("Hello world").unwrap(), [bos, &bare].concat());
    }
}

/// AutoTokenizer of transformers 5 rebuilds such a tokenizer from its vocabulary, and then puts no "▁" after
/// a special token. The published tokenizer.json does, and Fireside follows it.
#[test]
fn a_llama_tokenizer_is_as_its_tokenizer_json_says_whatever_legacy_is() {
    let mut folder = folder("llama-untied-f32");
    for legacy in [true, false] {
        let config =
            json!({"legacy": legacy, "tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"});
        folder.tokenizer_config = Some(config.to_string().into_bytes());
        let model = folder.load();
        for (text, ids) in [
            ("Once upon", &[1, 261, 293, 275, 264, 266, 261, 282, 277, 307][..]),
            ("Once</s>upon", &[1, 261, 293, 275, 264, 266, 2, 261, 282, 277, 307]), // transformers: ..., 2, 282, 277, 307
            ("Once</s> upon", &[1, 261, 293, 275, 264, 266, 2, 261, 261, 282, 277, 307]), // transformers: ..., 2, 261, 282, 277, 307
        ] {
            assert_eq!(model.tokenizer().encode_prompt(text).unwrap(), ids, "{text:?}, legacy {legacy}");
        }
    }
}

/// What `AutoConfig` of transformers 5.24.0 reads from published config.json files, and which of them ask
/// for something that Fireside does not have.
#[test]
fn published_configs_mean_what_they_mean_in_transformers() {
    #[derive(Deserialize)]
    struct Case {
        name: String,
        should: String,
        text: String,
        means: Option<Means>,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Means {
        family: String,
        rope_theta: f64,
        head_dim: usize,
        kv_heads: usize,
        tied: bool,
        context: usize,
        bos: Option<u32>,
        eos: Vec<u32>,
        qk_norm: bool,
        windows: Vec<Option<usize>>,
    }
    let cases: Vec<Case> = serde_json::from_slice(include_bytes!("golden/configs.json")).unwrap();
    assert_eq!((cases.len(), cases.iter().filter(|case| case.should == "accept").count()), (72, 23));
    for Case { name, should, text, means } in cases {
        match (ModelConfig::from_json(text.as_bytes()), means) {
            (Ok(config), Some(means)) => {
                let attention = config.plan.layers.iter().map(|layer| {
                    let Mixer::Attention(attention) = &layer.mixer;
                    attention
                });
                let read = Means {
                    family: config.family.name().into(),
                    rope_theta: config.plan.ropes[0].theta,
                    head_dim: config.plan.head_dim,
                    kv_heads: config.plan.kv_heads,
                    tied: config.plan.tied,
                    context: config.plan.context,
                    bos: config.bos,
                    eos: config.eos,
                    qk_norm: attention.clone().all(|attention| attention.qk_norm.is_some()),
                    windows: attention.map(|attention| attention.window).collect(),
                };
                assert_eq!((should.as_str(), read), ("accept", means), "{name}");
            }
            (Ok(_), None) => panic!("{name} was accepted"),
            (Err(error), means) => {
                assert!(should == "refuse" && means.is_none(), "{name}: {error}");
                assert!(matches!(error.code(), "UNSUPPORTED_MODEL" | "BAD_FILE"), "{name}: {error}");
            }
        }
    }
}
