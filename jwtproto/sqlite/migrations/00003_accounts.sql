-- +goose Up

-- Who may log in, and the hashes of their passwords.
CREATE TABLE accounts (
    name TEXT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL
) WITHOUT ROWID;

-- Logins that are worth nothing any more, until no token of theirs is good anyway.
CREATE TABLE revocations (
    id    INTEGER PRIMARY KEY AUTOINCREMENT, -- shows whether there are new ones
    login TEXT    NOT NULL UNIQUE,
    until INTEGER NOT NULL
);
