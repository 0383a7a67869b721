//! Several texts computed together are equal, bit for bit, to the same texts computed alone.
#![cfg(not(target_family = "wasm"))]

mod common;

use std::sync::Arc;

use common::files::folder;
use common::{Random, Runner, greedy};
use fireside::internals::{BLOCK, LayerPlan, Mixer};
use fireside::{Choice, Completion, Dtype, KvDtype, LoadOptions, Model, Options, Run, Session, Step};

/// Options with log-probabilities, whose bits depend on every logit and so show more than tokens.
fn options(tokens: usize, seed: u64) -> Options {
    let warm = Options { temperature: Some(1.1), seed: Some(seed), logprobs: Some(2), ..greedy(tokens) };
    Options { min_tokens: Some(tokens), ..warm }
}

fn prompt(random: &mut Random) -> String {
    const WORDS: [&str; 6] = ["Once upon a time", " there was a fox", " who lived", " by the sea", ". One day", " it rained"];
    (0..1 + random.below(24)).map(|_| WORDS[random.below(WORDS.len())]).collect()
}

struct Text {
    prompt: String,
    options: Options,
    session: Session,
    run: Run,
}

impl Text {
    fn begin(model: &Arc<Model>, random: &mut Random) -> Text {
        let (prompt, options) = (prompt(random), options(4 + random.below(28), random.below(1000) as u64));
        let mut session = Session::new(model.clone());
        let run = session.begin_generate(&prompt, &options).unwrap();
        Text { prompt, options, session, run }
    }

    /// Takes the pieces that are ready. Returns the completion, if it has ended.
    fn poll(&mut self) -> Option<Completion> {
        while let Some(step) = self.session.poll(&mut self.run).unwrap() {
            if let Step::End(_, completion) = step {
                return Some(completion);
            }
        }
        None
    }

    fn alone(&self, model: &Arc<Model>) -> Completion {
        Session::new(model.clone()).generate(&self.prompt, &self.options).unwrap().finish().unwrap()
    }
}

fn load(name: &str, dtype: Option<Dtype>) -> Arc<Model> {
    Arc::new(folder(name).try_load(dtype).unwrap())
}

#[test]
fn texts_that_join_and_leave_at_any_moment_equal_those_computed_alone() {
    for (name, dtype) in [
        ("qwen2-bf16", None),
        ("llama-odd-f32", None),
        ("mistral-window-f16", None),
        ("smollm3-bf16", Some(Dtype::Q8)),
        ("qwen3-f32", Some(Dtype::Q4)),
    ] {
        let (model, alone) = (load(name, dtype), load(name, dtype));
        let mut random = Random(3);
        let mut texts: Vec<Text> = Vec::new();
        let (mut ended, mut most) = (0, 0);
        while ended < 25 {
            match random.below(6) {
                0 | 1 if texts.len() < 10 => texts.push(Text::begin(&model, &mut random)),
                // Aborts one, or drops it with its session, in whatever state it is.
                2 if texts.len() > 3 && random.below(4) == 0 => {
                    let mut gone = texts.swap_remove(random.below(texts.len()));
                    if random.below(2) == 0 {
                        gone.session.abort(&mut gone.run);
                        let again = gone.session.generate(&gone.prompt, &gone.options).unwrap().finish().unwrap();
                        assert_eq!(again.tokens, gone.alone(&alone).tokens, "{name}");
                    }
                }
                // A clone shares blocks that a running pass is about to write to.
                3 if !texts.is_empty() => drop(texts[random.below(texts.len())].session.clone()),
                _ => {}
            }
            most = most.max(texts.len());
            let mut index = 0;
            while index < texts.len() {
                match texts[index].poll() {
                    None => index += 1,
                    Some(completion) => {
                        let expected = texts.swap_remove(index).alone(&alone);
                        assert_eq!(completion, expected, "{name}");
                        ended += 1;
                    }
                }
            }
            model.step([1, 30, 500, usize::MAX][random.below(4)]);
        }
        assert!(most > 5, "{name}: {most} at once at most");
        drop(texts);
        assert_eq!(model.kv_budget().used(), 0, "{name}");
        assert_eq!(model.step(usize::MAX), None, "{name}: nobody waits any more");
    }
}

#[test]
fn prompts_are_read_in_turns_and_a_long_one_delays_nobody() {
    let model = load("qwen2-bf16", None);
    let mut long = Session::new(model.clone());
    let mut long_run = long.begin_generate(&"fox ".repeat(model.config().plan.context / 5), &greedy(1)).unwrap();
    long.poll(&mut long_run).unwrap();
    model.step(usize::MAX);
    let mut short = Session::new(model.clone());
    let mut short_run = short.begin_generate("Once upon a time", &greedy(3)).unwrap();
    let mut steps = 0;
    loop {
        match short.poll(&mut short_run).unwrap() {
            Some(Step::End(..)) => break,
            Some(_) => {}
            None => {
                let long_step = long.poll(&mut long_run).unwrap();
                assert!(!matches!(long_step, Some(Step::Token(_) | Step::End(..))), "the long prompt was read first");
                model.step(usize::MAX);
                steps += 1;
            }
        }
    }
    // Its prompt shares a pass with the long one. Its tokens alternate with further passes of that prompt.
    assert!(steps <= 10, "{steps} steps for three tokens");
}

#[test]
fn completions_without_room_side_by_side_run_one_after_another() {
    let files = folder("qwen2-bf16");
    let weights: Vec<&[u8]> = files.weights.iter().map(Vec::as_slice).collect();
    let many = Options { n: Some(12), ..options(90, 5) };
    let wide = Arc::new(files.load());
    let expected = Session::new(wide.clone()).generate("Once upon a time", &many).unwrap().finish().unwrap();
    let mut one = Session::new(wide);
    one.generate("Once upon a time", &options(90, 5)).unwrap().finish().unwrap();
    // Room for two and a half texts.
    let kv_bytes_max = Some(one.kv_bytes() * 5 / 2);
    let narrow = Arc::new(Model::from_bytes(&files.files(), &weights, LoadOptions { kv_bytes_max, ..LoadOptions::default() }).unwrap());
    let mut session = Session::new(narrow);
    let got = session.generate("Once upon a time", &many).unwrap().finish().unwrap();
    let tokens = |completion: &Completion| {
        [vec![completion.tokens.clone()], completion.others.iter().map(|other| other.tokens.clone()).collect()].concat()
    };
    assert_eq!(tokens(&got), tokens(&expected));
    assert!(got == expected, "log-probabilities too");
}

#[test]
fn a_completion_that_ends_early_does_not_change_the_others() {
    let model = load("llama-untied-f32", None);
    let free: Vec<Choice> = completions(&model, &Options { n: Some(6), min_tokens: None, ..options(40, 9) });
    // A token that occurs in some completions only, or later, ends each at its own place.
    let stop = free[2].tokens[5];
    let stopped = completions(&model, &Options { n: Some(6), min_tokens: None, stop_tokens: vec![stop], ..options(40, 9) });
    let mut lengths = Vec::new();
    for (free, stopped) in free.iter().zip(&stopped) {
        let end = free.tokens.iter().position(|&token| token == stop).unwrap_or(free.tokens.len());
        assert_eq!(stopped.tokens, free.tokens[..end]);
        lengths.push(end);
    }
    lengths.dedup();
    assert!(lengths.len() > 1, "all end at the same place: choose another token");
}

fn completions(model: &Arc<Model>, options: &Options) -> Vec<Choice> {
    let Completion { text, tokens, logprobs, finish_reason, others, .. } =
        Session::new(model.clone()).generate("Once upon a time", options).unwrap().finish().unwrap();
    [vec![Choice { text, tokens, logprobs, finish_reason }], others].concat()
}

#[test]
fn a_layer_with_a_window_keeps_only_its_window() {
    for name in ["mistral-window-f16", "qwen2-window-f16"] {
        let model = load(name, None);
        let plan = model.network().plan();
        let block_bytes = (BLOCK * plan.kv_heads) as u64 * KvDtype::F32.position_bytes(plan.head_dim);
        let tokens: Vec<u32> = (0..plan.context as u32).map(|i| i * 7 % plan.vocab as u32).collect();
        let mut runner = Runner::new(&model);
        for (index, token) in tokens.iter().enumerate() {
            runner.feed(&[*token]);
            let blocks = |layer: &LayerPlan| {
                let Mixer::Attention(attention) = &layer.mixer;
                let all = (index + 1).div_ceil(BLOCK);
                // Its window may begin in the middle of a block. One more block allows a short answer to be
                // rolled back.
                attention.window.map_or(all, |window| all.min(window.div_ceil(BLOCK) + 2)) as u64
            };
            let most = plan.layers.iter().map(blocks).sum::<u64>() * block_bytes;
            assert!(runner.cache.bytes() <= most, "{name}, {index}: {} bytes, at most {most}", runner.cache.bytes());
        }
        let whole = (plan.layers.len() * plan.context.div_ceil(BLOCK)) as u64 * block_bytes;
        assert!(runner.cache.bytes() < whole, "{name}: {} of {whole} bytes", runner.cache.bytes());
        // A restored session has no more than the window, and continues like the original.
        let len = runner.cache.len();
        let mut bytes = Vec::new();
        runner.cache.truncate(runner.cache.reach(len - 1));
        runner.cache.export(len - 1, &mut bytes);
        assert!((bytes.len() as u64) < runner.cache.bytes());
        let mut restored = Runner::new(&model);
        assert_eq!(restored.cache.import(len - 1, &bytes).unwrap(), Some(()), "{name}");
        assert_eq!(restored.feed(&[3]), runner.feed(&[3]), "{name}");
    }
}
