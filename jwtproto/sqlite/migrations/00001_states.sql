-- +goose Up

-- "gdtl": so that nobody takes another program's database for this one.
PRAGMA application_id = 0x6764746c;

-- How far each group is. Its last row is the one of the history with this seq.
CREATE TABLE groups (
    id        INTEGER PRIMARY KEY,
    name      TEXT    NOT NULL UNIQUE,
    last      INTEGER NOT NULL, -- number that it said in turn
    completed INTEGER NOT NULL,
    restarted INTEGER,          -- microseconds since 1970, as all times
    seq       INTEGER NOT NULL
);

-- Accepted requests and their acknowledgements, of all groups in the order in which they came: so a commit changes the last
-- page, and of the index, whose rows are short, one for each group.
CREATE TABLE history (
    row          INTEGER PRIMARY KEY,
    grp          INTEGER NOT NULL, -- groups.id; groups are never deleted
    seq          INTEGER NOT NULL,
    time         INTEGER NOT NULL,
    registration INTEGER NOT NULL,
    id           BLOB    NOT NULL, -- SHA-256 of the request's payload
    number       INTEGER NOT NULL,
    next         INTEGER NOT NULL,
    step         INTEGER NOT NULL, -- 0 out of turn, 1 repeated, 2 advanced, 3 restarted
    repeats      INTEGER NOT NULL DEFAULT 0,
    token        BLOB              -- what stands for the jti, if there was one; looked up in memory
);
CREATE UNIQUE INDEX history_seq ON history (grp, seq);

CREATE TABLE members (
    grp          INTEGER NOT NULL,
    registration INTEGER NOT NULL,
    last         INTEGER, -- NULL: never said one in turn
    advanced     INTEGER NOT NULL,
    restarted    INTEGER NOT NULL,
    repeated     INTEGER NOT NULL,
    out_of_turn  INTEGER NOT NULL,
    completed    INTEGER NOT NULL,
    seen         INTEGER NOT NULL,
    PRIMARY KEY (grp, registration)
) WITHOUT ROWID;

-- By the group's name, since a group that was refused only is none of the table groups.
CREATE TABLE refusals (
    name         TEXT    NOT NULL, -- empty: no known group
    registration INTEGER NOT NULL, -- 0: not known
    why          TEXT    NOT NULL,
    count        INTEGER NOT NULL,
    last         INTEGER NOT NULL,
    PRIMARY KEY (name, registration, why)
) WITHOUT ROWID;
