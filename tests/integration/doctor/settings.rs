//! Settings that are wrong, and what must be told.

/// Variables that are wrong.
pub struct Setting {
    pub name: &'static str,
    pub variables: &'static [(&'static str, &'static str)],
    pub status: i32,
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
        told: "newcomer, as which the daemon would work, lacks a right; have the tables' owner run `grant insert on public.message, ",
    },
    Setting {
        name: "a server whose clock is behind",
        variables: &[("FAILPOINTS", "clock=return(60000)")],
        status: 65,
        check: "clock",
        told: " s behind this machine's; have both set by NTP",
    },
    Setting {
        name: "a server whose clock is ahead",
        variables: &[("FAILPOINTS", "clock=return(-60000)")],
        status: 65,
        check: "clock",
        told: " s ahead of this machine's; have both set by NTP",
    },
    Setting {
        name: "no certificates of authorities",
        variables: &[("AWS_ENDPOINT_URL", ""), ("SSL_CERT_FILE", "/nowhere.pem")],
        status: 65,
        check: "settings",
        told: "the value of SSL_CERT_FILE is \"/nowhere.pem\": no certificate of an authority can be read there, without which no server is known \
               by HTTPS; name a file of them in PEM, or unset it to use the system's",
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
