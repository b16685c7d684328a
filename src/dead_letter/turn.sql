-- Replays take turns, a batch each; and no catalog is published meanwhile.
select generation from catalog for no key update
