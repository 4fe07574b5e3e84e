//! Both configurations: the addresses of an accepted text can be used, and an unknown key is never ignored.
#![no_main]

use std::path::Path;

use cis490_receiver::config::ReceiverConfig;
use cis490_shared::config_file::{ConfigError, Validate, parse};
use cis490_shipper::config::{Config, ReceiverUrl};
use libfuzzer_sys::fuzz_target;
use serde::de::DeserializeOwned;

const UNKNOWN: &str = "not_a_key_of_ours";

fuzz_target!(|text: &str| {
    if let Some(receiver) = taken::<ReceiverConfig>(text, "receiver.toml") {
        receiver.server.listeners().expect("what was validated can be listened on");
        assert!(receiver.version_gate.window > 0 || !receiver.version_gate.enabled);
    }
    if let Some(shipper) = taken::<Config>(text, "lab-host.toml") {
        assert_ne!(shipper.host_id.as_str(), "REPLACE_ME");
        assert!(shipper.paths.data_root.is_absolute());
        let url = shipper.receiver.url;
        assert_eq!(ReceiverUrl::parse(&url.to_string()).as_ref(), Ok(&url), "an address is what it says");
        assert!(!url.host().is_empty() && !url.host().contains(['/', '@']), "{url}");
    }
});

fn taken<T: DeserializeOwned + Validate>(text: &str, name: &str) -> Option<T> {
    let name = Path::new(name);
    match parse::<T>(text, name) {
        Ok(config) => {
            // A byte order mark is only allowed at the beginning.
            let more = format!("{UNKNOWN} = 1\n{}", text.trim_start_matches('\u{feff}'));
            match parse::<T>(&more, name) {
                Err(ConfigError::UnknownKey { key, line: 1, .. }) => assert_eq!(key, UNKNOWN),
                Err(other) => panic!("{other}"),
                Ok(_) => panic!("an unknown key was passed over"),
            }
            Some(config)
        }
        Err(error) => {
            assert!(error.to_string().contains(&name.display().to_string()), "{error}");
            None
        }
    }
}
