-- +goose Up

-- Long work that a server does in the background, in many transactions. Each of them stores its
-- changes together with the job's new position, so that nothing is done twice.
CREATE TABLE job (
    env         TEXT   NOT NULL,
    id          TEXT   NOT NULL,
    kind        TEXT   NOT NULL,
    status      TEXT   NOT NULL,
    customer    TEXT   NOT NULL, -- the scope of the caller; empty for no limit
    product     TEXT   NOT NULL,
    changes     BIGINT NOT NULL, -- 1 if it changes licenses and so must wait for earlier jobs that do
    caller      TEXT   NOT NULL, -- the principal, as JSON
    actor       TEXT   NOT NULL,
    call        TEXT   NOT NULL, -- the request that created it
    request     TEXT   NOT NULL, -- JSON
    dry_run     BIGINT NOT NULL,
    total       BIGINT NOT NULL, -- items; 0 until it is known
    done        BIGINT NOT NULL, -- items processed, including failed ones
    failed      BIGINT NOT NULL,
    position    TEXT   NOT NULL, -- JSON of the kind
    result      TEXT   NOT NULL, -- JSON of the kind, at the end
    code        TEXT   NOT NULL, -- of the error, if it failed
    message     TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    started_at  BIGINT NOT NULL,
    ended_at    BIGINT NOT NULL,
    canceled_by TEXT   NOT NULL, -- who asked for it to stop
    runner      TEXT   NOT NULL, -- the server that runs it
    claimed     BIGINT NOT NULL, -- until when the runner has it for itself
    PRIMARY KEY (env, id)
) WITHOUT ROWID;
CREATE INDEX job_open ON job (env, id) WHERE ended_at = 0;
CREATE INDEX job_ended ON job (ended_at) WHERE ended_at <> 0;

-- The items that a job was given, until it ends.
CREATE TABLE job_item (
    env   TEXT   NOT NULL,
    job   TEXT   NOT NULL,
    first BIGINT NOT NULL, -- number of the first item in this row
    items TEXT   NOT NULL, -- JSON list
    PRIMARY KEY (env, job, first)
) WITHOUT ROWID;

-- What became of the items.
CREATE TABLE job_result (
    env     TEXT   NOT NULL,
    job     TEXT   NOT NULL,
    first   BIGINT NOT NULL, -- number of the first result in this row
    results TEXT   NOT NULL, -- JSON list
    failed  BIGINT NOT NULL, -- how many of them failed
    PRIMARY KEY (env, job, first)
) WITHOUT ROWID;
CREATE INDEX job_result_failed ON job_result (env, job, first) WHERE failed > 0;

-- +goose Down
DROP TABLE job_result;
DROP TABLE job_item;
DROP TABLE job;
