-- +goose Up
CREATE TABLE environment (
    env        TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (env)
) WITHOUT ROWID;

CREATE TABLE product (
    env        TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    title      TEXT   NOT NULL,
    team       TEXT   NOT NULL,
    pager      TEXT   NOT NULL,
    runbook    TEXT   NOT NULL,
    salt       BLOB   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (env, name)
) WITHOUT ROWID;

CREATE TABLE customer (
    env        TEXT   NOT NULL,
    id         TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    email      TEXT   NOT NULL,
    reference  TEXT   NOT NULL,
    metadata   TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (env, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX customer_reference ON customer (env, reference) WHERE reference <> '';

CREATE TABLE plan (
    env        TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    product    TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (env, name)
) WITHOUT ROWID;

CREATE TABLE revision (
    env        TEXT   NOT NULL,
    plan       TEXT   NOT NULL,
    hash       TEXT   NOT NULL,
    body       TEXT   NOT NULL,
    source     TEXT   NOT NULL,
    applied_at BIGINT NOT NULL,
    applied_by TEXT   NOT NULL,
    PRIMARY KEY (env, plan, hash)
) WITHOUT ROWID;

CREATE TABLE channel (
    env      TEXT   NOT NULL,
    plan     TEXT   NOT NULL,
    name     TEXT   NOT NULL,
    revision TEXT   NOT NULL,
    moved_at BIGINT NOT NULL,
    PRIMARY KEY (env, plan, name)
) WITHOUT ROWID;

CREATE TABLE license (
    env            TEXT   NOT NULL,
    id             TEXT   NOT NULL,
    product        TEXT   NOT NULL,
    customer       TEXT   NOT NULL,
    plan           TEXT   NOT NULL,
    revision       TEXT   NOT NULL,
    channel        TEXT   NOT NULL,
    granted        TEXT   NOT NULL,
    status         TEXT   NOT NULL,
    payment        TEXT   NOT NULL,
    reference      TEXT   NOT NULL,
    issued_at      BIGINT NOT NULL,
    start_at       BIGINT NOT NULL,
    end_at         BIGINT NOT NULL,
    maintenance_at BIGINT NOT NULL,
    body           TEXT   NOT NULL,
    epoch          BIGINT NOT NULL,
    counter        BIGINT NOT NULL,
    PRIMARY KEY (env, id)
) WITHOUT ROWID;
CREATE INDEX license_customer ON license (env, customer, id);
CREATE INDEX license_plan ON license (env, plan, id);
CREATE INDEX license_end ON license (env, end_at, id);
CREATE UNIQUE INDEX license_reference ON license (env, reference) WHERE reference <> '';

CREATE TABLE license_key (
    env        TEXT   NOT NULL,
    license    TEXT   NOT NULL,
    id         TEXT   NOT NULL,
    digest     TEXT   NOT NULL,
    hint       TEXT   NOT NULL,
    imported   BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (env, license, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX license_key_digest ON license_key (digest, env);

CREATE TABLE token (
    env        TEXT   NOT NULL,
    id         TEXT   NOT NULL,
    digest     TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    role       TEXT   NOT NULL,
    product    TEXT   NOT NULL,
    customer   TEXT   NOT NULL,
    created_by TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL,
    PRIMARY KEY (env, id)
) WITHOUT ROWID;

CREATE TABLE revocation (
    env      TEXT   NOT NULL,
    number   BIGINT NOT NULL,
    subject  TEXT   NOT NULL,
    at       BIGINT NOT NULL,
    until    BIGINT NOT NULL,
    reason   TEXT   NOT NULL,
    fallback BIGINT NOT NULL,
    PRIMARY KEY (env, number)
) WITHOUT ROWID;
CREATE UNIQUE INDEX revocation_subject ON revocation (env, subject);

CREATE TABLE idempotency (
    env        TEXT   NOT NULL,
    token      TEXT   NOT NULL,
    route      TEXT   NOT NULL,
    key        TEXT   NOT NULL,
    body       TEXT   NOT NULL,
    answer     TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (env, token, route, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_created ON idempotency (created_at);

-- +goose Down
DROP TABLE idempotency;
DROP TABLE revocation;
DROP TABLE token;
DROP TABLE license_key;
DROP TABLE license;
DROP TABLE channel;
DROP TABLE revision;
DROP TABLE plan;
DROP TABLE customer;
DROP TABLE product;
DROP TABLE environment;
