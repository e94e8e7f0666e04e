//! Miroir's data plane in front of given nodes, with a snapshot made by hand: no store, no control plane.
//!
//! `--bare` replaces the handlers by one that passes every request on: what the runtime and the HTTP stack cost alone.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use argh::FromArgs;
use miroir::bridge::Bridge;
use miroir::bridge::memory::Memory;
use miroir::data_plane::client_api::client_handlers;
use miroir::data_plane::connection::Handler;
use miroir::data_plane::core::{CoreSettings, Timers};
use miroir::data_plane::cores::Cores;
use miroir::data_plane::http_server::{BoundServer, HandlerFactory, ServerOptions};
use miroir::data_plane::lifetime::HttpLimits;
use miroir::data_plane::pool::{PoolLimits, UpstreamPool};
use miroir::data_plane::rt::ExecutorTimers;
use miroir::data_plane::upstream::{LocalFuture, NodeRequest, Upstream};
use miroir::http_types::{Request, Response};
use miroir::logic::covering::{CoverInput, covering_sets};
use miroir::logic::ids::{Epoch, IndexUid, NodeId, NodeIndexUid, NodeSlot, Timestamp};
use miroir::logic::snapshot::{IndexView, NodeView, RoutingSnapshot, UpdatedAt};

/// Miroir's data plane in front of simulated nodes
#[derive(FromArgs)]
#[argh(subcommand, name = "proxy")]
pub struct Proxy {
    /// where it listens
    #[argh(option)]
    listen: SocketAddr,
    /// addresses of the nodes; together they are the covering set of index `bench`
    #[argh(option)]
    node: Vec<SocketAddr>,
    /// how many executors, not pinned; as the machine is when left out
    #[argh(option)]
    executors: Option<usize>,
    /// pass everything on to the first node, without Miroir's handlers
    #[argh(switch)]
    bare: bool,
}

const SHARDS: u16 = 64;

fn snapshot(addresses: &[SocketAddr]) -> RoutingSnapshot {
    let nodes: Vec<NodeView> = addresses
        .iter()
        .enumerate()
        .map(|(number, address)| NodeView {
            id: NodeId::new(format!("node-{number}")),
            url: format!("http://{address}"),
            address: Some(*address),
            zone: None,
            weight: 1.0,
            reachable: true,
        })
        .collect();
    let placement: Vec<Vec<NodeSlot>> =
        (0..usize::from(SHARDS)).map(|shard| vec![NodeSlot((shard % nodes.len()) as u16)]).collect();
    let index = IndexView {
        uid: IndexUid::new("bench"),
        node_uid: NodeIndexUid::new("bench-0"),
        primary_key: Some("id".into()),
        settings: Arc::default(),
        created_at: Timestamp::default(),
        updated_at: UpdatedAt::default(),
        out_of_sync: Vec::new(),
        covers: covering_sets(CoverInput {
            placement: &placement,
            out_of_sync: &[],
            unreachable: &[],
            may_hold_foreign: &[],
        }),
    };
    let indexes = [(index.uid.clone(), Arc::new(index))].into();
    RoutingSnapshot { epoch: Epoch(1), nodes, placement, foreign: Vec::new(), indexes, ..RoutingSnapshot::default() }
}

/// Passes everything on to one node.
struct Bare {
    pool: UpstreamPool,
    node: NodeView,
}

impl Handler for Bare {
    fn handle(&self, request: Request) -> LocalFuture<'_, Response> {
        Box::pin(async move {
            let request = NodeRequest {
                method: request.method,
                target: request.path,
                content_type: Some("application/json"),
                body: request.body,
                is_repeatable: true,
            };
            let deadline = ExecutorTimers.now().plus_ms(10_000);
            match self.pool.send(&self.node, request, deadline).await {
                Ok(answer) => Response::json_bytes(answer.status, answer.body),
                Err(error) => Response::text(502, error.to_string()),
            }
        })
    }
}

impl Proxy {
    /// Serves until it is killed.
    pub fn run(self) -> crate::Outcome {
        let cores = self.executors.map_or(Cores::Auto, Cores::Unpinned);
        let limits = HttpLimits::default();
        let memory = Memory::new(1 << 30);
        let of_pool = memory.clone();
        let bound = BoundServer::bind(ServerOptions { address: self.listen, cores, name: "core", limits, memory })?;
        let snapshot = Arc::new(snapshot(&self.node));
        let factory: HandlerFactory = if self.bare {
            Arc::new(move |_| {
                let pool = UpstreamPool::new(PoolLimits::default(), Some("node-key"), of_pool.clone());
                let pool = pool.expect("a plain key");
                Rc::new(Bare { pool, node: snapshot.nodes[0].clone() })
            })
        } else {
            let (bridge, _) = Bridge::new(bound.executor_count());
            bridge.snapshot.store(snapshot);
            let settings = Arc::new(CoreSettings { shard_count: SHARDS, ..CoreSettings::default() });
            client_handlers(bridge, settings, PoolLimits::default(), Some("node-key".to_owned()))?
        };
        let server = bound.start(&factory)?;
        let death = server.deaths().recv()?;
        Err(death.to_string().into())
    }
}
