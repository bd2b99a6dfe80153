-- +goose Up

-- Leases whose holders are asked to give them back. What was asked is in the
-- lease's row; this finds them by license. A row outlives its lease until it is forgotten.
CREATE TABLE recall (
    env         TEXT   NOT NULL,
    license     TEXT   NOT NULL,
    lease       TEXT   NOT NULL,
    recalled_at BIGINT NOT NULL,
    PRIMARY KEY (env, license, lease)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE recall;
