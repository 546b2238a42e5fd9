-- +goose Up

-- What servers share: see jwtproto.Secret. Those of a kind and name are in the order of
-- position.
CREATE TABLE secrets (
    kind     TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    position INTEGER NOT NULL,
    value    BLOB    NOT NULL,
    since    INTEGER NOT NULL, -- microseconds since 1970
    PRIMARY KEY (kind, name, position)
) WITHOUT ROWID;

-- Counts changes of the secrets, whoever makes them, so that it costs little to see that
-- there were none.
CREATE TABLE secret_changes (n INTEGER NOT NULL);
INSERT INTO secret_changes VALUES (0);
-- +goose StatementBegin
CREATE TRIGGER secret_inserted AFTER INSERT ON secrets BEGIN UPDATE secret_changes SET n = n + 1; END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER secret_updated AFTER UPDATE ON secrets BEGIN UPDATE secret_changes SET n = n + 1; END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER secret_deleted AFTER DELETE ON secrets BEGIN UPDATE secret_changes SET n = n + 1; END;
-- +goose StatementEnd
