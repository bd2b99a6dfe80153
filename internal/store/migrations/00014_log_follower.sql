-- +goose Up

-- How far those who follow the log have read it. Each scope has names of its own.
CREATE TABLE log_follower (
    env      TEXT   NOT NULL,
    customer TEXT   NOT NULL, -- whose entries it sees; empty is everybody's
    product  TEXT   NOT NULL, -- of which product; empty is all
    name     TEXT   NOT NULL,
    position BIGINT NOT NULL, -- the index of the next entry
    moved_at BIGINT NOT NULL,
    PRIMARY KEY (env, customer, product, name)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE log_follower;
