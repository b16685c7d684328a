update audit set ended_at = now() where audit_id = $1::text::uuid
