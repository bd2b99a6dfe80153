-- +goose Up

-- Who had the trial of a product that is given once. A customer is a claim by its id; once
-- deleted, hashes of its address and reference are left until forget_at. A machine is a claim by
-- its first lease or license file, with a row for each component, which are salted hashes.
CREATE TABLE trial (
    env       TEXT   NOT NULL,
    product   TEXT   NOT NULL,
    claim     TEXT   NOT NULL, -- a customer's id, a lease's or a document's
    subject   TEXT   NOT NULL, -- what the claim is recognized by
    license   TEXT   NOT NULL, -- whose trial it was
    taken_at  BIGINT NOT NULL,
    forget_at BIGINT NOT NULL, -- 0: as long as the license
    PRIMARY KEY (env, product, claim, subject)
) WITHOUT ROWID;
CREATE INDEX trial_subject ON trial (env, product, subject);
CREATE INDEX trial_claim ON trial (env, claim);
CREATE INDEX trial_forget ON trial (forget_at) WHERE forget_at > 0;

-- +goose Down
DROP TABLE trial;
