//! Aggregates of our own that are the engine's but for an end or two.

/// Methods of `AggregateUDFImpl` that the engine's aggregate in the field `inner` answers.
macro_rules! as_inner {
    ($($method:ident)*) => { $($crate::query::as_inner::as_inner!(@ $method);)* };
    (@ name) => {
        fn name(&self) -> &str {
            self.inner.name()
        }
    };
    (@ aliases) => {
        fn aliases(&self) -> &[String] {
            self.inner.aliases()
        }
    };
    (@ signature) => {
        fn signature(&self) -> &datafusion::logical_expr::Signature {
            self.inner.signature()
        }
    };
    (@ return_type) => {
        fn return_type(
            &self,
            kinds: &[datafusion::arrow::datatypes::DataType],
        ) -> datafusion::common::Result<datafusion::arrow::datatypes::DataType> {
            self.inner.return_type(kinds)
        }
    };
    (@ is_nullable) => {
        fn is_nullable(&self) -> bool {
            self.inner.is_nullable()
        }
    };
    (@ default_value) => {
        fn default_value(
            &self,
            kind: &datafusion::arrow::datatypes::DataType,
        ) -> datafusion::common::Result<datafusion::common::ScalarValue> {
            self.inner.default_value(kind)
        }
    };
    (@ accumulator) => {
        fn accumulator(
            &self,
            args: datafusion::logical_expr::function::AccumulatorArgs<'_>,
        ) -> datafusion::common::Result<Box<dyn datafusion::logical_expr::Accumulator>> {
            self.inner.accumulator(args)
        }
    };
    (@ create_sliding_accumulator) => {
        fn create_sliding_accumulator(
            &self,
            args: datafusion::logical_expr::function::AccumulatorArgs<'_>,
        ) -> datafusion::common::Result<Box<dyn datafusion::logical_expr::Accumulator>> {
            self.inner.create_sliding_accumulator(args)
        }
    };
    (@ groups_accumulator_supported) => {
        fn groups_accumulator_supported(
            &self,
            args: datafusion::logical_expr::function::AccumulatorArgs<'_>,
        ) -> bool {
            self.inner.groups_accumulator_supported(args)
        }
    };
    (@ create_groups_accumulator) => {
        fn create_groups_accumulator(
            &self,
            args: datafusion::logical_expr::function::AccumulatorArgs<'_>,
        ) -> datafusion::common::Result<Box<dyn datafusion::logical_expr::GroupsAccumulator>> {
            self.inner.create_groups_accumulator(args)
        }
    };
    (@ state_fields) => {
        fn state_fields(
            &self,
            args: datafusion::logical_expr::function::StateFieldsArgs<'_>,
        ) -> datafusion::common::Result<Vec<datafusion::arrow::datatypes::FieldRef>> {
            self.inner.state_fields(args)
        }
    };
    (@ simplify) => {
        fn simplify(&self) -> Option<datafusion::logical_expr::function::AggregateFunctionSimplification> {
            self.inner.simplify()
        }
    };
    (@ reverse_expr) => {
        fn reverse_expr(&self) -> datafusion::logical_expr::ReversedUDAF {
            self.inner.reverse_expr()
        }
    };
    (@ order_sensitivity) => {
        fn order_sensitivity(&self) -> datafusion::logical_expr::utils::AggregateOrderSensitivity {
            self.inner.order_sensitivity()
        }
    };
    (@ documentation) => {
        fn documentation(&self) -> Option<&datafusion::logical_expr::Documentation> {
            self.inner.documentation()
        }
    };
    (@ set_monotonicity) => {
        fn set_monotonicity(
            &self,
            kind: &datafusion::arrow::datatypes::DataType,
        ) -> datafusion::logical_expr::SetMonotonicity {
            self.inner.set_monotonicity(kind)
        }
    };
    (@ value_from_stats) => {
        fn value_from_stats(
            &self,
            statistics: &datafusion::logical_expr::StatisticsArgs<'_>,
        ) -> Option<datafusion::common::ScalarValue> {
            self.inner.value_from_stats(statistics)
        }
    };
}

pub(super) use as_inner;
