-- +goose Up
-- One row for each transaction, holding its entries in order.
CREATE TABLE log_row (
    env    TEXT NOT NULL,
    id     TEXT NOT NULL,
    body   BLOB NOT NULL,
    leaves BLOB NOT NULL,
    PRIMARY KEY (env, id)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE log_row;
