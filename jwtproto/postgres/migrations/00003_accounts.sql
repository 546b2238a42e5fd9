-- +goose Up

-- Who may log in, and the hashes of their passwords.
CREATE TABLE gdtls.accounts (
    name text COLLATE "C" PRIMARY KEY,
    hash text NOT NULL
);

-- Logins that are worth nothing any more, until no token of theirs is good anyway.
CREATE TABLE gdtls.revocations (
    login text COLLATE "C" PRIMARY KEY,
    until timestamptz NOT NULL
);

-- All servers are told of a login that was revoked.
-- +goose StatementBegin
CREATE FUNCTION gdtls.tell_revocations() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY gdtls_revocations;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER tell_revocations AFTER INSERT OR UPDATE ON gdtls.revocations
    FOR EACH STATEMENT EXECUTE FUNCTION gdtls.tell_revocations();
