//! Stores of older versions.

use serde_json::{Value, json};

use crate::support::fleet::START_LIMIT;
use crate::support::{Fleet, FleetOptions};

/// What later schemas brought is taken back.
fn to_schema_1(fleet: &Fleet) {
    let connection = miroir::store::sqlite::connect(&fleet.folder.path().join("miroir")).expect("nobody else has it");
    let tables = "SELECT DISTINCT tbl_name FROM sqlite_master WHERE type = 'trigger'";
    let mut statement = connection.prepare(tables).expect("it has triggers");
    let tables = statement.query_map([], |row| row.get(0)).expect("it can be read").collect::<Result<Vec<String>, _>>();
    drop(statement);
    for table in tables.expect("it can be read") {
        let sums = format!(
            "DROP TRIGGER {table}_inserted; DROP TRIGGER {table}_updated; ALTER TABLE {table} DROP COLUMN sum;"
        );
        connection.execute_batch(&sums).expect("it is writable");
    }
    let meta = |key: &str| -> Value {
        let sql = "SELECT value FROM meta WHERE key = ?1";
        let text: String = connection.query_row(sql, [key], |row| row.get(0)).expect("it was stored");
        serde_json::from_str(&text).expect("it is JSON")
    };
    let (mut cluster, tables) = (meta("cluster"), meta("tables"));
    cluster["placement"] = tables["owners"].clone();
    cluster["replication_factor"] = tables["replication_factor"].clone();
    cluster["version"] = tables["version"].clone();
    let update = "UPDATE meta SET value = ?1 WHERE key = 'cluster'";
    connection.execute(update, [cluster.to_string()]).expect("it is writable");
    let rest = "DROP TABLE nodes; DROP TABLE jobs; DROP TABLE joins; DROP TABLE bootstraps; DROP TABLE keys;
                DROP INDEX entries_swapped; DROP INDEX entries_deleted; DROP INDEX entries_payload;
                CREATE INDEX entries_deleted ON entries (id) WHERE is_deleted = 1;
                CREATE INDEX entries_payload ON entries (id, payload_bytes) WHERE payload_bytes > 0;
                DROP TABLE unannounced; DROP INDEX entries_target; ALTER TABLE entries DROP COLUMN target;
                ALTER TABLE entries DROP COLUMN is_renamed; ALTER TABLE entries ADD COLUMN index_uid TEXT;
                UPDATE entries SET index_uid = (SELECT uid FROM lines WHERE number = line);
                CREATE INDEX entries_index_uid ON entries (index_uid); DROP INDEX entries_line;
                ALTER TABLE entries DROP COLUMN line; ALTER TABLE entries DROP COLUMN swapped; DROP TABLE lines;
                DELETE FROM meta WHERE key IN ('tables', 'next_job'); PRAGMA user_version = 1;";
    connection.execute_batch(rest).expect("it is writable");
}

#[test]
fn a_store_of_schema_1_goes_on_with_its_documents() {
    let mut fleet = Fleet::start(&FleetOptions::new());
    let titles =
        |from: u64| -> Value { (from..from + 50).map(|id| json!({"id": id, "title": format!("t{id}")})).collect() };
    fleet.client().write_well("POST", "/indexes/films/documents", Some(&titles(0)));
    let before = fleet.admin().get("/shards").expect(200).json;
    fleet.kill_miroir();
    to_schema_1(&fleet);
    for round in 0..2 {
        fleet.start_miroir();
        fleet.client().wait_until_healthy(START_LIMIT);
        assert_eq!(fleet.admin().get("/shards").expect(200).json, before, "the same placement");
        fleet.client().write_well("POST", "/indexes/films/documents", Some(&titles(50 + 50 * round)));
        let found = fleet.client().get("/indexes/films/documents?limit=1").expect(200).json;
        assert_eq!(found["total"], json!(100 + 50 * round));
        fleet.kill_miroir();
    }
}
