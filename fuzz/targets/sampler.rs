//! Any logits and any options: a token that the filters leave, the same for the same seed; a model that computes NaN or infinity says so.
#![no_main]

use std::sync::Arc;

use fireside::options::Settings;
use fireside::sampler::Sampler;
use fireside::{Error, LoadOptions, Model, ModelFiles, Options, Session};
use fireside_fuzz::{TINY, TINY_TOKENIZER, tiny_weights};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

/// A number as likely ordinary as extreme.
fn number(input: &mut Unstructured) -> Result<f32> {
    const EDGES: [f32; 8] = [0.0, -0.0, 1.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45, 1e30];
    Ok(match input.int_in_range(0..=2)? {
        0 => *input.choose(&EDGES)?,
        1 => f32::from(input.arbitrary::<i8>()?) / 8.0,
        _ => f32::from_bits(input.arbitrary()?),
    })
}

fn options(input: &mut Unstructured) -> Result<Options> {
    Ok(Options {
        max_tokens: Some(input.int_in_range(1..=6)?),
        temperature: Some(number(input)?),
        top_k: Some(input.int_in_range(0..=9)?),
        top_p: Some(number(input)?),
        min_p: Some(number(input)?),
        repetition_penalty: Some(number(input)?),
        seed: Some(input.arbitrary()?),
        ..Options::default()
    })
}

/// What the repetition penalty makes of the logits, by its definition.
fn penalised(logits: &[f32], text: &[u32], penalty: f32) -> Vec<f32> {
    let by = |logit: f32| if logit < 0.0 { logit * penalty } else { logit / penalty };
    let repeated = |token: usize| text.contains(&(token as u32));
    let wide = |(token, &logit)| if repeated(token) { by(logit) } else { logit };
    logits.iter().enumerate().map(wide).map(|logit: f32| logit.clamp(f32::MIN, f32::MAX)).collect()
}

fn of_logits(input: &mut Unstructured) -> Result<()> {
    let options = options(input)?;
    if options.check().is_err() {
        return Ok(());
    }
    let Settings { temperature, top_k, top_p, min_p, repetition_penalty, .. } = options.settle(&Default::default());
    let count = input.int_in_range(1..=40)?;
    let finite = |input: &mut Unstructured| number(input).map(|logit| if logit.is_finite() { logit } else { 0.0 });
    let logits = (0..count).map(|_| finite(input)).collect::<Result<Vec<f32>>>()?;
    let text = (0..input.int_in_range(0..=5)?).map(|_| input.int_in_range(0..=count as u32 - 1)).collect::<Result<Vec<_>>>()?;

    let draw = || {
        let mut sampler = Sampler::new(options.settle(&Default::default()), options.seed.unwrap_or(0), Vec::new());
        [(); 4].map(|()| sampler.sample(&mut logits.clone(), &text, &[]).token as usize)
    };
    let tokens = draw();
    assert_eq!(tokens, draw());
    let logits = penalised(&logits, &text, repetition_penalty);
    let largest = logits.iter().copied().fold(f32::MIN, f32::max);
    let weight = |logit: f32| f64::from((logit - largest) / temperature).exp();
    let total: f64 = logits.iter().map(|&logit| weight(logit)).sum();
    for token in tokens {
        let logit = logits[token];
        if temperature == 0.0 {
            assert_eq!(Some(token), logits.iter().position(|&other| other == largest));
            continue;
        }
        let likelier = || logits.iter().filter(|&&other| other > logit);
        assert!(top_k == 0 || likelier().count() < top_k, "top-k {top_k}: {token} of {logits:?}");
        // 1e-44: the sampler's own weights are f32, and round there.
        assert!(weight(logit) + 1e-44 >= f64::from(min_p) * 0.999, "min-p {min_p}: {token} of {logits:?}");
        // After top-k the shares are of less than this total, so this is the weaker claim and holds with and without. Weights of f32 that are equal go
        // by their tokens, whatever their logits.
        let before: f64 = logits.iter().map(|&other| weight(other)).filter(|&other| other > weight(logit) * 1.000_001).sum();
        assert!(before <= f64::from(top_p) * total * 1.001, "top-p {top_p}: {token} of {logits:?}");
    }
    Ok(())
}

fn of_a_model(input: &mut Unstructured) -> Result<()> {
    let options = options(input)?;
    let weights = tiny_weights(|| number(input).ok().filter(|value| value.is_finite()).unwrap_or(0.25));
    let files = ModelFiles::new(TINY.as_bytes(), TINY_TOKENIZER.as_bytes());
    let model = Model::from_bytes(&files, &[&weights], LoadOptions::default()).expect("finite weights load");
    let mut session = Session::new(Arc::new(model));
    let outcome = session.generate("ab", &options).and_then(|run| run.finish());
    match outcome {
        Ok(completion) => assert!(!completion.tokens.is_empty() && completion.tokens.iter().all(|&token| token < 3)),
        Err(Error::NonFinite { token, position, .. }) => assert!(token < 3 && position < 16),
        Err(error) => assert!(matches!(error, Error::BadOption { .. }), "{error}"),
    }
    assert!(session.context_usage() <= 16);
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let mut input = Unstructured::new(data);
    // A model takes milliseconds to load, logits microseconds to draw from.
    let _ = match input.arbitrary::<u8>() {
        Ok(0xf0..) => of_a_model(&mut input),
        _ => of_logits(&mut input),
    };
});
