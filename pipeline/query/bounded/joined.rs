//! `a || b || c` of texts as one function, so that it has a bound as others have. It is the engine's operator in all else.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, LargeStringBuilder, StringArrayType, StringBuilder, StringViewBuilder,
};
use datafusion::arrow::compute::kernels::concat_elements::concat_elements_dyn;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    ColumnarValue, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

const NAME: &str = "joined_texts";

pub(super) fn joined() -> ScalarUDF {
    ScalarUDF::new_from_impl(Joined { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Joined {
    signature: Signature,
}

/// What the chain is, link by link, as the operator has it.
fn chain(types: &[DataType]) -> Result<DataType> {
    let [first, rest @ ..] = types else { return internal_err!("|| of nothing") };
    let link = |left: DataType, right: &DataType| {
        BinaryTypeCoercer::new(&left, &Operator::StringConcat, right).get_result_type()
    };
    rest.iter().try_fold(first.clone(), link)
}

impl ScalarUDFImpl for Joined {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let all = chain(types)?;
        Ok(vec![all; types.len()])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        chain(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(NAME, self.return_type(&types)?, nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some((first, rest)) = arrays.split_first() else { return internal_err!("|| of nothing") };
        let all_of = |kind: &DataType| arrays.iter().all(|array| array.data_type() == kind);
        let joined: ArrayRef = match first.data_type() {
            DataType::Utf8 if all_of(&DataType::Utf8) => {
                let parts: Vec<_> = arrays.iter().map(|array| array.as_string::<i32>()).collect();
                let mut made = StringBuilder::new();
                join(&parts, |text| made.append_option(text));
                Arc::new(made.finish())
            }
            DataType::LargeUtf8 if all_of(&DataType::LargeUtf8) => {
                let parts: Vec<_> = arrays.iter().map(|array| array.as_string::<i64>()).collect();
                let mut made = LargeStringBuilder::new();
                join(&parts, |text| made.append_option(text));
                Arc::new(made.finish())
            }
            DataType::Utf8View if all_of(&DataType::Utf8View) => {
                let parts: Vec<_> = arrays.iter().map(|array| array.as_string_view()).collect();
                let mut made = StringViewBuilder::new();
                join(&parts, |text| made.append_option(text));
                Arc::new(made.finish())
            }
            // Bytes, and what the operator knows besides.
            _ => rest.iter().try_fold(Arc::clone(first), |left, right| concat_elements_dyn(&left, right))?,
        };
        Ok(ColumnarValue::Array(joined))
    }
}

/// Each row's texts as one; nothing where one of them is nothing.
fn join<'a, T: StringArrayType<'a>>(parts: &[T], mut put: impl FnMut(Option<&str>)) {
    let mut text = String::new();
    for row in 0..parts.first().map_or(0, |part| part.len()) {
        if parts.iter().any(|part| part.is_null(row)) {
            put(None);
            continue;
        }
        text.clear();
        parts.iter().for_each(|part| text.push_str(part.value(row)));
        put(Some(&text));
    }
}
