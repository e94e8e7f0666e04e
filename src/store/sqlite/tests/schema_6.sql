-- What a Miroir of schema 6 leaves behind: 3 nodes, 4 shards, 2 replicas; two indexes
-- that have changed their names, with documents and settings, a deletion by filter, a task that failed, a deleted one, keys.
-- The rows of schema_5.sql in the tables of that time. Never changed.
PRAGMA application_id = 1296650834;
PRAGMA user_version = 6;
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
, target TEXT, is_renamed INTEGER NOT NULL DEFAULT 0, line INTEGER, swapped TEXT);
INSERT INTO "entries" VALUES(0,'documentAdditionOrUpdate',2,1795467237246289,1795467237259803,1795467237872706,NULL,1,128,'{"id":0,"enqueued_at":1795467237246289,"index":"films","target":"films-0","operation":{"PutDocuments":{"mode":"Replace","received":3,"primary_key":"id","creates_index":true,"sets_primary_key":false}},"shards":[0],"rejection":null,"custom_metadata":null}',NULL,'{"status":"succeeded","error":null,"counts":{"indexed":3,"deleted":null,"tasks":null},"canceled_by":null,"started_at":1795467237259803,"finished_at":1795467237872706}','films-0',0,1,NULL);
INSERT INTO "entries" VALUES(1,'settingsUpdate',2,1795467237276087,1795467237609868,1795467238039806,NULL,0,0,'{"id":1,"enqueued_at":1795467237276087,"index":"films","target":"films-0","operation":{"UpdateSettings":{"patch":{"filterableAttributes":["id"],"searchableAttributes":["title"]},"is_deletion":false,"creates_index":false}},"shards":[],"rejection":null,"custom_metadata":null}','{"Settings":{"before":{},"after":{"filterableAttributes":["id"],"searchableAttributes":["title"]}}}','{"status":"succeeded","error":null,"counts":{"indexed":null,"deleted":null,"tasks":null},"canceled_by":null,"started_at":1795467237609868,"finished_at":1795467238039806}','films-0',0,1,NULL);
INSERT INTO "entries" VALUES(2,'documentAdditionOrUpdate',2,1795467237448572,1795467237456875,1795467238055249,NULL,0,42,'{"id":2,"enqueued_at":1795467237448572,"index":"books","target":"books-2","operation":{"PutDocuments":{"mode":"Replace","received":1,"primary_key":"id","creates_index":true,"sets_primary_key":false}},"shards":[3],"rejection":null,"custom_metadata":null}',NULL,'{"status":"succeeded","error":null,"counts":{"indexed":1,"deleted":null,"tasks":null},"canceled_by":null,"started_at":1795467237456875,"finished_at":1795467238055249}','books-2',0,2,NULL);
INSERT INTO "entries" VALUES(3,'documentDeletion',2,1795467237468356,1795467238123882,1795467238245082,NULL,0,3,'{"id":3,"enqueued_at":1795467237468356,"index":"films","target":"films-0","operation":{"DeleteByFilter":{"filter":"id > 2"}},"shards":[0],"rejection":null,"custom_metadata":null}','{"Ids":{"count":1,"shards":[0]}}','{"status":"succeeded","error":null,"counts":{"indexed":null,"deleted":1,"tasks":null},"canceled_by":null,"started_at":1795467238123882,"finished_at":1795467238245082}','films-0',0,1,NULL);
INSERT INTO "entries" VALUES(4,'indexSwap',2,1795467237486693,1795467238264921,1795467238264921,NULL,0,0,'{"id":4,"enqueued_at":1795467237486693,"index":null,"target":null,"operation":{"SwapIndexes":{"swaps":[{"indexes":["films","books"],"rename":false}],"names":[["books-2","films"],["films-0","books"]]}},"shards":[],"rejection":null,"custom_metadata":null}',NULL,'{"status":"succeeded","error":null,"counts":{"indexed":null,"deleted":null,"tasks":null},"canceled_by":null,"started_at":null,"finished_at":1795467238264921}',NULL,1,NULL,'[3,4]');
INSERT INTO "entries" VALUES(5,'indexDeletion',3,1795467237889397,1795467237981380,1795467237981380,NULL,0,0,'{"id":5,"enqueued_at":1795467237889397,"index":"nothing","target":null,"operation":"DeleteIndex","shards":[],"rejection":{"message":"Index `nothing` not found.","code":"index_not_found","type":"invalid_request","link":"https://docs.meilisearch.com/errors#index_not_found"},"custom_metadata":null}',NULL,'{"status":"failed","error":{"message":"Index `nothing` not found.","code":"index_not_found","type":"invalid_request","link":"https://docs.meilisearch.com/errors#index_not_found"},"counts":{"indexed":null,"deleted":null,"tasks":null},"canceled_by":null,"started_at":null,"finished_at":1795467237981380}',NULL,0,5,NULL);
INSERT INTO "entries" VALUES(6,'documentAdditionOrUpdate',2,1795467238009651,1795467238280782,1795467238296512,NULL,0,56,'{"id":6,"enqueued_at":1795467238009651,"index":"books","target":"films-0","operation":{"PutDocuments":{"mode":"Replace","received":1,"primary_key":"id","creates_index":false,"sets_primary_key":false}},"shards":[0],"rejection":null,"custom_metadata":null}',NULL,'{"status":"succeeded","error":null,"counts":{"indexed":1,"deleted":null,"tasks":null},"canceled_by":null,"started_at":1795467238280782,"finished_at":1795467238296512}','films-0',0,4,NULL);
INSERT INTO "entries" VALUES(7,'taskDeletion',2,1795467242063947,1795467242072078,1795467242075907,NULL,0,0,'{"id":7,"enqueued_at":1795467242063947,"index":null,"target":null,"operation":{"DeleteTasks":{"original_filter":"?uids=0","matched":[0]}},"shards":[],"rejection":null,"custom_metadata":null}',NULL,'{"status":"succeeded","error":null,"counts":{"indexed":null,"deleted":null,"tasks":1},"canceled_by":null,"started_at":1795467242072078,"finished_at":1795467242075907}',NULL,0,NULL,NULL);
CREATE TABLE heads (
    uid TEXT PRIMARY KEY,
    body TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "heads" VALUES('books','{"node_uid":"films-0","primary_key":"id","may_hold_documents":true}');
INSERT INTO "heads" VALUES('films','{"node_uid":"books-2","primary_key":"id","may_hold_documents":true}');
CREATE TABLE indexes (
    node_uid TEXT PRIMARY KEY,
    body TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "indexes" VALUES('books-2','{"uid":"films","node_uid":"books-2","created_by":2,"dropped_by":null,"primary_key":"id","settings":{},"created_at":1795467237448572,"updated_at":1795467238055249,"is_visible":true}');
INSERT INTO "indexes" VALUES('films-0','{"uid":"books","node_uid":"films-0","created_by":0,"dropped_by":null,"primary_key":"id","settings":{"filterableAttributes":["id"],"searchableAttributes":["title"]},"created_at":1795467237246289,"updated_at":1795467238018563,"is_visible":true}');
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
CREATE TABLE keys (
    uid TEXT PRIMARY KEY,
    body TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "keys" VALUES('3a56c37f-d7f1-4751-a300-0da8e64649e4','{"name":"k","uid":"3a56c37f-d7f1-4751-a300-0da8e64649e4","actions":["search"],"indexes":["*"],"expires_at":null,"created_at":"2026-11-23T20:53:57.614929Z","updated_at":"2026-11-23T20:53:57.614929Z"}');
INSERT INTO "keys" VALUES('85cea55b-e1fc-42b1-9d2b-04b714e5d4b8','{"description":"Use it to chat and search from the frontend","name":"Default Chat API Key","uid":"85cea55b-e1fc-42b1-9d2b-04b714e5d4b8","actions":["chatCompletions","search"],"indexes":["*"],"expires_at":null,"created_at":"2026-11-23T20:53:51.699902Z","updated_at":"2026-11-23T20:53:51.699902Z"}');
INSERT INTO "keys" VALUES('9aa4f187-bac9-4b29-9b2f-209e087bd5a9','{"description":"Use it to read information across the whole database. Caution! Do not expose this key on a public frontend","name":"Default Read-Only Admin API Key","uid":"9aa4f187-bac9-4b29-9b2f-209e087bd5a9","actions":["*.get","keys.get"],"indexes":["*"],"expires_at":null,"created_at":"2026-11-23T20:53:51.699903Z","updated_at":"2026-11-23T20:53:51.699903Z"}');
INSERT INTO "keys" VALUES('b079bb56-380e-4319-80db-c62219f4a953','{"description":"Use it for anything that is not a search operation. Caution! Do not expose it on a public frontend","name":"Default Admin API Key","uid":"b079bb56-380e-4319-80db-c62219f4a953","actions":["*"],"indexes":["*"],"expires_at":null,"created_at":"2026-11-23T20:53:51.699904Z","updated_at":"2026-11-23T20:53:51.699904Z"}');
INSERT INTO "keys" VALUES('be6c9cda-1b86-4cd2-9e8b-fb8d93593e23','{"description":"Use it to search from the frontend","name":"Default Search API Key","uid":"be6c9cda-1b86-4cd2-9e8b-fb8d93593e23","actions":["search"],"indexes":["*"],"expires_at":null,"created_at":"2026-11-23T20:53:51.699905Z","updated_at":"2026-11-23T20:53:51.699905Z"}');
CREATE TABLE lines (
    number INTEGER PRIMARY KEY,
    uid TEXT NOT NULL,
    -- The first entry in it.
    first INTEGER NOT NULL,
    -- New tasks join it.
    is_open INTEGER NOT NULL
);
INSERT INTO "lines" VALUES(1,'books',0,0);
INSERT INTO "lines" VALUES(2,'films',2,0);
INSERT INTO "lines" VALUES(3,'films',4,1);
INSERT INTO "lines" VALUES(4,'books',4,1);
INSERT INTO "lines" VALUES(5,'nothing',5,1);
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "meta" VALUES('cluster','{"shard_count":4,"cluster_id":"27ceea3c-4f86-4120-9cfe-6fcffd625f26"}');
INSERT INTO "meta" VALUES('next_entry','8');
INSERT INTO "meta" VALUES('tables','{"owners":[["node-2","node-1"],["node-1","node-2"],["node-0","node-1"],["node-0","node-2"]],"plan":[["node-2","node-1"],["node-1","node-2"],["node-0","node-1"],["node-0","node-2"]],"replication_factor":2,"version":1,"is_paused":false,"pace":{"movesPerNode":32,"shardsPerCopy":16,"compact":true,"bytesPerSecond":null,"busyPercent":25,"hours":null},"mends":[],"is_pace_set":false,"compactions":[]}');
INSERT INTO "meta" VALUES('updated_at books-2','1795467238055249');
INSERT INTO "meta" VALUES('updated_at films-0','1795467238296512');
INSERT INTO "meta" VALUES('webhooks','{"f2da52d7-72f7-4ab6-83d0-f05d605ee408":{"url":"http://127.0.0.1:9/","headers":{"a":"b"}}}');
CREATE TABLE needs_rebuild (
    node TEXT NOT NULL,
    node_uid TEXT NOT NULL,
    PRIMARY KEY (node, node_uid)
) WITHOUT ROWID;
CREATE TABLE next_tasks (
    node TEXT PRIMARY KEY,
    task INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO "next_tasks" VALUES('node-0',7);
INSERT INTO "next_tasks" VALUES('node-1',9);
INSERT INTO "next_tasks" VALUES('node-2',10);
CREATE TABLE nodes (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
);
INSERT INTO "nodes" VALUES(1,'node-0','{"id":"node-0","url":"http://127.0.0.1:35181","zone":null,"weight":1.0,"state":"active","life":0,"has_identity":true}');
INSERT INTO "nodes" VALUES(2,'node-1','{"id":"node-1","url":"http://127.0.0.1:43051","zone":null,"weight":1.0,"state":"active","life":0,"has_identity":true}');
INSERT INTO "nodes" VALUES(3,'node-2','{"id":"node-2","url":"http://127.0.0.1:40425","zone":null,"weight":1.0,"state":"active","life":0,"has_identity":true}');
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
INSERT INTO "payloads" VALUES(0,128,5356795205486853782,X'000000000000000000008000000000000000030000000000000058F1988F0225CD6514A35D2F32A795FBF074947E1EDC2473',X'7B225F6D69726F6972223A22E2B880E2B880222C226964223A312C227469746C65223A226F6E65227D0A7B225F6D69726F6972223A22E2B880E2B880222C226964223A322C227469746C65223A2274776F227D0A7B225F6D69726F6972223A22E2B880E2B880222C226964223A332C227469746C65223A227468726565227D0A');
INSERT INTO "payloads" VALUES(2,42,5649087876531649916,X'030000000000000000002A0000000000000001000000000000001F4E961EB632C6E6',X'7B225F6D69726F6972223A22E2B880E2B887222C226964223A2261222C227469746C65223A2241227D0A');
INSERT INTO "payloads" VALUES(3,3,3584556863319580614,X'0000000000000000000003000000000000000100000000000000F074947E1EDC2473',X'223322');
INSERT INTO "payloads" VALUES(6,56,5709180140031821898,X'000000000000000000003800000000000000010000000000000068B21268063A3528',X'7B225F6D69726F6972223A22E2B880E2B880222C226964223A392C227469746C65223A226E696E65222C225F67656F223A22626164227D0A');
CREATE TABLE unannounced (
    entry INTEGER PRIMARY KEY
);
INSERT INTO "unannounced" VALUES(0);
INSERT INTO "unannounced" VALUES(1);
INSERT INTO "unannounced" VALUES(2);
INSERT INTO "unannounced" VALUES(3);
INSERT INTO "unannounced" VALUES(4);
INSERT INTO "unannounced" VALUES(5);
INSERT INTO "unannounced" VALUES(6);
INSERT INTO "unannounced" VALUES(7);
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
INSERT INTO "watermarks" VALUES('node-0','books-2',14);
INSERT INTO "watermarks" VALUES('node-0','films-0',8);
INSERT INTO "watermarks" VALUES('node-1','books-2',13);
INSERT INTO "watermarks" VALUES('node-1','films-0',28);
INSERT INTO "watermarks" VALUES('node-2','books-2',14);
INSERT INTO "watermarks" VALUES('node-2','films-0',28);
CREATE INDEX entries_kind ON entries (kind);
CREATE INDEX entries_status ON entries (status);
CREATE INDEX entries_enqueued_at ON entries (enqueued_at);
CREATE INDEX entries_started_at ON entries (started_at) WHERE started_at IS NOT NULL;
CREATE INDEX entries_finished_at ON entries (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX entries_canceled_by ON entries (canceled_by) WHERE canceled_by IS NOT NULL;
CREATE INDEX entries_unreported ON entries (id, payload_bytes) WHERE outcome IS NULL;
CREATE INDEX entries_target ON entries (target, id);
CREATE INDEX lines_uid ON lines (uid);
CREATE INDEX entries_line ON entries (line);
CREATE INDEX entries_deleted ON entries (target, id) WHERE is_deleted = 1;
CREATE INDEX entries_payload ON entries (target, id) WHERE payload_bytes > 0;
CREATE INDEX entries_swapped ON entries (id) WHERE swapped IS NOT NULL;
COMMIT;
