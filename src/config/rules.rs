//! Rules over single tokens and sequences of tokens: what a publisher's `generation_config.json` may ask for
//! beyond temperature and filters.
//!
//! The names are those of transformers, the meanings those of its logits processors (5.24). A caller's
//! options are read by the same code, so that a caller can override whatever a file asks for.

use std::collections::HashSet;

use serde_json::Value;

/// The most token ids that one rule lists. Published lists of unwanted words have some thousands.
const IDS_MAX: usize = 65_536;

/// A sequence of tokens, and what is added to the logit of the last of them where the others precede it.
pub type SequenceBias = (Vec<u32>, f32);

/// Rules over tokens. `None` and an empty list mean that there is no such rule.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// Added to the logit of the last token of a sequence, where the text ends with the tokens before it. JSON may name a
    /// sequence twice: its last entry is kept. Here each entry counts.
    pub sequence_bias: Option<Vec<SequenceBias>>,
    /// Makes tokens of the prompt more likely (above 1) or less likely (below 1). Range: above 0; 1 is off.
    pub encoder_repetition_penalty: Option<f32>,
    /// No sequence of this many tokens occurs twice, the prompt included. 0 is off.
    pub no_repeat_ngram_size: Option<usize>,
    /// No sequence of this many tokens of the prompt is repeated. 0 is off.
    pub encoder_no_repeat_ngram_size: Option<usize>,
    /// Sequences that are not generated. A token that ends the text is not among them.
    pub bad_words_ids: Option<Vec<Vec<u32>>>,
    /// The token after a prompt of exactly one token.
    pub forced_bos_token_id: Option<Vec<u32>>,
    /// The last token of a text that reaches its greatest length.
    pub forced_eos_token_id: Option<Vec<u32>>,
    /// From this many generated tokens on, the tokens that end the text gain by this factor with each token.
    pub exponential_decay_length_penalty: Option<(usize, f32)>,
    /// Tokens that are never generated.
    pub suppress_tokens: Option<Vec<u32>>,
    /// Tokens that are not generated first.
    pub begin_suppress_tokens: Option<Vec<u32>>,
    /// Only the likeliest tokens that together have this share of the entropy. Range: 0 to 1; 0 is off.
    pub top_h: Option<f32>,
    /// Only tokens at least this likely. Range: 0 to below 1; 0 is off.
    pub epsilon_cutoff: Option<f32>,
    /// As `epsilon_cutoff`, with a lower bound where the model is unsure. Range: 0 to below 1; 0 is off.
    pub eta_cutoff: Option<f32>,
}

impl Rules {
    /// No rule at all.
    pub const NONE: Rules = Rules {
        sequence_bias: None,
        encoder_repetition_penalty: None,
        no_repeat_ngram_size: None,
        encoder_no_repeat_ngram_size: None,
        bad_words_ids: None,
        forced_bos_token_id: None,
        forced_eos_token_id: None,
        exponential_decay_length_penalty: None,
        suppress_tokens: None,
        begin_suppress_tokens: None,
        top_h: None,
        epsilon_cutoff: None,
        eta_cutoff: None,
    };

    /// Reads the rule of this name, in the spelling of transformers; the error is what was expected. `None`
    /// for a name that is no rule.
    pub(crate) fn take(&mut self, name: &str, value: &Value) -> Option<Result<(), &'static str>> {
        Some(match name {
            "sequence_bias" => set(&mut self.sequence_bias, sequence_biases(value), SEQUENCE_BIAS),
            "encoder_repetition_penalty" => set(&mut self.encoder_repetition_penalty, number(value), PENALTY),
            "no_repeat_ngram_size" => set(&mut self.no_repeat_ngram_size, count(value), NGRAM),
            "encoder_no_repeat_ngram_size" => set(&mut self.encoder_no_repeat_ngram_size, count(value), NGRAM),
            "bad_words_ids" => set(&mut self.bad_words_ids, sequences(value), SEQUENCES),
            "forced_bos_token_id" => set(&mut self.forced_bos_token_id, ids(value), IDS),
            "forced_eos_token_id" => set(&mut self.forced_eos_token_id, ids(value), IDS),
            "exponential_decay_length_penalty" => set(&mut self.exponential_decay_length_penalty, decay(value), DECAY),
            "suppress_tokens" => set(&mut self.suppress_tokens, ids(value), IDS),
            "begin_suppress_tokens" => set(&mut self.begin_suppress_tokens, ids(value), IDS),
            "top_h" => set(&mut self.top_h, number(value), TOP_H),
            "epsilon_cutoff" => set(&mut self.epsilon_cutoff, number(value), CUTOFF),
            "eta_cutoff" => set(&mut self.eta_cutoff, number(value), CUTOFF),
            _ => return None,
        })
    }

    /// Finds the first rule out of its range: its name, what was expected, and its value. The ranges here
    /// are those that types do not hold.
    pub(crate) fn out_of_range(&self) -> Option<(&'static str, &'static str, String)> {
        let cutoff = |value: f32| (0.0..1.0).contains(&value);
        let ids = |list: &Option<Vec<u32>>| list.as_ref().map_or(0, Vec::len);
        let bad_words = self.bad_words_ids.iter().flatten();
        let biases = self.sequence_bias.iter().flatten();
        let sequences = bad_words.clone().map(Vec::len).sum::<usize>().max(biases.clone().map(|(ids, _)| ids.len()).sum());
        let penalty = self.encoder_repetition_penalty;
        [
            ("encoder_repetition_penalty", penalty.is_none_or(|v| v > 0.0 && v.is_finite()), PENALTY, show(penalty)),
            ("top_h", self.top_h.is_none_or(|v| (0.0..=1.0).contains(&v)), TOP_H, show(self.top_h)),
            ("epsilon_cutoff", self.epsilon_cutoff.is_none_or(cutoff), CUTOFF, show(self.epsilon_cutoff)),
            ("eta_cutoff", self.eta_cutoff.is_none_or(cutoff), CUTOFF, show(self.eta_cutoff)),
            ("bad_words_ids", bad_words.clone().all(|ids| !ids.is_empty()), SEQUENCES, "an empty list in it".into()),
            (
                "sequence_bias",
                biases.clone().all(|(ids, bias)| !ids.is_empty() && bias.is_finite()),
                SEQUENCE_BIAS,
                "an entry without them".into(),
            ),
            ("bad_words_ids", sequences <= IDS_MAX, SEQUENCES, format!("{sequences} ids")),
            ("suppress_tokens", ids(&self.suppress_tokens) <= IDS_MAX, IDS, format!("{} ids", ids(&self.suppress_tokens))),
            (
                "begin_suppress_tokens",
                ids(&self.begin_suppress_tokens) <= IDS_MAX,
                IDS,
                format!("{} ids", ids(&self.begin_suppress_tokens)),
            ),
            (
                "exponential_decay_length_penalty",
                self.exponential_decay_length_penalty.is_none_or(|(_, factor)| factor >= 0.0 && factor.is_finite()),
                DECAY,
                "another factor".into(),
            ),
        ]
        .into_iter()
        .find(|(_, good, ..)| !good)
        .map(|(name, _, expected, got)| (name, expected, got))
    }

    /// Combines two sets of rules; of rules of one kind, `self` has the one that holds.
    pub(crate) fn or(&self, other: &Rules) -> Rules {
        Rules {
            sequence_bias: self.sequence_bias.clone().or_else(|| other.sequence_bias.clone()),
            encoder_repetition_penalty: self.encoder_repetition_penalty.or(other.encoder_repetition_penalty),
            no_repeat_ngram_size: self.no_repeat_ngram_size.or(other.no_repeat_ngram_size),
            encoder_no_repeat_ngram_size: self.encoder_no_repeat_ngram_size.or(other.encoder_no_repeat_ngram_size),
            bad_words_ids: self.bad_words_ids.clone().or_else(|| other.bad_words_ids.clone()),
            forced_bos_token_id: self.forced_bos_token_id.clone().or_else(|| other.forced_bos_token_id.clone()),
            forced_eos_token_id: self.forced_eos_token_id.clone().or_else(|| other.forced_eos_token_id.clone()),
            exponential_decay_length_penalty: self.exponential_decay_length_penalty.or(other.exponential_decay_length_penalty),
            suppress_tokens: self.suppress_tokens.clone().or_else(|| other.suppress_tokens.clone()),
            begin_suppress_tokens: self.begin_suppress_tokens.clone().or_else(|| other.begin_suppress_tokens.clone()),
            top_h: self.top_h.or(other.top_h),
            epsilon_cutoff: self.epsilon_cutoff.or(other.epsilon_cutoff),
            eta_cutoff: self.eta_cutoff.or(other.eta_cutoff),
        }
    }

    /// Whether a rule changes logits before one of them is drawn; the three filters at the end do not.
    pub(crate) fn steer(&self) -> bool {
        let steering = Rules { top_h: None, epsilon_cutoff: None, eta_cutoff: None, ..self.clone() };
        steering != Rules::NONE
    }

    /// Every token id that a rule names, with the rule's name.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = (&'static str, u32)> {
        let lists = [
            ("forced_bos_token_id", &self.forced_bos_token_id),
            ("forced_eos_token_id", &self.forced_eos_token_id),
            ("suppress_tokens", &self.suppress_tokens),
            ("begin_suppress_tokens", &self.begin_suppress_tokens),
        ];
        let listed = lists.into_iter().flat_map(|(name, list)| list.iter().flatten().map(move |&id| (name, id)));
        let bad_words = self.bad_words_ids.iter().flatten().flatten().map(|&id| ("bad_words_ids", id));
        let biased = self.sequence_bias.iter().flatten().flat_map(|(ids, _)| ids.iter().map(|&id| ("sequence_bias", id)));
        listed.chain(bad_words).chain(biased)
    }
}

const PENALTY: &str = "a number above 0 (1 is off)";
const NGRAM: &str = "a whole number from 0 (0 is off)";
const IDS: &str = "a token id or a list of at most 65536 (an empty list is off)";
const SEQUENCES: &str = "a list of lists of token ids, none of them empty, at most 65536 ids in all (an empty list is off)";
const SEQUENCE_BIAS: &str = "a list of pairs [list of token ids, number], at most 65536 ids in all (an empty list is off)";
const DECAY: &str = "a pair [whole number from 0, number from 0] (an empty list is off)";
const TOP_H: &str = "a number from 0 to 1 (0 is off)";
const CUTOFF: &str = "a number from 0 to below 1 (0 is off)";

fn set<T>(rule: &mut Option<T>, value: Option<T>, expected: &'static str) -> Result<(), &'static str> {
    *rule = Some(value.ok_or(expected)?);
    Ok(())
}

fn number(value: &Value) -> Option<f32> {
    value.as_f64().map(|number| number as f32)
}

/// A whole number from 0, also where it is written as 3.0.
fn count(value: &Value) -> Option<usize> {
    let whole = value.as_u64().or_else(|| value.as_f64().filter(|v| v.fract() == 0.0 && *v >= 0.0).map(|v| v as u64));
    whole.map(|whole| whole.min(u64::from(u32::MAX)) as usize)
}

fn id(value: &Value) -> Option<u32> {
    count(value).and_then(|id| u32::try_from(id).ok())
}

/// One token id or a list of them.
fn ids(value: &Value) -> Option<Vec<u32>> {
    value.as_array().map_or(std::slice::from_ref(value), |list| list).iter().map(id).collect()
}

fn sequences(value: &Value) -> Option<Vec<Vec<u32>>> {
    let sequence = |value: &Value| value.as_array()?.iter().map(id).collect();
    value.as_array()?.iter().map(sequence).collect()
}

fn sequence_biases(value: &Value) -> Option<Vec<SequenceBias>> {
    let pair = |value: &Value| match value.as_array()?.as_slice() {
        [ids, bias] => Some((ids.as_array()?.iter().map(id).collect::<Option<_>>()?, number(bias)?)),
        _ => None,
    };
    let mut biases: Vec<SequenceBias> = value.as_array()?.iter().map(pair).collect::<Option<_>>()?;
    // From the end, so that the last entry of a sequence is the first one seen.
    let mut seen = HashSet::new();
    let kept: Vec<bool> = biases.iter().rev().map(|(sequence, _)| seen.insert(sequence.clone())).collect();
    let mut kept = kept.into_iter().rev();
    biases.retain(|_| kept.next().unwrap_or(true));
    Some(biases)
}

fn decay(value: &Value) -> Option<(usize, f32)> {
    match value.as_array()?.as_slice() {
        [] => Some((0, 1.0)),
        [start, factor] => Some((count(start)?, number(factor)?)),
        _ => None,
    }
}

fn show(value: Option<f32>) -> String {
    value.map_or_else(|| "nothing".into(), |value| value.to_string())
}
