-- +goose Up

-- The entries in packed form. Then body is '1', which earlier programs report as unreadable. It is
-- empty if body has the entries.
ALTER TABLE log_row ADD COLUMN packed BLOB NOT NULL DEFAULT '';

-- When the server begins to pack rows. 0 until a program that can read them has started.
ALTER TABLE deployment ADD COLUMN packs_from BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE deployment DROP COLUMN packs_from;
ALTER TABLE log_row DROP COLUMN packed;
