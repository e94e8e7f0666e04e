-- What a Miroir of schema 1 left behind: 3 nodes, 4 shards, 2 replicas; an index with documents and settings, an empty
-- one. Made by the program of that time, dumped, its nodes renamed. Never changed.
PRAGMA application_id = 1296650834;
PRAGMA user_version = 1;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO meta VALUES('cluster','{"shard_count":4,"replication_factor":2,"placement":[["n2","n1"],["n1","n2"],["n0","n1"],["n0","n2"]],"version":1,"cluster_id":"feb3e8ed-95a9-458c-97a8-128d6371bfd1"}');
INSERT INTO meta VALUES('next_entry','3');
INSERT INTO meta VALUES('updated_at movies-0','1795381226223331');
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
INSERT INTO entries VALUES(0,'movies','documentAdditionOrUpdate',2,1795381226171160,1795381226174336,1795381226223331,NULL,0,142,'{"id":0,"enqueued_at":1795381226171160,"index":"movies","target":"movies-0","operation":{"PutDocuments":{"mode":"Replace","received":3,"primary_key":"id","creates_index":true,"sets_primary_key":false}},"shards":[0],"rejection":null,"custom_metadata":null}',NULL,'{"status":"succeeded","error":null,"counts":{"indexed":3,"deleted":null,"tasks":null},"canceled_by":null,"started_at":1795381226174336,"finished_at":1795381226223331}');
INSERT INTO entries VALUES(1,'movies','settingsUpdate',2,1795381226181230,1795381226215398,1795381226234536,NULL,0,0,'{"id":1,"enqueued_at":1795381226181230,"index":"movies","target":"movies-0","operation":{"UpdateSettings":{"patch":{"filterableAttributes":["title"]},"is_deletion":false,"creates_index":false}},"shards":[],"rejection":null,"custom_metadata":null}','{"Settings":{"before":{},"after":{"filterableAttributes":["title"]}}}','{"status":"succeeded","error":null,"counts":{"indexed":null,"deleted":null,"tasks":null},"canceled_by":null,"started_at":1795381226215398,"finished_at":1795381226234536}');
INSERT INTO entries VALUES(2,'books','indexCreation',2,1795381226198914,1795381226200687,1795381226233999,NULL,0,0,'{"id":2,"enqueued_at":1795381226198914,"index":"books","target":"books-2","operation":{"CreateIndex":{"primary_key":"isbn"}},"shards":[],"rejection":null,"custom_metadata":null}',NULL,'{"status":"succeeded","error":null,"counts":{"indexed":null,"deleted":null,"tasks":null},"canceled_by":null,"started_at":1795381226200687,"finished_at":1795381226233999}');
CREATE TABLE payloads (
    entry INTEGER PRIMARY KEY,
    byte_count INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    sections BLOB,
    bytes BLOB
);
INSERT INTO payloads VALUES(0,142,4144469249781244639,X'000000000000000000008e00000000000000030000000000000058f1988f0225cd6514a35d2f32a795fbf074947e1edc2473',X'7b225f6d69726f6972223a22e2b880e2b880222c226964223a312c227469746c65223a22496e63657074696f6e227d0a7b225f6d69726f6972223a22e2b880e2b880222c226964223a322c227469746c65223a22496e7465727374656c6c6172227d0a7b225f6d69726f6972223a22e2b880e2b880222c226964223a332c227469746c65223a2248656174227d0a');
CREATE TABLE watermarks (
    node TEXT NOT NULL,
    node_uid TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (node, node_uid)
) WITHOUT ROWID;
INSERT INTO watermarks VALUES('n0','books-2',13);
INSERT INTO watermarks VALUES('n0','movies-0',8);
INSERT INTO watermarks VALUES('n1','books-2',13);
INSERT INTO watermarks VALUES('n1','movies-0',8);
INSERT INTO watermarks VALUES('n2','books-2',13);
INSERT INTO watermarks VALUES('n2','movies-0',8);
CREATE TABLE next_tasks (
    node TEXT PRIMARY KEY,
    task INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO next_tasks VALUES('n0',5);
INSERT INTO next_tasks VALUES('n1',6);
INSERT INTO next_tasks VALUES('n2',6);
CREATE TABLE out_of_sync (
    node TEXT NOT NULL,
    node_uid TEXT NOT NULL,
    PRIMARY KEY (node, node_uid)
) WITHOUT ROWID;
CREATE TABLE needs_rebuild (
    node TEXT NOT NULL,
    node_uid TEXT NOT NULL,
    PRIMARY KEY (node, node_uid)
) WITHOUT ROWID;
CREATE TABLE verdicts (
    position INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    error TEXT NOT NULL,
    PRIMARY KEY (position, shard)
) WITHOUT ROWID;
CREATE TABLE decisions (
    position INTEGER PRIMARY KEY,
    decision TEXT NOT NULL
);
INSERT INTO decisions VALUES(8,'"Commit"');
INSERT INTO decisions VALUES(13,'"Commit"');
CREATE TABLE heads (
    uid TEXT PRIMARY KEY,
    body TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO heads VALUES('books','{"node_uid":"books-2","primary_key":"isbn","may_hold_documents":false}');
INSERT INTO heads VALUES('movies','{"node_uid":"movies-0","primary_key":"id","may_hold_documents":true}');
CREATE TABLE indexes (
    node_uid TEXT PRIMARY KEY,
    body TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO indexes VALUES('books-2','{"uid":"books","node_uid":"books-2","created_by":2,"dropped_by":null,"primary_key":"isbn","settings":{},"created_at":1795381226198914,"updated_at":1795381226229167,"is_visible":true}');
INSERT INTO indexes VALUES('movies-0','{"uid":"movies","node_uid":"movies-0","created_by":0,"dropped_by":null,"primary_key":"id","settings":{"filterableAttributes":["title"]},"created_at":1795381226171160,"updated_at":1795381226233124,"is_visible":true}');
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
