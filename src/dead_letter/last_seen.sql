select last_seen_at from dead_letter where dead_letter_id = $1
