use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::catalog::files::EXAMPLE_BYTES_MAX;

mod listing;
mod tenant_file;

/// A good catalog; a case adds files to it, or replaces some.
const GOOD: &[(&str, &str)] = &[
    ("shop/tenant.toml", ""),
    ("shop/common/money.json", r#"{"type": "integer", "minimum": 0}"#),
    (
        "shop/order.created/1.json",
        r#"{"type": "object", "properties": {"total": {"$ref": "../common/money.json"}}, "required": ["total"]}"#,
    ),
    ("shop/order.created/3.json", r#"{"type": "object", "required": ["amount"]}"#),
    ("shop/order.created/examples/valid/one.json", r#"{"total": 1, "amount": 1}"#),
    ("shop/order.created/examples/invalid/empty.json", "{}"),
];

/// A directory that is removed with all that is in it, also when its test fails.
struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    fn with(files: &[(&str, &str)]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("event-processor-catalog-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = Self(std::env::temp_dir().join(name));
        for (path, text) in files {
            directory.write(path, text);
        }
        directory
    }

    /// Writes a file; one whose name ends in a slash is a directory.
    fn write(&self, path: &str, text: &str) {
        let file = self.0.join(path);
        let is_directory = path.ends_with('/');
        let parent = if is_directory { Some(file.as_path()) } else { file.parent() };
        std::fs::create_dir_all(parent.expect("a file below the directory has a parent")).expect(path);
        if !is_directory {
            std::fs::write(&file, text).expect(path);
        }
    }

    /// What is wrong with the catalog in it, a line each, paths from the directory.
    fn problems(&self) -> String {
        let prefix = format!("{}/", self.0.display());
        let problems = read(&self.0).err().unwrap_or_default();
        let lines: Vec<_> = problems.iter().map(|problem| problem.to_string().replace(&prefix, "")).collect();
        lines.join("\n")
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        // A directory that stays behind is no reason to fail.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Adds files to the good catalog and compares what is wrong with it then.
fn check(files: &[(&str, &str)], expected: &str) {
    let directory = TemporaryDirectory::with(GOOD);
    for (path, text) in files {
        directory.write(path, text);
    }
    assert_eq!(directory.problems(), expected, "{files:?}");
}

#[test]
fn a_good_directory_is_read_as_it_is_declared() {
    let directory = TemporaryDirectory::with(GOOD);
    directory.write(
        "shop/tenant.toml",
        r#"
        name = "Shop"
        allowed_senders = ["AROAEXAMPLEEXAMPLE12"]
        [event_types."order.created"]
        default_version = 1
        [clients."welcome.email"]
        retry = { initial = "1s", factor = 2, cap = "1h", attempts = 6 }
        settings = { channel = "http", url = "https://api.example.com/", body = { since = 2026-01-02T03:04:05Z, tags = ["a"], deep = { on = true } } }
        [clients.billing]
        name = "Billing"
        [[subscriptions]]
        client = "welcome.email"
        events = ["order.*", "*"]
        [[subscriptions]]
        client = "billing"
        events = ["order.created"]
        "#,
    );
    directory.write("blog/tenant.toml", "");
    directory.write("blog/tenant.toml~", "an editor's backup");
    directory.write(".git/config", "hidden");

    let declaration = read(&directory.0).expect("a good directory");

    assert_eq!(declaration.summary().to_string(), "2 tenants, 1 event type, 2 schemas, 2 examples, 2 clients, 3 subscriptions");
    let [blog, shop] = &declaration.tenants[..] else { panic!("two tenants") };
    assert_eq!((blog.name.as_str(), shop.name.as_str()), ("blog", "Shop"));
    assert_eq!(shop.event_types[0].default_version, Some(1));
    let versions: Vec<_> = shop.event_types[0].schemas.iter().map(|schema| schema.schema_version).collect();
    assert_eq!(versions, [1, 3]);
    let [billing, welcome] = &shop.clients[..] else { panic!("two clients") };
    assert_eq!((billing.name.as_str(), &billing.retry), ("Billing", &None));
    assert_eq!(
        serde_json::json!([welcome.name, welcome.retry, welcome.settings]).to_string(),
        r#"["welcome.email",{"attempts":6,"cap_ms":3600000,"factor":2.0,"initial_ms":1000},{"body":{"deep":{"on":true},"since":"2026-01-02T03:04:05Z","tags":["a"]},"channel":"http","url":"https://api.example.com/"}]"#
    );
    let subscriptions: Vec<_> = shop.subscriptions.iter().map(|one| format!("{} {}", one.client_id, one.event_pattern)).collect();
    assert_eq!(subscriptions, ["billing order.created", "welcome.email *", "welcome.email order.*"]);
}

#[test]
fn the_formatting_of_a_schema_and_of_what_it_refers_to_does_not_change_its_digest_and_their_content_does() {
    let digest = |money: &str| {
        let directory = TemporaryDirectory::with(GOOD);
        directory.write("shop/common/money.json", money);
        directory.write("shop/tenant.toml", "[event_types.\"order.created\"]\ndefault_version = 1");
        read(&directory.0).expect(money).tenants[0].event_types[0].schemas[0].digest
    };
    let published = digest(r#"{"type": "integer", "minimum": 0}"#);
    assert_eq!(published, digest("{\n  \"minimum\" : 0.0,\n  \"type\": \"integ\\u0065r\"\n}\n"));
    assert_ne!(published, digest(r#"{"type": "integer", "minimum": 1}"#));
}

#[test]
fn a_directory_that_is_none_or_holds_no_tenant_is_refused() {
    let directory = TemporaryDirectory::with(&[(".hidden", "")]);
    let location = directory.0.display().to_string();
    assert_eq!(
        directory.problems(),
        format!("{location}: holds no tenant; give the directory that holds the tenants' directories, such as `schemas`")
    );
    let missing = read(&directory.0.join("missing")).expect_err("a missing directory");
    assert_eq!(
        missing[0].to_string(),
        format!("{location}/missing: cannot be listed (No such file or directory (os error 2)); is it a directory that you may read?")
    );
}

#[test]
fn all_problems_are_told_at_once_sorted_by_file() {
    check(
        &[("shop/tenant.toml", "nmae = 1"), ("shop/common/broken.json", "{"), ("blog/note", ""), ("zoo.json", "")],
        "\
blog: has no tenant.toml; add one (it may be empty), or take the directory out
blog/note: has no place here; a tenant's directory holds tenant.toml, common/ and a directory for each event type
shop/common/broken.json: is not JSON that can be used: line 1, column 2: a name in double quotes is expected
shop/tenant.toml: nmae: is not a field; known here: name, allowed_senders, rate_limit, rate_burst, event_types, clients, subscriptions
zoo.json: has no place here; a catalog holds one directory for each tenant",
    );
}

#[cfg(unix)]
#[test]
fn links_that_lead_out_of_the_directory_are_not_followed() {
    let secret = TemporaryDirectory::with(&[("secret.json", "{}"), ("tenant.toml", "")]);
    let directory = TemporaryDirectory::with(GOOD);
    for (target, link) in [("secret.json", "shop/common/secret.json"), ("secret.json", "shop/order.created/4.json"), (".", "linked")] {
        std::os::unix::fs::symlink(secret.0.join(target), directory.0.join(link)).expect(link);
    }
    directory.write("crm/tenant.toml", "");
    std::os::unix::fs::symlink("../../crm/tenant.toml", directory.0.join("shop/common/of_another.json")).expect("a link");
    std::os::unix::fs::symlink("nowhere", directory.0.join("shop/common/broken.json")).expect("a link");
    let sentence = "is a symbolic link that leads out of its tenant's or the catalog's directory; put the file itself here";
    assert_eq!(
        directory.problems(),
        format!(
            "linked: {sentence}\nshop/common/broken.json: cannot be looked at (No such file or directory (os error 2))\nshop/common/of_another.json: {sentence}\nshop/common/secret.json: {sentence}\nshop/order.created/4.json: {sentence}"
        )
    );
}

#[cfg(unix)]
#[test]
fn a_directory_as_kubernetes_mounts_a_config_map_is_read_and_holds_what_its_link_leads_to() {
    use std::os::unix::fs::symlink;
    let directory = TemporaryDirectory::with(&[]);
    for (version, minimum) in [("..2026_11_30_1", 0), ("..2026_11_30_2", 1)] {
        for (path, text) in GOOD {
            directory.write(&format!("{version}/{path}"), text);
        }
        directory.write(&format!("{version}/shop/common/money.json"), &format!("{{\"minimum\": {minimum}}}"));
    }
    symlink("..2026_11_30_1", directory.0.join("..data")).expect("a link");
    symlink("..data/shop", directory.0.join("shop")).expect("a link");
    let digest = || {
        let declaration = read(&directory.0).unwrap_or_else(|problems| panic!("{problems:?}"));
        assert_eq!(declaration.summary().to_string(), "1 tenant, 1 event type, 2 schemas, 2 examples, 0 clients, 0 subscriptions");
        declaration.tenants[0].event_types[0].schemas[0].digest
    };
    let before = digest();
    symlink("..2026_11_30_2", directory.0.join("..data_tmp")).expect("a link");
    std::fs::rename(directory.0.join("..data_tmp"), directory.0.join("..data")).expect("swapped");
    std::fs::remove_dir_all(directory.0.join("..2026_11_30_1")).expect("removed");
    assert_ne!(digest(), before);
}

#[test]
fn files_that_are_not_json_within_the_limits_are_refused_at_their_place() {
    let example = "shop/order.created/examples/valid/one.json";
    let deep = "[".repeat(65);
    for (text, expected) in [
        ("{\"a\": 1,\n \"a\": 2}", "is not JSON that can be used: line 2, column 5: a key that its object already has"),
        (deep.as_str(), "is not JSON that can be used: line 1, column 65: more than 64 levels of nesting"),
        ("1e400", "is not JSON that can be used: line 1, column 6: a number of more than 64 digits or beyond the range of a double"),
        ("\u{feff}{}", "is not JSON that can be used: it must be UTF-8, yet this begins with a byte-order mark: leave that out"),
        ("{\0\"\0a\0", "is not JSON that can be used: it must be UTF-8, yet this is UTF-16: encode it as UTF-8"),
        ("nothing", "is not JSON that can be used: line 1, column 1: an unknown word; strings stand in double quotes"),
        (&" ".repeat(EXAMPLE_BYTES_MAX + 1), "is larger than 1024 KiB, which is the limit; make it smaller"),
    ] {
        check(&[(example, text)], &format!("{example}: {expected}"));
    }
    let schema = "shop/order.created/2.json";
    check(
        &[(schema, &" ".repeat(SCHEMA_BYTES_MAX + 1))],
        &format!("{schema}: is larger than 256 KiB, which is the limit; make it smaller"),
    );
}

#[test]
fn examples_must_be_what_they_are_said_to_be_under_the_default_version() {
    let examples = "shop/order.created/examples";
    let invalid = format!("{examples}/invalid/total.json");
    check(
        &[(&invalid, r#"{"amount": "1"}"#)],
        &format!("{invalid}: is in `invalid/` but keeps every rule of order.created/3.json; make it break one, or move it to `valid/`"),
    );
    let valid = format!("{examples}/valid/total.json");
    let default = "[event_types.\"order.created\"]\ndefault_version = 1";
    check(
        &[("shop/tenant.toml", default), (&valid, r#"{"total": -1}"#)],
        &format!(
            "{valid}: is in `valid/` but breaks order.created/1.json: /total: expected at least 0, found number (common/money.json#/minimum); \
             mend it, or move it to `invalid/`"
        ),
    );
}

#[test]
fn a_reference_leads_to_a_file_of_the_tenant_or_nowhere() {
    let advice = "refer to a file of the same tenant, such as `../common/money.json#/$defs/price`";
    let missing = "is referred to, but there is no such file in the tenant's directory; add it, or mend the reference";
    for (reference, expected) in [
        ("../common/missing.json", format!(": common/missing.json: {missing}")),
        ("../tenant.toml", format!(": tenant.toml: {missing}")),
        ("examples/valid/one.json", format!(": order.created/examples/valid/one.json: {missing}")),
        (
            "../../shop/common/money.json",
            format!("#/properties/amount/$ref: `../../shop/common/money.json` leads out of the tenant's directory; {advice}"),
        ),
        (
            "https://example.com/a.json",
            format!(
                "#/properties/amount/$ref: `https://example.com/a.json` is the `$id` of no schema of the tenant's, and nothing is ever fetched; {advice}"
            ),
        ),
    ] {
        let schema = format!(r#"{{"required": ["amount"], "properties": {{"amount": {{"$ref": "{reference}"}}}}}}"#);
        check(&[("shop/order.created/3.json", &schema)], &format!("shop/order.created/3.json: {}", expected.trim_start_matches(": ")));
    }
}

#[test]
fn a_schema_that_cannot_be_admitted_is_named_once_and_what_refers_to_it_is_not() {
    let schema = r#"{"required": ["amount"], "properties": {"amount": {"$ref": "../common/money.json"}}}"#;
    let more = [("shop/order.created/3.json", schema), ("shop/order.created/4.json", schema)];
    let problems = |money| {
        let mut files = more.to_vec();
        files.push(("shop/common/money.json", money));
        files
    };
    check(
        &problems("nothing"),
        "shop/common/money.json: is not JSON that can be used: line 1, column 1: an unknown word; strings stand in double quotes",
    );
    let directory = TemporaryDirectory::with(GOOD);
    for (path, text) in problems(r#"{"pattern": "(?=a)"}"#) {
        directory.write(path, text);
    }
    let told = directory.problems();
    assert!(told.starts_with("shop/common/money.json: #: the regular expression ") && told.lines().count() == 1, "{told}");
}

#[test]
fn what_a_draft_ignores_is_told_once_with_its_file_and_is_no_problem() {
    let directory = TemporaryDirectory::with(GOOD);
    directory.write("shop/common/money.json", r#"{"type": "integer", "minimun": 0}"#);
    directory.write("shop/order.created/4.json", r#"{"required": ["amount"], "properties": {"amount": {"$ref": "../common/money.json"}}}"#);
    let warnings = read(&directory.0).expect("a good directory").warnings;
    let [warning] = &warnings[..] else { panic!("one warning: {warnings:?}") };
    assert!(warning.file.ends_with("shop/common/money.json") && warning.message.starts_with("#/minimun: is no keyword"), "{warning}");
}
