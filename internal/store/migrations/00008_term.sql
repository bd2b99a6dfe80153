-- +goose Up
-- The decimal places that amounts of usage are counted with; -1 where an earlier
-- version did not say: those of the license's terms.
ALTER TABLE usage_total ADD COLUMN scale BIGINT NOT NULL DEFAULT -1;
ALTER TABLE usage_event ADD COLUMN scale BIGINT NOT NULL DEFAULT -1;
-- When a license's next scheduled change is made; 0 for none.
ALTER TABLE license ADD COLUMN change_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX license_change ON license (change_at) WHERE change_at <> 0;

-- +goose Down
DROP INDEX license_change;
ALTER TABLE license DROP COLUMN change_at;
ALTER TABLE usage_event DROP COLUMN scale;
ALTER TABLE usage_total DROP COLUMN scale;
