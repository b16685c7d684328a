use super::check;

#[test]
fn what_has_no_place_in_the_directory_is_named() {
    let version =
        "has no place here; an event type's directory holds its versions 1.json, 2.json ... (a number without leading zeros) and examples/";
    for (path, expected) in [
        ("README.md", "README.md: has no place here; a catalog holds one directory for each tenant".to_owned()),
        (
            "queues.toml",
            "queues.toml: is not supported by this build yet; name the queues in the variable QUEUES and take the file out".to_owned(),
        ),
        (
            "Shop/tenant.toml",
            "Shop: is not a tenant's name: 1-100 of a-z, 0-9, dot, underscore and hyphen, the first a letter or digit; rename it"
                .to_owned(),
        ),
        ("blog/", "blog: has no tenant.toml; add one (it may be empty), or take the directory out".to_owned()),
        (
            "shop/notes.txt",
            "shop/notes.txt: has no place here; a tenant's directory holds tenant.toml, common/ and a directory for each event type"
                .to_owned(),
        ),
        (
            "shop/bestellung.geändert/1.json",
            "shop/bestellung.geändert: is not an event type's name: 1-128 printable ASCII characters; rename it".to_owned(),
        ),
        ("shop/order.paid/", "shop/order.paid: has no version of a schema; add 1.json, or take the directory out".to_owned()),
        ("shop/order.created/01.json", format!("shop/order.created/01.json: {version}")),
        ("shop/order.created/v1.json", format!("shop/order.created/v1.json: {version}")),
        ("shop/order.created/0.json", format!("shop/order.created/0.json: {version}")),
        ("shop/order.created/9999999999.json", format!("shop/order.created/9999999999.json: {version}")),
        ("shop/order.created/4.json/", format!("shop/order.created/4.json: {version}")),
        (
            "shop/order.created/event_type.toml",
            "shop/order.created/event_type.toml: is not supported by this build yet; take it out, and use a name that a directory can have"
                .to_owned(),
        ),
        ("shop/common/deep/", "shop/common/deep: has no place here; common/ holds shared definitions, as `....json` files".to_owned()),
        (
            "shop/order.created/examples/one.json",
            "shop/order.created/examples/one.json: has no place here; examples are payloads in `valid/` and `invalid/`".to_owned(),
        ),
        (
            "shop/order.created/examples/valid/one.txt",
            "shop/order.created/examples/valid/one.txt: is not an example; an example is a file with a payload, named `....json`"
                .to_owned(),
        ),
    ] {
        check(&[(path, "")], &expected);
    }
}
