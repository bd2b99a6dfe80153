-- +goose Up

-- The job that moves the licenses; empty if a background task does.
ALTER TABLE plan_move ADD COLUMN job TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE plan_move DROP COLUMN job;
