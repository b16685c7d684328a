//! What is planted, and what must be told.

/// Variables that are wrong.
pub struct Setting {
    pub name: &'static str,
    pub variables: &'static [(&'static str, &'static str)],
    pub status: i32,
    pub check: &'static str,
    pub told: &'static str,
}

/// A change of the server or the catalog, and what undoes it.
pub struct Change {
    pub name: &'static str,
    pub plant: &'static [&'static str],
    pub undo: &'static [&'static str],
    pub check: &'static str,
    pub told: &'static str,
}

type Attributes = &'static [(&'static str, &'static str)];

/// Queues whose attributes are risky.
pub const QUEUES: [(&str, Attributes); 3] = [
    ("brief", &[("MessageRetentionPeriod", "60"), ("VisibilityTimeout", "43200")]),
    (
        "redriven",
        &[
            ("MessageRetentionPeriod", "1209600"),
            ("VisibilityTimeout", "43200"),
            ("RedrivePolicy", r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:brief","maxReceiveCount":3}"#),
        ],
    ),
    ("hasty", &[("MessageRetentionPeriod", "1209600"), ("VisibilityTimeout", "30")]),
];

pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "a value that cannot be",
        variables: &[("VISIBILITY_TIMEOUT", "0"), ("LISTEN_ADDRESS", "9464")],
        status: 65,
        check: "settings",
        told: "the value of VISIBILITY_TIMEOUT (--visibility-timeout) is \"0\": write whole seconds as 60s, 5m or 60, from 1 to 43200 seconds",
    },
    Setting {
        name: "another one beside it",
        variables: &[("VISIBILITY_TIMEOUT", "0"), ("LISTEN_ADDRESS", "9464")],
        status: 65,
        check: "settings",
        told: "the value of LISTEN_ADDRESS (--listen-address) is \"9464\": write an IP address and a port",
    },
    Setting {
        name: "no database named",
        variables: &[("DATABASE_URL", "")],
        status: 65,
        check: "settings",
        told: "DATABASE_URL is not set; set it to the Postgres to write to",
    },
    Setting {
        name: "no region",
        variables: &[("AWS_REGION", "")],
        status: 65,
        check: "settings",
        told: "AWS_REGION is not set; set it to the queues' region, for example eu-central-1",
    },
    Setting {
        name: "a database that is away",
        variables: &[("DATABASE_URL", "postgres://someone@127.0.0.1:1/events")],
        status: 69,
        check: "database",
        told: "refuses the connection, nothing listens there; check DATABASE_URL and that Postgres runs",
    },
    Setting {
        name: "a role that is not there",
        variables: &[("DATABASE_URL", "STRANGER")],
        status: 65,
        check: "database",
        told: "correct user and password in DATABASE_URL, or in the password file",
    },
    Setting {
        name: "no tables",
        variables: &[("DATABASE_URL", "UNMIGRATED")],
        status: 65,
        check: "database",
        told: "of this build's migrations; run `processor migrate`",
    },
    Setting {
        name: "another encoding",
        variables: &[("DATABASE_URL", "LATIN")],
        status: 65,
        check: "database",
        told: "the database's encoding is LATIN1, which cannot hold every event; make another one by `create database NAME encoding 'UTF8'",
    },
    Setting {
        name: "no rights",
        variables: &[("DATABASE_URL", "NEWCOMER")],
        status: 65,
        check: "rights",
        told: "the role of DATABASE_URL lacks insert, select on message; have the owner `grant insert, select on message` to it",
    },
    Setting {
        name: "no credentials",
        variables: &[("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", ""), ("AWS_EC2_METADATA_DISABLED", "true")],
        status: 65,
        check: "credentials",
        told: "no credentials can be had; check what the AWS SDK reads them from (variables, files, the machine's role)",
    },
    Setting {
        name: "SQS is not there",
        variables: &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1")],
        status: 69,
        check: "queue",
        told: "events: SQS does not answer (connection: 127.0.0.1:1 refuses the connection); check AWS_ENDPOINT_URL, the region and the network",
    },
    Setting {
        name: "a queue that is not there",
        variables: &[("QUEUES", "events?trust=any,evnts")],
        status: 65,
        check: "queue",
        told: "evnts: does not exist; create it or correct QUEUES",
    },
    Setting {
        name: "no queue at all",
        variables: &[("QUEUES", "")],
        status: 65,
        check: "queue",
        told: "no queue is named, neither in QUEUES nor in the catalog's queues.toml; name one, for example QUEUES=events?trust=any",
    },
    Setting {
        name: "a queue of a tenant that is not there",
        variables: &[("QUEUES", "events=nobody")],
        status: 65,
        check: "orphans",
        told: "the queue events is bound to a tenant that is not in the catalog, and not polled; apply the tenant, or correct the binding",
    },
    Setting {
        name: "a queue that forgets soon",
        variables: &[("QUEUES", "brief?trust=any")],
        status: 65,
        check: "queue",
        told: "set MessageRetentionPeriod to at least 345600 (4 days), at best 1209600 (14 days)",
    },
    Setting {
        name: "a queue that moves events away soon",
        variables: &[("QUEUES", "redriven?trust=any")],
        status: 65,
        check: "queue",
        told: "set maxReceiveCount to at least 10, or remove the RedrivePolicy",
    },
    Setting {
        name: "a queue that hands out again soon",
        variables: &[("QUEUES", "hasty?trust=any")],
        status: 65,
        check: "queue",
        told: "set VisibilityTimeout to at least 300, or lower HOLD_MAX",
    },
];

/// An event with a delivery to a client of the sample's.
const EVENT: &str = "insert into message (tenant_id, source, event_id, event_type, schema_version, payload, payload_hash, queue, sqs_message_id, \
                     catalog_generation) values ('platform', '', 'e', 'monitor-app', 1, 'null', sha256(''), 'events', 'm', 1)";
const DELIVERY: &str = "insert into delivery (tenant_id, source, event_id, client_id) values ('platform', '', 'e', 'client-1')";
const REMOVED: [&str; 2] = ["delete from delivery", "delete from message"];
const RELOAD: &str = "select pg_reload_conf()";

pub const CHANGES: &[Change] = &[
    Change {
        name: "writing switched off",
        plant: &["alter database postgres set default_transaction_read_only = on"],
        undo: &["begin read write; alter database postgres reset default_transaction_read_only; commit"],
        check: "database",
        told: "the database is read-only by default_transaction_read_only, of the server, the database or the role; switch it off there",
    },
    Change {
        name: "commits that are not on disk",
        plant: &["alter system set fsync = off", RELOAD],
        undo: &["alter system reset fsync", RELOAD],
        check: "database",
        told: "the server runs with fsync off and would lose events at a crash; set it to on",
    },
    Change {
        name: "pages that may be torn",
        plant: &["alter system set full_page_writes = off", RELOAD],
        undo: &["alter system reset full_page_writes", RELOAD],
        check: "database",
        told: "the server runs with full_page_writes off: where its storage can tear a page at a crash, set it to on",
    },
    Change {
        name: "no autovacuum",
        plant: &["alter system set autovacuum = off", RELOAD],
        undo: &["alter system reset autovacuum", RELOAD],
        check: "vacuum",
        told: "autovacuum is off, so that tables grow for ever; set it to on",
    },
    Change {
        name: "no autovacuum of one table",
        plant: &["alter table delivery set (autovacuum_enabled = false)"],
        undo: &["alter table delivery reset (autovacuum_enabled)"],
        check: "vacuum",
        told: "autovacuum is switched off for delivery, which grows for ever; `alter table delivery reset (autovacuum_enabled)`",
    },
    Change {
        name: "a table of dead rows",
        plant: &[
            "insert into poison_attempt (queue, sqs_message_id, times_begun) select 'q', n::text, 1 from generate_series(1, 110000) n",
            "delete from poison_attempt",
        ],
        undo: &["vacuum poison_attempt"],
        check: "vacuum",
        told: "poison_attempt has 110000 dead rows beside 0 and was not cleaned up lately; run `vacuum poison_attempt`",
    },
    Change {
        name: "an index that is not whole",
        plant: &["update pg_index set indisvalid = false where indexrelid = 'dead_letter_by_event'::regclass"],
        undo: &["update pg_index set indisvalid = true where indexrelid = 'dead_letter_by_event'::regclass"],
        check: "indexes",
        told: "dead_letter_by_event is not whole, a migration was interrupted; run `processor migrate` again",
    },
    Change {
        name: "a slot that nobody reads",
        plant: &["select pg_create_physical_replication_slot('forgotten', true)"],
        undo: &["select pg_drop_replication_slot('forgotten')"],
        check: "replication",
        told: "nobody reads the replication slot forgotten, for which the server keeps ",
    },
    Change {
        name: "a synchronous standby that is not there",
        plant: &["alter system set synchronous_standby_names = 'elsewhere'", RELOAD],
        undo: &["alter system reset synchronous_standby_names", RELOAD],
        check: "replication",
        told: "no such standby is connected, so that each commit waits for ever; start the standby, or empty the setting",
    },
    Change {
        name: "no catalog",
        plant: &["update catalog set generation = 0"],
        undo: &["update catalog set generation = 1"],
        check: "catalog",
        told: "none was applied, and until then nothing is polled; run `processor catalog apply DIR`",
    },
    Change {
        name: "a catalog that is not what the files say",
        plant: &["update tenant set rate_limit = 7 where tenant_id = 'shop'"],
        undo: &["update tenant set rate_limit = null where tenant_id = 'shop'"],
        check: "files",
        told: "schemas is not what runs: shop tenant shop would be new or changed; run `processor catalog apply`",
    },
    Change {
        name: "a queue in both places",
        plant: &["insert into queue (name, format, trusts_any_sender) values ('events', 'native', true)"],
        undo: &["delete from queue"],
        check: "settings",
        told: "the queue events is in QUEUES and in the catalog; name it in one of the two",
    },
    Change {
        name: "a queue of the catalog whose tenant left",
        plant: &["insert into queue (name, tenant_id, format, trusts_any_sender) values ('platform-events', 'gone', 'native', false)"],
        undo: &["delete from queue"],
        check: "orphans",
        told: "the queue platform-events is bound to a tenant that is not in the catalog, and not polled",
    },
    Change {
        name: "deliveries to who left",
        plant: &[EVENT, DELIVERY, "update client set active = false where tenant_id = 'platform' and client_id = 'client-1'"],
        undo: &[REMOVED[0], REMOVED[1], "update client set active = true where tenant_id = 'platform' and client_id = 'client-1'"],
        check: "orphans",
        told: "`processor delivery cancel --tenant platform --client client-1`",
    },
    Change {
        name: "deliveries to who is disabled",
        plant: &[EVENT, DELIVERY, "update client set state = 'disabled' where tenant_id = 'platform' and client_id = 'client-1'"],
        undo: &[REMOVED[0], REMOVED[1], "update client set state = 'active' where tenant_id = 'platform' and client_id = 'client-1'"],
        check: "orphans",
        told: "deliveries wait for the client client-1 of platform, which is disabled; `processor client list --tenant platform` says why",
    },
    Change {
        name: "no sender",
        plant: &[EVENT, DELIVERY, "update delivery set due_at = now() - interval '1 hour'"],
        undo: &REMOVED,
        check: "orphans",
        told: "deliveries to the client client-1 of platform are overdue by ten minutes or more; see that senders run and how fast they are",
    },
    Change {
        name: "dead letters of who left",
        plant: &[
            "insert into dead_letter (tenant_id, queue, sqs_message_id, reason, body, queue_format, catalog_generation, receive_count) \
             values ('crm', 'events', 'm', 'schema_violation', '', 'native', 1, 1)",
            "update tenant set active = false where tenant_id = 'crm'",
        ],
        undo: &["delete from dead_letter", "update tenant set active = true where tenant_id = 'crm'"],
        check: "orphans",
        told: "the tenant crm left the catalog and has open dead letters; apply it again and replay them, or \
               `processor dead-letter discard --tenant crm --because TEXT`",
    },
];
