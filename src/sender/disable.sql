select disable_client($1, $2) as "is_disabled!"
