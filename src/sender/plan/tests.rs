//! Whose turn it is.

use super::*;

fn delivery(tenant: &str, client: &str, lease_id: i64, now: Instant) -> Delivery {
    Delivery {
        lease_id,
        client: ClientKey { tenant_id: tenant.into(), client_id: client.into() },
        settings: String::new(),
        source: String::new(),
        event_id: String::new(),
        webhook_id: String::new(),
        event_type: String::new(),
        schema_version: 1,
        subject: None,
        occurred_at: None,
        received_at: sqlx::types::time::OffsetDateTime::UNIX_EPOCH,
        payload: "{}".to_owned(),
        attributes: "{}".to_owned(),
        attempt: 1,
        leased_until: now + Duration::from_mins(1),
    }
}

fn begun(plan: &mut Plan, now: Instant) -> Vec<ClientKey> {
    std::iter::from_fn(|| plan.next(now)).map(|delivery| delivery.client).collect()
}

fn count(begun: &[ClientKey], tenant: &str) -> usize {
    begun.iter().filter(|key| &*key.tenant_id == tenant).count()
}

#[test]
fn no_client_has_more_than_its_places_and_no_tenant_more_than_its_share_while_others_wait() {
    let now = Instant::now();
    let mut plan = Plan::new(Places { all: 16, of_client: 3 });
    for id in 0..40 {
        plan.add(delivery("big", &format!("c{}", id % 8), id, now), now);
    }
    for tenant in ["a", "b", "c"] {
        for id in 0..8 {
            plan.add(delivery(tenant, &format!("c{}", id % 2), 100 + id, now), now);
        }
    }
    let first = begun(&mut plan, now);
    assert_eq!(["big", "a", "b", "c"].map(|tenant| count(&first, tenant)), [4, 4, 4, 4]);
    for client in ["c0", "c1"] {
        assert!(first.iter().filter(|key| &*key.tenant_id == "a" && &*key.client_id == client).count() <= 3);
    }
    assert_eq!((plan.running(), plan.waiting()), (16, 48));
}

#[test]
fn a_tenant_alone_has_more_but_leaves_places_for_whoever_comes() {
    let now = Instant::now();
    let mut plan = Plan::new(Places { all: 16, of_client: 4 });
    for id in 0..64 {
        plan.add(delivery("big", &format!("c{id}"), id, now), now);
    }
    assert_eq!(begun(&mut plan, now).len(), 12);
    plan.add(delivery("late", "c", 100, now), now);
    assert_eq!(count(&begun(&mut plan, now), "late"), 1);
}

#[test]
fn what_waits_behind_a_client_that_hangs_goes_back_for_longer_each_time() {
    let now = Instant::now();
    let mut plan = Plan::new(Places { all: 64, of_client: 2 });
    for id in 0..10 {
        plan.add(delivery("a", "hangs", id, now), now);
    }
    assert_eq!(begun(&mut plan, now).len(), 2);
    assert_eq!(plan.give_back(now + Duration::from_millis(900)).len(), 0);
    let given = plan.give_back(now + Duration::from_secs(2));
    assert_eq!(given.iter().map(|(_, due_in)| due_in.as_secs()).collect::<Vec<_>>(), [5; 6]);
    assert_eq!((plan.running(), plan.waiting()), (2, 2));
    for id in 10..12 {
        plan.add(delivery("a", "hangs", id, now), now);
    }
    let given = plan.give_back(now + Duration::from_secs(3));
    assert_eq!(given.iter().map(|(_, due_in)| due_in.as_secs()).collect::<Vec<_>>(), [10; 2]);
}

#[test]
fn a_client_that_has_too_much_to_do_is_left_alone_and_gets_less_until_it_takes_again() {
    let now = Instant::now();
    let mut plan = Plan::new(Places { all: 64, of_client: 4 });
    for id in 0..10 {
        plan.add(delivery("a", "slow", id, now), now);
    }
    let key = begun(&mut plan, now).remove(0);
    plan.end(&key, Taken::TooMuch(Duration::from_secs(30)), now);
    plan.end(&key, Taken::TooMuch(Duration::ZERO), now);
    assert_eq!((begun(&mut plan, now).len(), plan.slowed()), (0, 1));
    let given = plan.give_back(now);
    assert!(given.len() == 6 && given.iter().all(|(_, due_in)| *due_in == Duration::from_secs(30)), "{}", given.len());
    let later = now + Duration::from_secs(31);
    plan.end(&key, Taken::Well, later);
    plan.end(&key, Taken::Well, later);
    for id in 0..10 {
        plan.add(delivery("a", "slow", id, later), later);
    }
    // Nothing was in hand any more, so it is a client like others again.
    assert_eq!((begun(&mut plan, later).len(), plan.slowed()), (4, 0));
}

#[test]
fn what_is_near_the_end_of_its_lease_is_not_begun_and_what_is_lost_is_dropped() {
    let now = Instant::now();
    let mut plan = Plan::new(Places { all: 4, of_client: 4 });
    plan.add(delivery("a", "c", 1, now), now);
    plan.add(delivery("a", "d", 2, now), now);
    let late = now + Duration::from_secs(56);
    assert_eq!(begun(&mut plan, late).len(), 0);
    plan.waiting_mut().filter(|delivery| delivery.lease_id == 2).for_each(|delivery| delivery.leased_until = late + Duration::from_mins(1));
    assert_eq!(plan.drop_lost(|delivery| delivery.lease_id == 1).len(), 1);
    assert_eq!(begun(&mut plan, late).len(), 1);
    assert_eq!((plan.running(), plan.waiting(), plan.bytes()), (1, 0, 0));
}
