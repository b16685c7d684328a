-- The role whose rights a session has.
select current_user::text as "role!"
