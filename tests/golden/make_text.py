"""Makes `text.json`, the reference values of tests/text.rs, with transformers and its tokenizers library.

    python tests/golden/make_text.py

Ids and texts come from `PreTrainedTokenizerFast`, that is, from tokenizer.json unchanged. (transformers
5 rebuilds the tokenizer of some classes, so `AutoTokenizer` gives other ids; `auto_differs` lists those
strings.) Chats come from `apply_chat_template`. The templates at the end use the constructs of
well-known published ones and are rendered by transformers' own Jinja environment. The tokenizers in
`tests/fixtures/text` are trained here, on this file's own strings, if they do not exist yet."""

import datetime
import json
import logging
from pathlib import Path

import jinja2
import tokenizers
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
OWN = ROOT / "tests" / "fixtures" / "text"
FOLDERS = ["models/story", "models/chat", "tests/fixtures/text/byte-level", "tests/fixtures/text/metaspace", "../shared/models/story", "../shared/models/chat-tokenizer"]
NOW = datetime.datetime(2025, 7, 4, 9, 5, 3)

STRINGS = [
    "",
    " ",
    "   ",
    "\n",
    "\t\t\n \r\n",
    "Hello",
    " Hello",
    "Hello ",
    "  two  spaces  ",
    "Once upon a time, there was a little girl named Lily.",
    "It's the dog's. They're I'm we'll DON'T",
    "line one\nline two\n\n\nline five\n",
    "a\tb\t\tc",
    "0123456789 3.14159 -7 1,000,000",
    "你好，世界！今天天气很好。",
    "こんにちは 안녕하세요 Привет مرحبا नमस्ते",
    "emoji: 🙂👍🏽 👩‍👩‍👧‍👦 🇫🇷 ❤️‍🔥",
    "e\u0301 é ﬁ Ⅷ ½ ①",
    "zero\u200bwidth\u00a0nbsp\u3000wide",
    "private \ue000\ue001 use \U000f0000",
    "nul\x00bell\x07",
    "fn main() { println!(\"{}\", x[0] << 2); } // code",
    "https://example.org/a?b=c&d=%20#e",
    "supercalifragilisticexpialidocious" * 8,
    "word " * 200,
    "<|im_start|>user\nhi<|im_end|>\n",
    "a<|im_end|>b <|im_end|> c",
    "<s>x</s> y <unk> z",
    "<|start_story|>Once <|end_story|> <|end_story|>",
    "<|im_<|im_end|>end|>",
    "<think>so</think> then",
    "▁already ▁marked▁",
    "<0xE4> is not a byte",
]

CHATS = [
    [("user", "Hi")],
    [("system", "You are kind."), ("user", "Hello, who are you?")],
    [("user", "Hi"), ("assistant", "Hello! How can I help?"), ("user", "Tell me a story.")],
    [("user", "")],
    [("system", ""), ("user", "  leading and trailing  "), ("assistant", "\n\nnew lines\n"), ("user", "\ttab")],
    [("user", "你好 🙂👩‍👩‍👧"), ("assistant", "é\u0301\u200b"), ("user", "ok")],
    [("user", "{{ 7 * 7 }} {% raw %} <b>&amp;</b> \"quotes\" 'single' \\n")],
    [("user", "<think>typed</think>")],
]

# The style of Llama 3.x: a date by strftime_now or a default, `set` with inline conditions, trim, bos_token, raise_exception.
DATED = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|head|>system<|tail|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today is " + date_string + "\\n\\n" + system_message + "<|eot|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|head|>' + message['role'] + '<|tail|>\\n\\n'+ message['content'] | trim + '<|eot|>' }}
    {%- elif message.role == 'tool' %}
        {{- raise_exception("no tools here") }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|head|>assistant<|tail|>\\n\\n' }}
{%- endif %}
"""

# The style of Qwen2.5: a branch for tools, a default system prompt, `loop.first`, nested conditions, a macro.
TOOLED = """{%- macro turn(role, text) %}{{ '<|im_start|>' ~ role ~ '\\n' ~ text ~ '<|im_end|>\\n' }}{% endmacro %}
{%- if tools %}
    {{- '<|im_start|>system\\n# Tools\\n' }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- turn('system', messages[0].content) }}
    {%- else %}
        {{- turn('system', 'You are a helpful assistant.') }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- turn(message.role, message.content) }}
    {%- elif message.role == "assistant" %}
        {{- 'calls' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

# The style of Mistral: strict alternation by raise_exception, eos after answers, `loop.index0 % 2`.
ALTERNATING = """{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate user/assistant/user/...') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token + ' ' }}{% else %}{{ raise_exception('Only user and assistant roles!') }}{% endif %}{% endfor %}"""

# The style of Gemma: block tags on lines of their own, roles renamed, an exception for system.
RENAMED = """{{ bos_token }}
{% if messages[0]['role'] == 'system' %}
{{ raise_exception('System role not supported') }}
{% endif %}
{% for message in messages %}
    {% if message['role'] == 'assistant' %}
        {% set role = 'model' %}
    {% else %}
        {% set role = message['role'] %}
    {% endif %}
<turn>{{ role }}
{{ message['content'] | trim }}</turn>
{% endfor %}
{% if add_generation_prompt %}
<turn>model
{% endif %}
"""

# The style of Qwen3 and SmolLM3: namespaces, a reversed list, methods of Python's strings, the generation tag, break and continue.
METHODS = """{%- set ns = namespace(last=messages|length - 1, searching=true, count=0) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.searching and message.role == "user" and message.content is string and not(message.content.startswith('<reply>') and message.content.endswith('</reply>')) %}
        {%- set ns.searching = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == 'skip' %}{% continue %}{% endif %}
    {%- set content = message.content %}
    {%- if '</think>' in content %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {%- set ns.count = ns.count + 1 %}
    {%- if message.role == 'assistant' %}
        {%- generation %}{{ '[' ~ message.role.upper() ~ ']' ~ content.strip() ~ '[/]' }}{% endgeneration %}
    {%- else %}
{{ '[' + message.role|capitalize + ' ' + loop.index|string + '/' + loop.length|string + ']' + content.replace('\\n', ' ') }}
    {%- endif %}
    {%- if ns.count >= 4 %}{% break %}{% endif %}
{%- endfor %}
last={{ ns.last }}{{ ' think' if enable_thinking is not defined or enable_thinking else '' }}
{%- if documents is none and tools is none %} plain{% endif %}
{%- for role, group in messages|groupby('role') %} {{ role }}:{{ group|length }}{% endfor %}
{{- ' ' + messages|map(attribute='role')|join(',') }}
{{- ' ' + (messages|selectattr('role', 'equalto', 'user')|list|length)|string }}
{{- missing }}{{ messages[0].missing }}"""

# JSON as Python writes it, whitespace control, comments.
JSON = """{# a comment #}
{{ messages | tojson }}
{{ messages[0] | tojson(indent=2) }}
{{ {'float': 1.5, 'whole': 2.0, 'small': 0.00001, 'big': 1e16, 'list': [1, -2, [], {}], 'none': none, 'true': true, 'é<&>': 'it\\'s "q" \\\\ / \\t'} | tojson }}
{%+ if true +%}
  kept
{% endif -%}
   trimmed
{{- ' "a" '|trim }}
{% for key, value in {'b': 1, 'a': 2}.items() %}{{ key }}={{ value }};{% endfor %}

"""

# Every directive that the engine knows.
CLOCK = "{{ strftime_now('%Y-%m-%d %H:%M:%S %d %b %B %a %A %j %y %I %p %% %-d %F %T %e') }}"

TEMPLATES = {
    "dated": ({"chat_template": DATED, "bos_token": "<|bos|>"}, [True, False]),
    "tooled": ({"chat_template": TOOLED, "eos_token": "<|im_end|>"}, [True]),
    "alternating": ({"chat_template": ALTERNATING, "bos_token": "<s>", "eos_token": {"__type": "AddedToken", "content": "</s>"}}, [True]),
    "renamed": ({"chat_template": RENAMED, "bos_token": "<bos>"}, [True]),
    "methods": ({"chat_template": METHODS}, [True]),
    "json": ({"chat_template": JSON}, [True]),
    "clock": ({"chat_template": CLOCK}, [True]),
    "named": (
        {"chat_template": [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": RENAMED}], "bos_token": "<bos>"},
        [True],
    ),
}
TEMPLATE_CHATS = CHATS + [[("assistant", "first")], [("user", "a"), ("user", "b")], [("tool", "x")], [("user", "q"), ("assistant", "<think>hm\n</think>\n\nyes "), ("skip", "-"), ("user", "<reply>r</reply>")]]


def train():
    """Two small tokenizers of the kinds that the bundled models are not."""
    corpus = STRINGS + [content for chat in CHATS for _, content in chat]
    # Byte level, as GPT-2, Llama 3 and Qwen have it.
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    pattern = Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(pattern, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in ["<|begin|>", "<|im_start|>", "<|im_end|>"]])
    tokenizer.add_tokens([AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=False)])
    begin = ("<|begin|>", tokenizer.token_to_id("<|begin|>"))
    template = processors.TemplateProcessing(single="<|begin|> $A", pair="<|begin|> $A $B", special_tokens=[begin])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    save("byte-level", tokenizer, bos_token="<|begin|>", eos_token="<|im_end|>")
    # Metaspace and unigram pieces with byte fallback, as SentencePiece has it.
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
    trainer = trainers.UnigramTrainer(vocab_size=300, unk_token="<unk>", special_tokens=["<unk>", "<s>", "</s>"], show_progress=False)
    tokenizer.train_from_iterator([string for string in corpus if string.isascii()], trainer)
    state = json.loads(tokenizer.to_str())
    state["model"]["vocab"] += [[f"<0x{byte:02X}>", 0.0] for byte in range(256)]
    state["model"]["byte_fallback"] = True
    save("metaspace", Tokenizer.from_str(json.dumps(state)), bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def save(name, tokenizer, **config):
    folder = OWN / name
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def messages(chat):
    return [{"role": role, "content": content} for role, content in chat]


def byte_offsets(text, offsets):
    """Flat, in bytes; the library's binding counts characters."""
    return [len(text[:place].encode()) for pair in offsets for place in pair]


def reference(folder):
    path = (ROOT / folder).resolve()
    raw = Tokenizer.from_file(str(path / "tokenizer.json"))
    literal = Tokenizer.from_file(str(path / "tokenizer.json"))
    literal.encode_special_tokens = True
    # Offsets as the model gives them: a post-processor may trim the spaces of each token, and adds tokens
    # that are not in the text.
    bare = {special: Tokenizer.from_file(str(path / "tokenizer.json")) for special in [True, False]}
    for special, tokenizer in bare.items():
        tokenizer.post_processor = None
        tokenizer.encode_special_tokens = not special
    fast = PreTrainedTokenizerFast.from_pretrained(path)
    plain = PreTrainedTokenizerFast(tokenizer_file=str(path / "tokenizer.json"))
    auto = AutoTokenizer.from_pretrained(path)
    special = {id for id, token in raw.get_added_tokens_decoder().items() if token.special}
    # add_bos_token applies only if tokenizer.json has no post-processor; there the two agree.
    prompt = fast if raw.post_processor is None else plain
    strings = []
    for text in STRINGS:
        ids = prompt(text).input_ids
        strings.append({
            "text": text,
            "ids": ids,
            "literal_ids": literal.encode(text, add_special_tokens=False).ids,
            # Special tokens are removed by id, because decode(skip_special_tokens=True) misses those with
            # "normalized": true.
            "offsets": byte_offsets(text, bare[True].encode(text).offsets),
            "literal_offsets": byte_offsets(text, bare[False].encode(text).offsets),
            "decoded": raw.decode([id for id in ids if id not in special], skip_special_tokens=False),
        })
    chats = []
    if fast.chat_template:
        for chat in CHATS:
            for add in [True, False]:
                options = {"add_generation_prompt": add}
                text = fast.apply_chat_template(messages(chat), tokenize=False, **options)
                ids = fast.apply_chat_template(messages(chat), tokenize=True, return_dict=False, **options)
                assert ids == auto.apply_chat_template(messages(chat), tokenize=True, return_dict=False, **options), folder
                chats.append({"messages": messages(chat), "add_generation_prompt": add, "text": text, "ids": ids})
    return {
        "folder": folder,
        "vocab": max(raw.get_vocab(with_added_tokens=True).values()) + 1,
        "strings": strings,
        "chats": chats,
        "auto_differs": [entry["text"] for entry in strings if auto(entry["text"]).input_ids != entry["ids"]],
    }


def render(config, chat, add):
    """The text, or the message of raise_exception."""
    template = config["chat_template"]
    if isinstance(template, list):
        template = next(entry["template"] for entry in template if entry["name"] == "default")
    tokens = {name: token if isinstance(token, str) else token["content"] for name, token in config.items() if name.endswith("_token")}
    try:
        texts, _ = chat_template_utils.render_jinja_template([messages(chat)], chat_template=template, add_generation_prompt=add, **tokens)
        return {"text": texts[0]}
    except jinja2.exceptions.TemplateError as error:
        return {"error": str(error)}


def main():
    logging.disable(logging.WARNING)
    if not OWN.exists():
        train()

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return NOW

    chat_template_utils.datetime = Clock
    references = []
    for folder in FOLDERS:
        if (ROOT / folder / "tokenizer.json").exists():
            references.append(reference(folder))
        else:
            print(f"{folder} is not there: its values are left out")
    templates = [
        {
            "name": name,
            "config": config,
            "cases": [
                {"messages": messages(chat), "add_generation_prompt": add, **render(config, chat, add)} for chat in TEMPLATE_CHATS for add in prompts
            ],
        }
        for name, (config, prompts) in TEMPLATES.items()
    ]
    golden = {
        "made_by": {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__, "jinja2": jinja2.__version__},
        "now": int(NOW.replace(tzinfo=datetime.timezone.utc).timestamp()),
        "tokenizers": references,
        "templates": templates,
    }
    (HERE / "text.json").write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
