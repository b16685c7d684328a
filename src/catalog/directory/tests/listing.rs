use super::{GOOD, TemporaryDirectory, check, read};

/// What is said of a file where a version would be.
const NO_VERSION: &str = "has no place here; an event type's directory holds its versions 1.json, 2.json ... (a number without leading zeros), examples/ and event_type.toml";

#[test]
fn what_has_no_place_in_the_directory_is_named() {
    for (path, expected) in [
        ("README.md", "README.md: has no place here; a catalog holds one directory for each tenant".to_owned()),
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
        ("shop/order.created/01.json", format!("shop/order.created/01.json: {NO_VERSION}")),
        ("shop/order.created/v1.json", format!("shop/order.created/v1.json: {NO_VERSION}")),
        ("shop/order.created/0.json", format!("shop/order.created/0.json: {NO_VERSION}")),
        ("shop/order.created/9999999999.json", format!("shop/order.created/9999999999.json: {NO_VERSION}")),
        ("shop/order.created/4.json/", format!("shop/order.created/4.json: {NO_VERSION}")),
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

#[test]
fn an_event_type_may_have_a_name_that_no_directory_can_have() {
    let directory = TemporaryDirectory::with(GOOD);
    directory.write("shop/order-paid/event_type.toml", "name = \"com.example/Order Paid\"");
    directory.write("shop/order-paid/1.json", r#"{"type": "object"}"#);
    directory.write("shop/order-paid/2.json", r#"{"type": "object", "$ref": "../common/none.json"}"#);
    assert_eq!(
        directory.problems(),
        "shop/order-paid/2.json: common/none.json: is referred to, but there is no such file in the tenant's directory; add it, or mend the reference"
    );
    directory.write("shop/order-paid/2.json", r#"{"type": "object", "required": ["id"]}"#);
    directory.write("shop/order-paid/examples/invalid/none.json", "{}");
    let tenant = "[event_types.\"com.example/Order Paid\"]\ndefault_version = 2\n[event_types.order-paid]\n[clients.a]\n\
                  [[subscriptions]]\nclient = \"a\"\nevents = [\"com.example/Order Paid\", \"order-paid\"]";
    directory.write("shop/tenant.toml", tenant);
    assert_eq!(
        directory.problems(),
        "shop/tenant.toml: event_types.order-paid: there is no directory \"order-paid\" beside this file, nor one whose event_type.toml \
         says so; add it, or mend the name\n\
         shop/tenant.toml: subscriptions, number 1: \"order-paid\" is no event type of this tenant; a pattern is an event type's name, \
         `prefix.*` or `*`"
    );
    directory.write("shop/tenant.toml", &tenant.replace("[event_types.order-paid]\n", "").replace(", \"order-paid\"", ""));
    let declaration = read(&directory.0).expect("a good directory");
    let [paid, created] = &declaration.tenants[0].event_types[..] else { panic!("two event types") };
    assert_eq!((paid.event_type.as_str(), paid.directory.as_str()), ("com.example/Order Paid", "order-paid"));
    assert_eq!((paid.default_version, paid.schemas.len(), paid.examples), (Some(2), 2, 1));
    assert!(paid.schemas[1].bundle.contains(r#""root":"order-paid/2.json""#), "{}", paid.schemas[1].bundle);
    assert_eq!((created.event_type.as_str(), created.directory.as_str()), ("order.created", "order.created"));
}

#[test]
fn a_name_in_a_file_must_be_an_event_types_and_in_one_directory_only() {
    for (text, expected) in [
        ("", "shop/order.created/event_type.toml: is not an event type's file: line 1, column 1: missing field `name`"),
        (
            "name = 3",
            "shop/order.created/event_type.toml: is not an event type's file: line 1, column 8: invalid type: integer `3`, expected a string",
        ),
        ("name = \"a\"\ntitle = \"b\"", "shop/order.created/event_type.toml: title: is not a field; known here: name"),
        (
            "name = \"\"",
            "shop/order.created/event_type.toml: name: \"\" is not an event type's name: 1-128 printable ASCII characters; mend it",
        ),
        (
            "name = \"geändert\"",
            "shop/order.created/event_type.toml: name: \"geändert\" is not an event type's name: 1-128 printable ASCII characters; mend it",
        ),
        (
            "name = \"common\"",
            "shop/order.created/event_type.toml: name: \"common\" is no event type's name, it is where shared definitions lie; choose another",
        ),
    ] {
        check(&[("shop/order.created/event_type.toml", text)], expected);
    }
    check(
        &[("shop/orders/event_type.toml", "name = \"order.created\""), ("shop/orders/1.json", "true")],
        "shop/orders: declares the event type \"order.created\", as \"order.created\" does; declare it in one directory",
    );
    check(
        &[("shop/Order Paid/1.json", "true")],
        "shop/Order Paid/1.json: a schema's path may only have letters, digits and -._~$@+=, between its slashes; rename it \
         (an event type's name may be another than its directory's: event_type.toml)",
    );
}
