//! How a login's barrier is sent to a worker: which table, whose rows, whether people are hidden, and the scan behind it.
//!
//! The key of pseudonyms is not sent: a worker has its own, and refuses where that is another one.

use std::sync::Arc;

use datafusion::common::{DataFusionError, Result, internal_datafusion_err, not_impl_err, plan_err};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::PhysicalPlanNode;
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::query::access::{Access, BarrierExec, MaskKey};

#[derive(Debug, Clone)]
pub(super) struct Codec {
    mask: MaskKey,
}

/// What stands before the scan.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    table: String,
    account: String,
    /// Where the account stands in what is read.
    at: usize,
    /// How many columns are shown; they come first.
    shown: usize,
    /// Where people are hidden: what the key of pseudonyms is known by.
    mask: Option<String>,
}

impl Codec {
    pub fn new(mask: MaskKey) -> Codec {
        Codec { mask }
    }

    fn access(&self, head: &Head) -> Result<Access> {
        let account = head.account.as_str().into();
        match &head.mask {
            None => Ok(Access { account, mask: None }),
            Some(mark) if *mark == self.mask.mark() => Ok(Access { account, mask: Some(self.mask.clone()) }),
            Some(_) => plan_err!(
                "pseudonyms are made with another key here than on the machine that asks: give both the same query.mask_key_file"
            ),
        }
    }
}

impl PhysicalExtensionCodec for Codec {
    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        to: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let Some(barrier) = node.downcast_ref::<BarrierExec>() else {
            return not_impl_err!("{} cannot be sent to a worker", node.name());
        };
        let access = barrier.access();
        let head = Head {
            table: barrier.table().to_owned(),
            account: access.account.to_string(),
            at: barrier.account_at(),
            shown: barrier.schema().fields().len(),
            mask: access.mask.as_ref().map(MaskKey::mark),
        };
        let head = serde_json::to_vec(&head).map_err(|error| DataFusionError::External(Box::new(error)))?;
        let scan = converter.execution_plan_to_proto(barrier.stored(), self)?;
        let length = u32::try_from(head.len()).map_err(|_| internal_datafusion_err!("too long a name"))?;
        to.extend_from_slice(&length.to_be_bytes());
        to.extend_from_slice(&head);
        to.extend_from_slice(&scan.encode_to_vec());
        Ok(())
    }

    fn try_decode(
        &self,
        from: &[u8],
        _: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let torn = || internal_datafusion_err!("what a worker was sent is no barrier");
        let (length, rest) = from.split_first_chunk::<4>().ok_or_else(torn)?;
        let (head, scan) = rest.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(torn)?;
        let head: Head = serde_json::from_slice(head).map_err(|_| torn())?;
        let scan = PhysicalPlanNode::decode(scan).map_err(|_| torn())?;
        let stored = converter.proto_to_execution_plan(&scan, &PhysicalPlanDecodeContext::new(context, self))?;
        let access = Arc::new(self.access(&head)?);
        Ok(Arc::new(BarrierExec::over(&head.table, stored, access, head.at, head.shown)?))
    }
}
