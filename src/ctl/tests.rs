//! Tables from recorded answers, and failures that say what to check.

use serde_json::json;

use super::*;

fn ctl(admin: &str, command: Command) -> Ctl {
    Ctl { admin: admin.to_owned(), admin_key: None, json: false, version: false, command: Some(command) }
}

#[test]
fn nodes_are_a_table() {
    let answer = json!({"nodes": [
        {"id": "node-0", "url": "http://h:1", "zone": null, "weight": 1.0, "reachable": true, "shards": [0, 1], "documents": 7,
         "lag": 0, "version": "1.50.0", "outOfSync": [], "error": null},
        {"id": "b", "url": "http://h:22", "zone": "r", "weight": 2.0, "reachable": false, "shards": [], "documents": 8, "documentsAge": 40,
         "lag": 12, "version": null, "outOfSync": ["films", "x"], "error": "refused"},
    ]});
    let expected = "\
NODE    URL          ZONE  REACHABLE  SHARDS  DOCUMENTS     LAG  VERSION  OUT OF SYNC  ERROR
node-0  http://h:1   -     yes        2       7             0    1.50.0   -            -
b       http://h:22  r     no         0       8 (40 s ago)  12   -        films,x      refused
";
    assert_eq!(Command::Nodes(nodes::Nodes {}).render(&answer), expected);
}

#[test]
fn shards_end_with_the_load_of_each_node() {
    let answer = json!({"results": [{"shard": 0, "nodes": ["a", "b"]}, {"shard": 1, "nodes": ["b", "c"]}]});
    let expected = "SHARD  NODES\n0      a,b\n1      b,c\n\nshards per node: a 1, b 2, c 1\n";
    assert_eq!(Command::Shards(shards::Shards {}).render(&answer), expected);
}

#[test]
fn status_is_one_line_per_field() {
    let answer = json!({"version": "1.0", "replicationFactor": 2, "nodes": {"total": 3, "reachable": 2}, "nodeVersions": [
        {"version": "1.50.0", "nodes": ["a", "b"], "fitness": "tested"},
        {"version": "1.49.0", "nodes": ["c"], "fitness": "tooOld"},
    ]});
    let expected = "version             1.0\nreplication factor  2\nnodes               3 total, 2 reachable\n\
                    node versions       mixed: 1.50.0 (a, b), 1.49.0 (c; too old, not used)\n";
    assert_eq!(Command::Status(status::Status {}).render(&answer), expected);
}

#[test]
fn status_shows_what_is_held_up_and_what_to_do() {
    let held = json!({"node": "n1", "index": "films", "task": 7, "error": "disk full (internal)", "since": "S", "failures": 3});
    let render = |answer| Command::Status(status::Status {}).render(&answer);
    assert_eq!(
        render(json!({"storeTrouble": null, "heldUp": []})),
        "store trouble       none\nheld up             none\n"
    );
    let text = render(json!({"storeTrouble": {"error": "full", "since": "S"}, "heldUp": [held]}));
    let expected = "\
store trouble       full (since S)
held up             1, see below

INDEX  TASK  NODE  SINCE  FAILURES  ERROR
films  7     n1    S      3         disk full (internal)
These writes are tried again";
    assert!(text.starts_with(expected), "{text}");
    let text = render(json!({"quarantines": [{"node": "n1", "until": "U"}]}));
    let expected = "quarantines         1, see below\n\nNODE  UNTIL\nn1    U\nThese nodes get no writes for now";
    assert!(text.starts_with(expected), "{text}");
    let drift = json!([
        {"node": "n1", "index": "films", "nodeIndex": "films-3", "kind": "settings", "settings": ["primaryKey", "synonyms"],
         "state": "repairing", "since": "S"},
        {"node": "n2", "index": null, "nodeIndex": "x", "kind": "unknown", "settings": [], "state": "reported", "since": "S"},
    ]);
    let text = render(json!({"driftCheckedAt": "C", "driftPutRight": 2, "drift": drift}));
    let expected = "\
drift checked at    C
drift put right     2
drift               2, see below

NODE  INDEX  INDEX ON THE NODE  WHAT                 STATE      SINCE
n1    films  films-3            primaryKey,synonyms  repairing  S
n2    -      x                  is not ours          reported   S
Somebody else has written to these nodes";
    assert!(text.starts_with(expected), "{text}");
}

fn parsed(words: &[&str]) -> Command {
    Ctl::from_args(&["miroir-ctl"], words).expect("it is a command").command.expect("it has a subcommand")
}

#[test]
fn commands_ask_what_they_say() {
    let table: [(&[&str], &str); 7] = [
        (&["node", "can-stop", "node-1"], "/nodes/node%2D1/can-stop"),
        (&["explain", "shard", "7"], "/shards/7/explain"),
        (&["explain", "document", "films", "a/b"], "/indexes/films/documents/a%2Fb/explain"),
        (&["rebalance", "status"], "/rebalance"),
        (&["rebalance", "status", "--follow"], "/rebalance"),
        (&["rebalance", "history"], "/rebalance/history"),
        (&["verify", "--last"], "/verify"),
    ];
    for (words, target) in table {
        assert_eq!(parsed(words).call(), Some(Call::get(target)));
    }
}

#[test]
fn no_names_what_stands_in_the_way() {
    let command = parsed(&["node", "can-stop", "a"]);
    let yes = json!({"node": "a", "ok": true, "shards": []});
    assert_eq!(command.render(&yes), "yes: every shard of a is read from another node too\n");
    assert!(command.verdict(&yes).is_ok());
    let no = json!({"node": "a", "ok": false, "shards": [
        {"shard": 0, "indexes": ["films", "x"], "others": [
            {"node": "b", "reachable": false, "read": true, "outOfSync": []},
            {"node": "c", "reachable": true, "read": true, "outOfSync": ["x"]},
        ]},
        {"shard": 12, "indexes": [], "others": []},
    ]});
    let expected = "\
no: without a documents of these shards would not be found

SHARD  INDEXES  OTHER REPLICAS
0      films,x  b (does not answer), c (out of sync)
12     -        -
";
    assert_eq!(command.render(&no), expected);
    assert!(matches!(command.verdict(&no), Err(Failure::No)));
}

#[test]
fn explanations_are_tables() {
    let job = json!({"id": 5, "kind": "move", "shard": 0, "step": "copy", "to": "d", "from": null,
                     "indexes": {"clear": 1, "joined": 2, "cleaned": 0}});
    let index = json!({"index": "films", "inSync": false, "needsRebuild": false, "appliedTask": 3, "lag": 1});
    let owners =
        json!([{"node": "a", "reachable": true, "indexes": [index]}, {"node": "b", "reachable": false, "indexes": []}]);
    let answer = json!({"shard": 0, "owners": owners, "plan": ["a", "d"], "jobs": [job]});
    let expected = "\
shard  0
plan   a,d

NODE  REACHABLE  INDEX  IN SYNC  REBUILD  APPLIED TASK  LAG
a     yes        films  no       no       3             1
b     no         -      -        -        -             -

JOB  KIND  SHARD  FROM  TO  STEP  INDEXES
5    move  0      -     d   copy  1 clear, 2 joined
";
    assert_eq!(parsed(&["explain", "shard", "0"]).render(&answer), expected);
    let answer = json!({"shard": 0, "plan": ["a"], "jobs": [], "replicas": [
        {"node": "a", "found": true, "contentHash": "0f", "inSync": true, "appliedTask": 3, "lag": 0, "error": null},
    ]});
    let expected = "\
shard  0
plan   a

NODE  FOUND  CONTENT HASH  IN SYNC  APPLIED TASK  LAG  ERROR
a     yes    0f            yes      3             0    -
";
    let command = parsed(&["explain", "document", "films", "1"]);
    assert_eq!(command.render(&answer), expected);
    assert!(command.verdict(&answer).is_ok());
    let of = |found: [serde_json::Value; 2]| json!({"replicas": [{"found": found[0]}, {"found": found[1]}]});
    let verdict = |found| command.verdict(&of(found));
    assert!(verdict([json!(true), json!(null)]).is_ok());
    assert!(matches!(verdict([json!(false), json!(false)]), Err(Failure::No)));
    assert!(matches!(verdict([json!(false), json!(null)]), Err(Failure::Unknown)));
    assert!(command.render(&of([json!(false), json!(false)])).ends_with("\nno node has this document\n"));
}

#[test]
fn numbers_that_make_no_sense_are_refused_with_what_would() {
    let table: [(&[&str], &str); 7] = [
        (&["node", "add", "a", "u", "--weight", "NaN"], "from 0.001 to 1000"),
        (&["node", "add", "a", "u", "--weight", "inf"], "from 0.001 to 1000"),
        (&["node", "replace", "a", "b", "u", "--weight", "-1"], "from 0.001 to 1000"),
        (&["replication-factor", "6"], "from 1 to 5"),
        (&["rebalance", "plan", "--replication-factor", "0"], "from 1 to 5"),
        (&["explain", "shard", "a"], "the number of a shard"),
        (&["rebalance", "limits", "--hours", "22"], "two hours of the day"),
    ];
    for (words, said) in table {
        let exit = Ctl::from_args(&["miroir-ctl"], words).expect_err("it is refused");
        assert!(exit.status.is_err() && exit.output.contains(said), "{words:?}: {}", exit.output);
    }
}

#[test]
fn trials_say_what_would_be() {
    let table: [(&[&str], serde_json::Value, &str); 5] = [
        (
            &["rebalance", "abort", "--dry-run"],
            json!({"dropped": 7, "takenBack": 2}),
            "every shard would stay where it is; moves that are not made: 7, taken back of these because they had begun: 2\n",
        ),
        (&["rebalance", "pause", "--dry-run"], json!({"left": 7}), "nothing new would begin; moves that are left: 7\n"),
        (&["node", "remove", "a", "--dry-run"], json!({}), "a can be removed\n"),
        (
            &["node", "compact", "a", "--dry-run"],
            json!({"indexes": 2, "unusedBytes": null}),
            "indexes that a would compact, one after the other: 2\nbytes of its files that nothing uses: -\n",
        ),
        (
            &["node", "maintenance", "a", "on", "--force", "--dry-run"],
            json!({"notFound": [1, 2]}),
            "a would not be read any more and could be stopped; its writes would wait for it\n\
             warning: while it is stopped documents of these shards are not found: 1,2\n",
        ),
    ];
    for (words, answer, expected) in table {
        assert_eq!(parsed(words).render(&answer), expected);
    }
}

#[test]
fn a_plan_sends_what_if_and_shows_what_it_costs() {
    let command =
        parsed(&["rebalance", "plan", "--drain", "a", "--drain", "b", "--add", "c", "--replication-factor", "3"]);
    let body = json!({"replicationFactor": 3, "drain": ["a", "b"], "add": [{"id": "c"}]});
    let call = Call { method: http::Method::POST, target: "/rebalance/plan".to_owned(), body: Some(body) };
    assert_eq!(command.call(), Some(call));
    let answer = json!({"replicasToCome": 2, "replicasToGo": 1, "documents": 100, "bytes": null, "warnings": ["narrow"],
        "nodes": [{"node": "a", "shards": 4, "planned": 0, "disk": 7, "peakDisk": 9}]});
    let expected = "\
replicas to come    2
replicas to go      1
documents to copy   100
bytes to copy       -
warning             narrow

NODE  SHARDS  PLANNED  DISK NOW  DISK AT MOST
a     4       0        7         9
";
    assert_eq!(command.render(&answer), expected);
}

#[test]
fn a_rebalance_is_a_summary_and_tables() {
    let answer = json!({"state": "idle", "version": 3, "replicationFactor": 2, "replicasToCome": 0, "replicasToGo": 0,
        "nodes": [{"node": "a", "state": "active", "shards": 4, "planned": 4}], "jobs": [], "bootstraps": []});
    let expected = "\
state               idle
replicas to come    0
replicas to go      0
replication factor  2
table version       3

NODE  STATE   SHARDS  PLANNED
a     active  4       4
";
    assert_eq!(parsed(&["rebalance", "status"]).render(&answer), expected);
}

#[test]
fn changes_say_whether_they_are_a_trial() {
    let url = "http://h:1";
    let table: [(&[&str], http::Method, &str, serde_json::Value); 16] = [
        (&["verify"], http::Method::POST, "/verify", json!({"repair": false})),
        (
            &["verify", "--repair", "--distrust", "a"],
            http::Method::POST,
            "/verify",
            json!({"repair": true, "distrust": "a"}),
        ),
        (
            &["rebalance", "limits", "--busy-percent", "50", "--bytes-per-second", "0", "--hours", "22-6"],
            http::Method::PATCH,
            "/rebalance/limits",
            json!({"busyPercent": 50, "bytesPerSecond": null, "hours": {"from": 22, "to": 6}}),
        ),
        (
            &["rebalance", "limits", "--compact", "off", "--configured"],
            http::Method::PATCH,
            "/rebalance/limits",
            json!({"compact": false, "configured": true}),
        ),
        (&["node", "compact", "a"], http::Method::POST, "/nodes/a/compact", json!({"dryRun": false})),
        (&["rebalance", "limits", "--dry-run"], http::Method::PATCH, "/rebalance/limits", json!({"dryRun": true})),
        (&["node", "drain", "a", "--undo"], http::Method::DELETE, "/nodes/a/drain", json!({"dryRun": false})),
        (
            &["node", "replace", "a", "b", url, "--weight", "2"],
            http::Method::POST,
            "/nodes/a/replace",
            json!({"id": "b", "url": url, "weight": 2.0, "dryRun": false}),
        ),
        (
            &["node", "maintenance", "a", "on"],
            http::Method::PUT,
            "/nodes/a/maintenance",
            json!({"on": true, "force": false, "dryRun": false}),
        ),
        (&["node", "drain", "a", "--dry-run"], http::Method::POST, "/nodes/a/drain", json!({"dryRun": true})),
        (&["rebalance", "start"], http::Method::POST, "/rebalance/start", json!({"dryRun": false})),
        (&["rebalance", "pause"], http::Method::POST, "/rebalance/pause", json!({"dryRun": false})),
        (&["rebalance", "resume"], http::Method::POST, "/rebalance/resume", json!({"dryRun": false})),
        (&["rebalance", "abort", "--dry-run"], http::Method::POST, "/rebalance/abort", json!({"dryRun": true})),
        (&["replication-factor", "3"], http::Method::PUT, "/replication-factor", json!({"value": 3, "dryRun": false})),
        (&["rebalance", "start", "--dry-run"], http::Method::POST, "/rebalance/start", json!({"dryRun": true})),
    ];
    for (words, method, target, body) in table {
        assert_eq!(parsed(words).call(), Some(Call::with(method, target, body)));
    }
    let removed =
        Call { method: http::Method::DELETE, target: "/nodes/a?force=true&dryRun=true".to_owned(), body: None };
    assert_eq!(parsed(&["node", "remove", "a", "--force", "--dry-run"]).call(), Some(removed.clone()));
    let tried = Call { target: "/nodes/a?force=false&dryRun=true".to_owned(), ..removed };
    assert_eq!(parsed(&["node", "remove", "a", "--dry-run"]).call(), Some(tried));
    assert!(Ctl::from_args(&["miroir-ctl"], &["node", "maintenance", "a", "maybe"]).is_err());
    let answer = json!({"replicasToCome": 2, "replicasToGo": 1, "warnings": ["narrow"]});
    let text = parsed(&["node", "drain", "a"]).render(&answer);
    assert!(text.starts_with("started: 2 replicas to come, 1 to go;") && text.ends_with("warning: narrow\n"), "{text}");
    let answer = json!({"replicasToCome": 0, "replicasToGo": 0, "warnings": []});
    assert_eq!(parsed(&["rebalance", "start"]).render(&answer), "nothing has to move\n");
}

#[test]
fn progress_has_a_rate_and_a_remaining_time() {
    let words = |done: u64, documents: u64, remaining: serde_json::Value| {
        progress::words(&json!({"done": done, "left": 8 - done, "seconds": 4.0, "documents": documents,
            "documentsPlanned": 9000, "remainingSeconds": remaining}))
    };
    assert_eq!(words(0, 0, json!(null)), "0 of 8 moves");
    assert_eq!(
        words(0, 2100, json!(12.2)),
        "0 of 8 moves, 2100 of about 9000 documents, 525 per second, about 13 s left"
    );
    assert_eq!(words(3, 9100, json!(6.0)), "3 of 8 moves, 9100 documents, 2275 per second, about 6 s left");
    assert_eq!(words(8, 9100, json!(null)), "8 of 8 moves, cleaning up");
}

#[test]
fn a_server_that_is_not_there_is_named_with_what_to_check() {
    // Port 1 of the loopback address is never listened on.
    let failure =
        ctl("127.0.0.1:1", Command::Status(status::Status {})).run(&mut Vec::new()).expect_err("nobody listens");
    assert!(matches!(failure, Failure::Unreachable(_)));
    assert!(failure.to_string().contains("http://127.0.0.1:1 does not answer"), "{failure}");
}

#[test]
fn the_command_line_is_the_one_in_the_documentation() {
    let words = ["--admin", "http://h:1", "--admin-key", "k", "--json", "tasks"];
    let read = Ctl::from_args(&["miroir-ctl"], &words).expect("all of these exist");
    assert_eq!(read.admin_key.as_deref(), Some("k"));
    assert_eq!(read.command, Some(Command::Tasks(tasks::Tasks { limit: 20 })));
}
