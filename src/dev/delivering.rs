//! The sender in `dev`, with receivers of its own for what it sends, and what arrives there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::Rng as _;
use sqlx::PgConnection;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::mail_server::MailServer;
use super::receiver::{Arrivals, Receiver};
use super::stack::DevError;
use crate::catalog::declaration::Declaration;
use crate::output::{Escaped, announce};
use crate::sender::{Resolve, Sender, SenderError, SystemResolver, Waited};
use crate::settings::{Database, SenderSettings};
use crate::spans::Exporter;

/// The port that the sample's settings name.
pub const RECEIVER_PORT: u16 = 4580;

/// How long first attempts at the sample's deliveries may take; they take a second.
const DELIVER_TIMEOUT: Duration = Duration::from_secs(30);

/// How much time a line tells of.
const INTERVAL: Duration = Duration::from_secs(10);

/// The sender and its receivers, as they run.
pub struct Delivering {
    receiver: Receiver,
    mails: MailServer,
    stop: CancellationToken,
    running: JoinHandle<Result<(), SenderError>>,
    tells_at: Instant,
}

/// Where the sample's settings lead, whichever port the receiver has.
struct AtReceiver(SocketAddr);

impl Resolve for AtReceiver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Waited<'a, io::Result<Vec<SocketAddr>>> {
        let is_sample = host == Ipv4Addr::LOCALHOST.to_string() && port == RECEIVER_PORT;
        if is_sample { Box::pin(async { Ok(vec![self.0]) }) } else { SystemResolver.resolve(host, port) }
    }
}

impl Delivering {
    /// Starts both; the tenants of the declaration have secrets of this run's own.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn start(port: u16, database: Database, declaration: Option<&Declaration>) -> Result<Self, DevError> {
        let random = |length: usize| STANDARD.encode((0..length).map(|_| rand::rng().random()).collect::<Vec<u8>>());
        let (webhook_secret, token) = (format!("whsec_{}", random(32)), random(24));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let receiver = Receiver::start(address, &webhook_secret, &token).await.map_err(|error| {
            DevError::Setting(format!(
                "the value of --receiver-port is \"{port}\": cannot listen there ({error}); choose another port, or 0 for any that is free"
            ))
        })?;
        let mails = MailServer::start(|_| 250).await.map_err(anyhow::Error::from)?;
        let secrets = [("WEBHOOK_SECRET", &webhook_secret), ("WHATSAPP_TOKEN", &token)];
        let tenants = declaration.map(|declaration| declaration.tenants.as_slice()).unwrap_or_default();
        let table: BTreeMap<_, _> = tenants.iter().map(|tenant| (tenant.tenant_id.as_str(), BTreeMap::from(secrets))).collect();
        let settings = SenderSettings {
            sender_name: Some("dev".to_owned()),
            sender_concurrency_max: 16,
            sender_client_concurrency_max: 4,
            smtp_url: Some(mails.url().parse().map_err(DevError::Setting)?),
            sender_from_domains: "onboarding.example".parse().map_err(DevError::Setting)?,
            sender_secrets_dir: None,
            sender_secrets: serde_json::json!(table).to_string().parse().map_err(DevError::Setting)?,
            sender_allowed_networks: "127.0.0.0/8".parse().map_err(DevError::Setting)?,
            drain_timeout: Duration::from_secs(2),
        };
        let exporter = Exporter::from_environment("event-processor-sender")?;
        let resolver = Arc::new(AtReceiver(receiver.address()));
        let sender = Sender { database, settings, listener: None, resolver, exporter };
        let stop = CancellationToken::new();
        let running = TaskTracker::new().spawn(sender.run(stop.clone()));
        Ok(Self { receiver, mails, stop, running, tells_at: Instant::now() + INTERVAL })
    }

    /// Where requests arrive.
    pub fn address(&self) -> SocketAddr {
        self.receiver.address()
    }

    /// Waits until each delivery was tried, and shows what became of them by client.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn show(&mut self, connection: &mut PgConnection, stop: &CancellationToken) -> Result<()> {
        let began = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        while !stop.is_cancelled() && began.elapsed() < DELIVER_TIMEOUT {
            ticks.tick().await;
            if sqlx::query_file_scalar!("src/dev/untried_deliveries.sql").fetch_one(&mut *connection).await? == 0 {
                break;
            }
        }
        let rows = sqlx::query_file!("src/dev/deliveries_by_client.sql").fetch_all(connection).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let arrivals = self.arrivals();
        let mut table =
            format!("{:<28} {:>9} {:>7} {:>4}  {:<18} why not\n", "client", "delivered", "waiting", "dead", "as the client saw");
        for row in rows {
            let client = format!("{}/{}", row.tenant_id, row.client_id);
            let seen = arrivals.keys().find(|(name, _)| *name == client).map_or("-", |(_, proof)| proof);
            let why = row.why.filter(|_| row.waiting + row.dead > 0).unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = writeln!(table, "{client:<28} {:>9} {:>7} {:>4}  {seen:<18} {}", row.delivered, row.waiting, row.dead, Escaped(&why));
        }
        announce(format_args!("deliveries by client:\n\n{table}"));
        Ok(())
    }

    /// What has arrived since this was last asked; a mail is for the client whose it is in the sample.
    fn arrivals(&self) -> Arrivals {
        let mut arrivals = self.receiver.take_arrivals();
        let mails = self.mails.take().len() as u64;
        if mails > 0 {
            arrivals.insert(("onboarding/welcome.email".to_owned(), "mail"), mails);
        }
        arrivals
    }

    /// The line of the ten seconds that have passed, where they have and something arrived.
    pub fn line(&mut self) -> Option<String> {
        if Instant::now() < self.tells_at {
            return None;
        }
        self.tells_at = Instant::now() + INTERVAL;
        let arrivals = self.arrivals();
        let parts: Vec<String> = arrivals.iter().map(|((client, proof), count)| format!("{client} {count} ({proof})")).collect();
        (!parts.is_empty()).then(|| format!("delivered in the last {} s: {}", INTERVAL.as_secs(), parts.join(", ")))
    }

    /// Ends the sender; what is under way is finished first.
    pub async fn stop(self) {
        self.stop.cancel();
        // Whatever it says: what it has not delivered waits for the next run.
        let _ = self.running.await;
    }
}
