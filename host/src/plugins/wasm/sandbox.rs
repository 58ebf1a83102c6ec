//! The place where components run: an engine, and the functions that it links them to.

use super::{
    bindings::{Driver, DriverPre},
    code::{Code, Compiler},
    compiled_cache::CompiledCache,
    engine::{LONGEST_REASON, new_engine, not_a_component},
    scheduler::Scheduler,
    state::State,
};
use crate::plugins::{
    Resolve,
    error::{PluginError, one_line},
    manifest::check_version,
};
use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use wasmtime::{
    Engine,
    component::{Component, HasSelf, Linker, types::ComponentItem},
};

/// Instances beyond the sessions that may be open: those that check settings, and those that are closing.
const SPARE_INSTANCES: usize = 64;

/// The settings of the place where components run.
#[derive(Clone)]
pub struct SandboxSettings {
    /// Sessions that there is room for.
    pub sessions: usize,
    /// How long compiling one component may take, in a child process.
    pub compile_time: Duration,
    /// Where compiled code is kept; `None`: it is compiled each time.
    pub cache: Option<CompiledCache>,
}

/// Compiles and runs components.
pub(in crate::plugins) struct Sandbox {
    pub(super) engine: Engine,
    pub(super) scheduler: Scheduler,
    linker: Linker<State>,
    /// A process to compile in; `None`: this one.
    compiler: Option<Compiler>,
    cache: Option<CompiledCache>,
    resolve: Arc<Resolve>,
}

/// A component, ready to be started.
pub(super) struct Compiled {
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) component: DriverPre<State>,
    pub(super) resolve: Arc<Resolve>,
    /// The interfaces that it imports, each as `package/interface@version`.
    pub(super) imports: BTreeSet<String>,
    /// How long compiling it took; `None` where the code was in the cache.
    pub(super) compile_time: Option<Duration>,
}

impl Sandbox {
    /// Makes a sandbox. `program` is the gateway's own, to compile with; names are resolved by `resolve`.
    pub(in crate::plugins) fn new(
        settings: SandboxSettings,
        program: Option<PathBuf>,
        resolve: Arc<Resolve>,
    ) -> Result<Self, PluginError> {
        let engine = new_engine(settings.sessions + SPARE_INSTANCES)?;
        let failed = |error: wasmtime::Error| PluginError::NoSandbox(format!("{error:#}"));
        let mut linker = Linker::new(&engine);
        Driver::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state).map_err(failed)?;
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(failed)?;
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let scheduler = Scheduler::start(engine.weak(), workers)
            .map_err(|error| PluginError::NoSandbox(error.to_string()))?;
        let SandboxSettings { compile_time, cache, .. } = settings;
        let compiler = program.map(|program| Compiler { program, time: compile_time });
        Ok(Self { engine, scheduler, linker, compiler, cache, resolve })
    }

    /// Compiles a component, or takes its code from the cache, and checks what it imports and exports.
    pub(super) async fn compile(
        self: Arc<Self>,
        bytes: Vec<u8>,
        sha256: &str,
    ) -> Result<Compiled, PluginError> {
        let cached = self.cache.as_ref().and_then(|cache| cache.load(&self.engine, sha256));
        let (component, compile_time) = match cached {
            Some(component) => (component, None),
            None => {
                let begin = Instant::now();
                let code = Code::compile(&self.engine, self.compiler.as_ref(), bytes).await?;
                let time = begin.elapsed();
                let component = code.revive(&self.engine).map_err(|error| not_a_component(&error))?;
                if let Some(cache) = &self.cache {
                    cache.store(&self.engine, sha256, &code);
                }
                (component, Some(time))
            }
        };
        let imports = self.imports(&component);
        let component = self.link(&component, &imports)?;
        Ok(Compiled { component, imports, compile_time, resolve: self.resolve.clone(), sandbox: self })
    }

    fn link(
        &self,
        component: &Component,
        imports: &BTreeSet<String>,
    ) -> Result<DriverPre<State>, PluginError> {
        for import in imports {
            if let Some((_, version)) =
                import.strip_prefix("studio:driver/").and_then(|rest| rest.split_once('@'))
            {
                check_version(version)?;
            }
        }
        let linked = self.linker.instantiate_pre(component).and_then(DriverPre::new);
        linked.map_err(|error| {
            // The error names an import that nothing here provides, or an export that is missing.
            let text = format!("{error:#}");
            if text.contains("import") {
                PluginError::Import(one_line(&text, LONGEST_REASON))
            } else {
                PluginError::NotADriver
            }
        })
    }

    fn imports(&self, component: &Component) -> BTreeSet<String> {
        let imports = component.component_type();
        let imports = imports.imports(&self.engine);
        imports
            .filter(|(_, item)| !matches!(item.ty, ComponentItem::Type(_)))
            .map(|(name, _)| name.to_owned())
            .collect()
    }
}
