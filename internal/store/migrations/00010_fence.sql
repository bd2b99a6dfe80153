-- +goose Up

-- When a final backup closed the database; 0 while it is open.
ALTER TABLE deployment ADD COLUMN closed_at BIGINT NOT NULL DEFAULT 0;

-- Two people can declare that a loss took no lease. The row names the first;
-- ended_at is when the second agreed, which ends the fence, and 0 before.
CREATE TABLE fence_declaration (
    env         TEXT   NOT NULL,
    epoch       BIGINT NOT NULL, -- of the fence
    declared_by TEXT   NOT NULL,
    declared_at BIGINT NOT NULL,
    reason      TEXT   NOT NULL,
    agreed_by   TEXT   NOT NULL,
    ended_at    BIGINT NOT NULL,
    PRIMARY KEY (env, epoch)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE fence_declaration;
ALTER TABLE deployment DROP COLUMN closed_at;
