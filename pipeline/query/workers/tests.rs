//! What workers refuse. What they answer is held against one machine in `tests/it/workers.rs`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::displayable;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::explain::ExplainExec;
use datafusion_proto::physical_plan::{DefaultPhysicalProtoConverter, PhysicalExtensionCodec};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::LAKE;
use super::badge::Badge;
use super::codec::Codec;
use super::crew::Crew;
use super::lake::OnlyLake;
use super::planner::look_over;
use super::serve::WorkerServer;
use crate::config::Secret;
use crate::query::access::{Access, BarrierExec, MaskKey};
use crate::query::session::bounded_runtime;
use crate::telemetry::metrics::Metrics;

fn mask() -> MaskKey {
    MaskKey::new(b"a key")
}

/// Whether a coordinator with one badge is let in by a worker with another, and what it is told otherwise.
async fn told(theirs: Badge, ours: Badge) -> (usize, Vec<String>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = Url::parse(&format!("http://{}", socket.local_addr().expect("an address"))).expect("a URL");
    let runtime = bounded_runtime(1 << 20, None).expect("a runtime");
    let shutdown = CancellationToken::new();
    let worker = tokio::spawn(WorkerServer::with(socket, theirs, runtime, mask()).run(shutdown.clone()));
    let crew = Crew::new(&[url], ours, mask(), 1, Metrics::new());
    crew.look().await;
    let told = (crew.up().len(), crew.away());
    drop(crew);
    shutdown.cancel();
    worker.await.expect("it ends").expect("it served");
    told
}

#[tokio::test]
async fn only_the_same_version_with_the_same_secret_is_let_in() {
    let secret = Secret::new("one secret of many");
    let other = Secret::new("another secret");
    let of = |version: &str, secret: Option<&Secret>| Badge::of_version(version, secret);
    for (worker, coordinator, refused) in [
        (of("1", None), of("1", None), None),
        (of("1", Some(&secret)), of("1", Some(&secret)), None),
        // A secret that nobody asks for does no harm.
        (of("1", None), of("1", Some(&secret)), None),
        (of("1", Some(&secret)), of("1", None), Some("query.workers_secret_file")),
        (of("1", Some(&secret)), of("1", Some(&other)), Some("query.workers_secret_file")),
        (of("2", None), of("1", None), Some("callweave 2, and who asks is callweave 1")),
        (of("2", Some(&secret)), of("1", Some(&other)), Some("query.workers_secret_file")),
    ] {
        let (up, away) = told(worker, coordinator).await;
        match refused {
            None => assert_eq!((up, away), (1, Vec::new())),
            Some(words) => assert!(up == 0 && away[0].contains(words), "{away:?} does not say {words:?}"),
        }
    }
}

fn schema(names: &[&str]) -> Arc<Schema> {
    Arc::new(Schema::new(names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect::<Vec<_>>()))
}

fn barrier(mask: Option<MaskKey>) -> Arc<dyn ExecutionPlan> {
    let stored = Arc::new(EmptyExec::new(schema(&["caller", "call_id", "account"])));
    let access = Arc::new(Access { account: "acme".into(), mask });
    Arc::new(BarrierExec::over("calls", stored, access, 2, 2).expect("a barrier"))
}

fn sent(barrier: &Arc<dyn ExecutionPlan>, from: MaskKey, to: MaskKey) -> Result<Arc<dyn ExecutionPlan>, String> {
    let converter = DefaultPhysicalProtoConverter {};
    let mut bytes = Vec::new();
    Codec::new(from).try_encode(Arc::clone(barrier), &mut bytes, &converter).map_err(|error| error.to_string())?;
    let context = TaskContext::default();
    Codec::new(to).try_decode(&bytes, &[], &context, &converter).map_err(|error| error.to_string())
}

#[test]
fn a_barrier_is_the_same_on_another_machine() {
    for mask in [None, Some(mask())] {
        let barrier = barrier(mask);
        let sent = sent(&barrier, self::mask(), self::mask()).expect("it is sent");
        let told = |plan: &Arc<dyn ExecutionPlan>| displayable(plan.as_ref()).indent(true).to_string();
        assert_eq!(told(&sent), told(&barrier));
        assert_eq!(sent.schema(), barrier.schema());
        let is_hidden = |plan: &Arc<dyn ExecutionPlan>| {
            plan.downcast_ref::<BarrierExec>().expect("a barrier").access().mask.as_ref().map(MaskKey::mark)
        };
        assert_eq!(is_hidden(&sent), is_hidden(&barrier));
    }
    let error = sent(&barrier(Some(mask())), mask(), MaskKey::new(b"another key")).expect_err("another key");
    assert!(error.contains("query.mask_key_file"), "{error}");
    // Who sees everything needs no key.
    sent(&barrier(None), mask(), MaskKey::new(b"another key")).expect("it is sent");
}

#[test]
fn a_barrier_without_an_account_is_none() {
    let stored = Arc::new(EmptyExec::new(schema(&["caller", "account"])));
    let access = Arc::new(Access { account: "acme".into(), mask: None });
    for (at, shown) in [(0, 1), (2, 1), (1, 3)] {
        assert!(BarrierExec::over("calls", Arc::clone(&stored) as _, Arc::clone(&access), at, shown).is_err(), "{at}");
    }
}

#[test]
fn a_worker_reads_the_lake_and_nothing_else() {
    let scan = |url: &str| {
        let source = ParquetSource::new(TableSchema::from(schema(&["account"])));
        let url = ObjectStoreUrl::parse(url).expect("a URL");
        let groups = vec![FileGroup::new(Vec::new())];
        DataSourceExec::from_data_source(
            FileScanConfigBuilder::new(url, Arc::new(source)).with_file_groups(groups).build(),
        )
    };
    let behind = |stored: Arc<dyn ExecutionPlan>| -> Arc<dyn ExecutionPlan> {
        let access = Arc::new(Access { account: "acme".into(), mask: None });
        Arc::new(BarrierExec::over("calls", stored, access, 0, 1).expect("a barrier"))
    };
    let explain: Arc<dyn ExecutionPlan> = Arc::new(ExplainExec::new(schema(&["a", "b"]), Vec::new(), false));
    for (plan, is_let_through) in [
        (scan(LAKE) as Arc<dyn ExecutionPlan>, true),
        (behind(scan(LAKE)), true),
        (behind(Arc::new(EmptyExec::new(schema(&["account"])))), true),
        (scan("file://"), false),
        (behind(scan("file://")), false),
        (behind(behind(scan("file://"))), false),
        (explain, false),
    ] {
        let told = displayable(plan.as_ref()).indent(false).to_string();
        assert_eq!(look_over(&plan).is_ok(), is_let_through, "{told}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let root = Url::from_directory_path(folder.path()).expect("a URL");
    let stores = OnlyLake(super::of_lake(&root).expect("a lake"));
    for (url, is_there) in [(LAKE, true), ("file:///", false), ("s3://lake", false), ("callweave-lake://other", false)]
    {
        assert_eq!(stores.get_store(&Url::parse(url).expect("a URL")).is_ok(), is_there, "{url}");
    }
}
