-- Each row that running programs must see has the generation of its last change,
-- so that they read what has changed and not everything.

-- +goose Up
ALTER TABLE users ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;
ALTER TABLE revoked_tokens ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN generation BIGINT NOT NULL DEFAULT 0;
CREATE INDEX users_by_generation ON users (generation);
CREATE INDEX revoked_tokens_by_generation ON revoked_tokens (generation);
CREATE INDEX api_keys_by_generation ON api_keys (generation);

-- +goose Down
DROP INDEX api_keys_by_generation;
DROP INDEX revoked_tokens_by_generation;
DROP INDEX users_by_generation;
ALTER TABLE api_keys DROP COLUMN generation;
ALTER TABLE revoked_tokens DROP COLUMN generation;
ALTER TABLE users DROP COLUMN generation;
