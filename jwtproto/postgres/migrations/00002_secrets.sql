-- +goose Up

-- What servers share: see jwtproto.Secret. Those of a kind and name are in the order of
-- position.
CREATE TABLE gdtls.secrets (
    kind     text COLLATE "C" NOT NULL,
    name     text COLLATE "C" NOT NULL,
    position integer NOT NULL,
    value    bytea NOT NULL,
    since    timestamptz NOT NULL,
    PRIMARY KEY (kind, name, position)
);

-- All servers are told of a change, whoever makes it.
-- +goose StatementBegin
CREATE FUNCTION gdtls.tell_secrets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY gdtls_secrets;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER tell_secrets AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON gdtls.secrets
    FOR EACH STATEMENT EXECUTE FUNCTION gdtls.tell_secrets();
