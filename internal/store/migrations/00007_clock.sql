-- +goose Up
-- Which boot of which machine stored the mark, and what its boot clock showed, so
-- that a start can tell how much time has passed. Kept is the last time that
-- servers went on with and nothing explained: units that were held before
-- kept_from stay held for kept_by longer, the last of them until kept_until.
ALTER TABLE clock ADD COLUMN boot TEXT NOT NULL DEFAULT '';
ALTER TABLE clock ADD COLUMN up BIGINT NOT NULL DEFAULT 0;
ALTER TABLE clock ADD COLUMN kept_from BIGINT NOT NULL DEFAULT 0;
ALTER TABLE clock ADD COLUMN kept_by BIGINT NOT NULL DEFAULT 0;
ALTER TABLE clock ADD COLUMN kept_until BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE clock DROP COLUMN kept_until;
ALTER TABLE clock DROP COLUMN kept_by;
ALTER TABLE clock DROP COLUMN kept_from;
ALTER TABLE clock DROP COLUMN up;
ALTER TABLE clock DROP COLUMN boot;
