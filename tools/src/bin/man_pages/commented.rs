//! receiver.toml(5) and lab-host.toml(5), made from the examples in etc/, whose comments explain every key.
//!
//! A comment describes the key below it. A comment before an empty line describes its section, or at the top the file.
//! A key that is commented out has no default: its value is an example.

use crate::roff;

/// An example configuration.
#[derive(Debug)]
pub(crate) struct Example {
    /// The description of the file.
    pub(crate) about: String,
    /// The sections; keys above the first heading form a section without a name.
    pub(crate) sections: Vec<Section>,
}

/// One `[section]`.
#[derive(Debug, Default)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) keys: Vec<Key>,
}

/// One key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    /// The value in the file, without a comment mark.
    pub(crate) value: String,
    /// True if the key is commented out.
    pub(crate) is_form: bool,
    pub(crate) about: String,
}

/// A phrase in the comment of every key without a default.
const NEEDED: &str = "there is no default";

impl Example {
    /// Reads the text of an example.
    pub(crate) fn read(text: &str) -> Self {
        let mut example = Self { about: String::new(), sections: vec![Section::default()] };
        let mut comment: Vec<&str> = Vec::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let bare = line.strip_prefix("# ");
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                example.sections.push(Section { name: name.to_owned(), ..Section::default() });
            } else if let Some((name, value)) = assignment(bare.unwrap_or(line)) {
                let mut value = value.to_owned();
                if value == "\"\"\"" {
                    let rest = lines.by_ref().take_while(|line| *line != "\"\"\"");
                    value = rest.collect::<Vec<_>>().join("\n");
                }
                let about = std::mem::take(&mut comment).join(" ");
                let key = Key { name: name.to_owned(), value, is_form: bare.is_some(), about };
                example.section().keys.push(key);
            } else if let Some(words) = bare {
                comment.push(words);
            } else if line.is_empty() && !comment.is_empty() {
                let about = std::mem::take(&mut comment).join(" ");
                let at_top = example.sections.len() == 1 && example.about.is_empty();
                if at_top { example.about = about } else { example.section().about = about }
            }
        }
        example.sections.retain(|section| !section.keys.is_empty());
        example
    }

    fn section(&mut self) -> &mut Section {
        if self.sections.is_empty() {
            self.sections.push(Section::default());
        }
        let last = self.sections.len() - 1;
        &mut self.sections[last]
    }

    /// Returns the page of section 5 for `file`, which `program` reads.
    pub(crate) fn page(&self, file: &str, program: &str, see_also: &[&str]) -> String {
        let purpose = roff::inline(&format!("{file} - configuration of {program}"));
        let mut page = vec![
            format!(".TH {file} 5 \"\" \"{program} {}\"\n", env!("CARGO_PKG_VERSION")),
            roff::heading("NAME"),
            format!("{purpose}\n"),
            roff::heading("DESCRIPTION"),
            format!("{}\n.PP\n", roff::inline(&self.about)),
            "The file is TOML. A key without a default is shown with an example of its value.\n".to_owned(),
        ];
        for section in &self.sections {
            page.push(match section.name.as_str() {
                "" => roff::heading("KEYS ABOVE ALL SECTIONS"),
                name => roff::heading(&format!("SECTION [{name}]")),
            });
            if !section.about.is_empty() {
                page.push(format!("{}\n", roff::inline(&section.about)));
            }
            page.extend(section.keys.iter().map(Key::entry));
        }
        page.push(roff::heading("FILES"));
        page.push(roff::item(&format!("/etc/cis490/{file}"), "The file that the service reads."));
        let example = format!("/usr/share/doc/{program}/etc/{file}");
        page.push(roff::item(&example, "The example that this page is made from."));
        page.push(roff::heading("SEE ALSO"));
        page.push(format!("{}\n", see_also.join(",\n")));
        page.concat()
    }
}

impl Key {
    fn entry(&self) -> String {
        let item = roff::item(&self.name, &self.about);
        let label = if self.is_form || self.about.contains(NEEDED) { "Example" } else { "Default" };
        if self.value.contains('\n') {
            format!("{item}.RS\n.PP\n{label}:\n{}.RE\n", roff::block(&self.value))
        } else {
            format!("{item}.br\n{label}: {}\n", roff::bold(&self.value))
        }
    }
}

/// Splits `name = value` if the name can be a key.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(" = ")?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    is_name.then_some((name, value))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use cis490_receiver::config::ReceiverConfig;
    use cis490_shared::config_file::{ConfigError, Validate, parse};
    use cis490_shipper::config::Config;
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::{LAB_HOST_TOML, RECEIVER_TOML};

    /// Returns the keys of a section, or of the file if `section` is empty. The parser lists all keys if an unknown one
    /// resembles none of them.
    fn known<T: DeserializeOwned + Validate>(section: &str) -> Vec<String> {
        let heading = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
        match parse::<T>(&format!("{heading}zzzqqq = 1\n"), Path::new("x")) {
            Err(ConfigError::UnknownKey { hint, .. }) => {
                hint.split('`').skip(1).step_by(2).map(str::to_owned).collect()
            }
            Err(error) => panic!("[{section}]: {error}"),
            Ok(_) => panic!("[{section}] takes any key"),
        }
    }

    /// Checks that every key of the program has an entry with a description, and that every entry is a key.
    fn compare<T: DeserializeOwned + Validate>(text: &str) {
        let example = Example::read(text);
        assert!(!example.about.is_empty());
        let names =
            example.sections.iter().map(|section| section.name.clone()).filter(|name| !name.is_empty());
        let own = example.sections.iter().filter(|section| section.name.is_empty());
        let mut at_top: Vec<String> = names.collect();
        at_top.extend(own.flat_map(|section| section.keys.iter().map(|key| key.name.clone())));
        at_top.sort();
        let mut wanted = known::<T>("");
        wanted.sort();
        assert_eq!(at_top, wanted, "sections, and keys above them");
        for section in example.sections.iter().filter(|section| !section.name.is_empty()) {
            let mut found: Vec<&str> = section.keys.iter().map(|key| key.name.as_str()).collect();
            let mut wanted = known::<T>(&section.name);
            found.sort_unstable();
            wanted.sort();
            assert_eq!(found, wanted, "[{}]", section.name);
            for key in &section.keys {
                assert!(!key.about.is_empty(), "`{}.{}` is not explained", section.name, key.name);
                // The value of a table must name each of its keys.
                if key.value.starts_with('{') {
                    for inner in known::<T>(&format!("{}.{}", section.name, key.name)) {
                        assert!(key.value.contains(&format!("{inner} = ")), "`{}` lacks `{inner}`", key.name);
                    }
                }
            }
        }
    }

    #[test]
    fn every_key_of_receiver_toml_has_its_entry() {
        compare::<ReceiverConfig>(RECEIVER_TOML);
    }

    #[test]
    fn every_key_of_lab_host_toml_has_its_entry() {
        compare::<Config>(LAB_HOST_TOML);
    }

    #[test]
    fn an_example_is_taken_apart_into_sections_keys_and_what_is_said_of_them() {
        let text = "# About the file.\n\n# A name.\n# Needed; there is no default.\nid = \"x\"\n\n[a]\n# Of all.\n\n# One.\nb = 1\n\
                    # Form.\n# c = [\"d\"]\n# Long.\ne = \"\"\"\n.f\ng\n\"\"\"\n";
        let page = Example::read(text).page("x-y.toml", "p", &[]);
        let (_, body) = page.split_once(".SH \"KEYS").unwrap();
        let (body, _) = body.split_once(".SH \"FILES").unwrap();
        assert_eq!(
            body,
            " ABOVE ALL SECTIONS\"\n.TP\n\\fBid\\fR\nA name. Needed; there is no default.\n.br\nExample: \\fB\"x\"\\fR\n\
             .SH \"SECTION [a]\"\nOf all.\n.TP\n\\fBb\\fR\nOne.\n.br\nDefault: \\fB1\\fR\n\
             .TP\n\\fBc\\fR\nForm.\n.br\nExample: \\fB[\"d\"]\\fR\n\
             .TP\n\\fBe\\fR\nLong.\n.RS\n.PP\nDefault:\n.nf\n\\&.f\n\\&g\n.fi\n.RE\n"
        );
    }
}
