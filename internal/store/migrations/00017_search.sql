-- +goose Up

-- Which entries of the log have a type, a customer or a product.
CREATE TABLE log_index (
    env     TEXT   NOT NULL,
    kind    BIGINT NOT NULL, -- 1 type, 2 customer, 3 product
    name    TEXT   NOT NULL,
    first   BIGINT NOT NULL, -- the index of an entry
    entries BLOB   NOT NULL, -- the entries after it, each as the distance from the one before, a variable-length integer
    PRIMARY KEY (env, kind, name, first)
) WITHOUT ROWID;

-- How many entries log_index covers. An environment without a row is covered from 0 on.
CREATE TABLE log_indexed (
    env  TEXT   NOT NULL,
    size BIGINT NOT NULL,
    PRIMARY KEY (env)
) WITHOUT ROWID;

-- An id of a usage event, and one of a repeated denial, is found by an index.
CREATE INDEX usage_event_id ON usage_event (env, id);
CREATE INDEX denial_repeated ON denial (env, minute) WHERE later <> '';

-- +goose Down
DROP INDEX denial_repeated;
DROP INDEX usage_event_id;
DROP TABLE log_indexed;
DROP TABLE log_index;
