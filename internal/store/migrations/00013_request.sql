-- +goose Up

-- A request is known by the name that its program gives it, and by the server's
-- own id of the call, which every answer carries.
ALTER TABLE denial ADD COLUMN call TEXT NOT NULL DEFAULT '';
ALTER TABLE usage_event ADD COLUMN call TEXT NOT NULL DEFAULT '';

-- Since when one holder has been denied one thing for one reason, however often
-- it tried. Rows that no later denial can go on with are deleted.
CREATE TABLE denial_session (
    env     TEXT   NOT NULL,
    license TEXT   NOT NULL,
    pool    TEXT   NOT NULL, -- or meter
    holder  TEXT   NOT NULL,
    code    TEXT   NOT NULL,
    tries   BIGINT NOT NULL,
    last_at BIGINT NOT NULL, -- of the latest
    PRIMARY KEY (env, license, pool, holder, code)
) WITHOUT ROWID;

-- Usage events that were not recorded.
CREATE TABLE usage_refusal (
    env      TEXT   NOT NULL,
    license  TEXT   NOT NULL,
    id       TEXT   NOT NULL,
    meter    TEXT   NOT NULL,
    call     TEXT   NOT NULL,
    at       BIGINT NOT NULL, -- when it was refused
    decision TEXT   NOT NULL, -- as JSON
    PRIMARY KEY (env, id, license)
) WITHOUT ROWID;
CREATE INDEX usage_refused ON usage_refusal (at);

-- +goose Down
DROP TABLE usage_refusal;
DROP TABLE denial_session;
ALTER TABLE usage_event DROP COLUMN call;
ALTER TABLE denial DROP COLUMN call;
