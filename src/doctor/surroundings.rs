//! The settings: read as the daemon reads them, but each group by itself, so that one that is wrong does not hide the others.

use clap::{Args, Command};

use super::check::Check;
use crate::queue::Clients;
use crate::settings::{Database, DatabaseSettings, IngestSettings, ListenSettings, QueueSetting, QueueSettings, explain};

const CHECK: &str = "settings";

/// What the daemon would be told; none of what is wrong.
#[derive(Debug)]
pub struct Surroundings {
    /// Where Postgres is.
    pub database: Option<Database>,
    /// The queues of QUEUES.
    pub queues: Vec<QueueSetting>,
    /// Pace and bounds.
    pub ingest: Option<IngestSettings>,
    /// How to reach SQS.
    pub clients: Option<Clients>,
}

impl Surroundings {
    /// Reads the variables.
    pub async fn read(checks: &mut Vec<Check>) -> Self {
        let mut problems = Vec::new();
        let mut note = |problem: String| problems.push(Check::wrong(CHECK, problem));
        let database = read::<DatabaseSettings>().and_then(|settings| settings.database()).map_err(&mut note).ok();
        let queues = read::<QueueSettings>().and_then(|settings| settings.given().map_err(|error| error.to_string()));
        let queues = queues.map_err(&mut note).unwrap_or_default();
        let ingest = read::<IngestSettings>().map_err(&mut note).ok();
        let _ = read::<ListenSettings>().map_err(&mut note);
        let clients = Clients::load().await.map_err(|error| note(error.to_string())).ok();
        let is_looked_up = queues.iter().any(|queue| queue.url.is_none());
        if is_looked_up && clients.as_ref().is_some_and(|clients| !clients.has_region()) {
            note("AWS_REGION is not set; set it to the queues' region, for example eu-central-1".to_owned());
        }
        if problems.is_empty() {
            problems.push(Check::well(CHECK, "each variable can be used"));
        }
        checks.append(&mut problems);
        Self { database, queues, ingest, clients }
    }

    /// Adds the catalog's queues.
    pub fn add_queues(&mut self, of_catalog: Vec<QueueSetting>, checks: &mut Vec<Check>) {
        for queue in of_catalog {
            if self.queues.iter().any(|other| other.name == queue.name) {
                let name = &queue.name;
                checks
                    .push(Check::wrong(CHECK, format_args!("the queue {name} is in QUEUES and in the catalog; name it in one of the two")));
            } else {
                self.queues.push(queue);
            }
        }
    }
}

/// A group of settings, from the environment alone.
fn read<S: Args>() -> Result<S, String> {
    let command = S::augment_args(Command::new("processor"));
    let read = command.clone().try_get_matches_from(["processor"]).and_then(|matches| S::from_arg_matches(&matches));
    read.map_err(|error| explain(&error, &command).0.trim_end().to_owned())
}
