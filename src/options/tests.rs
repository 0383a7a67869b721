//! The options: their spellings and their ranges.

use super::*;
use serde_json::json;

const MIN_TOKENS: &str = "a whole number from 0 to maxTokens (0 is off)";
const SHARE: &str = "a number above 0 and at most 1";
const PENALTY_ADDED: &str = "a number from -2 to 2 (0 is off)";
const LOGIT_BIAS: &str = "an object of at most 1024 token ids, each with a number from -100 to 100";
const STOP: &str = "a text or a token id or a list of them, at most 16 texts, none of them empty, and 64 ids";
const STOP_TOKENS: &str = "a token id or a list of at most 64";
const LOGPROBS: &str = "a whole number from 0 to 20, or true for 0";
const N: &str = "a whole number from 1 to 16";
const OVERFLOW: &str = "\"error\", \"drop-oldest\" or \"shift\"";

fn message(value: Value) -> String {
    Options::from_json(&value).unwrap_err().to_string()
}

#[test]
fn the_spellings_of_openai_and_hugging_face_are_understood() {
    let ours = Options::from_json(&json!({"maxTokens": 5, "topP": 0.5, "stop": "a"})).unwrap();
    assert_eq!(ours, Options { max_tokens: Some(5), top_p: Some(0.5), stop: vec!["a".into()], ..Options::default() });
    for other in [
        json!({"max_tokens": 5, "top_p": 0.5, "stop": ["a"]}),
        json!({"max_new_tokens": 5.0, "topP": 0.5, "stop_strings": ["a"], "seed": null}),
    ] {
        assert_eq!(Options::from_json(&other).unwrap(), ours);
    }
    assert_eq!(Options::from_json(&Value::Null).unwrap(), Options::default());
}

#[test]
fn an_unknown_option_names_the_known_ones() {
    assert_eq!(
        message(json!({"temprature": 1})),
        "option `temprature`: expected one of maxTokens, minTokens, temperature, topK, topP, minP, typicalP, \
         repetitionPenalty, frequencyPenalty, presencePenalty, logitBias, stop, stopTokenIds, seed, logprobs, n, overflow, chatTemplateKwargs, noRepeatNgramSize, encoderNoRepeatNgramSize, encoderRepetitionPenalty, badWordsIds, \
         sequenceBias, suppressTokens, beginSuppressTokens, forcedBosTokenId, forcedEosTokenId, exponentialDecayLengthPenalty, topH, epsilonCutoff, etaCutoff, got an unknown name."
    );
}

#[test]
fn a_value_out_of_range_names_the_range() {
    assert_eq!(message(json!({"temperature": -1})), "option `temperature`: expected a number from 0 (0 is greedy), got -1.");
    assert_eq!(message(json!({"top_p": 1.5})), "option `top_p`: expected a number above 0 and at most 1, got 1.5.");
    assert_eq!(message(json!({"maxTokens": 0})), "option `maxTokens`: expected a whole number from 1, got 0.");
    assert_eq!(message(json!({"maxTokens": 2.5})), "option `maxTokens`: expected a whole number from 1, got 2.5.");
    assert_eq!(message(json!({"seed": -1})), "option `seed`: expected a whole number from 0 to 2^53 - 1, got -1.");
    assert_eq!(message(json!({"minP": "x"})), "option `minP`: expected a number from 0 to 1, got \"x\".");
    assert_eq!(
        message(json!({"stop": [""]})),
        "option `stop`: expected a text or a token id or a list of them, at most 16 texts, none of them empty, and 64 ids, got an empty text."
    );
    assert_eq!(message(json!({"topK": 1, "top_k": 2})), "option `top_k`: expected `topK` only once, in one spelling, got 2.");
    assert_eq!(message(json!([1])), "options: expected an object, got a list.");
}

#[test]
fn each_option_has_its_range() {
    let good = [
        (json!({"minTokens": 3, "max_tokens": 3}), Options { min_tokens: Some(3), max_tokens: Some(3), ..Options::default() }),
        (json!({"min_new_tokens": 0, "typical_p": 1}), Options { min_tokens: Some(0), typical_p: Some(1.0), ..Options::default() }),
        (
            json!({"frequency_penalty": -2, "presencePenalty": 2.0}),
            Options { frequency_penalty: Some(-2.0), presence_penalty: Some(2.0), ..Options::default() },
        ),
        (json!({"logit_bias": {"5": -100, "0": 1.5}}), Options { logit_bias: Some(vec![(0, 1.5), (5, -100.0)]), ..Options::default() }),
        (
            json!({"stop": ["a", 7, "b"], "stop_token_ids": 9}),
            Options { stop: vec!["a".into(), "b".into()], stop_tokens: vec![7, 9], ..Options::default() },
        ),
        (json!({"stop": 7}), Options { stop_tokens: vec![7], ..Options::default() }),
        (json!({"logprobs": true, "n": 16}), Options { logprobs: Some(0), n: Some(16), ..Options::default() }),
        (json!({"logprobs": 20, "overflow": "shift"}), Options { logprobs: Some(20), overflow: Overflow::Shift, ..Options::default() }),
        (json!({"logprobs": false, "overflow": "drop-oldest"}), Options { overflow: Overflow::DropOldest, ..Options::default() }),
    ];
    for (json, options) in good {
        assert_eq!(Options::from_json(&json).unwrap(), options, "{json}");
    }
    let bad = [
        (json!({"max_tokens": 3, "min_tokens": 4}), "min_tokens", MIN_TOKENS, "4"),
        (json!({"minTokens": 4, "maxTokens": 3}), "minTokens", MIN_TOKENS, "4"),
        (json!({"typicalP": 0}), "typicalP", SHARE, "0"),
        (json!({"frequencyPenalty": 2.5}), "frequencyPenalty", PENALTY_ADDED, "2.5"),
        (json!({"presence_penalty": "x"}), "presence_penalty", PENALTY_ADDED, "\"x\""),
        (json!({"logitBias": {"5": 101}}), "logitBias", LOGIT_BIAS, "101 for token 5"),
        (json!({"logitBias": {"05": 1}}), "logitBias", LOGIT_BIAS, "an object"),
        (json!({"logitBias": {"a": 1}}), "logitBias", LOGIT_BIAS, "an object"),
        (json!({"logitBias": [1]}), "logitBias", LOGIT_BIAS, "a list"),
        (json!({"stop": [-1]}), "stop", STOP, "a list"),
        (json!({"stop": 4294967296u64}), "stop", STOP, "4294967296"),
        (json!({"stop": vec![1; 65]}), "stop", STOP, "65 token ids"),
        (json!({"stop_token_ids": "a"}), "stop_token_ids", STOP_TOKENS, "\"a\""),
        (json!({"logprobs": 21}), "logprobs", LOGPROBS, "21"),
        (json!({"n": 0}), "n", N, "0"),
        (json!({"n": 17}), "n", N, "17"),
        (json!({"overflow": "wrap"}), "overflow", OVERFLOW, "\"wrap\""),
    ];
    for (json, option, expected, got) in bad {
        assert_eq!(message(json), format!("option `{option}`: expected {expected}, got {got}."));
    }
    let many: serde_json::Map<_, _> = (0..1025).map(|id| (id.to_string(), json!(1))).collect();
    assert_eq!(message(json!({"logitBias": many})), format!("option `logitBias`: expected {LOGIT_BIAS}, got 1025 tokens."));
    for number in [f32::NAN, f32::INFINITY] {
        let bad = |options: Options| assert!(options.check().is_err());
        bad(Options { typical_p: Some(number), ..Options::default() });
        bad(Options { presence_penalty: Some(number), ..Options::default() });
        bad(Options { logit_bias: Some(vec![(0, number)]), ..Options::default() });
    }
}

#[test]
fn rules_are_options_in_both_spellings_and_go_before_the_model() {
    let ours = json!({"noRepeatNgramSize": 3, "badWordsIds": [[1, 2], [3]], "sequenceBias": [[[4], -1.5]], "suppressTokens": 5, "topH": 0.4,
        "exponentialDecayLengthPenalty": [9, 1.5]});
    let theirs = json!({"no_repeat_ngram_size": 3.0, "bad_words_ids": [[1, 2], [3]], "sequence_bias": [[[4], -1.5]], "suppress_tokens": [5],
        "top_h": 0.4, "exponential_decay_length_penalty": [9, 1.5]});
    let options = Options::from_json(&ours).unwrap();
    assert_eq!(options, Options::from_json(&theirs).unwrap());
    let rules = Options {
        no_repeat_ngram_size: Some(3),
        bad_words_ids: Some(vec![vec![1, 2], vec![3]]),
        sequence_bias: Some(vec![(vec![4], -1.5)]),
        suppress_tokens: Some(vec![5]),
        top_h: Some(0.4),
        exponential_decay_length_penalty: Some((9, 1.5)),
        ..Options::default()
    };
    assert_eq!(options, rules);
    let off = Options::from_json(&json!({"noRepeatNgramSize": 0, "badWordsIds": []})).unwrap();
    let settled = off.or(&rules).settled();
    assert_eq!((settled.no_repeat_ngram_size, settled.bad_words_ids, settled.top_h), (0, vec![], 0.4));
    assert!(options.check_tokens(6).is_ok());
    assert_eq!(
        options.check_tokens(5).unwrap_err().to_string(),
        "option `suppressTokens`: expected token ids below 5, the size of the model's vocabulary, got 5."
    );
}

#[test]
fn a_rule_out_of_its_range_names_the_range() {
    let ids = "a token id or a list of at most 65536 (an empty list is off)";
    let cutoff = "a number from 0 to below 1 (0 is off)";
    for (options, option, expected, got) in [
        (json!({"noRepeatNgramSize": 1.5}), "noRepeatNgramSize", "a whole number from 0 (0 is off)", "1.5"),
        (json!({"no_repeat_ngram_size": -1}), "no_repeat_ngram_size", "a whole number from 0 (0 is off)", "-1"),
        (json!({"suppressTokens": "a"}), "suppressTokens", ids, "\"a\""),
        (json!({"begin_suppress_tokens": vec![1; 65_537]}), "begin_suppress_tokens", ids, "65537 ids"),
        (json!({"topH": 1.5}), "topH", "a number from 0 to 1 (0 is off)", "1.5"),
        (json!({"epsilonCutoff": 1}), "epsilonCutoff", cutoff, "1"),
        (json!({"eta_cutoff": -0.5}), "eta_cutoff", cutoff, "-0.5"),
        (json!({"encoderRepetitionPenalty": 0}), "encoderRepetitionPenalty", "a number above 0 (1 is off)", "0"),
        (
            json!({"badWordsIds": [[]]}),
            "badWordsIds",
            "a list of lists of token ids, none of them empty, at most 65536 ids in all (an empty list is off)",
            "an empty list in it",
        ),
    ] {
        assert_eq!(message(options), format!("option `{option}`: expected {expected}, got {got}."));
    }
}
