//! Models in several files, and models in folders.

use super::*;

/// A model in two files, which get the tensors alternately.
fn sharded(config: &ModelConfig) -> (Vec<Vec<FileTensor>>, Value) {
    let mut shards = vec![Vec::new(), Vec::new()];
    let mut map = Map::new();
    for (number, tensor) in tensors_of(config, "BF16").into_iter().enumerate() {
        map.insert(tensor.name.clone(), format!("model-{}-of-2.safetensors", number % 2 + 1).into());
        shards[number % 2].push(tensor);
    }
    (shards, json!({"metadata": {"total_size": 1}, "weight_map": map}))
}

fn load_sharded(config: &ModelConfig, shards: &[Vec<FileTensor>], index: &Value) -> Result<Weights> {
    let mut loader = Loader::new(config, Some(index.to_string().as_bytes()), None)?;
    for shard in shards {
        for chunk in file_of(shard).chunks(100) {
            loader.push(chunk)?;
        }
        loader.end_file()?;
    }
    loader.finish()
}

#[test]
fn several_files_make_one_model() {
    let config = config(json!({}));
    let (shards, index) = sharded(&config);
    let loader = Loader::new(&config, Some(index.to_string().as_bytes()), None).unwrap();
    assert_eq!(loader.files(), ["model-1-of-2.safetensors", "model-2-of-2.safetensors"]);
    assert_eq!(flat(&load_sharded(&config, &shards, &index).unwrap()), expected(&config));

    let error = load_sharded(&config, &shards[..1], &index).unwrap_err();
    let message = "weight files: expected 2, got 1, and model-2-of-2.safetensors is not finished.";
    assert_eq!((error.code(), error.to_string()), ("BAD_INPUT", message.into()));
    let mut three = shards.clone();
    three.push(Vec::new());
    let error = load_sharded(&config, &three, &index).unwrap_err();
    let message = "push: expected nothing after the last weight file, got 10 more bytes.";
    assert_eq!((error.code(), error.to_string()), ("BAD_INPUT", message.into()));
}

#[test]
fn files_and_index_must_agree() {
    let config = config(json!({}));
    let (shards, index) = sharded(&config);
    let first = "model-1-of-2.safetensors";
    let embed = "model.embed_tokens.weight";

    let mut without = index.clone();
    without["weight_map"].as_object_mut().unwrap().remove(embed);
    let fact = format!("tensor {embed}: expected a tensor of shape [37, 26], got nothing");
    assert_bad(load_sharded(&config, &shards, &without), "model.safetensors.index.json", &fact);

    let mut elsewhere = index.clone();
    elsewhere["weight_map"][embed] = "model-2-of-2.safetensors".into();
    let fact = format!("tensor {embed}: expected it in model-2-of-2.safetensors, as the index says, got it in this file");
    assert_bad(load_sharded(&config, &shards, &elsewhere), first, &fact);

    let mut missing = shards.clone();
    missing[0].remove(0);
    let fact = format!("tensor {embed}: expected it in this file, as the index says, got nothing");
    assert_bad(load_sharded(&config, &missing, &index), first, &fact);

    let mut unlisted = shards.clone();
    unlisted[0].push(FileTensor { name: "extra".into(), dtype: "U8", shape: vec![1], bytes: vec![0] });
    let fact = "tensor extra: expected only tensors that the index lists, got another one";
    assert_bad(load_sharded(&config, &unlisted, &index), first, fact);

    let mut both = shards.clone();
    let again = both[0][0].clone();
    both[1].push(again);
    let fact = format!("tensor {embed}: expected it in {first}, as the index says, got it in this file");
    assert_bad(load_sharded(&config, &both, &index), "model-2-of-2.safetensors", &fact);
}

/// Loads a model folder from disk.
fn load_folder(folder: &std::path::Path) -> (ModelConfig, Weights) {
    let config = ModelConfig::from_json(&std::fs::read(folder.join("config.json")).unwrap()).unwrap();
    let index = std::fs::read(folder.join("model.safetensors.index.json")).ok();
    let mut loader = Loader::new(&config, index.as_deref(), None).unwrap();
    for file in loader.files().to_vec() {
        for chunk in std::fs::read(folder.join(file)).unwrap().chunks(1 << 16) {
            loader.push(chunk).unwrap();
        }
        loader.end_file().unwrap();
    }
    (config, loader.finish().unwrap())
}

#[test]
fn every_fixture_loads_as_published() {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut count = 0;
    for folder in std::fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path()) {
        if folder.join("config.json").exists() {
            let (config, weights) = load_folder(&folder);
            assert_eq!(config.ignored, [""; 0], "{}", folder.display());
            count += 1;
            if folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("mlx-")) {
                continue; // tests/mlx.rs says how these are stored.
            }
            let dtype = config.dtype.unwrap();
            assert_eq!((weights.embed.dtype(), weights.bytes()), (dtype, config.plan.weight_bytes(dtype)), "{}", folder.display());
        }
    }
    assert!(count >= 13, "{count} fixtures");
}

#[test]
fn the_real_story_model_is_loaded() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/models/story");
    if !folder.exists() {
        return eprintln!("skipped: {} is not there", folder.display());
    }
    // Its tied embedding is published as lm_head.weight only.
    let (config, weights) = load_folder(&folder);
    assert_eq!((config.plan.parameters(), weights.bytes(), weights.head.is_none()), (656_000, 4 * 656_000, true));
}
