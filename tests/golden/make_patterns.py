"""Writes patterns.json: the results of the reference for tokenizer patterns in Ruby's syntax, for
src/tokenizer/ruby.

    pip install tokenizers==0.23.3
    python tests/golden/make_patterns.py

`patterns`: a pattern, and for each of its texts the pieces of a Split that isolates matches and of one
that removes them; null if the reference refuses the pattern. Half of them are written by hand, one
construct each; the others are random with a fixed seed. `sets`: how many characters an escape or a
bracket matches below U+32000, and the FNV-1a hash of their ranges (first and last code point of each, as
32 bits, little-endian)."""

import json
import random
import sys
from pathlib import Path

import tokenizers
from tokenizers import Regex, pre_tokenizers

SETS = [r"\w", r"[\w]", r"\W", r"[\W]", r"\d", r"\D", r"\s", r"\S", r"\h", r"\H", r"\N", r"\O", r"."]
SETS += [f"[[:{name}:]]" for name in "alnum alpha blank cntrl digit graph lower print punct space upper xdigit word ascii".split()]
SETS += [f"[[:^{name}:]]" for name in "alpha punct word".split()]
SETS += [rf"\p{{{name}}}" for name in "Alnum Alpha Blank Cntrl Digit Graph Lower Print Punct Space Upper XDigit Word ASCII Any".split()]
SETS += [rf"\p{{{name}}}" for name in "L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp C Cc Cf Cn Co".split()]
SETS += [rf"\p{{{name}}}" for name in "Letter Mark Number Punctuation Symbol Han Hiragana Katakana Hangul Latin Cyrillic Arabic Thai Emoji White_Space ^L ^Han".split()]
SETS += [r"\P{L}", r"\P{^L}", r"[^\s\p{L}\p{N}]", r"[a-z&&[^aeiou]]", r"(?W:\w)", r"(?P:[[:alpha:]])", r"(?S:\s)", r"(?D:\d)"]
SETS += [r"(?i:[a-z])", r"(?i:[^a-z])", r"(?i:[σ])"]

BY_HAND = [
    # Repeats.
    r"\p{N}{1,3}+", r"\p{N}{2}+", r"a{2}?", r"a{1,2}?", r"a{,2}", r"a{2,}", r"a{3,1}", r"a*+a", r"a?+a", r"a++b", r"a**", r"a+?", r"a{", r"a{,}", r"{a", r"*a", r"(?:a|b)+?b", r"(?:ab){2}+",
    # Lines, edges, places.
    r"^", r"$", r"^\s+|\p{L}+|\s", r"\s++$|\s", r"^a", r"a$", r"\Aa", r"a\z", r"a\Z", r"\Ga", r"\b", r"\B", r"\ba\b", r"a\Kb", r"(?m:he.)|.", r"(?m:.)+", r".+", r"\N+", r"\O+", r"\R", r"\X", r"\R|[^\r\n]+",
    # Escapes.
    r"\<|\>", r"\<\|[a-z]+\|\>|.", r"\h+", r"\H+", r"\x41", r"\x{e9}", r"\u00e9", r"\101", r"\o{101}", r"\cA", r"\t", r"\e", r"\a", r"\-", r"\_", r"\q", r"\i", r"\Qa\E", r"\8", r"\1", r"\pL", r"\u{61}",
    # Sets.
    r"[]a]+", r"[^]a]+", r"[a-]+", r"[-a]+", r"[a\-b]+", r"[a-c-e]+", r"[\]\[]", r"[[a-c][1-3]]+", r"[a-z&&[^b]]+", r"[^a&&b]+", r"[[:alpha:]]+", r"[[:^alpha:]]+", r"[:alpha:]+", r"[a&&]", r"[\R]", r"[a-\d]", r"[z-a]", r"[]", r"[[:foo:]]", r"\p{^L}+", r"\p{Foo}",
    # Groups.
    r"(a)(b)\1", r"(a|b)\1", r"(?<x>a|b)\k<x>", r"(?'x'a)\k'x'", r"(a)\k<-1>", r"(?<x>a)(b)\1", r"(?:(a)|b)\g<1>", r"(?<x>a1|b)\g<x>", r"(a)?(?(1)b|1)", r"(?(a)b|1)", r"(?>a+)a", r"(?=a).", r"(?!a).", r"(?<=a)b", r"(?<!a)b", r"(?<=a|bb)1", r"(?<=a+)b", r"a(?#b)b", r"(?x: a b # c)", r"(?x:a\ b)", r"a(?i)b|A", r"(?i:a)b", r"(?i-m:a.)", r"(?s:.)", r"(?P<x>a)", r"(a", r"a)",
    # Case.
    r"(?i:ss)", r"(?i:ß)", r"(?i:[ß])", r"(?i:[^ß])", r"(?i:fi)", r"(?i:ffi)", r"(?i:ﬃ)", r"(?i:[ﬁ])", r"(?i:st)", r"(?i:k)", r"(?i:s)", r"(?i:i)", r"(?i:İ)", r"(?i:ς)", r"(?i:\p{Lu})", r"(?i:[\p{Lu}])", r"(?i:\x{1F80})", r"(?i:ŉ)", r"(?i:(s)\1)", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
    # Published: GPT-2, Llama 3, Qwen 2, o200k, DeepSeek 3, BLOOM, StarCoder, Gemma 3's digits.
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r" ?[^(\s|[.,!?…。，、।۔،])]+", r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+", r"\s?\p{P}+", r"\d{1,3}(?=(?:\d{3})*\b)",
]

TEXT = "a b ab s S ss SS 1 22 \u00e9 e\u0301 \u00df \u1e9e \ufb01 FI fi \u2028 \u0085 \u00a0 \u4e2d \u6587 - ' . < > | { } ] [ \u200d \u00b2 \u017ft \ufb06 K k \u212a \u0130 \u0131 I i \u03a3 \u03c3 \u03c2 \U0001F600 \U0001F1EB\U0001F1F7 \u0149 _ A B Z \u0663".split(" ")
TEXT += [" ", "  ", "\n", "\r\n", "\r", "\t", "\x1c", "\u3000"]
TEXTS = ["a\nb\n", "he\nhe\n", "a  \nb  \n\nc  ", "123456 aabb SS 12 345", "he<|he|>he  ss\u00df\u1e9e\ufb03ffi\u212a\u017f\u0130i\u03c2\u03a3", "I'LL don't it'\u017f\r\n\u0663\u0664\u00b2 e\u0301\U0001F1EB\U0001F1F7\U0001F1E9"]
ATOMS = "a b ab s ss 1 \\n . ^ $ \\s \\S \\w \\W \\d \\h \\b \\B \\A \\z \\Z \\R \\X [ab] [^ab] [a-z] \\p{L} \\p{N} \\p{Lu} \\p{^L} [\\p{L}\\p{N}] [^\\s\\p{L}\\p{N}] [[:alpha:]] [[:^alpha:]] [[:punct:]] [a-z&&[^b]] \\< \\> \u00df \u00e9 fi \ufb01 st k I \u0130 \u03c2 (?<=a) (?<!a) (?=b) (?!b) (?!\\S)".split()
REPEATS = "* + ? *? +? ?? *+ ++ ?+ {2} {2}+ {2}? {1,3} {1,3}+ {1,3}? {,2} {2,} {2,}+ {3,1} **".split()
GROUPS = "( (?: (?i: (?m: (?im: (?> (?= (?! (?W: (?i) (?m)".split()


def grown(r, depth=0):
    roll = r.random()
    if depth > 3 or roll < 0.4:
        return r.choice(ATOMS)
    if roll < 0.6:
        return grown(r, depth + 1) + grown(r, depth + 1)
    if roll < 0.7:
        return f"(?:{grown(r, depth + 1)}|{grown(r, depth + 1)})"
    if roll < 0.85:
        return (r.choice(ATOMS) if r.random() < 0.6 else f"(?:{grown(r, depth + 1)})") + r.choice(REPEATS)
    group = r.choice(GROUPS)
    return group + grown(r, depth + 1) + ("" if group.endswith(")") else ")")


def pieces(pattern, texts):
    try:
        regex = Regex(pattern)
    except Exception:
        return None
    splits = [pre_tokenizers.Split(regex, behavior) for behavior in ("isolated", "removed")]
    return [[text, *([piece for piece, _ in split.pre_tokenize_str(text)] for split in splits)] for text in texts]


# Above are private and unassigned planes, and one kind of marks.
CODES = [code for code in range(0x32000) if not 0xD800 <= code < 0xE000]
ALL = "".join(map(chr, CODES))


def ranges(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    kept, at = [], 0
    for _, (start, end) in [*split.pre_tokenize_str(ALL), ("", (len(ALL), len(ALL)))]:
        if at < start:
            kept.append((CODES[at], CODES[start - 1]))
        at = end
    return kept


def summary(found):
    hashed = 0xCBF29CE484222325
    for code in (code for pair in found for code in pair):
        for byte in code.to_bytes(4, "little"):
            hashed = (hashed ^ byte) * 0x100000001B3 % 2**64
    count = sum(last - first + 1 - (2048 if first < 0xD800 and last > 0xDFFF else 0) for first, last in found)
    return [count, f"{hashed:016x}"]


def main():
    r = random.Random(11)
    by_seed = [grown(r) for _ in range(220)]
    texts = lambda: TEXTS + ["".join(r.choice(TEXT) for _ in range(r.randint(4, 14))) for _ in range(3)]
    values = {
        "made_by": f"tokenizers {tokenizers.__version__}",
        "patterns": [[pattern, pieces(pattern, texts())] for pattern in BY_HAND]
        + [[pattern, found] for pattern in by_seed if (found := pieces(pattern, texts()))],
        "sets": [[pattern, *summary(ranges(pattern))] for pattern in SETS],
    }
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    Path(__file__).with_name("patterns.json").write_text(text.replace('],["', '],\n["') + "\n", encoding="utf-8")


main()
