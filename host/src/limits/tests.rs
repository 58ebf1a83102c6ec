//! Tests of limits, by a clock that only the test moves.

use super::*;
use crate::{identity::Grants, telemetry::Metrics};
use governor::clock::FakeRelativeClock;
use http::HeaderMap;
use proptest::prelude::*;
use sfv::{BareItem, Item, List, ListEntry, Parser};
use std::collections::BTreeMap;

struct World {
    limits: RateLimits<FakeRelativeClock>,
    clock: FakeRelativeClock,
    metrics: Arc<Metrics>,
}

/// Makes limits from the text of a `[rate_limit]` table.
fn world(settings: &str) -> World {
    let settings: RateLimitSettings = toml::from_str(settings).unwrap();
    let (clock, metrics) = (FakeRelativeClock::default(), Arc::new(Metrics::default()));
    World { limits: RateLimits::with_clock(&settings, metrics.clone(), &clock), clock, metrics }
}

fn user(subject: &str) -> Principal {
    Principal::User { subject: subject.to_owned(), grants: Grants::default() }
}

/// Makes a developer's request for a Redis of project `shop`.
fn request(principal: &Principal, class: Class) -> RateLimitRequest<'_> {
    let (database_type, project) = (Some("redis"), Some("shop"));
    RateLimitRequest { principal, role: Some(Role::Developer), database_type, project, class }
}

impl World {
    /// Counts the requests that are let through at once before one is refused, 1000 at most, and names the refusing
    /// limit.
    fn room(&self, request: &RateLimitRequest<'_>) -> (usize, String) {
        for count in 0..1000 {
            if let Err(refusal) = self.limits.admit(request) {
                return (count, refusal.limit);
            }
        }
        (1000, String::new())
    }

    fn room_for(&self, class: Class) -> (usize, String) {
        self.room(&request(&user("someone"), class))
    }

    fn refusal(&self, request: &RateLimitRequest<'_>) -> Box<Refusal> {
        self.limits.admit(request).expect_err("one request too many")
    }

    fn callers(&self) -> usize {
        let tables = self.limits.tables.as_ref().unwrap();
        tables.rules().chain(&self.limits.address).map(Rule::callers).sum()
    }
}

/// Reads both fields as a client does: policies and limits, each a name and its parameters.
fn fields(rate_limit_headers: RateLimitHeaders) -> [Vec<(String, BTreeMap<String, BareItem>)>; 2] {
    let mut headers = HeaderMap::new();
    rate_limit_headers.write(&mut headers);
    ["ratelimit-policy", "ratelimit"].map(|name| {
        let list: List = Parser::new(headers[name].as_bytes()).parse().unwrap();
        let item = |entry: ListEntry| match entry {
            ListEntry::Item(Item { bare_item: BareItem::String(name), params }) => {
                let parameters = params.into_iter().map(|(key, value)| (key.to_string(), value));
                (name.as_str().to_owned(), parameters.collect())
            }
            other => panic!("no string with parameters: {other:?}"),
        };
        list.into_iter().map(item).collect()
    })
}

fn number(item: &BareItem) -> i64 {
    item.as_integer().expect("a whole number").into()
}

#[test]
fn default_is_a_hundred_a_minute_for_each_user_and_class() {
    let world = world("");
    for class in [Class::Read, Class::Write, Class::Admin, Class::Query] {
        for name in ["someone", "someone else"] {
            let (count, limit) = world.room(&request(&user(name), class));
            assert_eq!(count, 100, "{class:?}");
            assert!(limit.starts_with("everyone."), "{limit}");
        }
    }
}

#[test]
fn users_and_project_keys_of_one_name_are_counted_apart() {
    let world = world("everyone.read = 3");
    let service = Principal::ProjectService { reference: "shop".to_owned() };
    assert_eq!(world.room(&request(&user("shop"), Class::Read)).0, 3);
    assert_eq!(world.room(&request(&service, Class::Read)).0, 3);
}

#[test]
fn refusal_by_one_limit_costs_no_other_and_tells_longest_wait() {
    let world = world("everyone.total = '6 burst 2'\neveryone.read = 6\neveryone.write = '60 burst 1'");
    let principal = user("someone");
    let (read, write) = (request(&principal, Class::Read), request(&principal, Class::Write));
    assert_eq!(world.room(&read), (2, "everyone.total".to_owned()));
    for _ in 0..20 {
        let refusal = world.refusal(&read);
        assert_eq!((refusal.limit.as_str(), refusal.seconds), ("everyone.total", 10));
        let [_, limits] = fields(refusal.headers.unwrap());
        let told: Vec<_> = limits
            .iter()
            .map(|(name, left)| (name.as_str(), number(&left["r"]), number(&left["t"])))
            .collect();
        assert_eq!(told, [("read", 4, 40), ("total", 0, 10)]);
    }
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(
        world.room(&write),
        (1, "everyone.total".to_owned()),
        "of the class there is room in a second"
    );
    assert_eq!(world.refusal(&write).seconds, 10, "but none of the total for ten");
    world.clock.advance(Duration::from_secs(40));
    assert_eq!(world.room(&read).0, 2, "what the total refused was not taken from the class");
}

#[test]
fn burst_comes_back_one_by_one_at_the_rate_and_never_earlier() {
    let world = world("everyone.read = '60 burst 5'");
    assert_eq!(world.room_for(Class::Read).0, 5);
    world.clock.advance(Duration::from_nanos(999_999_999));
    assert_eq!(world.room_for(Class::Read).0, 0);
    world.clock.advance(Duration::from_nanos(1));
    assert_eq!(world.room_for(Class::Read).0, 1);
    world.clock.advance(Duration::from_millis(2500));
    assert_eq!(world.room_for(Class::Read).0, 2);
    world.clock.advance(Duration::from_millis(500));
    assert_eq!(world.room_for(Class::Read).0, 1, "half a request was not lost");
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(world.room_for(Class::Read).0, 5, "idling saves up no more than the burst");
}

#[test]
fn refused_requests_do_not_put_off_the_next_one() {
    let world = world("everyone.read = 1");
    let principal = user("someone");
    let request = request(&principal, Class::Read);
    world.limits.admit(&request).unwrap();
    for second in 0..60 {
        assert_eq!(world.refusal(&request).seconds, 60 - second);
        world.clock.advance(Duration::from_secs(1));
    }
    world.limits.admit(&request).unwrap();
}

#[test]
fn wait_is_told_in_whole_seconds_that_suffice() {
    let world = world("everyone.read = '7 burst 1'");
    let principal = user("someone");
    let request = request(&principal, Class::Read);
    world.limits.admit(&request).unwrap();
    for _ in 0..50 {
        let seconds = world.refusal(&request).seconds;
        assert_eq!(seconds, 9, "60 / 7 is 8.57");
        world.clock.advance(Duration::from_secs(seconds.into()));
        world.limits.admit(&request).unwrap();
    }
}

#[test]
fn total_counts_every_class_and_alone_limits_unlimited_classes() {
    let world = world("everyone.total = 150\neveryone.write = 20");
    assert_eq!(world.room_for(Class::Write), (20, "everyone.write".to_owned()));
    assert_eq!(world.room_for(Class::Read), (130, "everyone.total".to_owned()));
    assert_eq!(world.room_for(Class::Query), (0, "everyone.total".to_owned()));
}

#[test]
fn trying_on_after_the_class_is_used_up_leaves_the_total_alone() {
    let world = world("everyone.total = 10\neveryone.write = 2");
    for _ in 0..50 {
        world.room_for(Class::Write);
    }
    assert_eq!(world.room_for(Class::Read).0, 8);
}

const TABLES: &str = "
    everyone.read = 10
    everyone.write = 11
    everyone.total = 50
    roles.developer.read = 20
    roles.developer.admin = 21
    drivers.redis.read = 30
    drivers.redis.query = 31
    projects.shop.read = 40
    projects.shop.total = 45
";

#[test]
fn most_special_table_that_sets_a_limit_decides() {
    let principal = user("someone");
    let request = request(&principal, Class::Read);
    let room = |request: RateLimitRequest<'_>| world(TABLES).room(&request);
    assert_eq!(room(request), (40, "projects.shop.read".to_owned()));
    assert_eq!(
        room(RateLimitRequest { project: Some("other"), ..request }),
        (30, "drivers.redis.read".to_owned())
    );
    let other = RateLimitRequest { project: Some("other"), database_type: Some("mongodb"), ..request };
    assert_eq!(room(other), (20, "roles.developer.read".to_owned()));
    assert_eq!(room(RateLimitRequest { role: Some(Role::Owner), ..other }), (10, "everyone.read".to_owned()));
    let nothing = RateLimitRequest { role: None, project: None, database_type: None, ..request };
    assert_eq!(room(nothing), (10, "everyone.read".to_owned()));
    // If a table does not set a class's limit, the next table that sets it decides, for each class by itself.
    assert_eq!(
        room(RateLimitRequest { class: Class::Query, ..request }),
        (31, "drivers.redis.query".to_owned())
    );
    assert_eq!(
        room(RateLimitRequest { class: Class::Admin, ..request }),
        (21, "roles.developer.admin".to_owned())
    );
    assert_eq!(room(RateLimitRequest { class: Class::Write, ..request }), (11, "everyone.write".to_owned()));
}

#[test]
fn total_of_a_project_takes_the_place_of_everyones_there() {
    let world = world(TABLES);
    let principal = user("someone");
    let read = request(&principal, Class::Read);
    assert_eq!(world.room(&read).0, 40);
    let query = RateLimitRequest { class: Class::Query, ..read };
    assert_eq!(world.room(&query), (5, "projects.shop.total".to_owned()));
    // That used up nothing elsewhere: neither of the driver's reads nor of everyone's total.
    let elsewhere = RateLimitRequest { project: Some("other"), ..read };
    assert_eq!(world.room(&elsewhere), (30, "drivers.redis.read".to_owned()));
    let elsewhere = RateLimitRequest { class: Class::Admin, ..elsewhere };
    assert_eq!(world.room(&elsewhere), (20, "everyone.total".to_owned()));
}

#[test]
fn zero_lifts_one_limit_and_as_everyones_total_lifts_them_all() {
    let exempt = world("everyone.read = 5\naddress = 0\n[roles.developer]\nread = 0");
    assert_eq!(exempt.room_for(Class::Read).0, 1000);
    let principal = user("someone");
    let viewer = RateLimitRequest { role: Some(Role::Viewer), ..request(&principal, Class::Read) };
    assert_eq!(exempt.room(&viewer).0, 5);
    let address = "192.0.2.1".parse().unwrap();
    assert!((0..10_000).all(|_| exempt.limits.admit_address(address).is_ok()));

    let off = world("everyone.total = 0\neveryone.read = 1\naddress = 1\nprojects.shop.total = 1");
    assert_eq!(off.room_for(Class::Read).0, 1000);
    assert!((0..10_000).all(|_| off.limits.admit_address(address).is_ok()));
    assert!(off.limits.admit(&viewer).unwrap().is_none(), "nothing is told of limits that are not there");
}

#[test]
fn addresses_count_apart_and_one_ipv6_network_counts_together() {
    let world = world("address = 3");
    let room = |addresses: &[&str]| {
        let mut addresses = addresses.iter().cycle().map(|address| address.parse().unwrap());
        addresses.position(|address| world.limits.admit_address(address).is_err()).unwrap()
    };
    assert_eq!(room(&["192.0.2.1"]), 3);
    assert_eq!(room(&["192.0.2.2"]), 3);
    assert_eq!(room(&["2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1:8000::"]), 3);
    assert_eq!(room(&["2001:db8:0:2::1"]), 3);
    world.clock.advance(Duration::from_secs(20));
    assert_eq!(room(&["192.0.2.1"]), 1);
    let refusal = world.limits.admit_address("192.0.2.1".parse().unwrap()).unwrap_err();
    assert_eq!((refusal.limit.as_str(), refusal.seconds), ("address", 20));
}

#[test]
fn address_may_far_more_than_a_user() {
    let room = |settings: &str| {
        let (world, address) = (world(settings), "192.0.2.1".parse().unwrap());
        (0..100_000).position(|_| world.limits.admit_address(address).is_err()).unwrap()
    };
    assert_eq!(room(""), 6000);
    assert_eq!(room("everyone.total = 5"), 6000);
    assert_eq!(room("everyone.total = 5000"), 50_000);
}

#[test]
fn fields_tell_every_limit_that_applies_and_what_is_left_of_it() {
    let world = world("everyone.total = 100\n[projects.shop]\nread = '30 burst 10'");
    let principal = user("someone");
    let request = request(&principal, Class::Read);
    let partition = BareItem::ByteSequence(b"projects.shop".to_vec());

    let [policy, limit] = fields(world.limits.admit(&request).unwrap().unwrap());
    let names = |items: &[(String, _)]| items.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&policy), ["read", "total"]);
    assert_eq!(names(&limit), ["read", "total"]);
    let (read, total) = (&policy[0].1, &policy[1].1);
    assert_eq!((number(&read["q"]), number(&read["w"]), &read["pk"]), (10, 20, &partition));
    assert_eq!((number(&total["q"]), number(&total["w"]), total.get("pk")), (100, 60, None));
    let (read, total) = (&limit[0].1, &limit[1].1);
    assert_eq!((number(&read["r"]), number(&read["t"]), &read["pk"]), (9, 18, &partition));
    assert_eq!((number(&total["r"]), number(&total["t"]), total.get("pk")), (99, 60, None));

    assert_eq!(world.room(&request).0, 9);
    let refusal = world.refusal(&request);
    let [policy, limit] = fields(refusal.headers.unwrap());
    assert_eq!(names(&policy), ["read", "total"]);
    assert_eq!(names(&limit), ["read", "total"]);
    assert_eq!((number(&limit[0].1["r"]), number(&limit[0].1["t"])), (0, 2));
    assert_eq!(number(&limit[1].1["r"]), 90, "who is refused by the class is not counted in all");
    assert_eq!(refusal.seconds, 2, "the wait is not shorter than the window with nothing left");
}

#[test]
fn callers_are_forgotten_once_their_allowance_is_whole_again() {
    let world = world("everyone.read = 60\neveryone.total = 60\naddress = 60");
    for caller in 0..1000 {
        world.limits.admit(&request(&user(&caller.to_string()), Class::Read)).unwrap();
        world.limits.admit_address(Ipv6Addr::from_bits(caller << 64).into()).unwrap();
    }
    assert_eq!(world.callers(), 3000);
    world.clock.advance(Duration::from_millis(500));
    world.limits.sweep();
    assert_eq!(world.callers(), 3000);
    world.clock.advance(Duration::from_millis(1500));
    world.limits.sweep();
    assert_eq!(world.callers(), 0);
}

#[test]
fn refusals_are_counted_by_limit() {
    let world = world("everyone.read = 1");
    world.room_for(Class::Read);
    world.room_for(Class::Read);
    assert_eq!(world.metrics.rate_limited_count("everyone.read"), 2);
    assert_eq!(world.metrics.rate_limited_count("everyone.write"), 0);
}

proptest! {
    #[test]
    fn no_minute_has_more_than_the_burst_and_the_rate(
        rate in 1u32..2000,
        burst in 1u32..200,
        pauses in prop::collection::vec(0u64..3_000, 1..400),
    ) {
        let world = world(&format!("everyone.read = '{rate} burst {burst}'"));
        let principal = user("someone");
        let mut admitted = Vec::new();
        let mut now = 0;
        for pause in pauses {
            now += pause;
            world.clock.advance(Duration::from_millis(pause));
            if world.limits.admit(&request(&principal, Class::Read)).is_ok() {
                admitted.push(now);
            }
        }
        for (index, start) in admitted.iter().enumerate() {
            let within = admitted[index..].iter().take_while(|time| *time - start < 60_000).count();
            prop_assert!(within <= (rate + burst) as usize, "{within} in a minute");
        }
    }

    #[test]
    fn fields_are_structured_and_within_their_policy(
        rate in 1u32..,
        burst in 1u32..,
        requests in 1usize..20,
        pause in 0u64..100_000,
    ) {
        let burst = u64::from(burst).min(u64::from(rate) * 1440);
        let world = world(&format!("everyone.read = '{rate} burst {burst}'"));
        let principal = user("someone");
        for _ in 0..requests {
            world.clock.advance(Duration::from_millis(pause));
            let rate_limit_headers = match world.limits.admit(&request(&principal, Class::Read)) {
                Ok(rate_limit_headers) => rate_limit_headers,
                Err(refusal) => refusal.headers,
            };
            let [policy, limit] = fields(rate_limit_headers.unwrap());
            let (policy, limit) = (&policy[0].1, &limit[0].1);
            prop_assert!(number(&policy["w"]) >= 1);
            prop_assert!((0..=number(&policy["q"])).contains(&number(&limit["r"])));
            prop_assert!((0..=number(&policy["w"])).contains(&number(&limit["t"])));
        }
    }
}
