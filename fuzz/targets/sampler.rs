//! For any logits and options, the sampler returns a token that the filters leave, the same for the same
//! seed. A model that computes NaN or infinity gives an error.
#![no_main]

use std::sync::Arc;

use fireside::internals::{Sampler, Settings};
use fireside::{Error, LoadOptions, Model, ModelFiles, Options, Session, TokenLogprobs};
use fireside_fuzz::{TINY, TINY_TOKENIZER, tiny_weights};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

/// A number that is as likely extreme as ordinary.
fn number(input: &mut Unstructured) -> Result<f32> {
    const EDGES: [f32; 8] = [0.0, -0.0, 1.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1e-45, 1e30];
    Ok(match input.int_in_range(0..=2)? {
        0 => *input.choose(&EDGES)?,
        1 => f32::from(input.arbitrary::<i8>()?) / 8.0,
        _ => f32::from_bits(input.arbitrary()?),
    })
}

/// A number in this range, half of the time its upper end.
fn within(input: &mut Unstructured, low: f32, high: f32) -> Result<f32> {
    Ok(low + (high - low) * f32::from(input.arbitrary::<u8>()?.saturating_mul(2)) / 255.0)
}

/// Up to five tokens below `count`, or a little above it.
fn tokens(input: &mut Unstructured, count: usize) -> Result<Vec<u32>> {
    (0..input.int_in_range(0..=5)?).map(|_| input.int_in_range(0..=count as u32)).collect()
}

fn options(input: &mut Unstructured) -> Result<Options> {
    let biased = tokens(input, 3)?;
    let logit_bias = biased.into_iter().map(|token| Ok((token, within(input, -100.0, 100.0)?))).collect::<Result<_>>()?;
    Ok(Options {
        typical_p: Some(within(input, 1e-3, 1.0)?),
        frequency_penalty: Some(within(input, -2.0, 2.0)?),
        presence_penalty: Some(within(input, -2.0, 2.0)?),
        min_tokens: Some(input.int_in_range(0..=1)?),
        logprobs: input.arbitrary::<bool>()?.then_some(input.int_in_range(0..=20)?),
        stop_tokens: tokens(input, 3)?,
        logit_bias: Some(logit_bias),
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

/// The logits after bias, penalties and the minimum length, by their definitions.
fn penalised(logits: &[f32], settings: &Settings, prompt: &[u32], generated: &[u32], ends: &[u32]) -> Vec<f32> {
    let mut logits = logits.to_vec();
    for (token, logit) in logits.iter_mut().enumerate() {
        let count = |tokens: &[u32]| tokens.iter().filter(|&&other| other as usize == token).count();
        for (_, bias) in settings.logit_bias.iter().filter(|(other, _)| *other as usize == token) {
            *logit += bias;
        }
        let (penalty, times) = (settings.repetition_penalty, count(generated));
        if times + count(prompt) > 0 {
            *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty }.clamp(f32::MIN, f32::MAX);
        }
        if times > 0 {
            *logit = (*logit - times as f32 * settings.frequency_penalty - settings.presence_penalty).clamp(f32::MIN, f32::MAX);
        }
    }
    let is_end = |token: usize| ends.contains(&(token as u32));
    if generated.len() < settings.min_tokens && (0..logits.len()).any(|token| !is_end(token)) {
        (0..logits.len()).filter(|&token| is_end(token)).for_each(|token| logits[token] = f32::NEG_INFINITY);
    }
    logits
}

fn of_logits(input: &mut Unstructured) -> Result<()> {
    let options = options(input)?;
    if options.check().is_err() {
        return Ok(());
    }
    let settings = options.settle(&Default::default(), 0);
    let Settings { temperature, top_k, top_p, min_p, .. } = settings;
    let count = input.int_in_range(1..=40)?;
    let finite = |input: &mut Unstructured| number(input).map(|logit| if logit.is_finite() { logit } else { 0.0 });
    let own = (0..count).map(|_| finite(input)).collect::<Result<Vec<f32>>>()?;
    let (prompt, generated) = (tokens(input, count)?, tokens(input, count)?);

    let draw = || {
        let mut sampler = Sampler::new(settings.clone(), options.seed.unwrap_or(0), options.stop_tokens.clone());
        [(); 4].map(|()| sampler.sample(&mut own.clone(), &prompt, &generated))
    };
    let drawn = draw();
    assert_eq!(drawn, draw());
    let logits = penalised(&own, &settings, &prompt, &generated, &options.stop_tokens);
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |logit: f32| f64::from((logit - largest) / temperature).exp();
    let total: f64 = logits.iter().map(|&logit| weight(logit)).sum();
    for drawn in drawn {
        assert_eq!(drawn.logprobs.as_ref().map(|logprobs| logprobs.top.len()), settings.logprobs.map(|k| k.min(count)));
        if let Some(TokenLogprobs { token, logprob, top }) = drawn.logprobs {
            assert!(token == drawn.token && logprob <= 0.0 && top.iter().all(|(_, value)| *value <= 0.0));
            assert!(top.is_sorted_by(|(a, _), (b, _)| (-own[*a as usize], a) < (-own[*b as usize], b)), "{top:?} of {own:?}");
            assert!(top.first().is_none_or(|(first, _)| own.iter().all(|&other| other <= own[*first as usize])));
        }
        let token = drawn.token as usize;
        let logit = logits[token];
        if temperature == 0.0 {
            assert_eq!(Some(token), logits.iter().position(|&other| other == largest));
            continue;
        }
        assert!(logit > f32::NEG_INFINITY, "{token} of {logits:?}");
        let likelier = || logits.iter().filter(|&&other| other > logit);
        assert!(top_k == 0 || likelier().count() < top_k, "top-k {top_k}: {token} of {logits:?}");
        // 1e-44, because the sampler's weights are f32 and round there.
        assert!(weight(logit) + 1e-44 >= f64::from(min_p) * 0.999, "min-p {min_p}: {token} of {logits:?}");
        // After top-k the shares are of a smaller total, so this weaker claim holds with and without it.
        // Equal f32 weights are ordered by token, whatever their logits.
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
        Ok(completion) => assert!(completion.tokens.iter().all(|&token| token < 3)),
        Err(Error::NonFinite { token, position, .. }) => assert!(token < 3 && position < 16),
        Err(error) => assert!(matches!(error, Error::BadOption { .. }), "{error}"),
    }
    assert!(session.context_usage() <= 16);
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let mut input = Unstructured::new(data);
    // Loading a model takes milliseconds, sampling takes microseconds.
    let _ = match input.arbitrary::<u8>() {
        Ok(0xf0..) => of_a_model(&mut input),
        _ => of_logits(&mut input),
    };
});
