//! Token files: every name is valid, a token in the file is always found, and no error repeats the text after an `=`,
//! because it may be the token itself.
#![no_main]

use cis490_receiver::auth::tokens::{RANDOM_BYTES, Token, Tokens};
use cis490_shared::ids::HostId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let token = Token::of([7; RANDOM_BYTES]);
    let more = format!("{text}\nfuzzed = {}\n", token.hash());
    match Tokens::parse(text) {
        Ok(tokens) => {
            assert!(tokens.names().len() <= text.lines().count());
            assert!(tokens.names().into_iter().all(|name| HostId::parse(name.as_str()).as_ref() == Ok(name)));
            let tokens = Tokens::parse(&more).expect("a good line behind good lines");
            assert_eq!(tokens.owner(token.expose()).map(HostId::as_str), Some("fuzzed"));
            assert_eq!(tokens.owner(&token.hash().to_string()), None, "a hash is no token");
        }
        Err(error) => {
            assert_eq!(Tokens::parse(&more).as_ref().err(), Some(&error), "the first bad line is named");
            assert!(!error.to_string().contains(char::is_control), "{error}");
            assert_eq!(
                Tokens::parse(&without_secret(text, error.line)).err(),
                Some(error),
                "it says nothing of it"
            );
        }
    }
});

/// Returns the text with another value after the `=` of this line, or with another line if it has no `=`.
fn without_secret(text: &str, line: usize) -> String {
    let other = |text: &str| text.split_once('=').map_or("zz".to_owned(), |(name, _)| format!("{name}=zz"));
    let lines = text.lines().enumerate();
    lines.map(|(at, text)| if at + 1 == line { other(text) } else { text.to_owned() } + "\n").collect()
}
