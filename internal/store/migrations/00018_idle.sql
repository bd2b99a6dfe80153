-- +goose Up

-- Sessions that are over are found by their time, however many there are.
CREATE INDEX denial_session_last ON denial_session (last_at);

-- +goose Down
DROP INDEX denial_session_last;
