-- +goose Up
-- Rows of the log that can't have a place in the tree. Their entries stay in log_row.
CREATE TABLE log_quarantine (
    env      TEXT   NOT NULL,
    id       TEXT   NOT NULL,
    batch    TEXT   NOT NULL, -- what was put here together: one entry counts and hashes it
    cause    TEXT   NOT NULL, -- unknown_environment, damaged
    leaves   BLOB   NOT NULL,
    licenses TEXT   NOT NULL,
    at       BIGINT NOT NULL, -- when it was put here
    PRIMARY KEY (env, id)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE log_quarantine;
