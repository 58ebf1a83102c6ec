use super::*;
use crate::{
    budgets::{Budgets, Delivery, UnderWay},
    config::BudgetSettings,
};
use std::net::IpAddr;

const TIMES: Times = Times {
    first_byte: Duration::from_secs(10),
    head: Duration::from_secs(10),
    body: Duration::from_secs(30),
    idle: Duration::from_secs(75),
    no_progress: Duration::from_secs(20),
    least_rate: 1000,
};

/// Connections, each served by a task that never ends, and a clock that the test moves.
struct World {
    connections: Arc<ClientConnections>,
    now: Instant,
}

struct Connection {
    client: ClientConnection,
    task: tokio::task::JoinHandle<()>,
}

impl Connection {
    fn line(&self) -> &Arc<Line> {
        self.client.line()
    }

    async fn is_ended(&self) -> bool {
        // An aborted task ends when its runtime next runs it.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        self.task.is_finished()
    }

    fn ask(&self) -> UnderWay {
        self.line().read();
        self.line().begin_request(false)
    }
}

impl World {
    fn new(most: usize, most_of_address: usize) -> Self {
        let connections = ClientConnections::new(most, most_of_address, TIMES);
        Self { connections, now: Instant::now() }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.connections.end_overdue(self.connections.clock.tick(self.now));
    }

    fn try_connect(&self, address: Address) -> Result<Connection, Full> {
        let (client, _) = self.connections.enter(address)?;
        let task = tokio::spawn(std::future::pending());
        client.line().served_by(task.abort_handle());
        Ok(Connection { client, task })
    }

    fn connect(&self, last: u8) -> Connection {
        self.try_connect(client(last)).unwrap()
    }
}

fn client(last: u8) -> Address {
    Address::client(IpAddr::from([192, 0, 2, last]))
}

#[tokio::test]
async fn silence_half_heads_and_idleness_end_each_in_its_time() {
    let mut world = World::new(100, 100);
    let (silent, half, idle, busy) = (world.connect(1), world.connect(2), world.connect(3), world.connect(4));
    let _request = busy.ask();
    drop(idle.ask());
    world.pass(5);
    half.line().read();
    world.pass(6);
    assert!(silent.is_ended().await && !half.is_ended().await);
    // More bytes of the same head do not extend its time.
    half.line().read();
    world.pass(5);
    assert!(half.is_ended().await && !idle.is_ended().await);
    world.pass(60);
    let retired = tokio::time::timeout(Duration::from_secs(5), idle.line().retired());
    retired.await.expect("the idle one is told to leave");
    assert!(!idle.is_ended().await, "it may leave by itself");
    world.pass(60);
    assert!(idle.is_ended().await && !busy.is_ended().await);
}

#[tokio::test]
async fn socket_that_takes_nothing_ends_even_when_its_request_is_over() {
    let mut world = World::new(100, 100);
    let (stuck, taking) = (world.connect(1), world.connect(2));
    for connection in [&stuck, &taking] {
        drop(connection.ask());
        connection.line().write_waits();
    }
    world.pass(15);
    taking.line().wrote();
    taking.line().write_waits();
    stuck.line().write_waits();
    world.pass(10);
    assert!(stuck.is_ended().await && !taking.is_ended().await);
}

#[tokio::test]
async fn answer_ends_for_a_slow_client_and_not_for_a_slow_driver() {
    let mut world = World::new(100, 100);
    let connections = [world.connect(1), world.connect(2), world.connect(3)];
    let [stuck, trickling, slowly_made] = &connections;
    let requests: Vec<_> = connections.iter().map(Connection::ask).collect();
    let deliveries: Vec<_> = connections
        .iter()
        .map(|connection| {
            let delivery = Arc::new(Delivery::new(None, None));
            connection.line().deliver(delivery.clone());
            delivery
        })
        .collect();
    deliveries[0].handed_out(1_000_000, stuck.line().now());
    for _ in 0..4 {
        for delivery in &deliveries[1..] {
            delivery.asked(trickling.line().now());
        }
        // The first always has a piece that its client is slow to take; the second waits for its driver.
        deliveries[1].handed_out(500, trickling.line().now());
        world.pass(6);
    }
    assert!(stuck.is_ended().await, "it took nothing for longer than it may");
    assert!(trickling.is_ended().await, "it took 2000 bytes in 24 seconds");
    assert!(!slowly_made.is_ended().await);
    drop(requests);
}

#[tokio::test]
async fn stream_is_ended_alone() {
    let mut world = World::new(100, 100);
    let connection = world.connect(1);
    let _requests = [connection.line().begin_request(true), connection.line().begin_request(true)];
    let (handle, registration) = futures_util::future::AbortHandle::new_pair();
    let stream =
        tokio::spawn(futures_util::future::Abortable::new(std::future::pending::<()>(), registration));
    let delivery = Arc::new(Delivery::new(None, Some(handle)));
    connection.line().deliver(delivery.clone());
    delivery.handed_out(1, connection.line().now());
    world.pass(21);
    assert!(stream.await.unwrap().is_err());
    assert!(!connection.is_ended().await);
}

#[tokio::test]
async fn crowd_from_one_address_displaces_only_its_own_connections() {
    let mut world = World::new(8, 100);
    let mut crowd = Vec::new();
    for _ in 0..20 {
        crowd.push(world.connect(1));
        world.pass(0);
    }
    assert_eq!(world.connections.count(), 4, "half of all is for others");
    for connection in &crowd[..16] {
        assert!(connection.is_ended().await);
    }
    for connection in &crowd[16..] {
        assert!(!connection.is_ended().await);
    }
    // Connections that were pushed out leave for good, and take no other connection's place with them.
    crowd.truncate(16);
    drop(crowd);
    assert_eq!(world.connections.count(), 0);
}

#[tokio::test]
async fn silent_then_crowded_then_longest_idle_connections_give_way() {
    let mut world = World::new(4, 3);
    let idle = [world.connect(1), world.connect(1)];
    for connection in &idle {
        drop(connection.ask());
        world.pass(1);
    }
    let alone = world.connect(2);
    drop(alone.ask());
    let silent = world.connect(3);
    world.pass(2);
    let fifth = world.connect(4);
    assert!(silent.is_ended().await && !idle[0].is_ended().await);
    let _working = fifth.ask();
    let sixth = world.connect(5);
    assert!(idle[0].is_ended().await && !idle[1].is_ended().await && !alone.is_ended().await);
    let _working = (_working, sixth.ask());
    // No address has a crowd now: the connection that waited longest goes.
    let seventh = world.connect(6);
    assert!(idle[1].is_ended().await && !alone.is_ended().await);
    let _working = (_working, seventh.ask());
    let eighth = world.connect(7);
    assert!(alone.is_ended().await);
    let _working = (_working, eighth.ask());
    assert_eq!(world.try_connect(client(8)).err(), Some(Full));
}

#[tokio::test]
async fn proxy_has_as_many_as_there_are_and_makes_room_last() {
    let world = World::new(4, 1);
    let proxy: Vec<_> = (0..3).map(|_| world.try_connect(Address::Proxy).unwrap()).collect();
    let client = world.connect(1);
    let other = world.connect(2);
    assert!(client.is_ended().await);
    for connection in &proxy {
        assert!(!connection.is_ended().await);
    }
    assert!(!other.is_ended().await);
}

#[tokio::test]
async fn network_of_ipv6_is_one_address() {
    let address = |text: &str| Address::client(text.parse().unwrap());
    assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
    assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
    assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
}

#[tokio::test]
async fn answer_that_stands_still_longest_makes_room_for_its_project() {
    let mut world = World::new(100, 100);
    let budgets = Budgets::new(BudgetSettings::default());
    let (one, other) = (budgets.project("one"), budgets.project("other"));
    let connections = [world.connect(1), world.connect(2), world.connect(3)];
    let requests: Vec<_> = connections.iter().map(Connection::ask).collect();
    for (connection, account) in connections.iter().zip([&other, &one, &one]) {
        let delivery = Arc::new(Delivery::new(Some(account.clone()), None));
        delivery.handed_out(1 << 20, connection.line().now());
        connection.line().deliver(delivery);
        world.pass(1);
    }
    assert!(world.connections.end_slowest(Some(&one)));
    assert!(!connections[0].is_ended().await && connections[1].is_ended().await);
    assert!(!connections[2].is_ended().await);
    assert!(world.connections.end_slowest(None));
    assert!(connections[0].is_ended().await);
    drop(requests);
}
