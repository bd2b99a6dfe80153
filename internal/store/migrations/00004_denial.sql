-- +goose Up
-- How many of a minute's denials are in the log: the first, and those counted
-- after it.
ALTER TABLE denial ADD COLUMN counted BIGINT NOT NULL DEFAULT 1;
CREATE INDEX denial_uncounted ON denial (minute) WHERE times > counted;

-- +goose Down
DROP INDEX denial_uncounted;
ALTER TABLE denial DROP COLUMN counted;
