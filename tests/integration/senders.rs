//! Who may write for a tenant on a queue that tenants share.

use crate::endpoint::Endpoint;
use crate::load::send;
use crate::stack::{Directory, Stack};

/// SQS's word on who sent an event: the subject that it carries.
fn sender(body: &str) -> Option<&'static str> {
    let senders = [
        ("user", "AIDACKCEVSQ6C2EXAMPLE"),
        ("other", "AIDAOTHERCEVSQEXAMPLE"),
        ("session-1", "AROADBQP57FF2AEXAMPLE:i-1"),
        ("session-2", "AROADBQP57FF2AEXAMPLE:i-2"),
        ("other-role", "AROAOTHERQP57EXAMPLES:i-1"),
    ];
    senders.into_iter().find(|(event_id, _)| body.contains(&format!("\"{event_id}\""))).map(|(_, sender)| sender)
}

#[tokio::test]
async fn only_the_senders_that_a_tenant_names_may_write_for_it() {
    let catalog = Directory::create();
    catalog.write("acme/tenant.toml", "allowed_senders = [\"AIDACKCEVSQ6C2EXAMPLE\", \"AROADBQP57FF2AEXAMPLE\"]");
    catalog.write("acme/note/1.json", "{}");
    let stack = Stack::start_without_catalog(&["events"]).await;
    stack.database.apply(&catalog.0).await;
    let endpoint = Endpoint::before(&stack.server.endpoint_url()).await;
    endpoint.set_sender(sender);
    let event = |event_id: &str| format!(r#"{{"tenant_id":"acme","event_type":"note","event_id":"{event_id}","payload":1}}"#);
    let queue = stack.queue("events").await;
    send(&queue, ["user", "other", "session-1", "session-2", "other-role", "absent"].map(event)).await;
    let daemon = stack.daemon("events", &[("AWS_ENDPOINT_URL", &endpoint.url)]).await;
    stack.at_rest(&queue).await;
    let stored = stack.database.rows("select event_id from message order by 1").await;
    assert_eq!(stored, ["session-1", "session-2", "user"]);
    let dead_letters = stack.database.rows("select event_id, tenant_id, reason, sender_id from dead_letter order by 1").await;
    let refused = "- | unauthorized_sender";
    assert_eq!(
        dead_letters,
        [
            format!("absent | {refused} | -"),
            format!("other | {refused} | AIDAOTHERCEVSQEXAMPLE"),
            format!("other-role | {refused} | AROAOTHERQP57EXAMPLES:i-1")
        ]
    );
    assert_eq!(endpoint.unsigned(), 0, "requests without a signature");
    assert_eq!(daemon.stop().await, 0);
}
