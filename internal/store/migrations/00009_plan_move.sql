-- +goose Up
-- Licenses that move to a revision of their plan, some at a time.
CREATE TABLE plan_move (
    env        TEXT   NOT NULL,
    id         TEXT   NOT NULL,
    plan       TEXT   NOT NULL,
    channel    TEXT   NOT NULL,
    revision   TEXT   NOT NULL,
    licenses   TEXT   NOT NULL, -- which ones, as JSON
    below      TEXT   NOT NULL,
    total      BIGINT NOT NULL, -- when it began
    moved      BIGINT NOT NULL,
    refused    BIGINT NOT NULL,
    last       TEXT   NOT NULL, -- the license it has come to
    actor      TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    done_at    BIGINT NOT NULL,
    PRIMARY KEY (env, id)
) WITHOUT ROWID;
CREATE INDEX plan_move_open ON plan_move (env, plan, channel) WHERE done_at = 0;

-- +goose Down
DROP TABLE plan_move;
