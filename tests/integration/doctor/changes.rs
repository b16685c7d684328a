//! What is changed in the database, and what must be told.

/// A change of the server or the catalog, and what undoes it.
pub struct Change {
    pub name: &'static str,
    pub plant: &'static [&'static str],
    pub undo: &'static [&'static str],
    pub check: &'static str,
    pub told: &'static str,
}

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
        name: "a right that the daemon's role lacks",
        plant: &["revoke insert on delivery from event_processor_writer"],
        undo: &["grant insert on delivery to event_processor_writer"],
        check: "rights",
        told: "event_processor_writer, as which the daemon would work, lacks a right; have the tables' owner run `grant insert on \
               public.delivery to event_processor_writer;`",
    },
    Change {
        name: "a right to one column that the daemon's role lacks",
        plant: &["revoke update (holder) on metrics_turn from event_processor_writer"],
        undo: &["grant update (holder) on metrics_turn to event_processor_writer"],
        check: "rights",
        told: "have the tables' owner run `grant update (holder, ends_at) on public.metrics_turn to event_processor_writer;`",
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
