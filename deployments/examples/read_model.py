"""Keeps a read model: a shop's orders with their items and status, made of its events by `claim` and `complete`.

    DATABASE_URL=... TENANT=shop python3 read_model.py        (needs psycopg 3; the role event_processor_sender, and tables of its own)

It stands for all clients of the tenant, so nothing else may deliver for that one. The model is written in the transaction that completes the
deliveries: either both are there or neither. So it may be killed at any point and begun again, by any number of processes. Events may come in
any order and, to several clients, several times; each write below gives the same in whichever order, and however often.
"""
import os
import select

import psycopg

TENANT = os.environ.get("TENANT", "shop")
RANK = {"order.created": 1, "order.paid": 2, "order.canceled": 3}

TABLES = """
create schema if not exists read_model;
create table if not exists read_model.orders (order_id uuid primary key, customer_id uuid, rank integer not null, status text not null);
create table if not exists read_model.item (
    order_id uuid, line integer, sku text not null, quantity integer not null, primary key (order_id, line));
"""


def apply(connection, event_type, payload):
    """What an event says of an order."""
    rank = RANK.get(event_type)
    if rank is None:
        return
    order_id = payload["order_id"]
    connection.execute(
        """insert into read_model.orders as o values (%s, %s, %s, %s) on conflict (order_id) do update set
             customer_id = coalesce(o.customer_id, excluded.customer_id),
             status = case when excluded.rank > o.rank then excluded.status else o.status end,
             rank = greatest(o.rank, excluded.rank)""",
        (order_id, payload.get("customer_id"), rank, event_type.removeprefix("order.")),
    )
    for number, line in enumerate(payload.get("lines", ())):
        connection.execute(
            "insert into read_model.item values (%s, %s, %s, %s) on conflict do nothing", (order_id, number, line["sku"], line["quantity"])
        )


def step(connection):
    """Applies what waits; says how much that was."""
    with connection.transaction():
        claimed = connection.execute(
            "select lease_id, event_type, payload from claim_deliveries('read-model', 100, '1 minute', array[%s])", (TENANT,)
        ).fetchall()
    with connection.transaction():
        # In one order, whoever else is at work on the same orders.
        for _, event_type, payload in sorted(claimed, key=lambda row: row[2].get("order_id", "")):
            apply(connection, event_type, payload)
        leases = [lease_id for lease_id, _, _ in claimed]
        completed = connection.execute("select count(*) from complete_deliveries(%s::bigint[])", (leases,)).fetchone()[0]
        if completed < len(leases):
            raise psycopg.Rollback()  # Some leases have ended: those come again, and with them the rest.
    return completed


def main():
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(TABLES)
        connection.execute("listen delivery_ready")
        while True:
            if step(connection) == 0:
                # A notification wakes it; that is a hint and may be lost, so it looks every second.
                select.select([connection], [], [], 1)


if __name__ == "__main__":
    main()
