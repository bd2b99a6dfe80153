-- +goose Up

-- Which deployment this is and the generation of its data.
CREATE TABLE deployment (
    env        TEXT   NOT NULL, -- empty: all environments
    id         TEXT   NOT NULL, -- part of every issuer's name
    epoch      BIGINT NOT NULL, -- raised by restore and after a rollback
    created_at BIGINT NOT NULL,
    PRIMARY KEY (env)
) WITHOUT ROWID;

-- The log's entries, one row for each transaction. A row is written once; only
-- an erasure takes a payload out of it.
CREATE TABLE log_row (
    env     TEXT   NOT NULL,
    id      TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    entries BIGINT NOT NULL, -- how many
    body    TEXT   NOT NULL, -- JSON list of entries
    PRIMARY KEY (env, id)
) WITHOUT ROWID;

-- Rows that have no place in the tree yet.
CREATE TABLE log_pending (
    env      TEXT   NOT NULL,
    id       TEXT   NOT NULL,
    leaves   BLOB   NOT NULL, -- leaf hashes, one after the other
    licenses TEXT   NOT NULL, -- by spaces
    PRIMARY KEY (env, id)
) WITHOUT ROWID;

-- Where in the tree a row's entries are.
CREATE TABLE log_place (
    env     TEXT   NOT NULL,
    first   BIGINT NOT NULL, -- index of the row's first entry
    entries BIGINT NOT NULL,
    row_id  TEXT   NOT NULL,
    PRIMARY KEY (env, first)
) WITHOUT ROWID;

-- Which rows speak of a license.
CREATE TABLE log_license (
    env     TEXT   NOT NULL,
    license TEXT   NOT NULL,
    first   BIGINT NOT NULL,
    PRIMARY KEY (env, license, first)
) WITHOUT ROWID;

-- The tree's hashes, up to 256 in a tile; the last of a level grows in place.
CREATE TABLE log_tile (
    env    TEXT   NOT NULL,
    level  BIGINT NOT NULL,
    n      BIGINT NOT NULL,
    hashes BLOB   NOT NULL,
    PRIMARY KEY (env, level, n)
);

CREATE TABLE log_head (
    env    TEXT   NOT NULL,
    size   BIGINT NOT NULL,
    signed TEXT   NOT NULL, -- C2SP checkpoint
    at     BIGINT NOT NULL,
    PRIMARY KEY (env)
) WITHOUT ROWID;

-- Since when what the database says about leases may be older than what was
-- said to their holders, and why.
CREATE TABLE fence (
    env    TEXT   NOT NULL,
    since  BIGINT NOT NULL, -- 0: from the next start on
    epoch  BIGINT NOT NULL,
    reason TEXT   NOT NULL,
    ending BIGINT NOT NULL, -- 1 when only leases that have an end can be missing
    PRIMARY KEY (env)
) WITHOUT ROWID;

CREATE TABLE signing_key (
    env          TEXT   NOT NULL,
    id           TEXT   NOT NULL, -- RFC 7638 thumbprint
    purpose      TEXT   NOT NULL, -- root, document, log, proposed
    number       BIGINT NOT NULL,
    public       BLOB   NOT NULL,
    sealed       TEXT   NOT NULL, -- private part, empty when it is elsewhere
    sign_from    BIGINT NOT NULL,
    sign_until   BIGINT NOT NULL,
    trust_until  BIGINT NOT NULL,
    retired_at   BIGINT NOT NULL,
    withdrawn_at BIGINT NOT NULL,
    exported_at  BIGINT NOT NULL,
    PRIMARY KEY (env, id)
) WITHOUT ROWID;

-- Root sets and key sets; the highest number is in force.
CREATE TABLE signed_set (
    env        TEXT   NOT NULL,
    kind       TEXT   NOT NULL, -- rootset, keyset
    number     BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    documents  TEXT   NOT NULL, -- JSON list of compact JWS
    PRIMARY KEY (env, kind, number)
);

-- The key pair that a feature's data is sealed to.
CREATE TABLE feature_key (
    env     TEXT NOT NULL,
    product TEXT NOT NULL,
    feature TEXT NOT NULL,
    public  BLOB NOT NULL,
    sealed  TEXT NOT NULL,
    PRIMARY KEY (env, product, feature)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE feature_key;
DROP TABLE signed_set;
DROP TABLE signing_key;
DROP TABLE fence;
DROP TABLE log_head;
DROP TABLE log_tile;
DROP TABLE log_license;
DROP TABLE log_place;
DROP TABLE log_pending;
DROP TABLE log_row;
DROP TABLE deployment;
