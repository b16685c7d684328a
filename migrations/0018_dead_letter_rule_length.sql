-- From here on no longer rule is written: an index holds it, and a dead letter must never be refused for its length.
update dead_letter
set rule = left(rule, 125), replay_rule = left(replay_rule, 125)
where octet_length(rule) > 500 or octet_length(replay_rule) > 500;
