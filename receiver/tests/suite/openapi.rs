//! Compares the OpenAPI description with the code: its paths, its errors and the members of every answer.

use std::collections::{BTreeMap, BTreeSet};

use cis490_shared::wire::path;
use cis490_shared::wire::problem::ErrorCode;
use serde_json::{Value, json};

use crate::support::{Answer, Request, STRANGE_COMMIT, TestReceiver};

const BODY: &[u8] = b"an archive, as far as anybody has looked";

fn description(receiver: &TestReceiver) -> Value {
    let answer = receiver.get(path::OPENAPI);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    answer.json()
}

#[test]
fn every_path_is_described_and_every_described_method_is_served() {
    let receiver = TestReceiver::start();
    let described = description(&receiver);
    let paths = described["paths"].as_object().unwrap();
    let expected = [
        format!("{}{{host}}/{{episode}}.tar.zst", path::EPISODES),
        path::PING.to_owned(),
        path::GATE.to_owned(),
        format!("{}/{{commit}}", path::GATE),
        path::HOST_HEALTH.to_owned(),
        format!("{}/{{host}}", path::HOST_HEALTH),
        path::HEALTH.to_owned(),
        path::OPENAPI.to_owned(),
    ];
    assert_eq!(paths.keys().cloned().collect::<BTreeSet<_>>(), BTreeSet::from(expected));
    for (template, item) in paths {
        let filled =
            template.replace("{commit}", STRANGE_COMMIT).replace("{host}", "h").replace("{episode}", "e");
        let methods = ["get", "head", "put", "post", "delete", "patch"];
        for method in methods {
            let status = receiver.request(&Request::new(&method.to_uppercase(), &filled)).status;
            let is_described = item.get(method).is_some();
            assert_eq!(status != 405, is_described, "{method} {filled}: {status}");
        }
    }
}

#[test]
fn every_error_has_its_status() {
    let described = description(&TestReceiver::start());
    let mut expected = BTreeMap::<String, Vec<&str>>::new();
    for code in ErrorCode::ALL {
        expected.entry(code.status().to_string()).or_default().push(code.as_str());
    }
    let codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    let mut described_codes =
        described["components"]["schemas"]["Problem"]["properties"]["error"]["enum"].clone();
    described_codes.as_array_mut().unwrap().sort_by_key(ToString::to_string);
    let mut sorted = codes.clone();
    sorted.sort_unstable();
    assert_eq!(described_codes, json!(sorted));
    for (status, codes) in expected {
        let text = described["components"]["responses"][&status]["description"].as_str().unwrap();
        for code in codes {
            assert!(text.contains(&format!("`{code}`")), "{status} does not name `{code}`: {text}");
        }
    }
}

/// Collects the members of `value` that `schema` does not describe, and those that the schema requires and `value`
/// lacks.
fn differences(schema: &Value, value: &Value, described: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let target = described.pointer(name.trim_start_matches('#')).unwrap();
        return differences(target, value, described, at, found);
    }
    let (Some(properties), Some(members)) = (schema["properties"].as_object(), value.as_object()) else {
        return;
    };
    for (name, value) in members {
        match properties.get(name) {
            Some(schema) => differences(schema, value, described, &format!("{at}.{name}"), found),
            None => found.push(format!("{at}.{name} is not described")),
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !members.contains_key(name) {
            found.push(format!("{at}.{name} is required and missing"));
        }
    }
}

#[test]
fn every_answer_has_the_members_that_are_described() {
    let receiver = TestReceiver::start();
    let described = description(&receiver);
    let mut found = Vec::new();
    let mut check = |path: &str, method: &str, answer: &Answer| {
        let response = &described["paths"][path][method]["responses"][answer.status.to_string()];
        let response = match response["$ref"].as_str() {
            Some(name) => described.pointer(name.trim_start_matches('#')).unwrap(),
            None => response,
        };
        let content =
            response["content"].as_object().unwrap_or_else(|| panic!("{method} {path}: {}", answer.status));
        let media_type = answer.header("content-type").unwrap();
        let schema = &content.get(media_type).unwrap_or_else(|| panic!("{path}: {media_type}"))["schema"];
        differences(schema, &answer.json(), &described, path, &mut found);
    };
    let episode = "/v1/episodes/{host}/{episode}.tar.zst";
    check(episode, "put", &receiver.request(&receiver.put("lab-1", "E1", BODY)));
    check(episode, "put", &receiver.request(&receiver.put("lab-1", "E1", BODY)));
    check(episode, "put", &receiver.request(&receiver.put("lab-1", "E1", b"other")));
    let strange = receiver.put("lab-1", "E2", BODY).without("x-cis490-code-commit");
    check(episode, "put", &receiver.request(&strange.clone()));
    check(episode, "put", &receiver.request(&strange.header("x-cis490-code-commit", STRANGE_COMMIT)));
    check("/v1/ping", "post", &receiver.request(&Request::new("POST", "/v1/ping").body(b"")));
    check("/v1/gate", "get", &receiver.get("/v1/gate"));
    for commit in [receiver.head.as_str(), STRANGE_COMMIT, "short"] {
        check("/v1/gate/{commit}", "get", &receiver.get(&format!("/v1/gate/{commit}")));
    }
    let report = Request::new("PUT", "/v1/host-health/lab-1").body(b"{}");
    check("/v1/host-health/{host}", "put", &receiver.request(&report));
    check("/v1/host-health", "get", &receiver.get("/v1/host-health"));
    check("/v1/health", "get", &receiver.get("/v1/health"));
    assert!(found.is_empty(), "{found:#?}");
}
