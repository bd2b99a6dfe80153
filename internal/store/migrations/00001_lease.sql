-- +goose Up
-- Every primary key begins with the environment; an index that each lease is in
-- begins with what tells leases apart, which is compared first. Times are microseconds of Unix time,
-- 0 for none. One text serves both engines.

CREATE TABLE clock (
    env TEXT   NOT NULL, -- empty: the mark of the whole database
    at  BIGINT NOT NULL, -- no transaction is given an earlier time
    back BIGINT NOT NULL, -- how often it was set back
    PRIMARY KEY (env)
) WITHOUT ROWID;

-- What a pool holds, kept as counters: deciding costs the same for any size.
CREATE TABLE pool (
    env        TEXT   NOT NULL,
    license    TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    held       BIGINT NOT NULL, -- units of leases and of offers
    leases     BIGINT NOT NULL, -- leases in force
    waiting    BIGINT NOT NULL, -- tickets without an offer
    tickets    BIGINT NOT NULL, -- places given so far
    over_since BIGINT NOT NULL, -- since when more than the capacity is held
    due        BIGINT NOT NULL, -- nothing in the pool has to be done before
    capacity   BIGINT NOT NULL, -- as last compiled, for lists and metrics
    PRIMARY KEY (env, license, name)
) WITHOUT ROWID;
CREATE INDEX pool_due ON pool (due) WHERE due > 0;

CREATE TABLE lease (
    env         TEXT   NOT NULL,
    id          TEXT   NOT NULL,
    license     TEXT   NOT NULL,
    pool        TEXT   NOT NULL,
    holder      TEXT   NOT NULL,
    instance    TEXT   NOT NULL,
    units       BIGINT NOT NULL, -- what the lease says
    charge      BIGINT NOT NULL, -- what the pool counts: 0 when shared
    generation  BIGINT NOT NULL,
    granted_at  BIGINT NOT NULL,
    renewed_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL, -- end of full function in its last document
    borrowed    BIGINT NOT NULL, -- 1 when taken for longer than the pool's lease
    nonce       TEXT   NOT NULL, -- of the last renewal
    cloned_at   BIGINT NOT NULL, -- when a copy was seen that its keeper was not told of
    ended_at    BIGINT NOT NULL,
    ended_by    TEXT   NOT NULL, -- released, reclaimed, forced
    due         BIGINT NOT NULL, -- when to reclaim it, or once ended to forget it; 0 without end
    requests    TEXT   NOT NULL, -- the request ids that lead here, by spaces
    asker       TEXT   NOT NULL, -- who and what asked, as JSON
    PRIMARY KEY (env, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX lease_holder ON lease (holder, pool, license, env, instance) WHERE ended_at = 0;
CREATE INDEX lease_due ON lease (env, license, pool, due) WHERE due > 0;
CREATE INDEX lease_endless ON lease (env, license, pool, id) WHERE due = 0 AND ended_at = 0;
CREATE INDEX lease_shared ON lease (env, license, pool) WHERE charge = 0;
CREATE INDEX lease_forced ON lease (env, license, pool, holder) WHERE ended_by = 'forced';

-- The components of machines that hold, for matching n of m.
CREATE TABLE component (
    env     TEXT NOT NULL,
    license TEXT NOT NULL,
    pool    TEXT NOT NULL,
    name    TEXT NOT NULL,
    hash    TEXT NOT NULL,
    lease   TEXT NOT NULL,
    PRIMARY KEY (env, license, pool, name, hash, lease)
) WITHOUT ROWID;

-- What was asked by which request, so that asking again gives the same.
CREATE TABLE request (
    env     TEXT   NOT NULL,
    license TEXT   NOT NULL,
    id      TEXT   NOT NULL,
    body    BIGINT NOT NULL, -- a hash of what was asked
    lease   TEXT   NOT NULL, -- what it led to: a lease
    ticket  TEXT   NOT NULL, -- or a place in the queue
    at      BIGINT NOT NULL,
    PRIMARY KEY (env, id, license)
) WITHOUT ROWID;

CREATE TABLE ticket (
    env          TEXT   NOT NULL,
    id           TEXT   NOT NULL,
    license      TEXT   NOT NULL,
    pool         TEXT   NOT NULL,
    place        BIGINT NOT NULL, -- order in the pool's queue
    holder       TEXT   NOT NULL,
    instance     TEXT   NOT NULL,
    units        BIGINT NOT NULL,
    borrow       BIGINT NOT NULL, -- how long was asked for, microseconds; 0 the pool's
    request      TEXT   NOT NULL,
    queued_at    BIGINT NOT NULL,
    deadline     BIGINT NOT NULL, -- when waiting ends
    alive_until  BIGINT NOT NULL, -- the place is lost when nobody asks before
    offered      BIGINT NOT NULL, -- until when the units are kept; 0 still waiting
    lease        TEXT   NOT NULL, -- what it became
    ended_at     BIGINT NOT NULL,
    ended_by     TEXT   NOT NULL, -- claimed, withdrawn, vanished, late, lapsed, too_large
    asker        TEXT   NOT NULL,
    PRIMARY KEY (env, id)
) WITHOUT ROWID;
CREATE INDEX ticket_place ON ticket (env, license, pool, place) WHERE ended_at = 0;
CREATE INDEX ticket_holder ON ticket (holder, pool, license, env) WHERE ended_at = 0;
CREATE INDEX ticket_ended ON ticket (ended_at) WHERE ended_at > 0;

CREATE TABLE usage_event (
    env      TEXT   NOT NULL,
    license  TEXT   NOT NULL,
    id       TEXT   NOT NULL,
    meter    TEXT   NOT NULL,
    quantity BIGINT NOT NULL,
    at       BIGINT NOT NULL, -- when it was used
    recorded BIGINT NOT NULL, -- when it was recorded
    period   BIGINT NOT NULL, -- start of the period it counts in
    PRIMARY KEY (env, license, id)
) WITHOUT ROWID;
CREATE INDEX usage_recorded ON usage_event (recorded);

CREATE TABLE usage_total (
    env     TEXT   NOT NULL,
    license TEXT   NOT NULL,
    meter   TEXT   NOT NULL,
    period  BIGINT NOT NULL, -- absolute start
    ends_at BIGINT NOT NULL, -- absolute end
    used    BIGINT NOT NULL,
    events  BIGINT NOT NULL,
    soft_at BIGINT NOT NULL, -- when the soft limit was reached
    hard_at BIGINT NOT NULL, -- when the quota was spent
    caller  TEXT   NOT NULL, -- what recorded last, as JSON
    PRIMARY KEY (env, license, meter, period)
) WITHOUT ROWID;

-- The first denial of a minute for one holder and code, and how many followed.
CREATE TABLE denial (
    env      TEXT   NOT NULL,
    license  TEXT   NOT NULL,
    pool     TEXT   NOT NULL, -- or meter
    holder   TEXT   NOT NULL,
    code     TEXT   NOT NULL,
    minute   BIGINT NOT NULL,
    request  TEXT   NOT NULL, -- of the first
    at       BIGINT NOT NULL, -- of the first
    times    BIGINT NOT NULL,
    decision TEXT   NOT NULL, -- of the first, as JSON
    caller   TEXT   NOT NULL, -- what asked first, as JSON
    later    TEXT   NOT NULL, -- the latest requests after it, by spaces
    PRIMARY KEY (env, license, pool, holder, code, minute)
) WITHOUT ROWID;
CREATE INDEX denial_request ON denial (env, license, request, at);
CREATE INDEX denial_minute ON denial (minute);

-- +goose Down
DROP TABLE denial;
DROP TABLE usage_total;
DROP TABLE usage_event;
DROP TABLE ticket;
DROP TABLE request;
DROP TABLE component;
DROP TABLE lease;
DROP TABLE pool;
DROP TABLE clock;
