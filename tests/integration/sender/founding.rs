//! The flow that this project was founded for: somebody becomes a client, and is welcomed by mail and by WhatsApp.

use event_processor::dev::mail_server::MailServer;
use serde_json::{Value, json};

use super::SECRETS;
use super::receiver::Receiver;
use crate::daemon::Daemon;
use crate::stack::{PROCESSOR, Stack, command, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_welcomes_by_mail_and_by_whatsapp_and_what_cannot_be_delivered_is_mended_by_hand() {
    let stack = Stack::start(&["onboarding-events"]).await;
    let receiver = Receiver::start().await;
    // 550: there is no such mailbox.
    let mails = MailServer::start(|to| if to.starts_with("nobody") { 550 } else { 250 }).await.expect("a mail server");
    let url = receiver.url("/status/200/onboarding/welcome.whatsapp");
    let point = format!(
        "update client set settings = jsonb_set(settings, '{{url}}', to_jsonb('{url}'::text)) where client_id = 'welcome.whatsapp'"
    );
    stack.database.execute(&point).await;
    // A third one, whose webhook is signed.
    let settings = json!({ "url": receiver.url("/status/200/signed"), "secret": { "secret": "WEBHOOK_SECRET" } });
    let signed = format!(
        "insert into client (tenant_id, client_id, name, settings) values ('onboarding', 'signed', 'signed', '{settings}');
         insert into subscription (tenant_id, client_id, event_pattern) values ('onboarding', 'signed', 'client.created')"
    );
    stack.database.execute(&signed).await;
    let daemon = stack.daemon("onboarding-events=onboarding", &[]).await;
    let environment = [
        ("DATABASE_URL", stack.database.url.clone()),
        ("LISTEN_ADDRESS", "127.0.0.1:0".to_owned()),
        ("LOG_FORMAT", "json".to_owned()),
        ("RUST_LOG", "trace".to_owned()),
        ("SENDER_ALLOWED_NETWORKS", "127.0.0.0/8".to_owned()),
        ("SENDER_FROM_DOMAINS", "onboarding.example".to_owned()),
        ("SENDER_SECRETS", json!({ "onboarding": { "WHATSAPP_TOKEN": "canary-token", "WEBHOOK_SECRET": SECRETS[0] } }).to_string()),
        ("SMTP_URL", mails.url()),
    ];
    let sender = Daemon::start_sender(environment.into()).await;
    let queue = stack.queue("onboarding-events").await;
    let event = |id: &str, email: &str| {
        let payload = json!({ "name": "Canary Ann", "email": email, "phone": "+491701234567" });
        json!({ "event_id": id, "event_type": "client.created", "payload": payload }).to_string()
    };
    queue.send(&event("good", "ann@canary.example")).await.expect("sent");
    let mail = eventually("the mail", async || mails.take().pop()).await;
    assert_eq!(mail.to, "ann@canary.example");
    for part in ["From: Onboarding <hello@onboarding.example>", "Subject: Welcome, Canary Ann", "Message-ID: <msg_", "Hello Canary Ann,"] {
        assert!(mail.text.contains(part), "{part}: {}", mail.text);
    }
    let request = eventually("the message", async || receiver.requests("/status/200/onboarding").pop()).await;
    assert_eq!(request.headers["authorization"], "Bearer canary-token");
    let body: Value = serde_json::from_str(&request.body).expect("JSON");
    assert_eq!((&body["to"], &body["template"]["name"]), (&json!("+491701234567"), &json!("welcome")));
    assert_eq!(body["template"]["components"][0]["parameters"][0]["text"], "Canary Ann");
    let signed = eventually("the signed one", async || receiver.requests("/status/200/signed").pop()).await;
    assert!(signed.headers["webhook-signature"].starts_with("v1,"), "{:?}", signed.headers);

    queue.send(&event("bad", "nobody@canary.example")).await.expect("sent");
    let dead = "select error from delivery_log where event_id = 'bad' and client_id = 'welcome.email' and outcome = 'failed'";
    let error = eventually("it is given up", async || stack.database.rows(dead).await.pop()).await;
    assert_eq!(error, "the mail server answered 550");
    let run = async |line: &str| command(PROCESSOR, &line.split(' ').collect::<Vec<_>>(), &stack.environment()).await;
    let list = async || run("delivery list --state dead").await.1;
    let listed = eventually("it is listed", async || Some(list().await).filter(|text| text.contains("welcome.email"))).await;
    assert!(listed.contains("bad"), "{listed}");
    let (status, output, errors) = run("delivery requeue --tenant onboarding --client welcome.email --id bad").await;
    assert_eq!(status, 0, "{output}{errors}");
    let again = "select count(*) from delivery_log where event_id = 'bad' and client_id = 'welcome.email' and outcome = 'dead'";
    eventually("it was tried again", async || (stack.database.count(again).await == 2).then_some(())).await;

    let tables = "select error from delivery_log union all select arguments::text from audit union all select state_reason from client";
    let seen = [sender.log(), daemon.log(), sender.get("/metrics").await.1, stack.database.rows(tables).await.join("\n")].concat();
    let canary = seen.lines().find(|line| line.to_lowercase().contains("canary"));
    assert_eq!(canary, None);
    let secret = SECRETS[0].trim_start_matches("whsec_");
    assert!(!seen.contains(secret), "the webhook's secret is told");
    assert_eq!((sender.stop().await, daemon.stop().await), (0, 0));
}
