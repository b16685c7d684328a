select tenant_id, reason, count(*) as "events!"
from dead_letter
where sqs_message_id = any($1::text[])
group by tenant_id, reason
