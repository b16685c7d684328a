select quote_ident(current_schema()) as "schema!"
