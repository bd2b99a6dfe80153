-- +goose Up

-- How far those who follow the log have read it.
CREATE TABLE log_follower (
    env      TEXT   NOT NULL,
    name     TEXT   NOT NULL,
    customer TEXT   NOT NULL, -- whose entries it sees; empty is everybody's
    product  TEXT   NOT NULL, -- of which product; empty is all
    position BIGINT NOT NULL, -- the index of the next entry
    moved_at BIGINT NOT NULL,
    PRIMARY KEY (env, name)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE log_follower;
