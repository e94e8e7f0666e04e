//! The client API on one executor: its core, and the tasks that keep the core up to date.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};

use super::adoption::acknowledge_epochs;
use super::body::BodyUse;
use super::connection::Handler;
use super::core::{Core, CoreSettings};
use super::handlers::{admit, cors, route};
use super::http_server::HandlerFactory;
use super::pool::{InvalidNodeKey, PoolLimits, UpstreamPool};
use super::rt::{self, ExecutorTimers};
use super::upstream::LocalFuture;
use crate::bridge::Bridge;
use crate::http_types::{Request, Response};

/// How often idle connections to nodes are looked at.
const POOL_SWEEP_INTERVAL: Duration = Duration::from_secs(5);

struct ClientApi(Rc<Core>);

impl Handler for ClientApi {
    fn admit(&self, head: &Request) -> Result<BodyUse, Response> {
        admit(&self.0, head).map(|(route, _)| route.body_use)
    }

    fn headers(&self, head: &Request) -> Vec<(HeaderName, HeaderValue)> {
        cors::headers(head)
    }

    fn handle(&self, request: Request) -> LocalFuture<'_, Response> {
        Box::pin(route(&self.0, request))
    }
}

/// Makes the client API of each executor.
pub fn client_handlers(
    bridge: Arc<Bridge>,
    settings: Arc<CoreSettings>,
    limits: PoolLimits,
    node_key: Option<String>,
) -> Result<HandlerFactory, InvalidNodeKey> {
    // Refused here rather than on the executors.
    UpstreamPool::new(limits.clone(), node_key.as_deref(), bridge.memory.clone())?;
    Ok(Arc::new(move |number| {
        let pool = UpstreamPool::new(limits.clone(), node_key.as_deref(), bridge.memory.clone());
        let pool = Rc::new(pool.expect("the same key was accepted before"));
        let timers = Rc::new(ExecutorTimers);
        let core = Rc::new(Core::new(number, bridge.clone(), settings.clone(), pool.clone(), timers));
        rt::spawn_detached(acknowledge_epochs(core.clone()));
        let sweeper = core.clone();
        rt::spawn_detached(async move {
            loop {
                rt::sleep(POOL_SWEEP_INTERVAL).await;
                pool.sweep(&sweeper.snapshot().nodes);
            }
        });
        Rc::new(ClientApi(core))
    }))
}
