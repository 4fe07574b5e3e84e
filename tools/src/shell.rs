//! Paths quoted for a shell and safe on a terminal, because a name in the store can hold any bytes.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Quotes the path as one word of bash. A plain name stays as it is.
pub fn quoted(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(byte);
    match path.to_str() {
        Some(text) if !text.is_empty() && bytes.iter().all(is_plain) && !text.starts_with('-') => {
            text.to_owned()
        }
        Some(text)
            if !text.is_empty()
                && !text.chars().any(|c| c.is_control() || c == '\'')
                && !text.starts_with('-') =>
        {
            format!("'{text}'")
        }
        _ => ansi_quoted(bytes),
    }
}

/// Quotes with bash escapes. A name with a leading dash, which would be a flag, gets `./` before it.
fn ansi_quoted(bytes: &[u8]) -> String {
    let prefix = if bytes.starts_with(b"-") { "./" } else { "" };
    let escaped = bytes.iter().map(|byte| match byte {
        b'\'' | b'\\' => format!("\\{}", char::from(*byte)),
        b' '..=b'~' => char::from(*byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    });
    format!("$'{prefix}{}'", escaped.collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_quoted_path_is_that_path_to_a_shell() {
        let names: [&[u8]; 9] = [
            b"/var/lib/cis490/episodes/h1/e1.tar.zst",
            b"with blanks and $(touch x) `x` \"x\" *",
            b"it's",
            b"back\\slash",
            b"'\\''",
            b"line\nbreak\x1b[2J",
            b"\xff\xfe",
            "h\u{f6}st".as_bytes(),
            b"",
        ];
        for name in names {
            let word = quoted(Path::new(OsStr::from_bytes(name)));
            assert!(word.chars().all(|c| !c.is_control()), "{word:?}");
            let told = Command::new("bash").arg("-c").arg(format!("printf %s {word}")).output().unwrap();
            assert_eq!(told.stdout, name, "{word}");
        }
        assert_eq!(quoted(Path::new("/a/b-1_2.x")), "/a/b-1_2.x");
        assert_eq!(quoted(Path::new("-rf")), "$'./-rf'");
    }
}
