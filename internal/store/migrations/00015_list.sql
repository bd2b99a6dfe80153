-- +goose Up

-- Lists and searches find their rows by an index, however many there are.
CREATE INDEX license_status ON license (env, status, id);
CREATE INDEX license_product ON license (env, product, id);
CREATE INDEX license_granted ON license (env, granted, id);
CREATE INDEX denial_named ON denial (env, request, at) WHERE request <> '';

-- +goose Down
DROP INDEX denial_named;
DROP INDEX license_granted;
DROP INDEX license_product;
DROP INDEX license_status;
