//! The pool against nodes played by plain threads: each connection follows a script.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam::channel::{Receiver, bounded, unbounded};

use super::*;
use crate::data_plane::rt::{ExecutorPlan, start_executor};

/// A node whose n-th connection is handled by the n-th call of the script.
struct FakeNode {
    view: NodeView,
    connections: Arc<AtomicUsize>,
}

fn start_node(script: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> FakeNode {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let (count, script) = (connections.clone(), Arc::new(script));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let number = count.fetch_add(1, Ordering::SeqCst);
            let script = script.clone();
            std::thread::spawn(move || script(number, stream.unwrap()));
        }
    });
    FakeNode { view: view(address), connections }
}

fn view(address: SocketAddr) -> NodeView {
    NodeView {
        id: NodeId::new("n1"),
        url: format!("http://{address}"),
        address: Some(address),
        zone: None,
        weight: 1.0,
        reachable: true,
    }
}

/// Reads one request; none at the end of the connection.
fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    stream.read_exact(&mut vec![0; length]).ok()?;
    Some(head)
}

fn answer(stream: &mut TcpStream, body: &str) {
    let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).unwrap();
}

/// Runs on an executor and gives the result to this thread.
fn on_executor<T, F>(work: impl FnOnce() -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let (sender, receiver) = bounded(1);
    let plan = ExecutorPlan { name: "test".to_owned(), cpu: None };
    let main = move || async move { sender.send(work().await).unwrap() };
    let thread = start_executor(&plan, main, |result| result.unwrap()).unwrap();
    let value = receiver.recv_timeout(Duration::from_secs(20)).expect("the executor answers in time");
    thread.join().unwrap();
    value
}

fn pool() -> UpstreamPool {
    UpstreamPool::new(PoolLimits::default(), Some("secret"), Memory::new(1 << 30)).unwrap()
}

async fn get(pool: &UpstreamPool, node: &NodeView, timeout_ms: u64) -> Result<NodeResponse, UpstreamError> {
    pool.send(node, NodeRequest::get("/path?q=1"), clock::monotonic().plus_ms(timeout_ms)).await
}

#[test]
fn connections_are_reused_and_requests_carry_the_node_key() {
    let (heads, seen) = unbounded();
    let node = start_node(move |_, mut stream| {
        while let Some(head) = read_request(&mut stream) {
            heads.send(head).unwrap();
            answer(&mut stream, "hello");
        }
    });
    let view = node.view.clone();
    let load = on_executor(move || async move {
        let pool = pool();
        for _ in 0..5 {
            let response = get(&pool, &view, 5_000).await.unwrap();
            assert_eq!((response.status, &*response.body), (200, &b"hello"[..]));
        }
        let request = NodeRequest::post_read("/search", "{}");
        pool.send(&view, request, clock::monotonic().plus_ms(5_000)).await.unwrap();
        pool.load(&view.id)
    });
    assert_eq!(load.in_flight, 0);
    assert!(load.latency_us > 0.0);
    assert_eq!(node.connections.load(Ordering::SeqCst), 1);
    let heads: Vec<String> = seen.try_iter().collect();
    assert!(heads[0].starts_with("GET /path?q=1 HTTP/1.1\r\n"), "{}", heads[0]);
    assert!(heads[0].contains("authorization: Bearer secret") && heads[0].contains("host: 127.0.0.1:"), "{}", heads[0]);
    assert!(
        heads[5].starts_with("POST /search") && heads[5].contains("content-type: application/json"),
        "{}",
        heads[5]
    );
}

#[test]
fn a_stale_connection_is_replaced_once_for_repeatable_requests() {
    let (closed, is_closed) = bounded(1);
    let node = start_node(move |number, mut stream| {
        read_request(&mut stream);
        answer(&mut stream, "hello");
        if number == 0 {
            // After its first answer, without a word.
            drop(stream);
            return closed.send(()).unwrap();
        }
        while read_request(&mut stream).is_some() {
            answer(&mut stream, "again");
        }
    });
    let view = node.view.clone();
    on_executor(move || async move {
        let pool = pool();
        get(&pool, &view, 5_000).await.unwrap();
        is_closed.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(&*get(&pool, &view, 5_000).await.unwrap().body, b"hello");
        assert_eq!(&*get(&pool, &view, 5_000).await.unwrap().body, b"again");
    });
    assert_eq!(node.connections.load(Ordering::SeqCst), 2);
}

#[test]
fn a_node_that_moved_is_asked_where_it_is_and_a_removed_one_is_forgotten() {
    let (begun, has_begun) = bounded(1);
    let (go_on, may_go_on) = bounded::<()>(1);
    let old = start_node(move |_, mut stream| {
        while read_request(&mut stream).is_some() {
            begun.send(()).unwrap();
            may_go_on.recv_timeout(Duration::from_secs(10)).unwrap();
            answer(&mut stream, "old");
        }
    });
    let new = start_node(|_, mut stream| {
        while read_request(&mut stream).is_some() {
            answer(&mut stream, "new");
        }
    });
    let (old_view, new_view) = (old.view.clone(), new.view.clone());
    on_executor(move || async move {
        let pool = pool();
        let mut slow = get(&pool, &old_view, 10_000).boxed();
        while has_begun.try_recv().is_err() {
            assert!(rt::before(clock::monotonic().plus_ms(1), slow.as_mut()).await.is_none());
        }
        assert_eq!(&*get(&pool, &new_view, 5_000).await.unwrap().body, b"new");
        go_on.send(()).unwrap();
        assert_eq!(&*slow.await.unwrap().body, b"old");
        // The last connection that was given back leads to where the node was.
        assert_eq!(&*get(&pool, &new_view, 5_000).await.unwrap().body, b"new");
        pool.sweep(std::slice::from_ref(&new_view));
        assert!(pool.load(&new_view.id).latency_us > 0.0);
        pool.sweep(&[]);
        assert_eq!(pool.load(&new_view.id), NodeLoad::default());
    });
    assert_eq!(old.connections.load(Ordering::SeqCst), 1);
    assert_eq!(new.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn a_slow_node_meets_the_deadline_and_its_connection_is_closed() {
    let (closed, is_closed): (_, Receiver<bool>) = bounded(1);
    let node = start_node(move |number, mut stream| {
        read_request(&mut stream);
        if number == 0 {
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            closed.send(matches!(stream.read(&mut [0]), Ok(0))).unwrap();
        } else {
            answer(&mut stream, "hello");
        }
    });
    let view = node.view.clone();
    on_executor(move || async move {
        let pool = pool();
        let begun = clock::instant();
        let error = get(&pool, &view, 200).await.unwrap_err();
        assert!(matches!(error, UpstreamError::TimedOut { .. }), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!(pool.load(&view.id).in_flight, 0);
        assert_eq!(&*get(&pool, &view, 5_000).await.unwrap().body, b"hello");
        assert!(is_closed.recv_timeout(Duration::from_secs(10)).unwrap());
    });
    assert_eq!(node.connections.load(Ordering::SeqCst), 2);
}

#[test]
fn a_node_that_dies_in_the_middle_of_an_answer_is_an_error() {
    let node = start_node(|_, mut stream| {
        read_request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").unwrap();
    });
    let view = node.view.clone();
    on_executor(move || async move {
        let error = get(&pool(), &view, 5_000).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Broken { .. }), "{error}");
    });
    assert_eq!(node.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn a_node_that_is_not_there_is_known_at_once() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    on_executor(move || async move {
        let begun = clock::instant();
        let error = get(&pool(), &view(gone), 5_000).await.unwrap_err();
        assert!(matches!(&error, UpstreamError::Unreachable { reason, .. } if reason.contains("refused")), "{error}");
        let nameless = NodeView { address: None, ..view(gone) };
        let error = get(&pool(), &nameless, 5_000).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Unresolved { .. }), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(2));
    });
}

#[test]
fn a_connection_that_does_not_come_about_gives_up_before_the_deadline() {
    // A listener that accepts nothing, with its queue filled: further connections hang.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let _fill: Vec<_> = (0..4).map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(50))).collect();
    on_executor(move || async move {
        let limits = PoolLimits { connect_timeout_ms: 100, ..PoolLimits::default() };
        let pool = UpstreamPool::new(limits, None, Memory::new(1 << 30)).unwrap();
        let begun = clock::instant();
        let error = get(&pool, &view(address), 10_000).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Unreachable { .. }), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn large_answers_come_whole_and_too_large_ones_are_refused() {
    let node = start_node(|_, mut stream| {
        while read_request(&mut stream).is_some() {
            answer(&mut stream, &"x".repeat(3_000_000));
        }
    });
    let view = node.view.clone();
    on_executor(move || async move {
        assert_eq!(get(&pool(), &view, 5_000).await.unwrap().body.len(), 3_000_000);
        let limits = PoolLimits { answer_max_bytes: 1_000_000, ..PoolLimits::default() };
        let small = UpstreamPool::new(limits, None, Memory::new(1 << 30)).unwrap();
        let error = get(&small, &view, 5_000).await.unwrap_err();
        assert!(matches!(error, UpstreamError::TooLarge { .. }), "{error}");
    });
}

#[test]
fn requests_past_the_bound_wait_for_their_turn() {
    let node = start_node(|_, mut stream| {
        while read_request(&mut stream).is_some() {
            answer(&mut stream, "hello");
        }
    });
    let view = node.view.clone();
    on_executor(move || async move {
        let pool =
            UpstreamPool::new(PoolLimits { in_flight_max: 1, ..PoolLimits::default() }, None, Memory::new(1 << 30))
                .unwrap();
        let mut first = get(&pool, &view, 10_000).boxed();
        let mut second = get(&pool, &view, 10_000).boxed();
        poll_fn(|context| {
            assert!(first.as_mut().poll(context).is_pending() && second.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(pool.load(&view.id).in_flight, 2);
        assert_eq!(&*first.await.unwrap().body, b"hello");
        assert_eq!(&*second.await.unwrap().body, b"hello");
        assert_eq!(pool.load(&view.id).in_flight, 0);
    });
    assert_eq!(node.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn who_waited_in_vain_for_a_turn_knows_whether_the_node_hangs() {
    let node = start_node(|_, mut stream| {
        read_request(&mut stream);
        // Closed when the client goes.
        let _ = stream.read(&mut [0]);
    });
    let view = node.view.clone();
    on_executor(move || async move {
        let pool =
            UpstreamPool::new(PoolLimits { in_flight_max: 1, ..PoolLimits::default() }, None, Memory::new(1 << 30))
                .unwrap();
        let mut first = get(&pool, &view, 10_000).boxed();
        poll_fn(|context| {
            assert!(first.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        let error = get(&pool, &view, 50).await.unwrap_err();
        assert!(matches!(error, UpstreamError::TimedOut { .. }), "{error}");
        let mut second = get(&pool, &view, 100).boxed();
        poll_fn(|context| {
            assert!(second.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        rt::sleep(Duration::from_millis(20)).await;
        // As when another request is answered.
        pool.pool(&view.id).note_answer(Duration::from_millis(1));
        let error = second.await.unwrap_err();
        assert!(matches!(error, UpstreamError::Busy { .. }), "{error}");
        drop(first);
        assert_eq!(pool.load(&view.id).in_flight, 0);
    });
}

trait Boxed: Future + Sized {
    fn boxed<'a>(self) -> LocalFuture<'a, Self::Output>
    where
        Self: 'a,
    {
        Box::pin(self)
    }
}

impl<F: Future> Boxed for F {}
