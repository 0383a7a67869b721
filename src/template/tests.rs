use super::*;
#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn message(role: &str, content: &str) -> Message {
    Message::new(role, content)
}

fn render(template: &str, content: &str) -> Result<Rendered> {
    let template = ChatTemplate::from_files(None, Some(template))?;
    template.render(&[message("user", content)], true, &[("<|end|>".into(), 1), ("<|end|>>".into(), 2)], None)
}

fn text(template: &str) -> String {
    render(template, "hi").expect("rendered").text
}

fn error(template: &str) -> String {
    let error = render(template, "hi").expect_err("an error");
    assert_eq!(error.code(), "BAD_TEMPLATE");
    error.to_string()
}

#[test]
fn a_model_without_a_template_gets_chatml_and_says_so() {
    for config in
        [None, Some(&b"{}"[..]), Some(b"{\"chat_template\": null}"), Some(b"{\"chat_template\": \"\"}"), Some(b"{\"chat_template\": []}")]
    {
        let template = ChatTemplate::from_files(config, None).expect("ChatML");
        assert_eq!(template.source(), TemplateSource::ChatMl);
        let rendered = template.render(&[message("user", " hi\n")], true, &[], None).expect("rendered");
        assert_eq!(rendered.text, "<|im_start|>user\n hi\n<|im_end|>\n<|im_start|>assistant\n");
    }
}

#[test]
fn the_file_of_its_own_wins_over_the_config() {
    let config = br#"{"chat_template": "config {{ bos_token }}", "bos_token": {"content": "<s>"}}"#;
    let text = |file| {
        let template = ChatTemplate::from_files(Some(config), file).expect("a template");
        assert_eq!(template.source(), TemplateSource::Model);
        template.render(&[], false, &[], None).expect("rendered").text
    };
    assert_eq!(text(None), "config <s>");
    assert_eq!(text(Some("file {{ bos_token }}")), "file <s>");
}

#[test]
fn several_templates_without_a_default_are_an_error_that_names_them() {
    let config = br#"{"chat_template": [{"name": "rag", "template": "a"}, {"name": "tool_use", "template": "b"}]}"#;
    let template = ChatTemplate::from_files(Some(config), None).expect("a model that can do without");
    let error = template.error().expect("an error");
    assert_eq!((error.code(), template.source()), ("BAD_TEMPLATE", TemplateSource::Broken));
    assert!(error.to_string().contains(r#"named "rag", "tool_use""#), "{error}");
}

/// A model whose template could not be compiled did not load, though it could continue a text.
#[test]
fn a_template_that_cannot_be_used_says_so_when_it_is_used() {
    let config = |json: &str| TokenizerConfig::from_json(json.as_bytes()).expect("a config");
    let broken = config(r#"{"chat_template": "{% for x in 1, 2 %}{% if %}"}"#);
    let several = config(r#"{"chat_template": {"rag": "R"}}"#);
    for (config, file, detail) in [
        (&broken, None, "syntax error"),
        (&several, None, "none named \"default\""),
        (&several, Some(&b"{% if %}"[..]), "syntax error"),
        (&broken, Some(b"hi \xff"), "chat_template.jinja is not UTF-8: byte 3 is 0xff"),
    ] {
        let template = ChatTemplate::new(config, file).expect("a model that can do without");
        assert_eq!(template.source(), TemplateSource::Broken);
        assert_eq!(template.message_fields(), ["role", "content"]);
        let error = template.render(&[message("user", "hi")], true, &[], None).unwrap_err();
        assert_eq!((Some(&error), error.code()), (template.error(), "BAD_TEMPLATE"));
        assert!(error.to_string().contains(detail), "{error}");
        // The remedy of the message.
        let own = ChatTemplate::new(config, Some(b"{{ messages[0].content }}")).expect("a template");
        assert_eq!(own.render(&[message("user", "hi")], true, &[], None).expect("rendered").text, "hi");
    }
}

#[test]
fn a_page_in_place_of_a_template_is_named() {
    let error = ChatTemplate::from_files(None, Some("<!DOCTYPE html><p>Not found")).unwrap_err();
    assert_eq!(error.code(), "NOT_A_MODEL_FILE");
    assert!(ChatTemplate::from_files(None, Some("<|im_start|>{{ messages }}")).is_ok());
}

#[test]
fn what_a_template_refuses_is_passed_on() {
    let message = error("\n{% if messages %}{{ raise_exception('Roles must alternate') }}{% endif %}");
    assert_eq!(
        message,
        "chat template: it refuses these messages: Roles must alternate (line 2). Pass a working template as `chatTemplate`, or use `generate` with a prompt of your own."
    );
}

#[test]
fn a_broken_template_is_an_error_with_its_line() {
    assert!(error("\n\n{% if %}").contains("(line 3)"));
    assert!(error("{{ nothing() }}").contains("nothing"));
    assert!(error("{{ 1|imaginary }}").contains("imaginary"));
    assert!(error("{{ missing.field }}").contains("undefined"));
    assert!(error("{% include 'x' %}").contains("`include`"));
    assert!(error("{% import 'x' as x %}").contains("`import`"));
}

/// The values of jinja2 3.1.6, or an error where it has one or a number goes beyond 127 bits.
#[test]
fn the_largest_numbers_overflow_nowhere() {
    let min = "(-(2**126)*2)";
    let text = |template: &str| text(&template.replace("MIN", min));
    for (template, want) in [
        ("{{ MIN in range(5, 0, -1) }} {{ 2**126 in range(-5, 5) }}", "False False"),
        ("{{ 3 in range(5, 0, -2) }} {{ 2 in range(5, 0, -2) }} {{ 5 in range(5, 0, -2) }}", "True False True"),
        ("{{ MIN % -1 }} {{ MIN % 3 }} {{ 2**126 % MIN }} {{ MIN % (2**126 + 1) }}", "0 1 -85070591730234615865843651857942052864 2"),
        ("{{ -7 % 2 }} {{ 7 % -2 }} {{ -6 % 3 }}", "1 -1 0"),
        (
            "{{ 'abc'|truncate(2**126 + (2**126 - 1), leeway=5) }} {{ 'abcdefghij'|truncate(5, leeway=2**126 + (2**126 - 1)) }}",
            "abc abcdefghij",
        ),
        (
            "{{ (14 * 10**37)|round(-38) }} {{ (2**126)|round(-38) }}",
            "100000000000000000000000000000000000000 100000000000000000000000000000000000000",
        ),
        (
            "{{ MIN|round(-2) }} {{ 25|round(-1) }} {{ 35|round(-1) }} {{ -25|round(-1) }}",
            "-170141183460469231731687303715884105700 20 40 -20",
        ),
        ("{{ range(10)[::-3] }} {{ range(0, 1)[::5] }}", "range(9, -1, -3) range(0, 1, 5)"),
    ] {
        assert_eq!(text(template), want, "{template}");
    }
    for (template, want) in [
        ("{{ (15 * 10**37)|round(-38) }}", "round gives an int of more than 127 bits"),
        ("{{ MIN|round(-38) }}", "round gives an int of more than 127 bits"),
        ("{{ 1|round(MIN) }}", "round has a precision of more than 300"),
        ("{{ MIN // -1 }}", "// gives an int of more than 127 bits"),
        ("{{ '%*d' % (MIN, 1) }}", "chat template: "),
        ("{{ range(0, 1, 2**62)[::2] }}", "a range has a bound beyond 64 bits"),
    ] {
        let message = error(&template.replace("MIN", min));
        assert!(message.contains(want), "{template}: {message}");
    }
}

#[test]
fn absent_things_are_none_and_an_absent_clock_is_not_defined() {
    assert_eq!(
        text("{{ tools is none }} {{ documents is none }} {{ strftime_now is defined }} {{ bos_token is defined }}"),
        "True True False False"
    );
    let template = ChatTemplate::from_files(None, Some("{{ strftime_now('%d %b %Y') }}")).expect("a template");
    let now = Now { unix_seconds: 0, utc_offset_minutes: -60 };
    assert_eq!(template.render(&[], true, &[], Some(now)).expect("rendered").text, "31 Dec 1969");
}

/// As jinja2 3.1.6 has it for dicts with and without the keys.
#[test]
fn a_name_and_a_thought_are_there_for_templates_that_read_them() {
    let source = "{% for message in messages %}{{ message.name if message.name is defined else '-' }}:\
        {% if message.reasoning_content is string %}<think>{{ message['reasoning_content'] }}</think>{% endif %}{{ message.content }};{% endfor %}";
    let template = ChatTemplate::from_files(None, Some(source)).expect("a template");
    let named = Message { name: Some("Ada".into()), ..message("user", "Hi") };
    let thought = Message { reasoning_content: Some("A <|end|>?".into()), ..message("assistant", "Ho") };
    let rendered = template.render(&[named, thought, message("user", "")], true, &[("<|end|>".into(), 1)], None).expect("rendered");
    assert_eq!(rendered.text, "Ada:Hi;-:<think>A <|end|>?</think>Ho;-:;");
    assert_eq!(rendered.marks.len(), 1); // these are a caller's strings too
}

#[test]
fn a_template_is_parsed_once_when_it_is_loaded() {
    let parses = || program::PARSES.with(std::cell::Cell::get);
    let before = parses();
    let template = ChatTemplate::from_files(None, Some("{{ messages[0].content }}{{ effort }}")).expect("a template");
    let messages = [message("user", "hi")];
    let kwargs = serde_json::from_value(serde_json::json!({"effort": "low"})).expect("kwargs");
    template.check(&messages).expect("fields that it reads");
    template.check_kwargs(&kwargs).expect("a switch that it reads");
    assert_eq!((template.message_fields(), template.switches()), (vec!["role", "content"], vec!["effort".to_owned()]));
    for _ in 0..3 {
        assert_eq!(template.render_with(&messages, true, &kwargs, &[], None).expect("rendered").text, "hilow");
    }
    assert_eq!(parses() - before, 1);
}

#[test]
fn a_template_may_be_rendered_again_and_again() {
    let template = ChatTemplate::from_files(None, None).expect("ChatML");
    let render = || template.render(&[message("user", &"a".repeat(100_000))], true, &[], None).expect("rendered");
    assert_eq!(render(), render());
}
