-- What has been revoked, and the keys of machines. access_generation has one
-- row; its number grows with every change that running programs must see, in
-- the transaction that makes the change.

-- +goose Up
CREATE TABLE revoked_tokens (
    id         TEXT   NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

CREATE TABLE api_keys (
    id           TEXT   NOT NULL PRIMARY KEY,
    name         TEXT   NOT NULL,
    hash         TEXT   NOT NULL,
    scopes       TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    revoked_at   BIGINT NOT NULL DEFAULT 0,
    last_used_at BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE access_generation (
    id         BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    generation BIGINT NOT NULL
);
INSERT INTO access_generation (id, generation) VALUES (1, 0);

-- +goose Down
DROP TABLE access_generation;
DROP TABLE api_keys;
DROP TABLE revoked_tokens;
