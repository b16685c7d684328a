create function disable_client(lease_id bigint, reason text) returns boolean language plpgsql security definer as $$
begin
    return true;
end
$$;
