//! Conditions that go down a plan by name. The engine's rule finds a condition's column in what is below by its name (DataFusion 55.2,
//! `FilterRemapper`), and where two columns there have one name it takes the first: of `a RIGHT JOIN b … WHERE a.k IS NULL`, whose sides it
//! has swapped, the condition went to `b`. So the rule is kept to parts of a plan in which no two columns of one node have one name; what the
//! logical plan has handed down stays where it is.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// Of the engine's rules, in both of its phases.
const BY_NAME: &str = "FilterPushdown";

/// The same rules, those careful that go by name.
pub(super) fn careful(rules: &[Rule]) -> Vec<Rule> {
    let careful = |rule: &Rule| match rule.name().starts_with(BY_NAME) {
        true => Arc::new(Careful(Arc::clone(rule))) as Rule,
        false => Arc::clone(rule),
    };
    rules.iter().map(careful).collect()
}

#[derive(Debug)]
struct Careful(Rule);

impl PhysicalOptimizerRule for Careful {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if !plan.exists(|node| Ok(has_twins(node)))? {
            return self.0.optimize(plan, config);
        }
        Ok(plan.map_children(|part| Ok(Transformed::yes(self.optimize(part, config)?)))?.data)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

fn has_twins(node: &Arc<dyn ExecutionPlan>) -> bool {
    let schema = node.schema();
    let mut seen = HashSet::new();
    schema.fields().iter().any(|field| !seen.insert(field.name()))
}
