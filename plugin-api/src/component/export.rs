//! The exports, over any [`Driver`].

use super::{
    bindings::exports::studio::driver::guest::{CallRequest, Error, Guest, Payload, Settings},
    convert, log,
    network::network,
};
use crate::{Driver, DriverError, ErrorCode, manifest, operations::Operation};
use std::{
    any::Any,
    cell::RefCell,
    future::Future,
    marker::PhantomData,
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

thread_local! {
    /// The one session of this instance: a [`Session`] of the exported driver.
    static SESSION: RefCell<Option<Rc<dyn Any>>> = const { RefCell::new(None) };
}

struct Session<D> {
    driver: Arc<D>,
    operations: Vec<Operation<D>>,
}

/// A driver as the exports of a component, for [`export_driver!`](crate::export_driver).
pub struct Component<D>(PhantomData<D>);

impl<D: Driver> Guest for Component<D> {
    fn manifest() -> String {
        log::start();
        // A manifest that has no JSON form becomes an empty text, which the host refuses: no error can be told here.
        serde_json::to_string(&manifest::derive::<D>()).unwrap_or_default()
    }

    fn check(settings: Settings) -> Result<(), Error> {
        log::start();
        let checked = convert::settings::<D>(settings).and_then(|settings| D::check(&settings));
        checked.map_err(|error| convert::error(error, false))
    }

    fn open(settings: Settings) -> Result<(), Error> {
        log::start();
        let driver =
            convert::settings::<D>(settings).and_then(|settings| run(D::connect(settings, network())));
        let driver = driver.map_err(|error| convert::error(error, true))?;
        let session = Session { driver: Arc::new(driver), operations: D::operations().into_rows() };
        SESSION.set(Some(Rc::new(session)));
        Ok(())
    }

    fn call(request: CallRequest) -> Result<Payload, Error> {
        with_session::<D, _>(|session| {
            let operation = session
                .operations
                .get(request.operation as usize)
                .ok_or_else(|| broken("the host called an operation that is not in the manifest"))?;
            run((operation.handler)(session.driver.clone(), request.into())).map(Payload::from)
        })
    }

    fn ping() -> Result<String, Error> {
        with_session::<D, _>(|session| {
            let facts = run(session.driver.ping())?;
            serde_json::to_string(&facts)
                .map_err(|error| broken(format!("the server's facts have no JSON form: {error}")))
        })
    }

    fn close() {
        drop(SESSION.take());
    }
}

fn with_session<D: Driver, T>(run: impl FnOnce(&Session<D>) -> Result<T, DriverError>) -> Result<T, Error> {
    let session = SESSION.with_borrow(Clone::clone).and_then(|session| session.downcast::<Session<D>>().ok());
    let Some(session) = session else {
        return Err(convert::error(broken("the session is not open"), true));
    };
    run(&session).map_err(|error| convert::error(error, !session.driver.is_open()))
}

/// Runs a future to its end. Host calls return only when they are done, so one poll is enough, unless the future wakes
/// itself to be polled again.
fn run<T>(future: impl Future<Output = Result<T, DriverError>>) -> Result<T, DriverError> {
    struct Again(AtomicBool);
    impl Wake for Again {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let again = Arc::new(Again(AtomicBool::new(false)));
    let waker = Waker::from(again.clone());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        if !again.0.swap(false, Ordering::Relaxed) {
            return Err(broken("the driver waits for something that never happens in the sandbox"));
        }
    }
}

fn broken(message: impl Into<String>) -> DriverError {
    DriverError::new(ErrorCode::DriverError, message)
}
