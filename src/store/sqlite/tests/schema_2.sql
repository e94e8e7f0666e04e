-- What a Miroir of schema 2 left behind: 3 nodes, 4 shards, 2 replicas; an index with documents and settings, an empty
-- one. Made by the program of that time, dumped. Never changed.
PRAGMA application_id = 1296650834;
PRAGMA user_version = 2;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE bootstraps (
    node TEXT NOT NULL,
    node_uid TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (node, node_uid)
) WITHOUT ROWID;
CREATE TABLE decisions (
    position INTEGER PRIMARY KEY,
    decision TEXT NOT NULL
);
INSERT INTO "decisions" VALUES(8,'"Commit"');
INSERT INTO "decisions" VALUES(13,'"Commit"');
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    index_uid TEXT,
    kind TEXT NOT NULL,
    status INTEGER NOT NULL,
    enqueued_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    canceled_by INTEGER,
    is_deleted INTEGER NOT NULL DEFAULT 0,
    payload_bytes INTEGER NOT NULL DEFAULT 0,
    body TEXT NOT NULL,
    resolution TEXT,
    outcome TEXT
);
INSERT INTO "entries" VALUES(0,'movies','documentAdditionOrUpdate',2,1795439810535923,1795439810541366,1795439810625533,NULL,0,139,'{"id":0,"enqueued_at":1795439810535923,"index":"movies","target":"movies-0","operation":{"PutDocuments":{"mode":"Replace","received":3,"primary_key":"id","creates_index":true,"sets_primary_key":false}},"shards":[0],"rejection":null,"custom_metadata":null}',NULL,'{"status":"succeeded","error":null,"counts":{"indexed":3,"deleted":null,"tasks":null},"canceled_by":null,"started_at":1795439810541366,"finished_at":1795439810625533}');
INSERT INTO "entries" VALUES(1,'movies','settingsUpdate',2,1795439810646074,1795439810654314,1795439810875999,NULL,0,0,'{"id":1,"enqueued_at":1795439810646074,"index":"movies","target":"movies-0","operation":{"UpdateSettings":{"patch":{"filterableAttributes":["title"]},"is_deletion":false,"creates_index":false}},"shards":[],"rejection":null,"custom_metadata":null}','{"Settings":{"before":{},"after":{"filterableAttributes":["title"]}}}','{"status":"succeeded","error":null,"counts":{"indexed":null,"deleted":null,"tasks":null},"canceled_by":null,"started_at":1795439810654314,"finished_at":1795439810875999}');
INSERT INTO "entries" VALUES(2,'books','indexCreation',2,1795439810887088,1795439810889403,1795439811154629,NULL,0,0,'{"id":2,"enqueued_at":1795439810887088,"index":"books","target":"books-2","operation":{"CreateIndex":{"primary_key":"isbn"}},"shards":[],"rejection":null,"custom_metadata":null}',NULL,'{"status":"succeeded","error":null,"counts":{"indexed":null,"deleted":null,"tasks":null},"canceled_by":null,"started_at":1795439810889403,"finished_at":1795439811154629}');
CREATE TABLE heads (
    uid TEXT PRIMARY KEY,
    body TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "heads" VALUES('books','{"node_uid":"books-2","primary_key":"isbn","may_hold_documents":false}');
INSERT INTO "heads" VALUES('movies','{"node_uid":"movies-0","primary_key":"id","may_hold_documents":true}');
CREATE TABLE indexes (
    node_uid TEXT PRIMARY KEY,
    body TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "indexes" VALUES('books-2','{"uid":"books","node_uid":"books-2","created_by":2,"dropped_by":null,"primary_key":"isbn","settings":{},"created_at":1795439810887088,"updated_at":1795439810951075,"is_visible":true}');
INSERT INTO "indexes" VALUES('movies-0','{"uid":"movies","node_uid":"movies-0","created_by":0,"dropped_by":null,"primary_key":"id","settings":{"filterableAttributes":["title"]},"created_at":1795439810535923,"updated_at":1795439810668842,"is_visible":true}');
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    body TEXT NOT NULL
);
CREATE TABLE joins (
    job INTEGER NOT NULL,
    node_uid TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (job, node_uid)
) WITHOUT ROWID;
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "meta" VALUES('cluster','{"shard_count":4,"cluster_id":"3bcdf23b-7e3f-4381-8195-359ed6f0083d"}');
INSERT INTO "meta" VALUES('next_entry','3');
INSERT INTO "meta" VALUES('tables','{"owners":[["node-2","node-1"],["node-1","node-2"],["node-0","node-1"],["node-0","node-2"]],"plan":[["node-2","node-1"],["node-1","node-2"],["node-0","node-1"],["node-0","node-2"]],"replication_factor":2,"version":1,"is_paused":false,"pace":{"movesPerNode":32,"shardsPerCopy":16,"compact":true,"bytesPerSecond":null,"busyPercent":25,"hours":null},"mends":[],"is_pace_set":false,"compactions":[]}');
INSERT INTO "meta" VALUES('updated_at movies-0','1795439810625533');
CREATE TABLE needs_rebuild (
    node TEXT NOT NULL,
    node_uid TEXT NOT NULL,
    PRIMARY KEY (node, node_uid)
) WITHOUT ROWID;
CREATE TABLE next_tasks (
    node TEXT PRIMARY KEY,
    task INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO "next_tasks" VALUES('node-0',6);
INSERT INTO "next_tasks" VALUES('node-1',7);
INSERT INTO "next_tasks" VALUES('node-2',7);
CREATE TABLE nodes (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
);
INSERT INTO "nodes" VALUES(1,'node-0','{"id":"node-0","url":"http://127.0.0.1:38189","zone":null,"weight":1.0,"state":"active","life":0,"has_identity":true}');
INSERT INTO "nodes" VALUES(2,'node-1','{"id":"node-1","url":"http://127.0.0.1:37261","zone":null,"weight":1.0,"state":"active","life":0,"has_identity":true}');
INSERT INTO "nodes" VALUES(3,'node-2','{"id":"node-2","url":"http://127.0.0.1:40465","zone":null,"weight":1.0,"state":"active","life":0,"has_identity":true}');
CREATE TABLE out_of_sync (
    node TEXT NOT NULL,
    node_uid TEXT NOT NULL,
    PRIMARY KEY (node, node_uid)
) WITHOUT ROWID;
CREATE TABLE payloads (
    entry INTEGER PRIMARY KEY,
    byte_count INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    sections BLOB,
    bytes BLOB
);
INSERT INTO "payloads" VALUES(0,139,-6729006343006996432,X'000000000000000000008B00000000000000030000000000000058F1988F0225CD6514A35D2F32A795FBF074947E1EDC2473',X'7B225F6D69726F6972223A22E2B880E2B880222C226964223A20312C20227469746C65223A20224361726F6C227D0A7B225F6D69726F6972223A22E2B880E2B880222C226964223A20322C20227469746C65223A2022486572227D0A7B225F6D69726F6972223A22E2B880E2B880222C226964223A20332C20227469746C65223A2022416C69656E227D0A');
CREATE TABLE verdicts (
    position INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    error TEXT NOT NULL,
    PRIMARY KEY (position, shard)
) WITHOUT ROWID;
CREATE TABLE watermarks (
    node TEXT NOT NULL,
    node_uid TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (node, node_uid)
) WITHOUT ROWID;
INSERT INTO "watermarks" VALUES('node-0','books-2',13);
INSERT INTO "watermarks" VALUES('node-0','movies-0',8);
INSERT INTO "watermarks" VALUES('node-1','books-2',13);
INSERT INTO "watermarks" VALUES('node-1','movies-0',8);
INSERT INTO "watermarks" VALUES('node-2','books-2',13);
INSERT INTO "watermarks" VALUES('node-2','movies-0',8);
CREATE INDEX entries_index_uid ON entries (index_uid);
CREATE INDEX entries_kind ON entries (kind);
CREATE INDEX entries_status ON entries (status);
CREATE INDEX entries_enqueued_at ON entries (enqueued_at);
CREATE INDEX entries_started_at ON entries (started_at) WHERE started_at IS NOT NULL;
CREATE INDEX entries_finished_at ON entries (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX entries_canceled_by ON entries (canceled_by) WHERE canceled_by IS NOT NULL;
CREATE INDEX entries_unreported ON entries (id, payload_bytes) WHERE outcome IS NULL;
CREATE INDEX entries_deleted ON entries (id) WHERE is_deleted = 1;
CREATE INDEX entries_payload ON entries (id, payload_bytes) WHERE payload_bytes > 0;
COMMIT;
