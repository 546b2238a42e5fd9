-- +goose Up

-- How far the groups are. Whoever adds to a group's history holds its row here, which has
-- a copy of the last row of the history: it is needed for each move.
CREATE TABLE gdtls.groups (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text COLLATE "C" NOT NULL UNIQUE,
    last         integer NOT NULL DEFAULT 0,
    completed    bigint NOT NULL DEFAULT 0,
    restarted    timestamptz,
    rows         bigint NOT NULL DEFAULT 0,
    at           timestamptz,
    registration bigint NOT NULL DEFAULT 0,
    request      bytea NOT NULL DEFAULT '',
    number       integer NOT NULL DEFAULT 0,
    next         integer NOT NULL DEFAULT 0,
    step         smallint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- What was acknowledged. There are no foreign keys, which would be checked row by row. token
-- stands for the group and the token of the request: an index with two columns would also be
-- used for the group alone, by plans from when the table was small.
CREATE TABLE gdtls.history (
    grp          integer NOT NULL,
    seq          bigint NOT NULL,
    at           timestamptz NOT NULL,
    registration bigint NOT NULL,
    request      bytea NOT NULL,
    number       integer NOT NULL,
    next         integer NOT NULL,
    step         smallint NOT NULL,
    repeats      bigint NOT NULL DEFAULT 0,
    token        uuid,
    expires      timestamptz,
    PRIMARY KEY (grp, seq)
);
CREATE UNIQUE INDEX history_token ON gdtls.history (token) WHERE token IS NOT NULL;

CREATE TABLE gdtls.members (
    grp          integer NOT NULL,
    registration bigint NOT NULL,
    last         integer,
    advanced     bigint NOT NULL,
    restarted    bigint NOT NULL,
    repeated     bigint NOT NULL,
    out_of_turn  bigint NOT NULL,
    completed    bigint NOT NULL,
    seen         timestamptz NOT NULL,
    PRIMARY KEY (grp, registration)
) WITH (fillfactor = 50);

-- By the names of groups, since some are refused of which nothing else is known.
CREATE TABLE gdtls.refusals (
    grp          text COLLATE "C" NOT NULL,
    registration bigint NOT NULL,
    why          text COLLATE "C" NOT NULL,
    count        bigint NOT NULL,
    last         timestamptz NOT NULL,
    PRIMARY KEY (grp, registration, why)
) WITH (fillfactor = 50);
