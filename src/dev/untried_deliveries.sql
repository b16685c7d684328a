select count(*) as "untried!" from delivery where attempts = 0 and due_at < 'infinity'
