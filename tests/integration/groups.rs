//! FIFO queues: within a group no event is committed after a later one, whatever fails on the way.
//!
//! `FIFO_GROUPS=50 FIFO_EVENTS=200` makes it long.

use crate::fifo_server::FifoServer;
use crate::load::event;
use crate::stack::{Stack, patience};

const QUEUES: &str = "events.fifo?trust=any";

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}; give a number")))
}

/// An event with an id of no order; one in ten is none that can be stored.
fn body(location: usize) -> String {
    let id = uuid::Uuid::new_v4().to_string();
    if location % 10 == 3 { event(&id).replace("monitor-app", "no-such-type") } else { event(&id) }
}

/// One event in fifty cannot be stored when it comes, by no fault of its own.
const TROUBLE: &str = "
create function trouble() returns trigger language plpgsql as $$
begin
    if random() < 0.02 then raise exception 'not now' using errcode = '40001'; end if;
    return new;
end $$;
create trigger trouble before insert on message for each row execute function trouble()";

/// Events of a group that were committed after a later one of it.
const INVERSIONS: &str = "select count(*) from (
    select stored_at, max(stored_at) over (partition by message_group order by sequence_number::numeric
        rows between unbounded preceding and 1 preceding) as before
    from (select *, pg_xact_commit_timestamp(stored_xid::xid) as stored_at from message) m) n
where before > stored_at";

#[tokio::test]
async fn within_a_group_no_event_is_committed_after_a_later_one() {
    let (groups, events) = (number("FIFO_GROUPS", 20), number("FIFO_EVENTS", 20));
    let stack = Stack::start(&[]).await;
    let bodies = |group: usize| (format!("group-{group}"), (0..events).map(body).collect());
    let server = FifoServer::with((0..groups).map(bodies).collect()).await;
    stack.database.execute(TROUBLE).await;
    // Small batches: neighbours of a group would be stored by different writers.
    let settings = [("AWS_ENDPOINT_URL", server.url.as_str()), ("VISIBILITY_TIMEOUT", "1"), ("BATCH_ROWS_MAX", "3")];
    let daemons = [stack.daemon(QUEUES, &settings).await, stack.daemon(QUEUES, &settings).await];
    tokio::time::timeout(patience(), server.at_rest()).await.expect("the queue comes to rest");

    let rejected = groups * (0..events).filter(|location| location % 10 == 3).count();
    let found = "select (select count(*) from message) as messages, (select count(*) from dead_letter) as dead_letters, \
         (select count(*) from message where message_group is null or sequence_number is null) as misplaced";
    assert_eq!(stack.database.rows(found).await, [format!("{} | {rejected} | 0", groups * events - rejected)]);
    assert_eq!(stack.database.count(INVERSIONS).await, 0, "inversions");
    assert_eq!(stack.database.count("select count(distinct message_group) from message").await, i64::try_from(groups).expect("few"));
    for daemon in daemons {
        assert_eq!(daemon.stop().await, 0);
    }
}
