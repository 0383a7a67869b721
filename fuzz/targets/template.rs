//! Any template and any messages give text of bounded length or BAD_TEMPLATE, and always end.
#![no_main]

use fireside::{ChatTemplate, Message, Now};
use fireside_fuzz::text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // A line of three dashes separates the template from the messages.
    let source = text(data);
    let mut parts = source.split("\n---\n");
    let template = parts.next().unwrap_or_default();
    let roles = ["system", "user", "assistant"].into_iter().cycle();
    let messages: Vec<Message> = parts.zip(roles).map(|(content, role)| Message::new(role, content)).collect();

    let compiled = match ChatTemplate::from_files(None, Some(template)) {
        Ok(compiled) => compiled,
        Err(error) => {
            assert!(matches!(error.code(), "BAD_TEMPLATE" | "NOT_A_MODEL_FILE"), "{error}");
            return;
        }
    };
    let special = [("<|im_end|>".to_string(), 2)];
    let now = Now { unix_seconds: 1_800_000_000, utc_offset_minutes: 60 };
    let render = || compiled.render(&messages, true, &special, Some(now));
    match render() {
        Ok(rendered) => {
            // 1 MiB and four times the messages, in which a marker of three bytes may become ten.
            assert!(rendered.text.len() <= 4 * ((1 << 20) + 4 * source.len() + 64), "{} bytes", rendered.text.len());
            assert_eq!(render().map(|again| again.text), Ok(rendered.text));
        }
        Err(error) => assert_eq!(error.code(), "BAD_TEMPLATE", "{error}"),
    }
});
