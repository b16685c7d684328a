use super::check;

/// Writes a `tenant.toml` into the good catalog and compares what is wrong with it; the file's name is left out.
fn check_tenant(text: &str, expected: &[&str]) {
    let lines: Vec<_> = expected.iter().map(|sentence| format!("shop/tenant.toml: {sentence}")).collect();
    check(&[("shop/tenant.toml", text)], &lines.join("\n"));
}

#[test]
fn fields_that_are_unknown_or_not_acted_on_yet_are_refused() {
    let not_yet = "is not supported by this build yet; take it out";
    check_tenant(
        "compatibility = \"full\"\n[[queues]]\nurl = \"x\"",
        &[
            &format!("compatibility: {not_yet}"),
            "queues: stand in queues.toml beside the tenants' directories, which is the operator's; take them out",
        ],
    );
    for (text, problem) in [
        ("rate_limit = 0", "rate_limit: is not a number of events a second; write one from 0.01 to 1000000"),
        ("rate_limit = \"many\"", "rate_limit: is not a number of events a second; write one from 0.01 to 1000000"),
        ("rate_limit = 5\nrate_burst = 1.5", "rate_burst: is not a whole number of events; write one from 1 to 1000000"),
        ("rate_burst = 5", "rate_burst: does nothing without `rate_limit`; add that, or take this out"),
    ] {
        check_tenant(text, &[problem]);
    }
    check_tenant("event_types.\"order.created\".mode = \"observe\"", &[&format!("event_types.\"order.created\".mode: {not_yet}")]);
    check_tenant("clients.a.url = \"x\"", &["clients.a.url: is not a field; known here: name, retry, settings"]);
    check_tenant(
        "clients.a.retry.retries = 3",
        &["clients.a.retry.retries: is not a field; known here: initial, factor, cap, attempts, schedule"],
    );
    check_tenant(
        "[clients.welcome.email]\nname = \"x\"",
        &[
            "clients.welcome.email: is not a field; known here: name, retry, settings; a name with a dot stands in quotes: [clients.\"welcome.email\"]",
        ],
    );
    check_tenant(
        "[clients.a]\n[[subscriptions]]\nclient = \"a\"\nevents = [\"*\"]\nfilter = 1",
        &["subscriptions, number 1.filter: is not a field; known here: client, events"],
    );
}

#[test]
fn what_is_not_toml_or_of_another_type_is_refused_with_its_line() {
    check_tenant("name = \"a\"\nname = \"b\"", &["is not a tenant's file: line 2, column 1: duplicate key"]);
    check_tenant("\nname = 3", &["is not a tenant's file: line 2, column 8: invalid type: integer `3`, expected a string"]);
    check_tenant("[[subscriptions]]\nevents = []", &["is not a tenant's file: line 1, column 1: missing field `client`"]);
    check_tenant("[clients.a]\nsettings = 1", &["is not a tenant's file: line 2, column 12: invalid type: integer `1`, expected a map"]);
}

#[test]
fn allowed_senders_are_unique_ids() {
    let not_an_id =
        "is not the unique id of an IAM user (AIDA...) or role (AROA...); `aws iam get-role` and `get-user` show it as RoleId and UserId";
    check_tenant(
        r#"allowed_senders = ["arn:aws:iam::123456789012:role/shop", "AROAEXAMPLEEXAMPLE12:session", "AIDASHORT", "AIDAEXAMPLEEXAMPLE12", "AIDAEXAMPLEEXAMPLE12"]"#,
        &[
            "allowed_senders: \"AIDAEXAMPLEEXAMPLE12\": stands there twice; once is enough",
            &format!("allowed_senders: \"AIDASHORT\": {not_an_id}"),
            "allowed_senders: \"AROAEXAMPLEEXAMPLE12:session\": names a session; write \"AROAEXAMPLEEXAMPLE12\", which matches every session of the role",
            &format!("allowed_senders: \"arn:aws:iam::123456789012:role/shop\": {not_an_id}"),
        ],
    );
}

#[test]
fn event_types_and_their_default_versions_must_exist() {
    check_tenant(
        "[event_types.\"order.created\"]\ndefault_version = 2\n[event_types.\"order.payed\"]",
        &[
            "event_types.\"order.created\".default_version: order.created/2.json does not exist; versions that do: 1, 3",
            "event_types.\"order.payed\": there is no directory \"order.payed\" beside this file, nor one whose event_type.toml says so; add it, or mend the name",
        ],
    );
}

#[test]
fn clients_have_names_a_retry_that_makes_sense_and_settings_that_can_be_stored() {
    check_tenant(
        "[clients.Billing]\nname = \" \"",
        &[
            "clients.Billing.name: is empty or has control characters; write a name for people, or leave it out",
            "clients.Billing: is not a client's name: 1-100 of a-z, 0-9, dot, underscore and hyphen, the first a letter or digit",
        ],
    );
    check_tenant(
        "[clients.a.retry]\ninitial = \"soon\"\nfactor = 0.5\ncap = \"0s\"\nattempts = 0",
        &[
            "clients.a.retry.attempts: 0 is not a number of tries, the first included: 1 to 100",
            "clients.a.retry.cap: \"0s\" is not a duration between 1s and 365days, such as \"1s\" or \"1h 30m\"",
            "clients.a.retry.factor: 0.5 would make pauses shorter each time; 1 or more is right",
            "clients.a.retry.initial: \"soon\" is not a duration between 1s and 365days, such as \"1s\" or \"1h 30m\"",
        ],
    );
    check_tenant(
        "clients.a.retry = { initial = \"1m\", cap = \"1s\" }",
        &["clients.a.retry.cap: is shorter than `initial`; it is the longest pause"],
    );
    check_tenant(
        "clients.a.retry = { schedule = [\"5s\", \"500ms\"], attempts = 3 }",
        &[
            "clients.a.retry.schedule, number 2: \"500ms\" is not a duration between 1s and 365days, such as \"1s\" or \"1h 30m\"",
            "clients.a.retry: has `schedule`, which says all pauses and so how many tries there are; leave the other fields out",
        ],
    );
    check_tenant("clients.a.retry = { schedule = [\"5s\", \"5m\"] }\nclients.b.retry = { schedule = [] }", &[]);
    let pauses = vec!["\"1s\""; 100].join(", ");
    check_tenant(
        &format!("clients.a.retry = {{ schedule = [{pauses}] }}"),
        &["clients.a.retry.schedule: has 100 pauses; at most 99 are right, for 100 tries"],
    );
    check_tenant(
        "clients.a.settings.key = \"\\u0000\"\nclients.b.settings.limit = [inf]",
        &[
            "clients.a.settings: cannot be stored: \\u0000 or a lone surrogate",
            "clients.b.settings: has a number that is infinite or none, which JSON cannot hold",
        ],
    );
}

#[test]
fn subscriptions_name_a_client_and_what_there_is() {
    let pattern = "is no event type of this tenant; a pattern is an event type's name, `prefix.*` or `*`";
    check_tenant(
        "[clients.a]\n[[subscriptions]]\nclient = \"b\"\nevents = []\n[[subscriptions]]\nclient = \"a\"\n\
         events = [\"order.*\", \"later.*\", \"order.*\", \"order.payed\", \"*.created\", \".*\", \"\"]",
        &[
            "subscriptions, number 1: `events` is empty; name what the client gets, or take the subscription out",
            "subscriptions, number 1: there is no [clients.b] in this file; add it, or mend the name",
            &format!("subscriptions, number 2: \"\" {pattern}"),
            &format!("subscriptions, number 2: \"*.created\" {pattern}"),
            &format!("subscriptions, number 2: \".*\" {pattern}"),
            "subscriptions, number 2: \"order.*\" is there twice for client \"a\"; once is enough",
            &format!("subscriptions, number 2: \"order.payed\" {pattern}"),
        ],
    );
}

#[test]
fn more_than_a_thousand_clients_do_not_get_one_event() {
    let of = |clients: usize| {
        let clients: Vec<String> = (0..clients)
            .map(|number| {
                format!("[clients.c{number}]\n[[subscriptions]]\nclient = \"c{number}\"\nevents = [\"order.*\", \"order.created\"]\n")
            })
            .collect();
        clients.concat()
    };
    check_tenant(&of(1_000), &[]);
    let refused = "subscriptions: 1001 clients get \"order.created\", and 1000 is the limit; deliver to one client that passes it on";
    check_tenant(&of(1_001), &[refused]);
}
